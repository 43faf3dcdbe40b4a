"""CPU-µs of our HTTP layer alone: a pass-through of server and client, beside a minimal handler.

Three processes on loopback: an upstream, the process under measure, and this one as the load. The process
under measure tells its own CPU time (``getrusage``), so that nothing of the others is counted.

    python bench/http1_cost.py [--rounds 5] [--json]

Figures: per unstreamed request; per stream of one chunk; per further chunk, each chunk a wake-up of its
own (paced streams, 16 at a time). The minimal handler answers by itself; the pass-through hands all on.
"""

import argparse
import asyncio
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvloop

from rempart.net.http1.client import ClientCall, Headers, Pool
from rempart.net.http1.errors import HttpError
from rempart.net.http1.server import Handler, Reply, Request, Server, ServerLimits

CHUNK = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"word"}}]}\n\n'
DOCUMENT = b'{"choices":[{"message":{"role":"assistant","content":"' + b"word " * 40 + b'"}}]}'
REQUEST = b'{"model":"m","messages":[{"role":"user","content":"' + b"word " * 60 + b'"}]}'
HEADERS: Headers = [
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"authorization", b"Bearer rmp_0123456789ab_" + b"x" * 38),
    (b"content-type", b"application/json"),
    (b"user-agent", b"OpenAI/Python 3.3.1"),
    (b"x-stainless-lang", b"python"),
    (b"x-stainless-retry-count", b"0"),
    (b"x-stainless-read-timeout", b"600"),
]
EVENTS: Headers = [(b"content-type", b"text/event-stream")]
JSON: Headers = [(b"content-type", b"application/json")]
HOP_BY_HOP = frozenset({b"connection", b"date", b"content-length", b"transfer-encoding"})

AT_A_TIME = 16
REQUESTS = 2000
STREAMS = 64
CHUNKS = 200
PACE_S = float(os.environ.get("PACE_S", "0.008"))


async def answer(request: Request, reply: Reply) -> None:
    """The minimal handler, also the upstream: a document, or a paced stream of ``?chunks=N``."""
    if request.path == "/cpu":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        reply.send(200, JSON, b"%d" % ((usage.ru_utime + usage.ru_stime) * 1e6))
        return
    await request.read(1 << 20)
    if not request.query:
        reply.send(200, JSON, DOCUMENT)
        return
    reply.start(200, EVENTS)
    for sent in range(int(request.query.partition("=")[2])):
        if sent:
            await asyncio.sleep(PACE_S)
        if reply.is_gone:
            return
        reply.write(CHUNK)
    reply.end()


class Relay:
    """Hands an answer on from the upstream's read to the client's write, without a task switch."""

    __slots__ = ("_call", "_done", "_reply")

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._done = asyncio.get_running_loop().create_future()
        self._call: ClientCall | None = None

    async def run(self, call: ClientCall) -> None:
        """Returns when the answer has ended, one way or the other."""
        self._call = call
        self._reply.on_paused = call.pause
        self._reply.on_resumed = call.resume
        self._reply.on_gone = self._gone
        await self._done

    def on_head(self, status: int, headers: Headers) -> None:
        """See Receiver."""
        length = [int(value) for name, value in headers if name == b"content-length"]
        kept = [header for header in headers if header[0] not in HOP_BY_HOP]
        self._reply.start(status, kept, length=length[0] if length else None)

    def on_data(self, data: bytes) -> None:
        """See Receiver."""
        self._reply.write(data)

    def on_end(self) -> None:
        """See Receiver."""
        self._reply.end()
        self._finish()

    def on_lost(self, error: Exception) -> None:
        """See Receiver."""
        self._reply.abort()
        self._finish()

    def _gone(self) -> None:
        if self._call is not None:
            self._call.cancel()
        self._finish()

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


def pass_through(pool: Pool) -> Handler:
    """The handler that relays every request through `pool`."""

    async def handle(request: Request, reply: Reply) -> None:
        if request.path == "/cpu":
            await answer(request, reply)
            return
        body = await request.read(1 << 20)
        headers = [header for header in HEADERS if header[0] != b"accept-encoding"]
        relay = Relay(reply)
        await relay.run(await pool.call(b"POST", request.target, headers, body, relay))

    return handle


