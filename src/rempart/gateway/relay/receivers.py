"""What a replica answers, taken straight from its connection's callbacks: no task switch per chunk.

``EventReceiver`` relays a stream of events, or one bounded document, through the call's shape;
``PassthroughReceiver`` hands bytes on as they are ([[routes]]). In both a client that does not read stops
the reading from the replica: nothing piles up here.
"""

import asyncio
from typing import Protocol

from rempart.domain.errors import RempartError, RunnerError
from rempart.gateway.exchange import Answer, Exchange, ReplicaFailed, Shape
from rempart.gateway.replicas.failures import from_answer, lost
from rempart.net.http1.client import ClientCall
from rempart.net.http1.messages import Headers
from rempart.wire.sse import EventSplitter, EventTooLarge

ERROR_BODY_BYTES_MAX = 64 * 1024
DOCUMENT_BYTES_MAX = 64 * 1024 * 1024
PASSED_HEADERS = frozenset(
    {b"content-type", b"content-disposition", b"location", b"content-language"}
)


class Receiver(Protocol):
    """What the relay's step needs of any of them."""

    ended: asyncio.Future[None]

    def attach(self, call: ClientCall) -> None:
        """The call is on its way: it can be paused from here on."""
        ...


class _Base:
    """What they share: the end as a future, error answers, backpressure."""

    __slots__ = ("_call", "_error_body", "_is_paused", "_status", "ended", "exchange", "is_runner")

    def __init__(self, exchange: Exchange, *, is_runner: bool) -> None:
        self.exchange = exchange
        self.is_runner = is_runner
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._call: ClientCall | None = None
        self._is_paused = False
        self._status = 0
        self._error_body: bytearray | None = None
        exchange.reply.on_paused = self._pause
        exchange.reply.on_resumed = self._resume

    def attach(self, call: ClientCall) -> None:
        """See ``Receiver``."""
        self._call = call
        if self._is_paused:
            call.pause()

    def _pause(self) -> None:
        self._is_paused = True
        if self._call is not None:
            self._call.pause()

    def _resume(self) -> None:
        self._is_paused = False
        if self._call is not None:
            self._call.resume()

    def _done(self, error: Exception | None = None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)
            if self._call is not None:
                self._call.cancel()

    def _take_error(self, data: bytes) -> None:
        assert self._error_body is not None  # noqa: S101 - asked before
        self._error_body += data[: ERROR_BODY_BYTES_MAX - len(self._error_body)]

    def _refused(self, headers: Headers) -> None:
        assert self._error_body is not None  # noqa: S101 - asked before
        error = from_answer(
            self._status, headers, bytes(self._error_body), is_runner=self.is_runner
        )
        is_retryable = error.answer_status >= 500 and not self.exchange.reply.is_started
        self._done(ReplicaFailed(error, has_answered=True) if is_retryable else error)

    def on_lost(self, error: Exception) -> None:
        """The connection ended before the answer did."""
        failure = lost(error, is_runner=self.is_runner)
        self._done(failure if self._has_begun() else ReplicaFailed(failure))

    def _has_begun(self) -> bool:
        """Whether another replica's answer would come on top of this one's."""
        return self.exchange.reply.is_started


class EventReceiver(_Base):
    """A stream of server-sent events, or, from a server that does not stream, one document."""

    __slots__ = ("_document", "_headers", "_shape", "_splitter")

    def __init__(self, exchange: Exchange, shape: Shape, *, is_runner: bool) -> None:
        super().__init__(exchange, is_runner=is_runner)
        self._shape = shape
        self._splitter = EventSplitter()
        self._document: bytearray | None = None
        self._headers: Headers = []

    def _has_begun(self) -> bool:
        # What is assembled, or held back, has not gone out but stands in the shape already.
        return super()._has_begun() or self._shape.chunk_count > 0

    def on_head(self, status: int, headers: Headers) -> None:
        """Status and headers have come."""
        self._status = status
        self._headers = headers
        if status != 200:
            self._error_body = bytearray()
        elif not _is_events(headers):
            self._document = bytearray()

    def on_data(self, data: bytes) -> None:
        """All bytes of one read."""
        if self._error_body is not None:
            self._take_error(data)
            return
        if self._document is not None:
            self._document += data
            if len(self._document) > DOCUMENT_BYTES_MAX:
                self._done(RunnerError(reason=f"its answer passed {DOCUMENT_BYTES_MAX} bytes"))
            return
        exchange = self.exchange
        try:
            events = self._splitter.feed(data)
            if not events:
                return
            count = self._shape.chunk_count
            out = self._shape.feed(events)
            if self._shape.chunk_count != count:
                exchange.note_chunk()
        except RempartError as error:
            self._done(error)
            return
        except EventTooLarge as error:
            self._done(RunnerError(reason=str(error)))
            return
        if out:
            reply = exchange.reply
            if not reply.is_started:
                exchange.start_stream(self._shape.content_type)
                exchange.forget_document()
            reply.write(out)
            exchange.last_write_s = exchange.last_chunk_s
        if self._shape.error is not None:
            self._done(self._shape.error)

    def on_end(self) -> None:
        """The answer ended as HTTP goes; whether it is whole, the shape decides."""
        if self._error_body is not None:
            self._refused(self._headers)
            return
        try:
            if self._document is not None:
                self._finish_document(self._shape.whole(bytes(self._document)))
            elif self._shape.is_stream:
                self.exchange.last_bytes = self._shape.finish()
                if not self.exchange.reply.is_started:
                    self.exchange.start_stream(self._shape.content_type)
            else:
                self._finish_document(self._shape.finish())
        except RempartError as error:
            self._done(error)
        else:
            self._done()

    def _finish_document(self, body: bytes) -> None:
        if self._shape.is_stream:
            if not self.exchange.reply.is_started:
                self.exchange.start_stream(self._shape.content_type)
            self.exchange.last_bytes = body
        else:
            self.exchange.answer = Answer(200, body)


class PassthroughReceiver(_Base):
    """Bytes as they come, with the runner's own status and type; its errors get our envelope."""

    __slots__ = ("_headers",)

    def __init__(self, exchange: Exchange, *, is_runner: bool) -> None:
        super().__init__(exchange, is_runner=is_runner)
        self._headers: Headers = []

    def on_head(self, status: int, headers: Headers) -> None:
        """Status and headers have come."""
        self._status = status
        self._headers = headers
        if status >= 400:
            self._error_body = bytearray()
            return
        self.exchange.passed_status = status
        passed = [(name, value) for name, value in headers if name in PASSED_HEADERS]
        self.exchange.reply.start(status, [*passed, *self.exchange.common_headers()])

    def on_data(self, data: bytes) -> None:
        """All bytes of one read."""
        if self._error_body is not None:
            self._take_error(data)
            return
        self.exchange.note_chunk()
        self.exchange.reply.write(data)

    def on_end(self) -> None:
        """The answer is whole."""
        if self._error_body is not None:
            self._refused(self._headers)
        else:
            self._done()


def _is_events(headers: Headers) -> bool:
    for name, value in headers:
        if name == b"content-type":
            return value.lower().startswith(b"text/event-stream")
    return False
