"""Writes docs/reference/ from the code: settings, errors, metrics and the command line.

make reference            write the pages
python docs/reference.py --check    exit 1 and name the pages that are not what the code says
"""

import json
import sys
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import typer
from typer.core import TyperGroup

from rempart.cli.main import app
from rempart.domain.errors import ClientClosed, RempartError, Retry, every_error
from rempart.settings.environment import NOT_SETTINGS
from rempart.settings.model import UNCHANGEABLE
from rempart.settings.schema import Setting, every_setting, expectation
from rempart.telemetry.metrics import TABLE

FOLDER = Path(__file__).parent / "reference"
MADE = "Written by `make reference` from `{source}`; do not edit it by hand."

HUB_VARIABLES = {
    "HF_ENDPOINT": "the hub's address, or that of a mirror, for `rempart models pull`",
    "HF_TOKEN": "the token for the hub",
}
RETRIES = {
    Retry.NEVER: "no: `x-should-retry: false`",
    Retry.AFTER: "after `Retry-After`; `x-should-retry: false` when that is above 60 s",
    Retry.AFTER_BUT_NOT_BY_ITSELF: "after `Retry-After`, not by itself: `x-should-retry: false`",
    Retry.CLIENT_DECIDES: "the client decides",
}


def settings_page() -> str:
    """Every setting: what it takes, its default, whether a reload may change it."""
    lines = [
        "# Settings",
        "",
        MADE.format(source="src/rempart/settings/model.py"),
        "",
        "One TOML file holds them all; `rempart init` writes one with comments, "
        "`rempart config check` reads it whole, `rempart config show` prints what is in force.",
        "Every setting is also an environment variable, `REMPART_SECTION__NAME`, "
        "such as `REMPART_SERVER__PORT=9000`.",
        "`SIGHUP` reads the file anew; settings marked *no* under *reload* are then refused "
        "and the configuration stays as it was.",
    ]
    for section, settings in groupby(every_setting(), key=lambda setting: setting.path[:-1]):
        lines += ["", f"## {_section(section)}", ""]
        lines += [
            "| setting | takes | default | reload | meaning |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [_setting_row(setting) for setting in settings]
    return _page(lines)


def _section(path: tuple[str, ...]) -> str:
    if not path:
        return "At the top"
    repeated = path[0] in ("models", "routes")
    written = ".".join(path)
    return f"`[[{written}]]`" if repeated and len(path) == 1 else f"`[{written}]`"


def _setting_row(setting: Setting) -> str:
    takes = expectation(setting.kind, setting.path[-1])
    if setting.kind.is_optional:
        takes += ", or unset"
    default = "(needed)" if setting.is_required else _default(setting.default)
    reload = "no" if setting.name in UNCHANGEABLE else "yes"
    return _row(f"`{setting.path[-1]}`", takes, default, reload, setting.kind.doc)


def _default(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, float) and value == int(value):
        value = int(value)
    return f"`{json.dumps(value)}`"


def errors_page() -> str:
    """Every error that a client can meet."""
    lines = [
        "# Errors",
        "",
        MADE.format(source="src/rempart/domain/errors.py"),
        "",
        "Every error answer, on every path, has this shape; "
        "on `/v1/messages` the same fields come in Anthropic's.",
        "",
        "```json",
        '{"error": {"message": "…", "type": "…", "code": "…", "param": null, "request_id": "…", '
        '"timestamp": "…", "details": {}}}',
        "```",
        "",
        "Once an answer has begun to stream, an error is an event in the stream; "
        "no `[DONE]` follows.",
        "A client that went away is not answered; its record says 499 `client_closed`.",
        "",
        "| status | code | type | message | details | send it again? |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    errors = sorted(every_error(), key=lambda error: (error.status, error.code, error.sentence))
    lines += [_error_row(error) for error in errors if error is not ClientClosed]
    return _page(lines)


def _error_row(error: type[RempartError]) -> str:
    details = ", ".join(f"`{name}`" for name in error.shown)
    sentence = error.sentence.replace("{", "*").replace("}", "*")
    for format_spec in ("!r*", ":g*"):
        sentence = sentence.replace(format_spec, "*")
    again = RETRIES[error.retry]
    return _row(str(error.status), f"`{error.code}`", f"`{error.type}`", sentence, details, again)


def metrics_page() -> str:
    """Every metric of GET /metrics."""
    lines = [
        "# Metrics",
        "",
        MADE.format(source="src/rempart/telemetry/metrics.py"),
        "",
        "`GET /metrics` answers in Prometheus' text format, for all processes together.",
        "It needs a key with the scope `metrics`, unless `health.metrics_open` is true.",
        "",
        "| metric | kind | labels | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for metric in TABLE:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(_row(f"`{metric.name}`", metric.kind.value, labels, metric.help))
    return _page(lines)


def cli_page() -> str:
    """Every command, its arguments and options."""
    lines = [
        "# Command line",
        "",
        MADE.format(source="src/rempart/cli/"),
        "",
        "Exit codes: 0 done, 1 failed, 2 wrong usage.",
    ]
    top = cast(TyperGroup, typer.main.get_command(app))
    for name, command in top.commands.items():
        inner = command.commands if isinstance(command, TyperGroup) else {"": command}
        for inner_name, one in inner.items():
            if not one.hidden:
                lines += _command(f"rempart {name} {inner_name}".rstrip(), one)
    lines += ["", "## Variables", "", "Beside those of the settings:", ""]
    lines += ["| variable | meaning |", "| --- | --- |"]
    lines += [
        _row(f"`{name}`", meaning) for name, meaning in (NOT_SETTINGS | HUB_VARIABLES).items()
    ]
    return _page(lines)


def _command(name: str, command: Any) -> list[str]:
    lines = ["", f"## `{name}`", "", (command.help or "").split("\n\n")[0].replace("\n", " ")]
    rows = []
    for parameter in command.params:
        if parameter.name == "help":
            continue
        is_option = parameter.param_type_name == "option"
        names = (
            ", ".join(parameter.opts) if is_option else parameter.metavar or parameter.name.upper()
        )
        default = parameter.default
        shown = "" if callable(default) or default in (None, "", False, ()) else f"`{default}`"
        rows.append(_row(f"`{names}`", getattr(parameter, "help", "") or "", shown))
    if rows:
        lines += ["", "| argument or option | meaning | default |", "| --- | --- | --- |", *rows]
    return lines


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _page(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "metrics.md": metrics_page,
    "cli.md": cli_page,
}


def stale() -> list[str]:
    """Names of pages that are missing or not what the code says."""
    return [
        name
        for name, page in PAGES.items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_text() != page()
    ]


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` only compare."""
    if "--check" in arguments:
        names = stale()
        for name in names:
            print(f"docs/reference/{name} is not what the code says; run make reference")
        return 1 if names else 0
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())
        print(f"docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
