"""The command line in this process: exit code and what it printed."""

import contextlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from rempart.__main__ import main


@dataclass
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


def rempart(*arguments: str, cwd: Path, environment: Mapping[str, str] | None = None) -> Ran:
    """Run ``rempart ARGUMENTS`` in a folder, with no REMPART_ variables but those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REMPART_")}
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        mock.patch.dict(os.environ, {**kept, **(environment or {})}, clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main(arguments)
    return Ran(code, out.getvalue(), err.getvalue())
