"""How many streams at once stay clean, and what an open one takes in memory.

A client holds a number of streams open, one chunk each 20 ms, 64 chunks each, and starts the next when one
has ended. They are *clean* when every one is whole, none has a pause above ten times the pace, and none takes
longer than it should by more than that. The number is doubled until they are not, then halved in between.

Load, upstream and target share the machine, so that the figure says as much about it as about the
target: read the ratios. *Direct* is the upstream without anything before it.

Memory is what the process tree grew by with so many streams open, one chunk each second, divided by them.
"""

import asyncio
import contextlib
import gc
import json
import resource
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import uvloop

from bench.load import Connection, Sample, closed_loop
from bench.targets import Target, beside_rempart, mock_upstream, until_started

NAME = "clean_streams"
PACE_S = 0.02
CHUNKS = 64
SHAPE = f"{CHUNKS}x20ms"
PAUSE_S_MAX = 10 * PACE_S
LENGTH_S = (CHUNKS - 1) * PACE_S
STREAM_S_MAX = LENGTH_S + PAUSE_S_MAX + 1.0
"""A stream that takes longer is given up; it is not clean by then, but may wait for its head a while."""
FIRST_TRIED = 64
MOST_TRIED = 4096
CALM_S = 0.3
CALM_AFTER_S = 1.0
"""After streams that were broken off in the middle."""

OPEN_SHAPE = "60x1000ms"
OPEN_AT_A_TIME = 50
OPEN_S_MAX = 60.0
WARM_UP = 200
"""Short streams before anything is measured: what a target makes once is no stream's."""
SETTLE_S = 2.0
DESCRIPTORS_SPARE = 256


@dataclass(frozen=True)
class Effort:
    """How much work.

    Args:
        generations: streams that each connection has, one after the other.
        enough_share: the search ends when it knows the number to this share of it.
        chances: a number is only given up when so many trials in a row were not clean, since one
            hiccup of the machine is none of the target's.
        open_counts: streams held open when memory is looked at.
    """

    generations: int = 2
    enough_share: float = 0.06
    chances: int = 2
    open_counts: tuple[int, ...] = (1000, 5000)


QUICK = Effort(generations=1, enough_share=0.12, chances=1, open_counts=(1000,))


@dataclass(frozen=True)
class Trial:
    """So many streams at once, and whether they were clean; ``reason`` says what was not."""

    streams: int
    reason: str
    pause_ms_max: float

    @property
    def is_clean(self) -> bool:
        """See the module's text."""
        return not self.reason


def judge(streams: int, samples: Sequence[Sample]) -> Trial:
    """The verdict on the streams of one trial."""
    pause_s = max((sample.pause_s_max for sample in samples), default=0.0)
    late_s = max((sample.end_s - sample.first_s - LENGTH_S for sample in samples), default=0.0)
    reason = next((sample.error for sample in samples if sample.error), "")
    if not reason and pause_s > PAUSE_S_MAX:
        reason = f"a pause of {pause_s * 1000:.0f} ms"
    if not reason and late_s > PAUSE_S_MAX:
        reason = f"a stream {late_s * 1000:.0f} ms longer than it should be"
    return Trial(streams, reason, pause_s * 1000)


class NotClean(Exception):
    """One stream was not: the trial is decided."""


async def attempt(target: Target, streams: int, generations: int) -> Trial:
    """Hold so many streams open and judge them; ends with the first that is not clean."""
    request = target.request(shape=SHAPE, stream=True)
    samples: list[Sample] = []

    async def client(number: int) -> None:
        connection = Connection(target.address, timeout_s=STREAM_S_MAX)
        try:
            await asyncio.sleep(LENGTH_S * number / streams)  # not all at the same moment, ever
            for _ in range(generations):
                samples.append(await connection.request(request, stream=True))
                if not judge(streams, samples[-1:]).is_clean:
                    raise NotClean
        finally:
            connection.hang_up()

    try:
        async with asyncio.TaskGroup() as clients:
            for number in range(streams):
                clients.create_task(client(number))
    except* NotClean:
        await asyncio.sleep(CALM_AFTER_S)
    await asyncio.sleep(CALM_S)
    return judge(streams, samples)


async def search(
    is_clean: Callable[[int], Awaitable[bool]],
    enough_share: float,
    first: int = FIRST_TRIED,
    most: int = MOST_TRIED,
) -> int:
    """The largest number found clean, within ``enough_share`` of the smallest found not to be; 0 if none.

    Args:
        most: where the search ends when all is clean.
    """
    low, high = 0, 0
    number = first
    while not high:
        if await is_clean(number):
            low = number
            if number >= most:
                return low
            number = min(2 * number, most)
        else:
            high = number
    while high - low > max(1, enough_share * high):
        middle = (low + high) // 2
        if await is_clean(middle):
            low = middle
        else:
            high = middle
    return low


