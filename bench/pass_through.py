"""The least that a gateway on our own HTTP can do: server and client joined, no step in between.

What Rempart costs above it is the price of the request's way; what it costs above nginx is Python's.

    python -m bench.pass_through --port 8000 --upstream http://127.0.0.1:9100
"""

import argparse
import asyncio
import socket

import uvloop

from rempart.net.http1.client import ClientCall, Headers, Pool
from rempart.net.http1.server import Handler, Reply, Request, Server, ServerLimits

PASSED_ON = frozenset({b"content-type", b"accept", b"authorization"})
HOP_BY_HOP = frozenset({b"connection", b"date", b"content-length", b"transfer-encoding"})
BODY_BYTES_MAX = 1 << 20


class Relay:
    """Hands an answer on from the upstream's read to the client's write, without a task switch."""

    __slots__ = ("_call", "_done", "_reply")

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._call: ClientCall | None = None

    async def run(self, call: ClientCall) -> None:
        """Returns when the answer has ended, whichever way."""
        self._call = call
        self._reply.on_paused = call.pause
        self._reply.on_resumed = call.resume
        self._reply.on_gone = self._gone
        await self._done

    def on_head(self, status: int, headers: Headers) -> None:
        """Status and headers have come."""
        length = [int(value) for name, value in headers if name == b"content-length"]
        kept = [header for header in headers if header[0] not in HOP_BY_HOP]
        self._reply.start(status, kept, length=length[0] if length else None)

    def on_data(self, data: bytes) -> None:
        """All content of one read."""
        self._reply.write(data)

    def on_end(self) -> None:
        """The answer is whole."""
        self._reply.end()
        self._finish()

    def on_lost(self, error: Exception) -> None:
        """The upstream went away."""
        self._reply.abort()
        self._finish()

    def _gone(self) -> None:
        if self._call is not None:
            self._call.cancel()
        self._finish()

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


def handler(pool: Pool) -> Handler:
    """Hands every request on to the pool's address."""

    async def handle(request: Request, reply: Reply) -> None:
        body = await request.read(BODY_BYTES_MAX)
        headers = [header for header in request.headers if header[0] in PASSED_ON]
        relay = Relay(reply)
        method = request.method.encode()
        await relay.run(await pool.call(method, request.target, headers, body, relay))

    return handle


async def serve(listener: socket.socket, upstream: str) -> None:
    """Serve until cancelled."""
    server = Server(
        handler(Pool(upstream)),
        limits=ServerLimits(connections_max=20_000, connections_per_address_max=20_000),
        refusal_answer=lambda refusal: ([], refusal.reason.encode()),
    )
    await server.serve([listener])
    await asyncio.get_running_loop().create_future()


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--upstream", required=True)
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", options.port), backlog=4096)
    uvloop.run(serve(listener, options.upstream))


if __name__ == "__main__":
    main()
