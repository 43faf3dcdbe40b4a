"""CPU time and memory of a whole process tree (Linux), and starting and ending one."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
END_S = 5.0


def tree(root: int) -> list[int]:
    """The processes below and including ``root``, as far as they run."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue  # it ended meanwhile
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        if (PROC / str(pid)).exists():
            found.append(pid)
        todo += children.get(pid, [])
    return found


def cpu_s(root: int) -> float:
    """User and system seconds of the tree; processes that have ended are not counted.

    From each process's CPU clock, which counts nanoseconds where /proc/PID/stat has 10 ms. The clock's
    number is the one that clock_getcpuclockid(3) gives.
    """
    total_ns = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            total_ns += time.clock_gettime_ns((~pid << 3) | 2)
    return total_ns / 1e9


def memory_bytes(root: int) -> int:
    """Memory of the tree as proportional set size, so that pages shared by processes count once."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def start(
    command: list[str], folder: Path, log: Path, *, pass_fds: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, its output going to a file."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=pass_fds,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that ``start`` started and whatever it started, by their ids."""
    pids = tree(process.pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + END_S
        while time.monotonic() < deadline:
            process.poll()
            pids = [pid for pid in pids if is_alive(pid)]
            if not pids:
                return
            time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextlib.contextmanager
def running(
    command: list[str], folder: Path, log: Path, *, pass_fds: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block."""
    process = start(command, folder, log, pass_fds=pass_fds)
    try:
        yield process
    finally:
        end(process)
