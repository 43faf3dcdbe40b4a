"""A child that hears nothing yet ends with main; one that listens lives on to say its last words."""

import os
import select
import signal
import subprocess
import sys

import pytest

PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], "--parent", str(os.getpid())], pass_fds=[int(sys.argv[2])])
sys.stdin.read()
"""
CHILD = """
import os, sys, time
from rempart.processes.birth import end_with_parent, watch_instead
end_with_parent(sys.argv)
if WATCHES:
    watch_instead()
os.write(FD, b"alive")
time.sleep(60)
"""


def ended(read_end: int, timeout_s: float) -> bool:
    """Whether the last process that has the pipe's other end is gone."""
    ready, _, _ = select.select([read_end], [], [], timeout_s)
    return bool(ready) and os.read(read_end, 100) == b""


def family(watches: bool) -> tuple["subprocess.Popen[bytes]", int]:
    """A parent and its child; the pipe's end of file tells the child's death."""
    read_end, write_end = os.pipe()
    child = CHILD.replace("WATCHES", str(watches)).replace("FD", str(write_end))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, child, str(write_end)],
        stdin=subprocess.PIPE,
        pass_fds=[write_end],
    )
    os.close(write_end)
    return parent, read_end


@pytest.mark.parametrize("watches", [False, True])
def test_the_kernel_ends_it_with_main_until_it_watches_the_channel(watches: bool) -> None:
    parent, read_end = family(watches)
    assert os.read(read_end, 5) == b"alive"
    parent.kill()
    parent.communicate()
    if watches:
        assert not ended(read_end, 0.3)
        (child,) = [
            int(pid)
            for pid in os.listdir("/proc")
            if pid.isdigit() and pid != str(os.getpid()) and holds(pid, read_end)
        ]
        os.kill(child, signal.SIGKILL)
    assert ended(read_end, 10.0)
    os.close(read_end)


def holds(pid: str, read_end: int) -> bool:
    """Whether that process has this pipe open."""
    pipe = os.readlink(f"/proc/self/fd/{read_end}")
    try:
        return any(
            os.readlink(f"/proc/{pid}/fd/{number}") == pipe
            for number in os.listdir(f"/proc/{pid}/fd")
        )
    except OSError:
        return False


def test_it_ends_where_main_died_before_it_was_born() -> None:
    """Its parent is another already: the kernel would never tell."""
    child = CHILD.replace("WATCHES", "False").replace("FD", "1")
    ended = subprocess.run(
        [sys.executable, "-c", child, "--parent", "1"], stdout=subprocess.PIPE, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, b"")
