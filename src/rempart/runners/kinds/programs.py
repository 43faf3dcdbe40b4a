"""Finding the programs that runners are."""

import os
import shutil
import sys
from pathlib import Path

from rempart.runners.kinds.interface import LaunchError
from rempart.settings.model import Model


def own_scripts() -> str:
    """The folder of programs that were installed beside us, which a shell's PATH may not have."""
    return str(Path(sys.executable).parent)


def search_path(ours: str) -> str:
    """PATH for runners: ours, and behind it what was installed beside us."""
    return os.pathsep.join(part for part in (ours, own_scripts()) if part)


def find_program(name: str, model: Model, remedy: str) -> str:
    """The program's whole path.

    Args:
        name: as in a command line: a path, or a name that is searched.
        remedy: what to do when it is not there.

    Raises:
        LaunchError: it is not there, or cannot be executed.
    """
    path = model.env.get("PATH") or search_path(os.environ.get("PATH", os.defpath))
    found = shutil.which(name, path=path)
    if found is None:
        raise LaunchError(f"the program {name!r} is not there or not executable. {remedy}")
    return found


def filled(text: str, host: str, port: int) -> str:
    """The text with ``{host}`` and ``{port}`` replaced; other braces stay as they are."""
    return text.replace("{host}", host).replace("{port}", str(port))
