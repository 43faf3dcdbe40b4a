"""Main's part in leaving no orphan: what a killed shim leaves behind comes to main and is ended."""

import contextlib
import os
import signal

from rempart.runners.shim import PR_SET_CHILD_SUBREAPER, children_of, prctl


def become_subreaper() -> None:
    """From here on, orphans among our descendants become our children instead of init's.

    Raises:
        OSError: the kernel refused.
    """
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def sweep_leftovers(marker: tuple[str, str]) -> list[int]:
    """End runners that an earlier main has left, which takes a death of main and a shim together.

    To be called before the first runner is started, by whoever holds the data folder's lock.

    Args:
        marker: a variable and its value that every runner has in its environment.

    Returns:
        The process ids that were ended.
    """
    wanted = "=".join(marker).encode()
    ended: list[int] = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        # What is not ours cannot be read, and must not be ended either.
        with contextlib.suppress(OSError), open(f"/proc/{entry}/environ", "rb") as environ:
            if wanted in environ.read().split(b"\0"):
                os.kill(int(entry), signal.SIGKILL)
                ended.append(int(entry))
    return ended


def sweep_orphans(known: set[int]) -> list[int]:
    """End every child of this process that came from a runner and is not known; take its status.

    A shim makes a session of its own before it starts anything, so that what comes from a runner is
    never in our session, where whatever else this process has started is.

    What such a child has forked comes to us when it dies, so that calling this again after a moment
    ends that too.

    Args:
        known: process ids of all children that somebody here looks after.

    Returns:
        The process ids that were ended, for the log.
    """
    strangers = [
        pid for pid in children_of(os.getpid()) if pid not in known and not _is_of_our_session(pid)
    ]
    for pid in strangers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in strangers:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return strangers


def _is_of_our_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == os.getsid(0)
    except ProcessLookupError:
        return False
