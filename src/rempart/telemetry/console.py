"""Lines for the people who watch: stderr, which may never hold up whoever writes.

A pipe that nobody reads blocks its writers. Its descriptor is shared with every other process that has
it, so it cannot just be made non-blocking; it is opened anew through /proc, or sent to as a socket, with
that mode for us alone.
"""

import os
import select
import socket
import stat

LINE_BYTES_MAX = 4096
"""PIPE_BUF: up to there a line goes into a pipe whole or not at all (POSIX, write)."""


class Console:
    """An open descriptor that is written to without waiting.

    Args:
        descriptor: stays open, and its owner's.
    """

    __slots__ = ("_descriptor", "_own", "_room", "_socket")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._own = -1
        self._socket: socket.socket | None = None
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISSOCK(kind):
            self._socket = socket.socket(fileno=os.dup(descriptor))
        elif stat.S_ISFIFO(kind) or stat.S_ISCHR(kind):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            try:
                self._own = os.open(f"/proc/self/fd/{descriptor}", flags)
            except OSError:  # no /proc, another user's pipe, or one without a reader: see write
                self._own = -1

    def write(self, line: bytes) -> bool:
        """Write a line of at most ``LINE_BYTES_MAX``; False when it was not taken whole."""
        try:
            if self._socket is not None:
                return self._socket.send(line, socket.MSG_DONTWAIT) == len(line)
            if self._own >= 0:
                return os.write(self._own, line) == len(line)
            # Two processes that see the same last room may still meet here; nothing better is left.
            return bool(self._room.poll(0)) and os.write(self._descriptor, line) == len(line)
        except OSError:
            return False

    def close(self) -> None:
        """Let go of what was opened here."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._own >= 0:
            os.close(self._own)
            self._own = -1
