"""The configuration as the operator wrote it → ``Settings``, checked whole.

Reads one TOML file, the environment, and the command line's options, the later ones over the
earlier ones. Everything that is wrong is reported at once, each with the place where it was
written. Only the command line imports this module: it is the one with pydantic.
"""

import copy
import json
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from rempart.settings import CONFIG_FILE, explain, rules, source
from rempart.settings.environment import Assignment, from_environment, is_secret_file
from rempart.settings.explain import Problem, SettingsError
from rempart.settings.model import Health, Model, Settings
from rempart.settings.resolved import dump
from rempart.settings.schema import Path, kind_at, shown_path
from rempart.settings.toml_error import toml_problem
from rempart.settings.toml_lines import line_numbers

__all__ = ["SettingsError", "Written", "dump", "read", "resolve"]

CONFIG_BYTES_MAX = 4 * 1024 * 1024

_ADAPTER: TypeAdapter[Settings] = TypeAdapter(Settings)


@dataclass
class Written:
    """What was written, before it is checked, and where.

    Args:
        values: tables and lists as in TOML.
        file: the file's name for messages; empty when there is none.
        lines: line of every path of the file.
        origins: variable or option of the paths that did not come from the file.
    """

    values: dict[str, Any]
    file: str
    lines: dict[Path, int]
    origins: dict[Path, str]

    def place(self, path: Path) -> str:
        """Where ``path``, or the nearest table around it, was written."""
        for part in _upwards(path):
            if part in self.origins:
                return self.origins[part]
            if part in self.lines:
                return f"{self.file} line {self.lines[part]}"
        return self.file or "configuration"

    def number(self, path: Path) -> int:
        """The line for putting problems in order; 0 for what is not in the file."""
        return next((self.lines[part] for part in _upwards(path) if part in self.lines), 0)

    def line(self, found: Problem) -> str:
        """A problem as one line for people."""
        return f"{self.place(found.path)}: {found.text}"


def _upwards(path: Path) -> Iterator[Path]:
    return (path[:length] for length in range(len(path), -1, -1))


def resolve(
    *,
    config: FilePath | None,
    environment: Mapping[str, str],
    options: Mapping[str, tuple[str, Any]] | None = None,
    model: str = "",
    folder: FilePath,
    with_files: bool = False,
) -> Settings:
    """The configuration, complete: paths absolute, secrets read, dependent defaults set.

    Args:
        config: the TOML file; None takes ``rempart.toml`` of ``folder`` if there is one.
        environment: the variables.
        options: setting → (option as typed, value): ``{"server.port": ("--port", 9000)}``.
        model: what ``serve MODEL`` was given; it becomes the first model and is loaded at start.
        folder: where relative paths begin.
        with_files: whether a model file that is not there is an error.
    Raises:
        SettingsError: with everything that is wrong.
    """
    written, problems = read(
        config=config, environment=environment, options=options or {}, folder=folder
    )
    known = {found.path for found in problems}
    settings, more = _check(written)
    problems += [found for found in more if found.path not in known]
    if settings is not None:
        broken = {found.path for found in problems}
        problems += [found for found in rules.check(settings) if not _is_below(found.path, broken)]
    if problems or settings is None:
        raise SettingsError(_in_order(written, problems))
    settings = _complete(settings, folder)
    if with_files and (absent := list(source.missing_files(settings))):
        raise SettingsError(_in_order(written, absent))
    return source.serve_first(settings, model, folder) if model else settings


def read(
    *,
    config: FilePath | None,
    environment: Mapping[str, str],
    options: Mapping[str, tuple[str, Any]],
    folder: FilePath,
) -> tuple[Written, list[Problem]]:
    """All layers joined, unchecked but for what cannot be joined, and the problems met on the way.

    Raises:
        SettingsError: the file cannot be read or is not TOML, or a variable is no setting.
    """
    written = _file(config, folder)
    assignments, lines = from_environment(environment)
    if lines:
        raise SettingsError(lines)
    for name, (option, value) in options.items():
        assignments.append(Assignment(tuple(name.split(".")), value, option))
    problems = [found for assignment in assignments if (found := _assign(written, assignment))]
    problems += list(_secret_files(written, folder))
    return written, problems


def _file(config: FilePath | None, folder: FilePath) -> Written:
    path = folder / (config or CONFIG_FILE)
    shown = str(config or CONFIG_FILE)
    if config is None and not path.exists():
        return Written({}, "", {}, {})
    try:
        data = path.read_bytes() if path.stat().st_size <= CONFIG_BYTES_MAX else None
    except OSError as error:
        raise SettingsError(
            [
                f"{shown}: the file cannot be read: {error.strerror}. Check the path; "
                "`rempart init` writes a new file."
            ]
        ) from error
    if data is None:
        raise SettingsError(
            [f"{shown}: the file is larger than {CONFIG_BYTES_MAX} bytes. Is it the right one?"]
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            [f"{shown} line {line}: the file must be UTF-8, found another encoding. Save it anew."]
        ) from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([toml_problem(shown, text, error)]) from error
    return Written(values, shown, line_numbers(text), {})


