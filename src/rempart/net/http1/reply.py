"""One request's answer, written by its handler straight into the connection's transport."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from rempart.net.http1.errors import PeerClosed
from rempart.net.http1.framing import (
    CHUNKED,
    CLOSE,
    KEEP_ALIVE,
    LAST_CHUNK,
    has_no_body,
    header_lines,
    status_line,
)
from rempart.net.http1.head import Headers


class Line(Protocol):
    """The connection as its answer needs it."""

    def date_line(self) -> bytes:
        """The Date header's line."""
        ...

    def must_end(self) -> bool:
        """Whether the connection cannot take another request after this answer, as known now."""
        ...

    def reply_ended(self, *, closes: bool) -> None:
        """The last byte was handed over."""
        ...

    def reply_aborted(self) -> None:
        """The answer will never be whole."""
        ...


class Reply:
    """The answer to one request: ``start``, any number of ``write``, ``end``; or ``send``; or ``abort``.

    After the client has gone everything here does nothing, so that its user needs no second path.

    Attributes:
        is_started: ``start`` or ``send`` was called.
        is_ended: ``end`` or ``send`` was called.
        is_gone: the client is gone, or the answer was aborted: nothing more reaches it.
        is_paused: the client does not take what was written: more than the high mark is unsent.
        bytes_sent: content handed to the transport (without head and chunk frames).
        on_paused: called when the unsent bytes pass the high mark.
        on_resumed: called when they are below the low mark again.
        close_after: the answer says ``Connection: close``; to be set before ``start``.
    """

    __slots__ = (
        "_head",
        "_is_1_0",
        "_is_chunked",
        "_is_head_request",
        "_is_kept_1_0",
        "_is_writable",
        "_left_bytes",
        "_line",
        "_loop",
        "_on_gone",
        "_waiters",
        "_write",
        "bytes_sent",
        "close_after",
        "is_ended",
        "is_gone",
        "is_paused",
        "is_started",
        "on_paused",
        "on_resumed",
    )

    def __init__(
        self,
        line: Line,
        write: Callable[[bytes], None],
        loop: asyncio.AbstractEventLoop,
        *,
        is_head_request: bool,
        is_1_0: bool,
        is_kept_1_0: bool,
    ) -> None:
        self._line = line
        self._write = write
        self._loop = loop
        self._is_head_request = is_head_request
        self._is_1_0 = is_1_0
        self._is_kept_1_0 = is_kept_1_0
        self._head = b""
        self._is_chunked = False
        self._is_writable = False
        self._left_bytes: int | None = None
        self._on_gone: Callable[[], None] | None = None
        self._waiters: list[asyncio.Future[None]] | None = None
        self.bytes_sent = 0
        self.close_after = False
        self.is_ended = False
        self.is_gone = False
        self.is_paused = False
        self.is_started = False
        self.on_paused: Callable[[], None] | None = None
        self.on_resumed: Callable[[], None] | None = None

    @property
    def on_gone(self) -> Callable[[], None] | None:
        """Called once when the client goes away before ``end``, in whatever state.

        Set on an answer whose client has gone already, it is called by the loop right afterwards.
        Never called for an answer that its own side aborted.
        """
        return self._on_gone

    @on_gone.setter
    def on_gone(self, callback: Callable[[], None] | None) -> None:
        self._on_gone = callback
        if callback is not None and self.is_gone and not self.is_ended:
            self._loop.call_soon(self._call_on_gone)

    def start(self, status: int, headers: Headers, *, length: int | None = None) -> None:
        """Says what kind of answer comes; its head goes out with the first content.

        Args:
            status: 200 to 599.
            headers: without ``date``, ``connection``, ``content-length`` and ``transfer-encoding``.
            length: bytes of content; None: chunked in HTTP/1.1, ended by closing in HTTP/1.0.
        Raises:
            ValueError: a header is one of those, or not safe to send; or the status is not one.
        """
        if self.is_started:
            raise RuntimeError("the answer was started already")
        if not 200 <= status <= 599:
            raise ValueError(f"an answer's status is 200 to 599, found {status}")
        self._head = self._build_head(status, headers, length)
        self.is_started = True
        self._is_writable = not (self.is_gone or self._is_head_request or has_no_body(status))

    def flush(self) -> None:
        """Sends a head that is still held."""
        head, self._head = self._head, b""
        if head and not self.is_gone:
            self._write(head)

    def write(self, data: bytes) -> bool:
        """Hands content over, never waits; False when the client does not take it (see ``drain``).

        Raises:
            ValueError: it is more than the length that ``start`` was told.
        """
        if not self._is_writable:
            return self._write_nothing()
        size = len(data)
        if not size:
            return not self.is_paused
        if self._is_chunked:
            data = b"%x\r\n%b\r\n" % (size, data)
        elif self._left_bytes is not None:
            self._take_from_length(size)
        self.bytes_sent += size
        if self._head:
            data = self._head + data
            self._head = b""
        self._write(data)
        return not self.is_paused

    async def drain(self) -> None:
        """Waits until less than the low mark is unsent.

        Raises:
            PeerClosed: the client went away.
        """
        if self.is_gone:
            raise PeerClosed("the client went away")
        if not self.is_paused:
            return
        waiter = self._loop.create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if self._waiters and waiter in self._waiters:
                self._waiters.remove(waiter)

    def end(self, data: bytes = b"") -> None:
        """Hands over the last content and the answer's end, in one write.

        An answer that is shorter than the length it announced is aborted instead, since its client
        must not take it for whole.
        """
        if self.is_gone:
            return
        if not self.is_started or self.is_ended:
            raise RuntimeError("the answer was not started, or was ended already")
        if self._is_writable:
            size = len(data)
            if self._is_chunked:
                data = b"%x\r\n%b\r\n0\r\n\r\n" % (size, data) if size else LAST_CHUNK
            elif self._left_bytes is not None:
                self._take_from_length(size)
                if self._left_bytes:
                    self.abort()
                    raise ValueError("the answer is shorter than its length")
            self.bytes_sent += size
        else:
            data = b""
        if self._head:
            data = self._head + data
            self._head = b""
        self._finish(data)

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer in one write; to HEAD, the same without its content."""
        self.start(status, headers, length=len(body))
        self.end(body)

    def abort(self) -> None:
        """Closes the connection at once, for an answer that cannot be ended properly."""
        if self.is_ended or self.is_gone:
            return
        self._head = b""
        self.give_up()
        self._line.reply_aborted()

    # For the connection.

    def lose(self) -> None:
        """The client is gone."""
        self._is_writable = False
        self.is_paused = False
        self._wake(PeerClosed("the client went away"))
        if not (self.is_gone or self.is_ended):
            self.is_gone = True
            self._call_on_gone()

    def give_up(self) -> None:
        """The connection itself answers instead."""
        self.is_gone = True
        self._is_writable = False
        self._on_gone = None
        self._wake(PeerClosed("the connection answered by itself"))

    def pause(self) -> None:
        """The unsent bytes passed the high mark."""
        self.is_paused = True
        self._call(self.on_paused)

    def resume(self) -> None:
        """They are below the low mark."""
        self.is_paused = False
        self._wake(None)
        self._call(self.on_resumed)

    def _build_head(self, status: int, headers: Headers, length: int | None) -> bytes:
        closes = self.close_after or self._line.must_end()
        framing = b""
        if length is not None:
            if not has_no_body(status):
                framing = b"content-length: %d\r\n" % length
                self._left_bytes = length
        elif not has_no_body(status):
            if self._is_1_0:
                closes = True
            else:
                framing = CHUNKED
                self._is_chunked = True
        self.close_after = closes
        if closes:
            framing += CLOSE
        elif self._is_kept_1_0:
            framing += KEEP_ALIVE
        return b"%b%b%b%b\r\n" % (
            status_line(status),
            header_lines(headers),
            self._line.date_line(),
            framing,
        )

    def _finish(self, data: bytes) -> None:
        self.is_ended = True
        self._is_writable = False
        self._on_gone = None
        if data:
            self._write(data)
        self._line.reply_ended(closes=self.close_after)

    def _take_from_length(self, size: int) -> None:
        left = (self._left_bytes or 0) - size
        if left < 0:
            raise ValueError("the answer is longer than its length")
        self._left_bytes = left

    def _write_nothing(self) -> bool:
        if self.is_gone:
            return False
        if not self.is_started or self.is_ended:
            raise RuntimeError("the answer was not started, or was ended")
        return not self.is_paused  # an answer without content, such as to HEAD

    def _call_on_gone(self) -> None:
        callback, self._on_gone = self._on_gone, None
        self._call(callback)

    def _call(self, callback: Callable[[], None] | None) -> None:
        """A callback that raises must not keep the connection from its own bookkeeping."""
        if callback is None:
            return
        try:
            callback()
        except Exception as error:
            self._loop.call_exception_handler(
                {"message": "an answer's callback failed", "exception": error}
            )

    def _wake(self, error: PeerClosed | None) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
