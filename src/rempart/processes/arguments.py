"""What a child finds in its arguments: the descriptors it inherited. Everything else comes in its welcome."""

import argparse
import asyncio
import socket
from collections.abc import Callable
from typing import Any

from rempart.processes import messages
from rempart.processes.birth import watch_instead
from rempart.processes.channel import Channel


class Inherited:
    """A child's descriptors."""

    def __init__(self, arguments: list[str]) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("--parent", type=int)
        parser.add_argument("--channel", type=int, required=True)
        parser.add_argument("--listen", default="")
        parsed = parser.parse_args(arguments)
        self.channel = socket.socket(fileno=parsed.channel)
        self.listeners = [
            socket.socket(fileno=int(number)) for number in parsed.listen.split(",") if number
        ]
        for listener in self.listeners:
            listener.setblocking(False)
            listener.set_inheritable(False)
        self.channel.set_inheritable(False)


class Link:
    """A child's end of the channel: first the welcome, then messages one by one to ``on_message``.

    Messages that come before ``on_message`` is set (while the child is being built) are kept in order;
    main sends few of them.
    """

    def __init__(self) -> None:
        self.welcome: asyncio.Future[messages.Welcome] = asyncio.get_running_loop().create_future()
        self._is_closed = False
        self._on_closed: Callable[[], None] = lambda: None
        self._early: list[Any] = []
        self._on_message: Any = None
        self._channel: Channel[Any] = Channel(
            messages.FromMain, on_message=self._heard, on_closed=self._closed
        )

    async def open(self, end: socket.socket) -> messages.Welcome:
        """Open the channel and wait for the welcome.

        Raises:
            ConnectionError: main ended first.
        """
        await self._channel.open(end)
        watch_instead()
        return await self.welcome

    def listen(self, on_message: Any, on_closed: Callable[[], None]) -> None:
        """From here on messages go to ``on_message``.

        Args:
            on_closed: called once when main is gone, also if it went before this call: a child that
                is being built when main dies reads its welcome and main's end in one go.
        """
        self._on_message = on_message
        self._on_closed = on_closed
        for message in self._early:
            on_message(message)
        self._early.clear()
        if self._is_closed:
            on_closed()

    def send(self, message: Any) -> None:
        """Send to main."""
        self._channel.send(message)

    def close(self) -> None:
        """Close this end."""
        self._channel.close()

    def _closed(self) -> None:
        self._is_closed = True
        if not self.welcome.done():
            self.welcome.set_exception(
                ConnectionError("main ended before it welcomed this process")
            )
        self._on_closed()

    def _heard(self, message: Any) -> None:
        if isinstance(message, messages.Welcome):
            self.welcome.set_result(message)
        elif self._on_message is not None:
            self._on_message(message)
        else:
            self._early.append(message)