def _assign(written: Written, assignment: Assignment) -> Problem | None:
    """Put one value over what is there; a list grows by one element at most."""
    here: Any = written.values
    *above, last = path = assignment.path
    written.origins[path] = assignment.origin
    for other in [other for other in written.lines if other[: len(path)] == path]:
        del written.lines[other]  # what the file says there counts no more
    for depth, part in enumerate(above):
        empty: Any = [] if isinstance(assignment.path[depth + 1], int) else {}
        here = _step(here, part, empty)
        if here is None:
            return Problem(assignment.path, _no_such_element(assignment.path))
    if isinstance(here, MutableMapping):
        name = str(last)
        here[name] = assignment.value
        # The variable for a secret replaces the file for it, and the other way round.
        here.pop(
            name.removesuffix("_file") if is_secret_file(assignment.path) else f"{name}_file", None
        )
    elif not isinstance(last, int) or _step(here, last, assignment.value) is None:
        return Problem(assignment.path, _no_such_element(assignment.path))
    else:
        here[last] = assignment.value
    return None


def _step(here: Any, part: str | int, empty: Any) -> Any:
    if isinstance(here, MutableMapping) and isinstance(part, str):
        return here.setdefault(part, empty)
    if isinstance(here, list) and isinstance(part, int) and part <= len(here):
        if part == len(here):
            here.append(empty)
        return here[part]
    return None


def _no_such_element(path: Path) -> str:
    return (
        f"{shown_path(path)} cannot be set, since what is above it is not there. "
        "Numbers of lists begin with 0."
    )


def _secret_files(written: Written, folder: FilePath) -> Iterator[Problem]:
    """Replace ``api_key_file = PATH`` by ``api_key`` with the file's content."""
    for path, table in _tables((), written.values):
        for name in [name for name in table if is_secret_file((*path, name))]:
            there = (*path, name)
            value = table.pop(name)
            target = name.removesuffix("_file")
            if not isinstance(value, str):
                yield Problem(
                    there, f'{shown_path(there)} must be the path of a file. Write {name} = "…".'
                )
            elif target in table:
                yield Problem(
                    there,
                    f"{shown_path(there)} and {target} must not both be set. Remove one of them.",
                )
            else:
                try:
                    table[target] = (folder / value).read_text(encoding="utf-8").rstrip("\r\n")
                except (OSError, ValueError) as error:
                    reason = (
                        error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
                    )
                    yield explain.problem(
                        there,
                        "be a readable file with the secret in it",
                        f'"{value}": {reason}',
                        "Check the path.",
                    )


def _tables(path: Path, value: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    if isinstance(value, dict):
        yield path, value
        for name, inner in list(value.items()):
            yield from _tables((*path, name), inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _tables((*path, number), inner)


def _check(written: Written) -> tuple[Settings | None, list[Problem]]:
    """Types, bounds and names.

    What is wrong is left out in a second pass, so that the rules can look at the rest and all
    problems are told at once; None when nothing can be made of the rest.
    """
    settings, errors = _validate(written.values)
    problems = [_explain(error) for error in errors]
    if settings is None:
        values = copy.deepcopy(written.values)
        for error in sorted(errors, key=lambda error: -len(error["loc"])):
            _leave_out(values, error)
        settings, _ = _validate(values)
    return settings, problems


def _validate(values: Mapping[str, Any]) -> tuple[Settings | None, list[ErrorDetails]]:
    # Strict, but from JSON: so a TOML table may become a dataclass, while "60" stays a text.
    try:
        return _ADAPTER.validate_json(json.dumps(values, default=str), strict=True), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _explain(error: ErrorDetails) -> Problem:
    path = error["loc"]
    if error["type"] == "unexpected_keyword_argument":
        return explain.unknown(path)
    if error["type"] == "missing":
        return explain.missing(path)
    return explain.wrong_value(path, error["input"])


def _leave_out(values: Any, error: ErrorDetails) -> None:
    path = list(error["loc"])
    here = values
    for part in path[:-1]:
        here = here[part]
    if error["type"] == "missing":
        here[path[-1]] = f"\0{shown_path(path)}"  # a name that nothing else has
    elif isinstance(here, dict):
        here.pop(path[-1], None)
    elif (kind := kind_at(path[:-1])) is not None and not kind.is_table_list:
        here[path[-1]] = ""


def _is_below(path: Path, broken: set[Path]) -> bool:
    """Whether a rule speaks of something already known to be wrong."""
    # Without its kind nothing can be said of a model's other settings.
    return (*path[:2], "kind") in broken or any(path[: len(other)] == other for other in broken)


def _in_order(written: Written, problems: list[Problem]) -> list[str]:
    """One line each, in the order of the file."""
    ordered = sorted(problems, key=lambda found: written.number(found.path))
    return list(dict.fromkeys(written.line(found) for found in ordered))


def _complete(settings: Settings, folder: FilePath) -> Settings:
    """Paths absolute and the defaults that depend on other settings."""
    data_dir = folder / settings.data_dir
    server, logs, health = settings.server, settings.logs, settings.health
    if server.socket:
        server = replace(server, socket=str(folder / server.socket))
    if logs.file:
        logs = replace(logs, file=str(folder / logs.file))
    if health.detail is None:
        health = replace(health, detail="all" if _is_loopback(server.host) else "key")
    tls = settings.tls
    if tls.cert:
        tls = replace(tls, cert=str(folder / tls.cert), key=str(folder / tls.key))
    return replace(
        settings,
        server=server,
        tls=tls,
        logs=logs,
        health=Health(detail=health.detail, metrics_open=health.metrics_open),
        data_dir=str(data_dir),
        models=[_absolute(model, folder, data_dir) for model in settings.models],
    )


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _absolute(model: Model, folder: FilePath, data_dir: FilePath) -> Model:
    return replace(
        model,
        source=source.located(model, folder, data_dir),
        loras=[str(folder / path) for path in model.loras],
        chat_template=str(folder / model.chat_template) if model.chat_template else "",
        draft=str(folder / model.draft) if model.draft else "",
    )