async def serve(role: str, listener: socket.socket, upstream: str) -> None:
    """Plays a role until the parent closes our standard input."""
    pool = Pool(upstream) if role == "pass-through" else None
    server = Server(
        pass_through(pool) if pool is not None else answer,
        limits=ServerLimits(),
        refusal_answer=lambda refusal: ([], refusal.reason.encode()),
    )
    await server.serve([listener])
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the parent ends
    if pool is not None:
        await pool.close()
    await server.close()


@contextmanager
def process(role: str, upstream: str = "") -> Iterator[str]:
    """A process in a role; its address."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    with listener:
        child = subprocess.Popen(
            [
                sys.executable,
                __file__,
                "--role",
                role,
                "--fd",
                str(listener.fileno()),
                "--upstream",
                upstream,
            ],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        )
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield address
    finally:
        assert child.stdin is not None
        child.stdin.close()
        child.wait(10)


class Taker:
    """Takes an answer and counts."""

    __slots__ = ("bytes", "done", "reads")

    def __init__(self) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self.reads = 0
        self.bytes = 0

    def on_head(self, status: int, headers: Headers) -> None:
        """See Receiver."""
        if status != 200:
            raise AssertionError(status)

    def on_data(self, data: bytes) -> None:
        """See Receiver."""
        self.reads += 1
        self.bytes += len(data)

    def on_end(self) -> None:
        """See Receiver."""
        self.done.set_result(None)

    def on_lost(self, error: Exception) -> None:
        """See Receiver."""
        self.done.set_exception(error)


async def ask(pool: Pool, path: bytes) -> Taker:
    """One request, to its end."""
    taker = Taker()
    await pool.call(b"POST", path, HEADERS, REQUEST, taker)
    await taker.done
    return taker


async def cpu_us(pool: Pool) -> int:
    """CPU-µs that the process under measure has used so far."""
    _, _, body = await pool.fetch(b"GET", b"/cpu", [], b"", 100, 10)
    return int(body)


@dataclass
class Cost:
    """CPU-µs of the process under measure."""

    per_request: float
    per_stream: float
    per_chunk: float
    reads_per_chunk: float


async def load(pool: Pool, path: bytes, count: int) -> tuple[float, int]:
    """CPU-µs for each of ``count`` requests, and the reads of content they took here."""
    left = iter(range(count))
    reads = 0

    async def client() -> None:
        nonlocal reads
        for _ in left:
            taker = await ask(pool, path)
            reads += taker.reads

    before = await cpu_us(pool)
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_A_TIME):
            group.create_task(client())
    return (await cpu_us(pool) - before) / count, reads


async def measure(address: str) -> Cost:
    """One round with one target."""
    pool = Pool(address)
    try:
        for _ in range(100):
            try:
                await ask(pool, b"/v1")
                break
            except HttpError:
                await asyncio.sleep(0.05)
        await load(pool, b"/v1", 200)
        request, _ = await load(pool, b"/v1", REQUESTS)
        stream, _ = await load(pool, b"/v1?chunks=1", REQUESTS // 2)
        long_stream, reads = await load(pool, b"/v1?chunks=%d" % (CHUNKS + 1), STREAMS)
    finally:
        await pool.close()
    return Cost(request, stream, (long_stream - stream) / CHUNKS, reads / STREAMS / (CHUNKS + 1))


def run(rounds: int) -> dict[str, dict[str, float]]:
    """Medians over alternating rounds, by target."""
    costs: dict[str, list[Cost]] = {"minimal": [], "pass-through": []}
    with (
        process("upstream") as upstream,
        process("minimal") as minimal,
        process("pass-through", upstream) as relay,
    ):
        for _ in range(rounds):
            for name, address in (("minimal", minimal), ("pass-through", relay)):
                costs[name].append(uvloop.run(measure(address)))
    return {
        name: {
            field: round(statistics.median(getattr(cost, field) for cost in taken), 2)
            for field in ("per_request", "per_stream", "per_chunk", "reads_per_chunk")
        }
        for name, taken in costs.items()
    }


def main() -> None:
    """Measures, or plays a role for the process that measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--upstream", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        uvloop.run(serve(options.role, socket.socket(fileno=options.fd), options.upstream))
        return
    figures = run(options.rounds)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"CPU-µs, median of {options.rounds} rounds; {os.cpu_count()} cores\n")
    print(
        "| | per request | per 1-chunk stream | per chunk | reads per chunk |\n|---|---|---|---|---|"
    )
    for name, row in figures.items():
        print(f"| {name} | " + " | ".join(f"{value:g}" for value in row.values()) + " |")


if __name__ == "__main__":
    main()
