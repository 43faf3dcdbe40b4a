"""Writes status events for the supervisor, without ever making the event loop wait."""

import asyncio
import os
from collections import deque

import msgspec

from rempart.runners.status import StatusEvent

EVENTS_WAITING_MAX = 10_000
"""So many events unread means that nobody reads any more. The oldest are dropped and counted then."""


class StatusPipe:
    """The write end of the status pipe.

    Args:
        descriptor: of the pipe; None: events go nowhere.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque(maxlen=EVENTS_WAITING_MAX)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_polled = False
        self.dropped_count = 0
        """Events that were lost because nobody read."""

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on do not block: what the pipe cannot take is sent when it can."""
        self._loop = loop
        if self._descriptor is not None:
            os.set_blocking(self._descriptor, False)

    def send(self, event: StatusEvent) -> None:
        """Write one event as a line of its own. After the reader has gone it does nothing."""
        if self._descriptor is None:
            return
        line = msgspec.json.encode(event) + b"\n"
        if self._waiting or not self._written(line):
            if len(self._waiting) == EVENTS_WAITING_MAX:
                self.dropped_count += 1
            self._waiting.append(line)
            self._poll()

    def close(self) -> None:
        """Try once more what waits, then close."""
        if self._descriptor is None:
            return
        self._flush()
        if self._is_polled and self._loop is not None:
            self._loop.remove_writer(self._descriptor)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _written(self, line: bytes) -> bool:
        """Whether it is done with; a line is below PIPE_BUF, so it goes whole or not at all."""
        if self._descriptor is None:
            return True
        try:
            os.write(self._descriptor, line)
        except BlockingIOError:
            return False
        except OSError:
            # The reader is gone. Whether this process should end then is its guard's to decide.
            self._waiting.clear()
        return True

    def _poll(self) -> None:
        if self._loop is not None and not self._is_polled and self._descriptor is not None:
            self._is_polled = True
            self._loop.add_writer(self._descriptor, self._flush)

    def _flush(self) -> None:
        while self._waiting:
            if not self._written(self._waiting[0]):
                return
            if self._waiting:
                self._waiting.popleft()
        if self._is_polled and self._loop is not None and self._descriptor is not None:
            self._is_polled = False
            self._loop.remove_writer(self._descriptor)
