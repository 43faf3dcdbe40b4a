"""One child of main: exec'ed with its sockets and one end of a channel, watched by its pidfd."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rempart.processes import messages
from rempart.processes.channel import Channel

HIDDEN_FROM_CHILDREN = ("REMPART_ADMIN_KEY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""Environment that is main's alone: what a child does not need it does not get."""


class Child:
    """A gateway worker or the control process.

    Args:
        module: what ``python -m`` runs.
        name: ``worker-1``, ``control``: its name in logs and the id of its counters.
        number: unique over the server's life.
    """

    def __init__(
        self,
        *,
        module: str,
        name: str,
        number: int,
        generation: int,
        on_message: Callable[["Child", Any], None],
        on_exit: Callable[["Child", int], None],
    ) -> None:
        self.module = module
        self.name = name
        self.number = number
        self.generation = generation
        self.is_ready = False
        self.is_draining = False
        self.is_asked_to_go = False
        self.last_sign_s = 0.0
        self.in_flight = 0
        self.pid = 0
        self._on_message = on_message
        self._on_exit = on_exit
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._channel: Channel[Any] = Channel(
            messages.ToMain,
            on_message=lambda message: on_message(self, message),
            on_closed=lambda: None,
        )

    async def start(
        self, listeners: Sequence[socket.socket], welcome: "messages.Welcome", now: float
    ) -> None:
        """Exec the process and give it its welcome.

        Raises:
            OSError: there is no process: no memory, descriptor or process id was to be had.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = self._exec(theirs, listeners)
            self._pidfd = os.pidfd_open(self._process.pid)
        except BaseException:
            ours.close()
            if self._process is not None:
                self._process.kill()
                self._process.wait()
            raise
        self.pid = self._process.pid
        self.last_sign_s = now
        asyncio.get_running_loop().add_reader(self._pidfd, self._exited)
        await self._channel.open(ours)
        self._channel.send(welcome)

    def _exec(
        self, channel: socket.socket, listeners: Sequence[socket.socket]
    ) -> "subprocess.Popen[bytes]":
        environment = {
            name: value for name, value in os.environ.items() if name not in HIDDEN_FROM_CHILDREN
        }
        # A blocking fork and exec of a few milliseconds, once per child: simpler than a thread, and
        # the parent-death signal would follow a thread's end.
        return subprocess.Popen(
            [
                sys.executable,
                "-P",  # the folder where the server was started has no say in what is imported
                "-m",
                self.module,
                "--parent",
                str(os.getpid()),
                "--channel",
                str(channel.fileno()),
                "--listen",
                ",".join(str(listener.fileno()) for listener in listeners),
            ],
            pass_fds=[channel.fileno(), *(listener.fileno() for listener in listeners)],
            stdin=subprocess.DEVNULL,
            env=environment,
        )

    def send(self, message: Any) -> None:
        """Send a message; one to a dead child is dropped, its exit is noticed separately."""
        self._channel.send(message)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it still is one (by pidfd: never to another that got its pid)."""
        if self._pidfd >= 0:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return

    @property
    def is_alive(self) -> bool:
        """Whether its exit has not been seen yet."""
        return self._pidfd >= 0

    def _exited(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        self._channel.close()
        assert self._process is not None  # noqa: S101 - the reader is added after the start
        self._on_exit(self, self._process.wait())
