"""``rempart doctor``: looks at everything that usually goes wrong, and says what to do about it."""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rempart.cli.configuration import data_folder as find_data_folder
from rempart.cli.configuration import option
from rempart.cli.failure import CommandFailed
from rempart.cli.options import Config, Json
from rempart.cli.output import print_listing, print_table, printable
from rempart.settings import CONFIG_FILE

if TYPE_CHECKING:
    from rempart.cli.checks.finding import Finding

MARKS = {"ok": "✓", "note": "·", "warning": "!", "error": "✗"}


def doctor(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="As for serve: look at this model too.")
    ] = "",
    config: Config = None,
    as_json: Json = False,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="FOLDER", help="Data folder.")
    ] = None,
) -> None:
    """Look at machine, configuration, models, ports and GPU; exit code 1 when something is wrong."""
    findings = list(_examine(config, model, data_dir))
    if as_json:
        print_listing([finding.as_row() for finding in findings], None, [], as_json=True)
    else:
        _print(findings)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def _examine(config: Path | None, model: str, data_dir: Path | None) -> "Iterator[Finding]":
    import site
    import sqlite3
    from importlib.metadata import distributions

    from rempart.cli.checks import (
        certificates,
        database,
        folders,
        gpu,
        interpreter,
        machine,
        model_files,
        network,
        runners,
    )
    from rempart.cli.checks.finding import error, ok
    from rempart.cli.configuration import resolved
    from rempart.settings.model import Settings

    yield interpreter.python_version(sys.version_info[:3])
    yield from interpreter.startup_files(
        [Path(folder) for folder in site.getsitepackages()], distributions()
    )
    yield database.sqlite_version(sqlite3.sqlite_version_info)
    here = machine.measure()
    yield from machine.size(here)
    try:
        settings = resolved(config, option("data_dir", "--data-dir", data_dir), model=model)
        yield ok("configuration", "no errors")
    except CommandFailed as failed:
        for line in str(failed).splitlines()[1:]:
            yield error("configuration", line, "Correct it; `rempart config check` looks again.")
        settings = Settings(data_dir=str(find_data_folder(data_dir)))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    yield machine.descriptors(
        -1 if hard == resource.RLIM_INFINITY else hard, settings.server.connections_max
    )
    yield from folders.data_folder(Path(settings.data_dir))
    yield folders.log_folder(settings.logs.file)
    yield from folders.config_file(config or Path(CONFIG_FILE), _has_secrets(config))
    yield from certificates.certificate(settings)
    yield from network.ports(settings)
    yield from network.upstreams(settings.models)
    yield from gpu.gpus()
    yield from runners.programs(settings.models)
    yield from model_files.model_files(settings, here.memory_bytes)


def _has_secrets(config: Path | None) -> bool:
    """Whether the file itself holds one (a name of a file with one is no secret)."""
    import tomllib

    try:
        values = tomllib.loads((config or Path(CONFIG_FILE)).read_text())
    except (OSError, ValueError):
        return False
    secrets, models = values.get("secrets"), values.get("models")
    tables = [*(models if isinstance(models, list) else [])]
    is_pepper = isinstance(secrets, dict) and bool(secrets.get("master_key"))
    return is_pepper or any(isinstance(table, dict) and table.get("api_key") for table in tables)


def _print(findings: "list[Finding]") -> None:
    rows = [finding.as_row() for finding in findings]
    print_table(
        rows,
        [
            ("", lambda row: MARKS[row["level"]]),
            ("CHECK", lambda row: row["check"]),
            ("FOUND", lambda row: row["found"]),
        ],
    )
    to_do = [finding for finding in findings if finding.remedy]
    if to_do:
        print("\nWhat to do:")
    for finding in to_do:
        print(f"{MARKS[finding.level]} {finding.check}: {printable(finding.remedy)}")
    errors = sum(1 for finding in findings if finding.level == "error")
    warnings = sum(1 for finding in findings if finding.level == "warning")
    print(f"\n{errors} errors, {warnings} warnings.")
