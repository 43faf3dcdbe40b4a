"""A connection of our HTTP server without a socket: each read is exactly what a test says it is."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from lab.http1_corpus import Seen
from rempart.net.http1.connection import Connection
from rempart.net.http1.errors import BodyTooLarge, PeerClosed
from rempart.net.http1.server import Headers, Refusal, Reply, Request, Rule, Server, ServerLimits


class PipeTransport(asyncio.Transport):
    """Keeps what is written, and what comes while nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_eof_written = False
        self.is_closed = False
        self.is_reading_now = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_eof_written, "written after the end"
        if not self.is_closed:
            self.written += data

    def write_eof(self) -> None:
        self.is_eof_written = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_reading_now = False

    def resume_reading(self) -> None:
        self.is_reading_now = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0


@dataclass
class Outcome:
    """What became of some bytes.

    Attributes:
        seen: requests with their whole bodies.
        broken: requests whose body could not be read, and why.
        refused: what the protocol layer refused.
        written: all that was answered, without dates.
        is_ended: the connection is closed, or its sending half.
    """

    seen: list[Seen] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    refused: list[Rule] = field(default_factory=list)
    written: bytes = b""
    is_ended: bool = False


async def play(reads: Iterable[bytes], *, limits: ServerLimits | None = None) -> Outcome:
    """Gives a new connection these reads; each request is answered with its own body."""
    outcome = Outcome()

    async def echo(request: Request, reply: Reply) -> None:
        try:
            body = await request.read(1 << 20)
        except PeerClosed as error:
            outcome.broken.append(type(error).__name__)
            raise
        except BodyTooLarge:
            reply.send(413, [], b"too large")
            return
        outcome.seen.append(Seen(request.method, request.path, body, request.query))
        reply.send(200, [], body)

    def answer(refusal: Refusal) -> tuple[Headers, bytes]:
        outcome.refused.append(refusal.rule)
        return [], refusal.reason.encode()

    server = Server(echo, limits=limits or ServerLimits(), refusal_answer=answer)
    await server.serve([])
    connection = Connection(server, "192.0.2.1", 1234, "192.0.2.1")
    transport = PipeTransport()
    connection.connection_made(transport)
    for read in reads:
        while not transport.is_reading_now and not transport.is_closed:
            if not await _step(server):
                break
        if transport.is_closed or not transport.is_reading_now:
            break
        connection.data_received(read)
    while await _step(server):
        pass
    outcome.written = _without_dates(transport.written)
    outcome.is_ended = transport.is_closed or transport.is_eof_written
    connection.connection_lost(None)
    await server.close()
    return outcome


async def _step(server: Server) -> bool:
    """Lets handlers run; False when none can."""
    active = server.statistics().requests_active
    done = server.statistics().requests
    for _ in range(6):
        await asyncio.sleep(0)
    after = server.statistics()
    return (after.requests_active, after.requests) != (active, done)


def _without_dates(written: bytes) -> bytes:
    return b"\r\n".join(line for line in written.split(b"\r\n") if not line.startswith(b"date: "))
