"""The first and last moments in which a child cannot hear that main has gone.

While a child imports what it needs (control a second and more of it) it watches no channel, yet holds the
listening sockets. Until it does, the kernel ends it together with main.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with_parent(arguments: list[str]) -> None:
    """From here on the kernel kills this process when main ends (prctl(2), PR_SET_PDEATHSIG).

    Args:
        arguments: the process's own; ``--parent PID`` is among them, since main may have died before
            this call took effect.
    """
    _set_parent_death_signal(signal.SIGKILL)
    parent = int(arguments[arguments.index("--parent") + 1])
    if os.getppid() != parent:
        sys.exit(1)


def watch_instead() -> None:
    """The channel is watched from here on: main's end is heard there, and last words can be said."""
    _set_parent_death_signal(0)


def _set_parent_death_signal(number: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