async def largest_clean(target: Target, effort: Effort) -> tuple[int, list[Trial]]:
    """The largest number of clean streams, and all trials on the way."""
    trials: list[Trial] = []

    async def is_clean(streams: int) -> bool:
        for _ in range(effort.chances):
            trials.append(await attempt(target, streams, effort.generations))
            if trials[-1].is_clean:
                return True
        return False

    # A collection of the load's own garbage would look like a pause of the target.
    gc.collect()
    gc.disable()
    try:
        return await search(is_clean, effort.enough_share), trials
    finally:
        gc.enable()


class Taker(asyncio.Protocol):
    """Reads and forgets: one open stream should cost the load next to nothing."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport = cast(asyncio.Transport, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def hang_up(self) -> None:
        """Go away."""
        self._transport.abort()


async def memory_when_open(
    target: Target, mock: str, counts: Sequence[int]
) -> list[dict[str, Any]]:
    """For each count: streams that are open, memory of the tree, and what a stream takes of it."""
    loop = asyncio.get_running_loop()
    host, port = target.address.removeprefix("http://").split(":")
    request = target.request(shape=OPEN_SHAPE, stream=True)
    short = target.request(stream=True)
    await closed_loop(target.address, [short] * WARM_UP, connections=16, stream=True)
    await until_started(target)
    idle_bytes = target.memory_bytes()
    takers: list[Taker] = []
    found = []
    try:
        for count in counts:
            while len(takers) < count:
                more = min(OPEN_AT_A_TIME, count - len(takers))
                opened = await asyncio.gather(
                    *(
                        loop.create_connection(lambda: Taker(request), host, int(port))
                        for _ in range(more)
                    )
                )
                takers += [taker for _, taker in opened]
            await until_answering(mock, count)
            await asyncio.sleep(SETTLE_S)
            grown_bytes = target.memory_bytes() - idle_bytes
            open_count = await asyncio.to_thread(answering, mock)
            found.append(
                {
                    "asked": count,
                    "open": open_count,
                    "idle_mib": idle_bytes / 2**20,
                    "mib": (idle_bytes + grown_bytes) / 2**20,
                    "kib_per_stream": grown_bytes / 1024 / max(open_count, 1),
                }
            )
    finally:
        for taker in takers:
            taker.hang_up()
        await asyncio.sleep(CALM_S)
    return found


async def until_answering(mock: str, count: int) -> None:
    """Wait until the upstream has so many answers under way; whoever refuses some makes this wait in vain."""
    deadline_s = time.perf_counter() + OPEN_S_MAX
    while time.perf_counter() < deadline_s:
        if await asyncio.to_thread(answering, mock) >= count:
            return
        await asyncio.sleep(0.25)


def answering(mock: str) -> int:
    """Answers that the upstream has under way."""
    with urllib.request.urlopen(f"{mock}/stats", timeout=10) as answer:
        return int(json.load(answer)["answering"])


def raise_descriptor_limit() -> int:
    """As many descriptors as we may have, for us and what we start."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Clean streams and memory of Rempart, nginx and the upstream itself."""
    descriptors = raise_descriptor_limit()
    effort = QUICK if quick else Effort()
    wanted = effort.open_counts
    # A gateway needs two for each stream.
    counts = [count for count in wanted if 2 * count + DESCRIPTORS_SPARE <= descriptors]
    missing = {
        str(
            count
        ): f"it needs {2 * count + DESCRIPTORS_SPARE} descriptors, {descriptors} are allowed"
        for count in wanted
        if count not in counts
    }
    found = []
    with (
        tempfile.TemporaryDirectory(prefix="b-") as name,
        mock_upstream(Path(name)) as upstream,
        contextlib.ExitStack() as stack,
    ):
        started, _ = beside_rempart(stack, Path(name), upstream, with_peer=False)
        for target in (*started, Target("direct", upstream)):
            # Memory first: what the search leaves in the heap would be taken for nothing.
            is_direct = target.pid is None
            memory = [] if is_direct else uvloop.run(memory_when_open(target, upstream, counts))
            streams, trials = uvloop.run(largest_clean(target, effort))
            found.append(
                {
                    "name": target.name,
                    "clean_streams": streams,
                    "first_not_clean": next(
                        (
                            t.reason
                            for t in sorted(trials, key=lambda t: t.streams)
                            if t.streams > streams
                        ),
                        "",
                    ),
                    "trials": len(trials),
                    "memory": memory,
                }
            )
    by_name = {str(target["name"]): cast(int, target["clean_streams"]) for target in found}
    return {
        "targets": found,
        "missing": missing,
        "against": {
            reference: by_name["rempart"] / by_name[reference]
            for reference in ("nginx", "direct")
            if by_name[reference]
        },
    }
