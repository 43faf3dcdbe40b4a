"""Starting fake runners in tests, and seeing whether anything of them is left."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rempart.domain.models import Replica
from rempart.runners.kinds.interface import Launch

FAKE_RUNNER = Path(__file__).with_name("fake_runner.py")
PATIENCE_S = 90.0
"""Reached only by what is broken; a busy machine is slow."""


def fake_command(*switches: str | Path) -> tuple[str, ...]:
    """The command line of a fake runner."""
    return (sys.executable, "-I", "-S", str(FAKE_RUNNER), *map(str, switches))


def fake_launch(
    *switches: str | Path, has_status_pipe: bool = False, environment: dict[str, str] | None = None
) -> Launch:
    """A launch of a fake runner whose address does not matter."""
    return Launch(
        replicas=(Replica(id="fake", url="http://127.0.0.1:1"),),
        command=fake_command(*switches),
        environment=environment or {},
        has_status_pipe=has_status_pipe,
    )


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended but was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def pids_in(path: Path) -> list[int]:
    """The process ids that a fake runner and its forks have written so far."""
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def end(pids: Iterable[int]) -> None:
    """Kill what a failed test may have left."""
    for pid in pids:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def until(holds: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Poll, across processes, until something holds.

    Raises:
        AssertionError: it did not in time.
    """
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.01)


async def until_async(holds: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """As ``until``, while an event loop turns."""
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, f"in vain: {what}"
        await asyncio.sleep(0.01)
