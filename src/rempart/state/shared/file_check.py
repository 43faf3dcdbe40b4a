"""Whether the shared file can be read from end to end, found out by a process of its own.

Without a sync at commit a power cut may leave pages of two moments in the file, and reading such a tree may end
the process that does it. So main has another process walk through all of it, once after each start of the
machine; a file that fails is set aside and a new one made. What kills processes alone never damages it.

    python -m rempart.state.shared.file_check FILE
"""

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import lmdb

CHECK_S_MAX = 60.0
SET_ASIDE_MAX = 3
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class CheckTooSlow(Exception):
    """It took longer than ``CHECK_S_MAX``; nothing is known of the file."""


def walk(path: Path) -> int:
    """Read every record of every database; gives their number.

    Raises:
        lmdb.Error: the file is damaged; or the process dies of it.
    """
    count = 0
    with (
        lmdb.open(
            str(path), subdir=False, readonly=True, lock=False, max_dbs=64, map_size=2**20
        ) as environment,
        environment.begin() as transaction,
    ):
        for name, _ in transaction.cursor():
            database = environment.open_db(bytes(name), txn=transaction, create=False)
            for key, value in transaction.cursor(db=database):
                count += len(bytes(key)) > 0 and len(bytes(value)) >= 0
    return count


def problem_of(path: Path) -> str:
    """What is wrong with the file; empty when it can be read.

    Raises:
        CheckTooSlow: see there.
        OSError: no process can be started.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__, str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHECK_S_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckTooSlow from error
    if done.returncode == 0:
        return ""
    if done.returncode < 0:
        return f"reading it ends the process (signal {-done.returncode})"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


def is_of_this_boot(path: Path) -> bool:
    """Whether the file was last opened since the machine started: then no power cut can have touched it."""
    try:
        return _boot_file(path).read_text() == BOOT_ID.read_text()
    except OSError:
        return False


def note_boot(path: Path) -> None:
    """Remember that the file is in use since the machine started."""
    try:
        _boot_file(path).write_text(BOOT_ID.read_text())
    except OSError:
        return  # it is checked once more at the next start


def set_aside(path: Path, at: datetime) -> Path:
    """Rename the file, out of the way of a new one; gives its new name. Only the ``SET_ASIDE_MAX`` newest are kept.

    Raises:
        OSError: it cannot be renamed.
    """
    aside = path.with_name(f"{path.name}.broken-{at:%Y%m%dT%H%M%S}Z")
    path.replace(aside)
    path.with_name(f"{path.name}-lock").unlink(missing_ok=True)
    for old in sorted(path.parent.glob(f"{path.name}.broken-*"))[:-SET_ASIDE_MAX]:
        old.unlink(missing_ok=True)
    return aside


def _boot_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.boot")


if __name__ == "__main__":
    walk(Path(sys.argv[1]))
