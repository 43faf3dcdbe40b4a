"""The client's end of one connection: a request out, its answer in, straight to the receiver."""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from rempart.net.http1.errors import HttpError, UpstreamClosed, UpstreamMalformed
from rempart.net.http1.head import Headers

HEADER_BYTES_MAX = 65536
"""Heads of one answer, interim ones too; nginx takes 4 to 8 KiB, Node 16, Go 1 MiB."""
HEADER_COUNT_MAX = 256


class Receiver(Protocol):
    """Gets an answer as it comes in, called from the event loop's read, so it must be quick."""

    def on_head(self, status: int, headers: Headers) -> None:
        """The final answer's head; names in lower case."""
        ...

    def on_data(self, data: bytes) -> None:
        """Content: one call per read of the socket, however many chunks that had."""
        ...

    def on_end(self) -> None:
        """The answer is whole. The last call."""
        ...

    def on_lost(self, error: Exception) -> None:
        """It will not be whole (``UpstreamClosed``, ``UpstreamMalformed``). The last call, instead of ``on_end``."""
        ...


class ClientConnection(asyncio.Protocol):
    """One connection to an upstream, used for one request at a time.

    Args:
        on_free: the answer is whole; True when the connection can take another request.
        on_closed: the connection is gone, or no use any more.
        on_stale: it was closed before any byte of an answer; True when someone else resends the request,
            so that the receiver need not know.
    """

    __slots__ = (
        "_error",
        "_has_head",
        "_head_bytes",
        "_headers",
        "_is_close_delimited",
        "_is_closing",
        "_is_ended",
        "_is_head_request",
        "_is_interim",
        "_keeps_alive",
        "_new_head",
        "_on_closed",
        "_on_data",
        "_on_free",
        "_on_stale",
        "_parser",
        "_pieces",
        "_receiver",
        "_status",
        "has_answered",
        "idle_since",
        "sent_at",
        "transport",
    )

    def __init__(
        self,
        *,
        on_free: Callable[["ClientConnection"], None],
        on_closed: Callable[["ClientConnection"], None],
        on_stale: Callable[["ClientConnection"], bool],
    ) -> None:
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.has_answered = False
        self.idle_since = 0.0
        self.sent_at = 0.0
        self._on_free = on_free
        self._on_closed = on_closed
        self._on_stale = on_stale
        self._receiver: Receiver | None = None
        self._on_data: Callable[[bytes], None] = _ignore
        self._pieces: list[bytes] = []
        self._is_closing = False
        self._reset(is_head_request=False)

    def _reset(self, *, is_head_request: bool) -> None:
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._headers: Headers = []
        self._error: HttpError | None = None
        self._status = 0
        self._head_bytes = 0
        self._has_head = False
        self._new_head = False
        self._is_interim = False
        self._is_ended = False
        self._is_close_delimited = False
        self._is_head_request = is_head_request
        self._keeps_alive = False
        self.has_answered = False

    # For the pool.

    def send(
        self,
        request: bytes,
        body: bytes,
        receiver: Receiver,
        on_data: Callable[[bytes], None],
        *,
        is_head_request: bool,
        now: float,
    ) -> None:
        """Writes a request; its answer goes to ``receiver``, but its content straight to ``on_data``."""
        if self._has_head or self._is_ended or is_head_request:
            self._reset(is_head_request=is_head_request)
        self._receiver = receiver
        self._on_data = on_data
        self.sent_at = now
        if not body:
            self.transport.write(request)
        elif len(body) < 65536:
            self.transport.write(request + body)
        else:
            self.transport.writelines((request, body))

    @property
    def is_usable(self) -> bool:
        """Whether a request may be sent."""
        return not self._is_closing and not self.transport.is_closing()

    def close(self) -> None:
        """Closes at once; nobody is told anything more."""
        self._receiver = None
        self._retire()

    def lose(self, error: HttpError) -> None:
        """Closes at once; the receiver is told why."""
        receiver, self._receiver = self._receiver, None
        self._retire()
        if receiver is not None:
            tell_lost(receiver, error)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of the upstream, cut anyhow."""
        receiver = self._receiver
        if receiver is None:
            self._retire()  # nobody asked: whatever it is, it does not belong to the next request
            return
        self.has_answered = True
        if self._has_head:
            self._feed(data)
        else:
            self._feed_head(data)
            if self._is_head_request and data[-4:] != b"\r\n\r\n":
                self._keeps_alive = False  # what stands behind the head cannot be told apart
        try:
            if self._new_head:
                self._new_head = False
                receiver.on_head(self._status, self._headers)
            if self._pieces:
                pieces = self._pieces
                self._pieces = []
                # The receiver may have cancelled the call in on_head.
                if self._receiver is not None:
                    self._on_data(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        except Exception as error:
            self._receiver_failed(error)
            return
        if self._is_ended:
            self._end()
        elif self._error is not None:
            self.lose(self._error)

    def eof_received(self) -> bool:
        """The upstream sends nothing more, which ends an answer that has no other end."""
        if self._is_close_delimited and self._has_head and self._receiver is not None:
            self._is_ended = True
            self._end()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self._is_closing = True
        self._parser = None
        receiver = self._receiver
        if receiver is not None:
            if not self.has_answered and self._on_stale(self):
                self._receiver = None
            else:
                text = "closed the connection" if error is None else f"lost the connection: {error}"
                when = "before it answered" if not self._has_head else "in the middle of its answer"
                self.lose(UpstreamClosed(f"{text} {when}"))
        self._on_closed(self)

    # Callbacks of the parser. They only note; receivers are called afterwards, so that an exception
    # of theirs is not taken for a malformed answer.

    def on_message_begin(self) -> None:
        """A message begins; a second one in answer to one request is noise."""
        if self._is_ended:
            self._keeps_alive = False
            raise UpstreamMalformed("sent more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or trailer, which is not kept."""
        if not self._has_head:
            if len(self._headers) >= HEADER_COUNT_MAX:
                raise UpstreamMalformed(f"sent more than {HEADER_COUNT_MAX} headers")
            self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """A head is whole; interim ones (1xx) are skipped."""
        parser = cast(HttpResponseParser, self._parser)
        status = parser.get_status_code()
        version = parser.get_http_version()
        if version != "1.1" and version != "1.0":
            raise UpstreamMalformed(f"answered with HTTP/{version}")
        if 100 <= status < 200 and status != 101:
            self._headers = []
            self._is_interim = True
            return
        if not 200 <= status <= 999:
            raise UpstreamMalformed(f"answered with status {status}")
        self._is_interim = False
        self._status = status
        self._check_framing(version, status)
        self._has_head = self._new_head = True
        if self._is_head_request:
            self._is_ended = True

    def on_body(self, piece: bytes) -> None:
        """Content."""
        if not self._is_ended:
            self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """The message's end by its framing."""
        if self._is_interim:
            self._is_interim = False
        else:
            self._is_ended = True

    # Inside.

    def _check_framing(self, version: str, status: int) -> None:
        codings = [value for name, value in self._headers if name == b"transfer-encoding"]
        has_length = any(name == b"content-length" for name, _ in self._headers)
        if codings:
            if has_length:
                raise UpstreamMalformed("sent Content-Length and Transfer-Encoding")
            if version == "1.0" or len(codings) > 1 or codings[0].lower() != b"chunked":
                raise UpstreamMalformed("sent a transfer coding other than 'chunked' alone")
        has_no_body = status in (204, 304) or self._is_head_request
        self._is_close_delimited = not (has_no_body or has_length or codings)
        self._keeps_alive = not self._is_close_delimited and _keeps_alive(version, self._headers)

    def _feed(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            return
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            self._keeps_alive = False
            if not self._is_ended:
                self._error = UpstreamMalformed("switched to another protocol")
        except HttpParserError as error:
            self._keeps_alive = False
            if not self._is_ended:
                cause = error.__context__
                self._error = (
                    cause
                    if isinstance(cause, HttpError)
                    else UpstreamMalformed(f"is not well-formed HTTP/1.1: {error}")
                )

    def _feed_head(self, data: bytes) -> None:
        """Feeds at most what a head may have, so that none grows without bound."""
        room = HEADER_BYTES_MAX - self._head_bytes
        self._feed(data if len(data) <= room else data[:room])
        if self._has_head or self._error is not None:
            if len(data) > room and self._error is None:
                self._feed(data[room:])
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEADER_BYTES_MAX:
            self._error = UpstreamMalformed(f"sent more than {HEADER_BYTES_MAX} bytes of headers")

    def _end(self) -> None:
        receiver, self._receiver = self._receiver, None
        self._on_data = _ignore  # an idle connection must not keep its last receiver alive
        # An answer that came before the request was sent whole leaves the rest of it in the way.
        is_sent = not self.transport.get_write_buffer_size()
        if self._keeps_alive and is_sent and not self._is_closing and self._error is None:
            self._on_free(self)
        else:
            self._retire()
        if receiver is not None:
            try:
                receiver.on_end()
            except Exception as error:
                _report(error)

    def _retire(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self.transport.abort()
            self._on_closed(self)

    def _receiver_failed(self, error: Exception) -> None:
        """A receiver that raises is a bug; it is told that this is the end."""
        _report(error)
        self.lose(UpstreamClosed("the receiver failed"))


def tell_lost(receiver: Receiver, error: HttpError) -> None:
    """Calls ``on_lost``; a receiver that raises there is a bug that only the loop is told of."""
    try:
        receiver.on_lost(error)
    except Exception as bug:
        _report(bug)


def _report(error: Exception) -> None:
    asyncio.get_running_loop().call_exception_handler(
        {"message": "a receiver failed", "exception": error}
    )


def _ignore(_: bytes) -> None:
    pass


def _keeps_alive(version: str, headers: Headers) -> bool:
    tokens = {
        token.strip(b" \t").lower()
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    }
    if b"close" in tokens:
        return False
    return version == "1.1" or b"keep-alive" in tokens
