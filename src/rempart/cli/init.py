"""``rempart init``: a first configuration, with every setting in it as a comment."""

from pathlib import Path
from typing import Annotated

import typer

from rempart.cli.failure import CommandFailed
from rempart.settings import CONFIG_FILE


def init(
    file: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="The file to write.")
    ] = Path(CONFIG_FILE),
    force: Annotated[bool, typer.Option("--force", help="Overwrite it if it is there.")] = False,
) -> None:
    """Write a commented rempart.toml that serves the demo model."""
    from rempart.settings.template import template

    try:
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(template())
    except FileExistsError as error:
        raise CommandFailed(
            f"{file} is there already. Write another with --config FILE, or over it with --force."
        ) from error
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}.") from error
    print(f"Wrote {file}. Check it with `rempart config check`, start with `rempart serve`.")
