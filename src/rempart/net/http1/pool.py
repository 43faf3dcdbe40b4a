"""Connections to one address, kept for the next request."""

import asyncio
import socket
import ssl as tls
from collections import deque
from urllib.parse import urlsplit

from rempart.net.http1.client_call import ClientCall
from rempart.net.http1.client_protocol import ClientConnection, Receiver, tell_lost
from rempart.net.http1.collector import Collector
from rempart.net.http1.errors import (
    ConnectFailed,
    UpstreamClosed,
    UpstreamTooSlow,
)
from rempart.net.http1.head import Headers
from rempart.net.http1.owner import TaskOwner


class Pool:
    """Requests to one address, over connections that are kept for the next.

    Args:
        url: "http://host:port", "https://host:port" or "unix:/path".
        idle_max: connections kept; more are closed after their answer.
        idle_s: a connection idle for longer is closed, best before the server does it (uvicorn: 5 s).
        connect_s: bound of a connection's set-up: name, TCP and TLS together.
        ssl_context: for https, instead of the system's trusted authorities.
    """

    def __init__(
        self,
        url: str,
        *,
        idle_max: int = 64,
        idle_s: float = 4.0,
        connect_s: float = 5.0,
        ssl_context: tls.SSLContext | None = None,
    ) -> None:
        self.url = url
        self._idle_max = idle_max
        self._idle_s = idle_s
        self._connect_s = connect_s
        self._tls: tls.SSLContext | None = None
        self._path = ""
        self._host_name = ""
        self._port = 0
        self._take_apart(url, ssl_context)
        self._idle: deque[ClientConnection] = deque(maxlen=idle_max)
        self._open: set[ClientConnection] = set()
        self._calls: dict[ClientConnection, ClientCall] = {}
        self._tasks = TaskOwner()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def call(
        self, method: bytes, path: bytes, headers: Headers, body: bytes, receiver: Receiver
    ) -> ClientCall:
        """Sends a request and returns when it is written; the answer goes to ``receiver``.

        A request that meets a kept connection which the server has closed meanwhile is sent once more on
        a new one, if no byte of an answer had come.

        Args:
            method: b"GET", …
            path: with query, as it stands in the request line.
            headers: without ``host``, ``content-length`` and ``transfer-encoding``, which are added.
            body: whole.
        Raises:
            ConnectFailed: nothing was sent.
            ValueError: the head is not safe to send.
        """
        if self._is_closed:
            raise ConnectFailed("the pool is closed")
        loop = asyncio.get_running_loop()
        request = self._build_head(method, path, headers, len(body))
        call = ClientCall(request, body, receiver, is_head_request=method == b"HEAD")
        connection = self._take_idle()
        if connection is not None:
            await self._tasks.open()
            self._calls[connection] = call
            call.send_on(connection, may_resend=True, now=loop.time())
            return call
        connection = await self._connect()
        self._calls[connection] = call
        call.send_on(connection, may_resend=False, now=loop.time())
        return call

    async def fetch(
        self,
        method: bytes,
        path: bytes,
        headers: Headers,
        body: bytes,
        max_bytes: int,
        timeout_s: float,
    ) -> tuple[int, Headers, bytes]:
        """Status, headers and the whole content of an answer.

        Raises:
            ConnectFailed, UpstreamClosed, UpstreamMalformed: as with ``call``.
            UpstreamTooLarge: the content is longer than ``max_bytes``.
            UpstreamTooSlow: it was not whole after ``timeout_s``.
        """
        collector = Collector(max_bytes, asyncio.get_running_loop().create_future())
        call: ClientCall | None = None
        try:
            async with asyncio.timeout(timeout_s):
                call = await self.call(method, path, headers, body, collector)
                await collector.done
        except TimeoutError:
            raise UpstreamTooSlow(f"no whole answer within {timeout_s:g} s") from None
        finally:
            if call is not None:
                call.cancel()
            if collector.done.done() and not collector.done.cancelled():
                collector.done.exception()  # it may have failed in the moment of the time-out
        return collector.status, collector.headers, b"".join(collector.pieces)

    async def close(self) -> None:
        """Closes all connections; calls under way are told ``UpstreamClosed``."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._tasks.close()
        for connection in tuple(self._open):
            connection.lose(UpstreamClosed("the pool was closed"))
        self._idle.clear()

    @property
    def idle_count(self) -> int:
        """Connections kept for the next request."""
        return len(self._idle)

    @property
    def open_count(self) -> int:
        """Connections in all."""
        return len(self._open)

    def _take_apart(self, url: str, ssl_context: tls.SSLContext | None) -> None:
        if url.startswith("unix:"):
            self._path = url[5:].removeprefix("//") if url.startswith("unix://") else url[5:]
            self._host = b"localhost"
            return
        parts = urlsplit(url)
        is_address = parts.path in ("", "/") and not (
            parts.query or parts.fragment or parts.username
        )
        if parts.scheme not in ("http", "https") or not parts.hostname or not is_address:
            raise ValueError(f"expected http://, https:// or unix:/, found {url!r}")
        self._host_name = parts.hostname
        is_tls = parts.scheme == "https"
        self._port = parts.port or (443 if is_tls else 80)
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self._host = (name if parts.port is None else f"{name}:{parts.port}").encode("ascii")
        if is_tls:
            self._tls = ssl_context or tls.create_default_context()

    def _build_head(self, method: bytes, path: bytes, headers: Headers, size: int) -> bytes:
        lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        count = len(headers)
        if lines.count(b"\n") != count or lines.count(b"\r") != count or lines.count(b"\0"):
            raise ValueError("a header has a CR, LF or NUL in it")
        for name, _ in headers:
            if name in _OWN_HEADERS:
                raise ValueError(f"{name.decode('latin-1')} is written by the pool itself")
        if not path or path.translate(None, _PRINTABLE) or method.translate(None, _LETTERS):
            raise ValueError("the method or path has a character that is not allowed")
        length = b"content-length: %d\r\n" % size if size or method not in _BODILESS else b""
        return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b%b\r\n" % (method, path, self._host, length, lines)

    def _take_idle(self) -> ClientConnection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()  # the youngest is the least likely to be stale
            if connection.is_usable and now - connection.idle_since < self._idle_s:
                return connection
            connection.close()
        return None

    async def _connect(self) -> ClientConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_s):
                if self._path:
                    _, connection = await loop.create_unix_connection(self._new, self._path)
                else:
                    _, connection = await loop.create_connection(
                        self._new,
                        self._host_name,
                        self._port,
                        ssl=self._tls,
                        server_hostname=self._host_name if self._tls is not None else None,
                    )
        except TimeoutError:
            raise ConnectFailed(f"no connection within {self._connect_s:g} s") from None
        except Exception as error:  # OSError, SSLError, UnicodeError of an odd name, …
            raise ConnectFailed(str(error) or type(error).__name__) from error
        if self._path == "":
            sock = connection.transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._is_closed or not connection.is_usable:
            connection.close()
            raise ConnectFailed("the connection was closed at once")
        self._open.add(connection)
        return connection

    def _new(self) -> ClientConnection:
        return ClientConnection(
            on_free=self._on_free, on_closed=self._on_closed, on_stale=self._on_stale
        )

    def _on_free(self, connection: ClientConnection) -> None:
        call = self._calls.pop(connection, None)
        if self._is_closed or len(self._idle) >= self._idle_max:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        if call is not None and call.is_paused:
            connection.transport.resume_reading()
        self._idle.append(connection)
        if self._timer is None:
            self._timer = loop.call_later(self._idle_s, self._close_idle)

    def _on_closed(self, connection: ClientConnection) -> None:
        self._open.discard(connection)
        self._calls.pop(connection, None)
        if connection in self._idle:
            self._idle.remove(connection)

    def _on_stale(self, connection: ClientConnection) -> bool:
        call = self._calls.pop(connection, None)
        if call is None or not call.may_resend or call.is_over or self._is_closed:
            return False
        if asyncio.get_running_loop().time() - connection.sent_at > _STALE_S:
            return False
        self._tasks.start(self._resend(call))
        return True

    async def _resend(self, call: ClientCall) -> None:
        try:
            connection = await self._connect()
        except asyncio.CancelledError:
            tell_lost(call, UpstreamClosed("the pool was closed"))
            raise
        except ConnectFailed as error:
            tell_lost(call, error)
            return
        if call.is_over:
            connection.close()
            return
        self._calls[connection] = call
        call.send_on(connection, may_resend=False, now=asyncio.get_running_loop().time())

    def _close_idle(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._idle and now - self._idle[0].idle_since >= self._idle_s:
            self._idle.popleft().close()
        if self._idle:
            self._timer = loop.call_at(self._idle[0].idle_since + self._idle_s, self._close_idle)


_STALE_S = 1.0
"""A kept connection that was closed by its server shows it within a round trip; one that is lost later
was lost while the server worked on this request, which must not be done twice."""

_OWN_HEADERS = frozenset({b"host", b"content-length", b"transfer-encoding"})
_BODILESS = frozenset({b"GET", b"HEAD", b"DELETE", b"OPTIONS"})
_PRINTABLE = bytes(range(0x21, 0x7F))
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-"
