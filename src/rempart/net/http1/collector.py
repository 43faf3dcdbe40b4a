"""A receiver that keeps a whole answer, up to a bound."""

import asyncio

from rempart.net.http1.errors import UpstreamTooLarge
from rempart.net.http1.head import Headers


class Collector:
    """Keeps status, headers and content.

    Attributes:
        done: has a result when the answer is whole, an exception when it will not be.
    """

    __slots__ = ("_left", "_max_bytes", "done", "headers", "pieces", "status")

    def __init__(self, max_bytes: int, done: "asyncio.Future[None]") -> None:
        self._max_bytes = max_bytes
        self._left = max_bytes
        self.done = done
        self.status = 0
        self.headers: Headers = []
        self.pieces: list[bytes] = []

    def on_head(self, status: int, headers: Headers) -> None:
        """See ``Receiver``."""
        self.status = status
        self.headers = headers

    def on_data(self, data: bytes) -> None:
        """See ``Receiver``."""
        self._left -= len(data)
        if self._left < 0:
            self._fail(UpstreamTooLarge(f"the answer is longer than {self._max_bytes} bytes"))
        else:
            self.pieces.append(data)

    def on_end(self) -> None:
        """See ``Receiver``."""
        if not self.done.done():
            self.done.set_result(None)

    def on_lost(self, error: Exception) -> None:
        """See ``Receiver``."""
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
