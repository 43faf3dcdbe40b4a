"""uvicorn as we run it for control: who is behind a Unix socket, bounds, and errors in our shape.

uvicorn by itself knows no bound on headers, none on the time they take, and answers what it cannot
parse in plain text.
"""

import asyncio
import socket
import ssl
import struct
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rempart.base.clock import SystemClock, iso_utc
from rempart.base.ids import Ids
from rempart.control.access import PEER_UID
from rempart.control.answers import GUARDS, App, error_body
from rempart.domain.errors import (
    HeadersTooLarge,
    MalformedRequest,
    Overloaded,
    RempartError,
    RequestReadTimeout,
)
from rempart.wire import envelope

HEAD_BYTES_MAX = 64 * 1024
"""And what the event loop reads at once (256 KiB), since only whole reads are counted."""
HEAD_S_MAX = 10.0
CONNECTIONS_MAX = 512
KEEP_ALIVE_S = 30
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))


def uvicorn_config(app: App) -> uvicorn.Config:
    """The settings for a ``uvicorn.Server`` that is given its sockets ready-made."""
    return uvicorn.Config(
        app,
        loop="none",
        http=ControlProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
    )


class ControlServer(uvicorn.Server):
    """uvicorn on sockets that are given to it, with TLS for those of the network.

    Args:
        tls: None: none.
    """

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(config)
        self._tls = tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept; uvicorn itself knows one context for all its sockets."""
        given = sockets or []
        with_tls = [one for one in given if self._tls is not None and one.family != socket.AF_UNIX]
        await super().startup([one for one in given if one not in with_tls])
        loop = asyncio.get_running_loop()
        for listener in with_tls:
            accepting = await loop.create_server(
                self._new_protocol,
                sock=listener,
                ssl=self._tls,
                backlog=self.config.backlog,
                ssl_handshake_timeout=HEAD_S_MAX,
            )
            self.servers.append(accepting)

    def _new_protocol(self) -> asyncio.Protocol:
        return ControlProtocol(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def peer_uid(transport: asyncio.BaseTransport) -> int | None:
    """The user at the other end of a Unix socket, by the kernel's word; None for other sockets."""
    end = transport.get_extra_info("socket")
    if end is None or end.family != socket.AF_UNIX:
        return None
    data = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(data)[1]
    return uid


class ControlProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._head_bytes = 0
        self._is_in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connects."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows it
        uid = peer_uid(transport)
        if uid is not None:
            self.app_state = {**self.app_state, PEER_UID: uid}
        if len(self.connections) > CONNECTIONS_MAX:
            self._refuse(
                Overloaded(waiting=CONNECTIONS_MAX, waiting_max=CONNECTIONS_MAX, retry_after_s=1.0)
            )
            return
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._unwatch_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes come in."""
        super().data_received(data)
        if self._is_in_head:
            # Counted per read, and only while the head is not whole: what came may be body already.
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(HeadersTooLarge(reason=f"more than {HEAD_BYTES_MAX} bytes"))

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._is_in_head = True
        if self._head_timer is None:
            self._watch_head()

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._is_in_head, self._head_bytes = False, 0
        self._unwatch_head()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Its body is whole; what comes next is a head."""
        super().on_message_complete()
        self._is_in_head = True

    def send_400_response(self, msg: str) -> None:
        """What could not be parsed."""
        self._refuse(MalformedRequest(reason="its framing is broken"))

    def _watch_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S_MAX, self._head_too_slow)

    def _unwatch_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_too_slow(self) -> None:
        self._head_timer = None
        self._refuse(RequestReadTimeout(reason=f"its head took longer than {HEAD_S_MAX:g} s"))

    def _refuse(self, error: RempartError) -> None:
        """Answer without the application and close."""
        if self.transport.is_closing():
            return
        clock = SystemClock()
        request_id = Ids(clock).uuid7()
        body = error_body(error, request_id, iso_utc(clock.wall()))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
            *GUARDS,
            *envelope.headers(error),
        ]
        head = b"HTTP/1.1 %d %s\r\n" % (error.answer_status, error.code.encode())
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(head + lines + b"\r\n" + body)
        self.transport.close()
