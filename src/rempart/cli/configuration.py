"""The configuration for commands: resolved whole, or just its data folder."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rempart.cli.failure import CommandFailed
from rempart.settings import CONFIG_FILE, DATA_DIR

if TYPE_CHECKING:
    from rempart.settings.model import Settings

SOCKET = "control.sock"


def resolved(
    config: Path | None,
    options: Mapping[str, tuple[str, Any]],
    *,
    model: str = "",
    with_files: bool = False,
    folder: Path | None = None,
) -> "Settings":
    """The whole configuration, as ``settings.load.resolve`` gives it.

    Raises:
        CommandFailed: it has errors; one line each.
    """
    from rempart.settings.load import SettingsError, resolve

    try:
        return resolve(
            config=config,
            environment=os.environ,
            options=options,
            model=model,
            folder=folder or Path.cwd(),
            with_files=with_files,
        )
    except SettingsError as error:
        raise CommandFailed(
            "\n".join(["the configuration cannot be used:", *error.problems])
        ) from error


def data_folder(given: Path | None) -> Path:
    """The data folder of the server that a command means, found without checking everything else.

    A broken configuration must not keep anyone from asking a running server.
    """
    import tomllib

    folder = Path.cwd()
    if given is not None:
        return folder / given
    if from_environment := os.environ.get("REMPART_DATA_DIR"):
        return folder / from_environment
    try:
        values = tomllib.loads((folder / os.environ.get("REMPART_CONFIG", CONFIG_FILE)).read_text())
    except (OSError, ValueError):
        return folder / DATA_DIR
    written = values.get("data_dir", DATA_DIR)
    return folder / (written if isinstance(written, str) else DATA_DIR)


def option(name: str, typed: str, value: Any) -> dict[str, tuple[str, Any]]:
    """An override for ``resolved`` when the option was given, else nothing."""
    if value is None:
        return {}
    return {name: (typed, str(value) if isinstance(value, Path) else value)}
