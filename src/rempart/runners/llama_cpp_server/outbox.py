"""Bytes from an engine's thread to the event loop: bounded, and one wake-up for all that waits."""

import asyncio
import threading
from collections.abc import Callable

HIGH_MARK_BYTES = 64 * 1024
"""Above it the thread waits; the connection has a buffer of its own beside this one."""


class Outbox:
    """Filled by one thread, emptied by the loop.

    A client that does not read makes ``put`` wait, which holds up its own generation's thread and
    nobody else's. The library goes on meanwhile and keeps what it makes: at most one context of
    chunks.

    Args:
        loop: whose thread empties it.
        on_data: called by the loop, once for all that was put since.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_data: Callable[[], None]) -> None:
        self._loop = loop
        self._on_data = on_data
        self._change = threading.Condition()
        self._pieces: list[bytes] = []
        self._bytes = 0
        self._is_woken = False
        self._is_closed = False

    def put(self, data: bytes) -> bool:
        """Leave ``data`` for the loop; waits while too much is there. False once it is closed."""
        with self._change:
            while self._bytes >= HIGH_MARK_BYTES and not self._is_closed:
                self._change.wait()
            if self._is_closed:
                return False
            self._pieces.append(data)
            self._bytes += len(data)
            must_wake, self._is_woken = not self._is_woken, True
        if must_wake:
            try:
                self._loop.call_soon_threadsafe(self._on_data)
            except RuntimeError:
                return False  # the loop is closed: the process ends
        return True

    def take(self) -> bytes:
        """All that was put, in one piece."""
        with self._change:
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._bytes = 0
            self._is_woken = False
            self._change.notify_all()
        return data

    def close(self) -> None:
        """Nothing more is wanted: ``put`` returns False, also where it waits."""
        with self._change:
            self._is_closed = True
            self._change.notify_all()
