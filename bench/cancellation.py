"""From a client's hang-up until the runner's slot is free, in every stage, and what was generated in vain.

Slots are looked at every 2 ms at the runner's own door. Straight at the same runner stands beside it, so that
what Rempart adds can be told from what the engine takes to stop.
"""

import asyncio
import json
import random
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench.compare import quantile
from bench.demo_server import MODEL, SLOTS, DemoServer, RunnerDoor, demo_server
from bench.load import Connection, chat_request
from bench.targets import TargetFailed
from lab.server import ADMIN_KEY

NAME = "cancellation"
LOOK_S = 0.002
STAGE_S_MAX = 60.0
CHUNKS_READ = (2, 9)
"""A client in decode goes after so many events, from and to."""
IN_DECODE_S = 0.25
"""An unstreamed client in decode cannot see where its answer stands; it goes this long after its slot."""
IN_PREFILL_S = 0.02
PREFILL_WORDS = 900
MANY_TOKENS = 1000
DECODE_TARGET_MS = (100.0, 300.0)
"""Median and p99."""
PREFILL_BATCHES, PREFILL_SPARE_MS = 2, 100.0
IN_FLIGHT = "rempart_requests_in_flight"
WASTED = "rempart_wasted_tokens_total"


@dataclass(frozen=True)
class Counts:
    """Hang-ups per stage."""

    decode: int = 100
    unstreamed: int = 20
    straight: int = 50
    prefill: int = 10
    queued: int = 20


QUICK = Counts(decode=25, unstreamed=5, straight=15, prefill=3, queued=5)


class Stages:
    """Hang-ups in each stage; every method gives milliseconds."""

    def __init__(self, server: DemoServer, door: RunnerDoor) -> None:
        self._server = server
        self._door = door
        self._chance = random.Random(1)
        self._number = 0

    async def in_decode(self, *, straight: bool = False) -> float:
        """A stream, after some of its chunks."""
        connection, request = self._asked(straight=straight)
        enough = asyncio.Event()
        events_left = self._chance.randint(*CHUNKS_READ)

        def count() -> None:
            if connection.events >= events_left:
                enough.set()

        connection.on_content = count
        await connection.connect()
        connection.send(request, stream=True)
        async with asyncio.timeout(STAGE_S_MAX):
            await enough.wait()
        return await self._hang_up(connection)

    async def unstreamed_in_decode(self) -> float:
        """A client that gets no byte before the end."""
        connection, request = self._asked(stream=False)
        await connection.connect()
        connection.send(request, stream=False)
        await self._until_busy(1)
        await asyncio.sleep(IN_DECODE_S)
        return await self._hang_up(connection)

    async def in_prefill(self) -> float:
        """A long prompt, soon after it has its slot.

        Raises:
            TargetFailed: tokens came already.
        """
        connection, request = self._asked(words=PREFILL_WORDS)
        await connection.connect()
        connection.send(request, stream=True)
        await self._until_busy(1)
        await asyncio.sleep(IN_PREFILL_S)
        if connection.events:
            raise TargetFailed("the prompt was read before its client could hang up")
        return await self._hang_up(connection)

    async def queued(self) -> float:
        """One more than there are slots; free is it when the gateway no longer has its request."""
        others = []
        for _ in range(SLOTS):
            connection, request = self._asked()
            await connection.connect()
            connection.send(request, stream=True)
            others.append(connection)
        await self._until_busy(SLOTS)
        before = await self._in_flight()
        last, request = self._asked()
        await last.connect()
        last.send(request, stream=True)
        await self._until(lambda: self._is_in_flight(before + 1), "a request that waits")
        last.hang_up()
        began_s = time.perf_counter()
        await self._until(lambda: self._is_in_flight(before), "the queue without it")
        took_ms = (time.perf_counter() - began_s) * 1000
        for connection in others:
            connection.hang_up()
        await self._until_busy(0)
        return took_ms

    def _asked(
        self, *, stream: bool = True, straight: bool = False, words: int = 8
    ) -> tuple[Connection, bytes]:
        """A connection, and a request for more tokens than anybody waits for, with a prompt of its own."""
        self._number += 1
        text = f"{self._number:04d}. " + " ".join(["story"] * words)
        document = {
            "model": MODEL,
            "messages": [{"role": "user", "content": text}],
            "stream": stream,
            "max_tokens": MANY_TOKENS,
            "ignore_eos": True,
        }
        server = self._server
        key = server.runner_key if straight else server.key
        address = server.runner_address if straight else server.address
        return Connection(address), chat_request(document, api_key=key)

    async def _hang_up(self, connection: Connection) -> float:
        connection.hang_up()
        began_s = time.perf_counter()
        await self._until_busy(0)
        return (time.perf_counter() - began_s) * 1000

    async def _until_busy(self, count: int) -> None:
        async def is_so() -> bool:
            return await self._door.busy_count() == count

        await self._until(is_so, f"{count} busy slots")

    async def _is_in_flight(self, count: float) -> bool:
        return await self._in_flight() == count

    async def _in_flight(self) -> float:
        return await asyncio.to_thread(metric, self._server.address, IN_FLIGHT)

    async def _until(self, is_so: Callable[[], Awaitable[bool]], what: str) -> None:
        deadline_s = time.perf_counter() + STAGE_S_MAX
        while not await is_so():
            if time.perf_counter() > deadline_s:
                raise TargetFailed(f"in vain for {STAGE_S_MAX:g} s: {what}")
            await asyncio.sleep(LOOK_S)


