"""An upstream on loopback that does exactly what a test says, good manners or not."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab.http1_serving import PATIENCE_S


@dataclass
class Link:
    """One connection as the upstream sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> bytes:
        """One request, with its body if it has a Content-Length; b"" when the client closed."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return b""
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                return head + await self.reader.readexactly(int(value))
        return head

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def hang_up(self) -> None:
        """Returns when the client has closed or reset."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionResetError:
            pass


@dataclass
class Upstream:
    """A running one."""

    url: str
    requests: list[bytes] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)


Behaviour = Callable[[Link, Upstream], Awaitable[None]]


@asynccontextmanager
async def upstream(
    behaviour: Behaviour, *, tls: ssl.SSLContext | None = None, unix: Path | None = None
) -> AsyncIterator[Upstream]:
    """Each connection is given to ``behaviour`` and closed afterwards."""
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        link = Link(reader, writer)
        up.links.append(link)
        try:
            await behaviour(link, up)
        except (ConnectionResetError, BrokenPipeError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            running.discard(task)
            writer.close()

    if unix is not None:
        server = await asyncio.start_unix_server(serve, unix)
        up = Upstream(f"unix:{unix}")
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, family=socket.AF_INET)
        port = server.sockets[0].getsockname()[1]
        up = Upstream(f"{'https' if tls else 'http'}://localhost:{port}")
    async with asyncio.timeout(PATIENCE_S):
        try:
            yield up
        finally:
            server.close()
            for task in tuple(running):
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await server.wait_closed()


async def polite(link: Link, up: Upstream) -> None:
    """Answers each request with its number, and keeps the connection."""
    while request := await link.request():
        up.requests.append(request)
        body = b"%d" % len(up.requests)
        link.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
