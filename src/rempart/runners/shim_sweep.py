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


def sweep_orphans(known: set[int]) -> list[int]:
    """End every child of this process that is not known, and take its exit status.

    What such a child has forked comes to us when it dies, so that calling this again after a moment
    ends that too.

    Args:
        known: process ids of all children that somebody here looks after.

    Returns:
        The process ids that were ended, for the log.
    """
    strangers = [pid for pid in children_of(os.getpid()) if pid not in known]
    for pid in strangers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in strangers:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return strangers
