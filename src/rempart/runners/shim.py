"""The guard beside every runner: whatever dies, the runner and all it has forked end with it.

Executed as ``python -I -S shim.py LIFELINE STATUS PARENT STOP_S -- COMMAND...``, so it knows the
standard library only. It is a process of its own, not a ``preexec_fn``, since forking Python code
out of a process with threads is unsafe, and since a death signal set for the runner alone would not
reach what the runner forks.

- LIFELINE: the read end of a pipe from main; its end of file means that main died.
- STATUS: a pipe's write end that the runner gets as descriptor 3, or ``-``.
- PARENT: main's process id, to notice that main died before the death signal was set.
- STOP_S: seconds between asking the runner to end and killing it.

SIGTERM: end gracefully, then by force. SIGQUIT: by force at once. Exits with the runner's status,
128 + n for one that signal n ended.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

STATUS_FD = 3
CANNOT_START = 127
ORPHAN_STOP_S = 1.0
"""When main is dead nobody waits for a graceful end, and main's successor wants the memory."""
STRAGGLERS_S = 0.5
"""What the runner left behind has this long after it to end by itself."""
HANDLED = (signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD)


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def children_of(pid: int) -> list[int]:
    """The children of a process, dead ones that it has not waited for included."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as children:
                found += [int(one) for one in children.read().split()]
    except OSError:
        # It is gone, or the kernel was built without these files (CONFIG_PROC_CHILDREN).
        if os.path.exists(f"/proc/{pid}") and not os.path.exists("/proc/thread-self/children"):
            return children_by_scan(pid)
    return found


def children_by_scan(pid: int) -> list[int]:
    """As ``children_of``, by looking at every process there is."""
    found: list[int] = []
    for entry in os.listdir("/proc"):
        with (
            contextlib.suppress(OSError, ValueError),
            open(f"/proc/{int(entry)}/stat", "rb") as stat,
        ):
            # The name in parentheses may hold anything; the fields follow the last one.
            if int(stat.read().rpartition(b")")[2].split()[1]) == pid:
                found.append(int(entry))
    return found


def descendants(root: int) -> list[int]:
    """All processes below ``root``, as far as they can be seen at this moment."""
    found: list[int] = []
    level = [root]
    while level:
        level = [child for parent in level for child in children_of(parent)]
        found += level
    return found


def send(pids: list[int], number: int) -> None:
    """A signal to each that still lives."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
        except PermissionError as error:
            print(f"rempart shim: cannot end process {pid}: {error}", file=sys.stderr, flush=True)


class Shim:
    """One runner's guard.

    Args:
        lifeline: see the module.
        status: descriptor that the runner gets as ``STATUS_FD``.
        stop_s: see the module.
    """

    def __init__(self, lifeline: int, status: int | None, stop_s: float) -> None:
        self._lifeline: int | None = lifeline
        self._status = status
        self._stop_s = stop_s
        self._is_asked = False
        self._is_urgent = False
        self._runner = 0
        self._exit_status: int | None = None
        self._has_children = True
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def run(self, command: list[str]) -> int:
        """Start the command, guard it, end it and all it has forked.

        Returns:
            The status to exit with.
        """
        self._listen()
        self._start(command)
        self._until_told_to_end()
        if self._exit_status is None:
            self._signal_runner(signal.SIGTERM)
            self._wait(self._stop_s, lambda: self._exit_status is not None)
        # What is left may have a session of its own, and most have never been told anything.
        if self._exit_status is not None and (left := descendants(os.getpid())):
            send(left, signal.SIGTERM)
            self._wait(STRAGGLERS_S, lambda: not self._has_children)
        # Each round may orphan more of them, which then become our children; when we have no child
        # left, there is none left at all.
        while self._has_children:
            send(descendants(os.getpid()), signal.SIGKILL)
            self._poll(0.02)
            self._reap()
        return CANNOT_START if self._exit_status is None else self._exit_status

    def _listen(self) -> None:
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGQUIT, self._on_signal)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # it only wakes
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, _frame: object) -> None:
        self._is_asked = True
        self._is_urgent = self._is_urgent or number == signal.SIGQUIT

    def _start(self, command: list[str]) -> None:
        guard = os.getpid()
        # A signal that came between fork and exec would meet our handler there and be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        self._runner = os.fork()
        if self._runner == 0:
            try:
                become_runner(guard, self._status, command)
            except OSError as error:
                reason = error.strerror or str(error)
                print(f"cannot start {command[0]}: {reason}", file=sys.stderr, flush=True)
            os._exit(CANNOT_START)
        # Both sides do it, so that the group exists whoever runs first.
        with contextlib.suppress(OSError):
            os.setpgid(self._runner, self._runner)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if self._status is not None:
            os.close(self._status)

    def _until_told_to_end(self) -> None:
        self._reap()
        while self._exit_status is None and not self._is_asked and self._lifeline is not None:
            self._poll(None)
            self._reap()
        if self._lifeline is None:
            self._stop_s = min(self._stop_s, ORPHAN_STOP_S)

    def _wait(self, seconds: float, is_done: Callable[[], bool]) -> None:
        """Until it is done, the time is over, or there is no time at all any more."""
        until = time.monotonic() + seconds
        while True:
            self._reap()
            remaining_s = until - time.monotonic()
            if is_done() or self._is_urgent or remaining_s <= 0:
                return
            had_lifeline = self._lifeline is not None
            self._poll(remaining_s)
            if had_lifeline and self._lifeline is None:
                until = min(until, time.monotonic() + ORPHAN_STOP_S)

    def _poll(self, timeout_s: float | None) -> None:
        """Wait for a signal, a child's end or main's death; forgets the lifeline once it is cut."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        if self._lifeline is not None:
            poll.register(self._lifeline, select.POLLIN)
        ready = poll.poll(None if timeout_s is None else timeout_s * 1000)
        for descriptor, _ in ready:
            if descriptor == self._lifeline:
                self._lifeline = None
                continue
            with contextlib.suppress(BlockingIOError):
                while os.read(self._wake_read, 512):
                    pass

    def _reap(self) -> None:
        """Take the status of every child that has ended, adopted ones too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._has_children = False
                return
            if pid == 0:
                return
            if pid == self._runner:
                code = os.waitstatus_to_exitcode(status)
                self._exit_status = code if code >= 0 else 128 - code

    def _signal_runner(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._runner, number)


def become_runner(guard: int, status: int | None, command: list[str]) -> None:
    """In the fork: all that must be so before the command runs; does not return.

    Raises:
        OSError: the command cannot be executed.
    """
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guard:
        os._exit(CANNOT_START)
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    for number in (*HANDLED, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # Where memory runs out the kernel shall take a runner, never main or a worker. Some containers
    # forbid it.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("500")
    # A crash would write as much as the model is large, keys included.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if status is not None:
        os.dup2(status, STATUS_FD)
        if status != STATUS_FD:
            os.close(status)
    os.execvp(command[0], command)  # noqa: S606 - no shell is what we want


def main(arguments: list[str]) -> int:
    """Become the guard of one runner; gives the exit status."""
    lifeline, status, parent, stop_s = arguments[:4]
    command = arguments[arguments.index("--") + 1 :]
    with contextlib.suppress(PermissionError):  # already a session's leader
        os.setsid()
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        return CANNOT_START
    os.set_inheritable(int(lifeline), False)
    shim = Shim(int(lifeline), None if status == "-" else int(status), float(stop_s))
    return shim.run(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