def metric(address: str, name: str) -> float:
    """The sum of a metric's series."""
    request = urllib.request.Request(
        f"{address}/metrics", headers={"authorization": f"Bearer {ADMIN_KEY}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    series = [line for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
    return sum(float(line.rpartition(" ")[2]) for line in series)


async def hang_ups(server: DemoServer, counts: Counts) -> dict[str, Any]:
    """All stages, and the two counts of wasted tokens."""
    door = RunnerDoor(server)
    try:
        stages = Stages(server, door)
        found: dict[str, Any] = {
            "decode": [await stages.in_decode() for _ in range(counts.decode)],
            "decode, unstreamed": [
                await stages.unstreamed_in_decode() for _ in range(counts.unstreamed)
            ],
            "prefill": [await stages.in_prefill() for _ in range(counts.prefill)],
            "queued": [await stages.queued() for _ in range(counts.queued)],
        }
        wasted = {
            "hang_ups": counts.decode
            + counts.unstreamed
            + counts.prefill
            + counts.queued * (SLOTS + 1),
            "runner": (await door.counters())["wasted_tokens"],
            "metric": await wasted_by_metric(server, door),
        }
        # Last: what goes straight at the runner is in its counter, and none of Rempart's business.
        found["decode, straight at the runner"] = [
            await stages.in_decode(straight=True) for _ in range(counts.straight)
        ]
    finally:
        await door.close()
    return {"stages": found, "wasted_tokens": wasted}


async def wasted_by_metric(server: DemoServer, door: RunnerDoor) -> float:
    """The metric, once it has had a moment to hear of the last one."""
    own = (await door.counters())["wasted_tokens"]
    deadline_s = time.perf_counter() + 5.0
    while True:
        counted = await asyncio.to_thread(metric, server.address, WASTED)
        if counted >= own or time.perf_counter() > deadline_s:
            return counted
        await asyncio.sleep(0.05)


def batch(data_dir: Path) -> dict[str, float]:
    """The batch that the runner measured as the best: its tokens, and milliseconds of one."""
    for path in (data_dir / "calibration").glob("*.json"):
        for choice in json.loads(path.read_bytes()).values():
            return {"tokens": choice[0], "ms": choice[1]}
    return {}


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Median, p99 and all values of each stage, in milliseconds."""
    counts = QUICK if quick else Counts()
    with tempfile.TemporaryDirectory(prefix="b-") as name, demo_server(Path(name)) as server:
        found = uvloop.run(hang_ups(server, counts))
        measured_batch = batch(server.server.data_dir)
    limit_ms = PREFILL_BATCHES * measured_batch.get("ms", 0.0) + PREFILL_SPARE_MS
    return {
        "stages": [
            {
                "name": name,
                "hang_ups": len(taken),
                "median_ms": quantile(taken, 0.5),
                "p99_ms": quantile(taken, 0.99),
                "taken_ms": taken,
            }
            for name, taken in found["stages"].items()
        ],
        "wasted_tokens": found["wasted_tokens"],
        "batch": measured_batch,
        "decode_target_ms": DECODE_TARGET_MS,
        "prefill_target_ms": limit_ms,
    }
