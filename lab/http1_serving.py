"""Our HTTP server on a loopback socket, and a client that sends bytes exactly as told."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rempart.net.http1.server import Handler, Headers, Refusal, Request, Server, ServerLimits

CERTIFICATES = Path(__file__).parent / "certificates"
PATIENCE_S = 20.0
"""Nothing in these tests takes this long unless it is broken."""


def server_tls() -> ssl.SSLContext:
    """Of a server on localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem", CERTIFICATES / "server.key")
    return context


def client_tls() -> ssl.SSLContext:
    """Of a client that trusts the tests' own authority, and no other."""
    return ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem"))


@dataclass
class Served:
    """A running server, and what it told."""

    server: Server
    address: Any
    refused: list[Refusal] = field(default_factory=list)
    bugs: list[Exception] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.address[1])

    @property
    def url(self) -> str:
        return (
            f"unix:{self.address}"
            if isinstance(self.address, str)
            else f"http://127.0.0.1:{self.port}"
        )


@asynccontextmanager
async def serving(
    handler: Handler,
    *,
    limits: ServerLimits | None = None,
    tls: ssl.SSLContext | None = None,
    unix: Path | None = None,
) -> AsyncIterator[Served]:
    """The server for the time of the block; it must be empty and without a bug afterwards."""
    if unix is not None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(unix))
        listener.listen(128)
    else:
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    address = listener.getsockname()
    served: Served

    def refusal_answer(refusal: Refusal) -> tuple[Headers, bytes]:
        return [(b"content-type", b"text/plain")], refusal.reason.encode()

    def on_error(error: Exception, request: Request) -> None:
        served.bugs.append(error)

    server = Server(
        handler,
        limits=limits or ServerLimits(),
        refusal_answer=refusal_answer,
        on_refused=lambda refusal: served.refused.append(refusal),
        on_error=on_error,
    )
    served = Served(server, address)
    async with asyncio.timeout(PATIENCE_S):
        await server.serve([listener], tls)
        try:
            yield served
        finally:
            await server.close()
    assert server.statistics().connections == 0
    assert server.statistics().requests_active == 0


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Returns when it is so; fails when it takes too long."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"never became true: {what or condition}")
        await asyncio.sleep(0.002)


class RawClient:
    """A blocking-looking socket without any HTTP in it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.loop = asyncio.get_running_loop()
        self.seen = b""

    @classmethod
    async def connect(cls, served: Served, *, receive_buffer: int = 0) -> "RawClient":
        family = socket.AF_UNIX if isinstance(served.address, str) else socket.AF_INET
        sock = socket.socket(family)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, served.address)
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    async def send(self, data: bytes) -> None:
        await self.loop.sock_sendall(self.sock, data)

    async def read_until(self, marker: bytes) -> bytes:
        """All up to and with the marker; the rest is kept."""
        while marker not in self.seen:
            piece = await self.loop.sock_recv(self.sock, 65536)
            if not piece:
                raise AssertionError(f"closed before {marker!r}: {self.seen!r}")
            self.seen += piece
        end = self.seen.index(marker) + len(marker)
        taken, self.seen = self.seen[:end], self.seen[end:]
        return taken

    async def read_answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content of an answer with a Content-Length."""
        head = (await self.read_until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:-2])
        body = await self.read_exactly(int(headers.get("content-length", "0")))
        return int(head[0].split(" ")[1]), headers, body

    async def read_exactly(self, count: int) -> bytes:
        while len(self.seen) < count:
            piece = await self.loop.sock_recv(self.sock, 65536)
            assert piece, f"closed before {count} bytes: {self.seen!r}"
            self.seen += piece
        taken, self.seen = self.seen[:count], self.seen[count:]
        return taken

    async def read_to_end(self) -> bytes:
        """All until the server closes; a reset raises ConnectionResetError."""
        while piece := await self.loop.sock_recv(self.sock, 65536):
            self.seen += piece
        taken, self.seen = self.seen, b""
        return taken

    def close(self) -> None:
        """Goes away properly."""
        self.sock.close()

    def reset(self) -> None:
        """Goes away with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def half_close(self) -> None:
        """Will send nothing more."""
        self.sock.shutdown(socket.SHUT_WR)

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()
