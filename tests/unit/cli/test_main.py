"""The tree of commands, exit codes, and what commands cost."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab.command import rempart
from rempart import __version__


def test_help_lists_the_commands(tmp_path: Path) -> None:
    ran = rempart("--help", cwd=tmp_path)
    assert ran.code == 0
    for name in ("serve", "init", "doctor", "config", "models"):
        assert f"\n  {name} " in ran.out
    assert "resolve" not in rempart("config", "--help", cwd=tmp_path).out


def test_the_version_is_printed(tmp_path: Path) -> None:
    assert rempart("--version", cwd=tmp_path).out == f"rempart {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("modls",),
        ("serve", "--prot", "1"),
        ("serve", "--port", "x"),
        ("models", "logs"),
        ("serve", "a", "b"),
    ],
)
def test_wrong_usage_ends_with_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ran = rempart(*arguments, cwd=tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert "Error: " in ran.err


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    """What would make every command slow; bench/cli_help_cost.py has the figure."""
    code = (
        "import sys; from rempart.__main__ import main; main(['--help']);"
        "heavy = {'pydantic', 'fastapi', 'uvicorn', 'rich', 'msgspec', 'asyncio', 'psutil',"
        "'prometheus_client', 'http.client', 'ssl', 'sqlite3', 'tomllib'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stderr.strip() == "[]"


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m rempart config show | head -c 1"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert (done.stdout, done.stderr) == ("{", "")
