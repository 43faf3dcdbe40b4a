"""CPU-µs of a request and of a chunk: Rempart beside a minimal handler, nginx and the fastest peer.

CPU time is that of a target's whole process tree, less what it uses when idle, divided by what succeeded.
Targets take turns, in another order each round; every figure is given as least and median of the rounds.

- *request*: a chat request of 2 KB that is not streamed, answered with one chunk at once.
- *1-chunk stream*: the same, streamed.
- *chunk*: (stream of 200 chunks − stream of one) ÷ 199, 16 streams at a time; 10 ms apart, as models send,
  each chunk wakes the gateway; in a burst many come with one read.
- *assembled chunk*: Rempart streams from its upstream also for a client that does not stream, and puts the
  answer together, so that a hang-up is noticed; what each chunk more costs there.
"""

import asyncio
import contextlib
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench.compare import least_ratio, spread
from bench.load import closed_loop, errors_of
from bench.targets import Target, beside_rempart, mock_upstream, until_started

NAME = "request_cost"
AT_A_TIME = 16
CHUNKS = 200
PACED, BURST = f"{CHUNKS}x10ms", f"{CHUNKS}x0ms"
FIGURES = ("request_us", "stream_us", "chunk_us", "burst_chunk_us", "assembled_chunk_us")
REFERENCE = "nginx"
SETTLE_S = 0.05
"""Work that a gateway does after the last byte (logs, callbacks)."""


@dataclass(frozen=True)
class Effort:
    """How much work; many short rounds say more than few long ones."""

    rounds: int = 8
    requests: int = 600
    streams: int = 400
    paced_streams: int = 16
    burst_streams: int = 32
    idle_s: float = 0.5


QUICK = Effort(rounds=2, requests=400, streams=300)


class Failed(Exception):
    """A target did not answer as it should."""


class Meter:
    """Sends loads to one target and takes its CPU time."""

    def __init__(self, target: Target, effort: Effort) -> None:
        self.target = target
        self._effort = effort
        self._idle_share = 0.0

    async def round(self) -> dict[str, float]:
        """One round: every figure."""
        effort = self._effort
        await self._cost_us(AT_A_TIME, stream=False)
        await self._cost_us(AT_A_TIME, stream=True)
        await self._learn_idle()
        request_us = await self._cost_us(effort.requests, stream=False)
        stream_us = await self._cost_us(effort.streams, stream=True)
        paced_us = await self._cost_us(effort.paced_streams, PACED, stream=True)
        burst_us = await self._cost_us(effort.burst_streams, BURST, stream=True)
        found = {
            "request_us": request_us,
            "stream_us": stream_us,
            "chunk_us": (paced_us - stream_us) / (CHUNKS - 1),
            "burst_chunk_us": (burst_us - stream_us) / (CHUNKS - 1),
        }
        if self.target.name == "rempart":
            whole_us = await self._cost_us(effort.paced_streams, PACED, stream=False)
            found["assembled_chunk_us"] = (whole_us - request_us) / (CHUNKS - 1)
        return found

    async def _learn_idle(self) -> None:
        before_s, began_s = self.target.cpu_s(), time.perf_counter()
        await asyncio.sleep(self._effort.idle_s)
        used_s = self.target.cpu_s() - before_s
        self._idle_share = used_s / (time.perf_counter() - began_s)

    async def _cost_us(self, count: int, shape: str = "", *, stream: bool) -> float:
        """CPU-µs for each of ``count`` requests."""
        request = self.target.request(shape=shape, stream=stream)
        before_s, began_s = self.target.cpu_s(), time.perf_counter()
        samples = await closed_loop(
            self.target.address, [request] * count, connections=AT_A_TIME, stream=stream
        )
        await asyncio.sleep(SETTLE_S)
        idle_s = self._idle_share * (time.perf_counter() - began_s)
        used_s = self.target.cpu_s() - before_s - idle_s
        if errors := errors_of(samples):
            raise Failed(f"{self.target.name}: {errors}")
        return max(used_s, 0.0) / len(samples) * 1e6


async def take_rounds(
    targets: Sequence[Target], effort: Effort
) -> dict[str, dict[str, list[float]]]:
    """Target → figure → its rounds."""
    meters = [Meter(target, effort) for target in targets]
    for target in targets:
        await until_started(target)
    taken: dict[str, dict[str, list[float]]] = {target.name: {} for target in targets}
    for number in range(effort.rounds):
        shift = number * len(meters) // effort.rounds
        for meter in meters[shift:] + meters[:shift]:
            for figure, value in (await meter.round()).items():
                taken[meter.target.name].setdefault(figure, []).append(value)
    return taken


def measure(*, quick: bool = False) -> dict[str, Any]:
    """The figures of all targets, and their ratios to nginx's."""
    effort = QUICK if quick else Effort()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        mock_upstream(Path(name)) as upstream,
        contextlib.ExitStack() as stack,
    ):
        targets, missing = beside_rempart(stack, Path(name), upstream)
        taken = uvloop.run(take_rounds(targets, effort))
    return {
        "effort": asdict(effort),
        "missing": missing,
        "targets": [
            {
                "name": target.name,
                "version": target.version,
                "figures": {name: asdict(spread(values)) for name, values in rounds.items()},
                "against_reference": _ratios(rounds, taken[REFERENCE]),
            }
            for target, rounds in zip(targets, taken.values(), strict=True)
        ],
    }


def _ratios(rounds: dict[str, list[float]], reference: dict[str, list[float]]) -> dict[str, float]:
    """Least against least, where both have the figure and it is above 0."""
    return {
        name: least_ratio(values, reference[name])
        for name, values in rounds.items()
        if name in reference and min(reference[name]) > 0 and math.isfinite(min(values))
    }
