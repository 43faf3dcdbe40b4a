"""A file with a secret is private, and whole or not there."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rempart.state.private_files import write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
@pytest.mark.parametrize("before", [None, "old\n"])
def test_a_crash_in_between_leaves_no_half_file(
    tmp_path: Path, moment: str, before: str | None
) -> None:
    path = tmp_path / "secret.key"
    if before is not None:
        path.write_text(before)
    program = f"""
import os, pathlib, signal
from rempart.state import private_files

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

match {moment!r}:
    case "write":
        private_files.open = die
    case "fsync":
        os.fsync = die
    case "replace":
        pathlib.Path.replace = die
private_files.write_private(pathlib.Path({str(path)!r}), "new\\n")
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (path.read_text() if path.exists() else None) == before


def test_what_a_crash_left_behind_does_not_stop_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container every start has the same process id."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    left = tmp_path / ".secret.key.1"
    left.write_text("half")
    left.chmod(0o644)
    write_private(tmp_path / "secret.key", "new\n")
    assert (tmp_path / "secret.key").read_text() == "new\n"
    assert mode(tmp_path / "secret.key") == 0o600
    assert not left.exists()


def test_a_write_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(tmp_path / "secret.key", "new\n")
    assert list(tmp_path.iterdir()) == []
