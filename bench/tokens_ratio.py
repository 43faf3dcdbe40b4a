"""Tokens/s and time to first token of a real model: through Rempart against straight at the same runner.

Rounds come in pairs, straight and through, in turn the one and the other first, so that whatever else the
machine does falls on both. A round sends so many streams at once, each with a prompt of its own, exactly
as many tokens long (``ignore_eos``), temperature 0, fixed seed. Prompts differ between rounds in a number in front,
so that the runner's prompt cache has no part in it.

The runner has 4 slots and refuses more. With 8 and 16 streams, whoever goes straight therefore waits
outside until one of 4 connections is free, where Rempart queues; both do the same work, and times to first
token count from the start of the round, so that waiting counts in both.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench.compare import Interval, paired_ratio, quantile
from bench.demo_server import MODEL, SLOTS, DemoServer, demo_server
from bench.load import Sample, chat_request, closed_loop, errors_of

NAME = "tokens_ratio"
TARGET_RATIO = 0.97
STREAMS = (1, 4, 8, 16)
ROUND_S_MAX = 120.0
SUBJECTS = (
    *("a lighthouse", "a bakery", "a locksmith", "a river", "a school", "a violin"),
    *("a train", "a garden", "a storm", "a library", "a clock", "a bridge"),
    *("an orchard", "a harbour", "a mountain", "a market"),
)


@dataclass(frozen=True)
class Effort:
    """How much work.

    Args:
        tokens: of each stream; half as many where streams wait for one another, so that there are more pairs.
        seconds: for each number of streams, all its rounds together.
        pairs_min: rounds that there are whatever they take.
    """

    tokens: int = 64
    seconds: float = 130.0
    pairs_min: int = 8


QUICK = Effort(tokens=32, seconds=15.0, pairs_min=2)


@dataclass(frozen=True)
class Way:
    """One of the two ways to the runner."""

    address: str
    key: str
    connections_max: int | None


@dataclass(frozen=True)
class Round:
    """One round of one way."""

    tokens_per_s: float
    first_ms: list[float]


class Failed(Exception):
    """A round was not what it had to be, so that its figures would mean nothing."""


def prompt(number: int, stream: int) -> str:
    """The text of one stream; of the same number of tokens for every number of four digits."""
    return f"{number:04d}. Write a long story about {SUBJECTS[stream % len(SUBJECTS)]} in a small town."


async def take_round(way: Way, streams: int, number: int, tokens: int) -> Round:
    """All streams at once; ends with the last.

    Raises:
        Failed: a stream had an error, or not the number of tokens asked for.
    """
    requests = [
        chat_request(
            {
                "model": MODEL,
                "messages": [{"role": "user", "content": prompt(number, stream)}],
                "stream": True,
                "stream_options": {"include_usage": True},
                "max_tokens": tokens,
                "ignore_eos": True,
                "temperature": 0,
                "seed": 7,
            },
            api_key=way.key,
        )
        for stream in range(streams)
    ]
    began_s = time.perf_counter()
    samples = await closed_loop(
        way.address,
        requests,
        connections=min(streams, way.connections_max or streams),
        stream=True,
        due_at_once=True,
        seconds_max=ROUND_S_MAX,
        timeout_s=ROUND_S_MAX,
    )
    seconds = time.perf_counter() - began_s
    check(samples, streams, tokens)
    return Round(streams * tokens / seconds, [sample.first_ms for sample in samples])


def check(samples: Sequence[Sample], streams: int, tokens: int) -> None:
    """See ``take_round``."""
    errors = errors_of(samples)
    came = {sample.completion_tokens for sample in samples}
    if errors or len(samples) != streams or came != {tokens}:
        raise Failed(f"{len(samples)} of {streams} streams, errors {errors}, tokens {came}")


async def take_pairs(
    through: Way, straight: Way, streams: int, effort: Effort
) -> list[tuple[Round, Round]]:
    """Pairs of (through, straight) for about so long as the effort says.

    How many is decided by how long the first took, before anything is known of the ratio.
    """
    began_s = time.perf_counter()
    tokens = effort.tokens if streams <= SLOTS else effort.tokens // 2
    await take_round(straight, streams, 0, tokens)
    await take_round(through, streams, 1, tokens)
    pair_s = time.perf_counter() - began_s
    count = max(effort.pairs_min, (int(effort.seconds / pair_s) - 1) // 2 * 2)
    pairs = []
    for number in range(count):
        first, second = 2 + 2 * number, 3 + 2 * number
        if number % 2:
            one = await take_round(through, streams, first, tokens)
            other = await take_round(straight, streams, second, tokens)
        else:
            other = await take_round(straight, streams, first, tokens)
            one = await take_round(through, streams, second, tokens)
        pairs.append((one, other))
    return pairs


def figures(pairs: Sequence[tuple[Round, Round]]) -> dict[str, Any]:
    """Ratio with its interval, speeds, and times to first token of both ways."""
    interval: Interval = paired_ratio(
        [(one.tokens_per_s, other.tokens_per_s) for one, other in pairs]
    )
    through = [ms for one, _ in pairs for ms in one.first_ms]
    straight = [ms for _, other in pairs for ms in other.first_ms]
    found: dict[str, Any] = {"ratio": asdict(interval)}
    found["is_met"] = interval.low >= TARGET_RATIO
    for name, rounds, first in (
        ("through", [one for one, _ in pairs], through),
        ("straight", [other for _, other in pairs], straight),
    ):
        found[name] = {
            "tokens_per_s": quantile([one.tokens_per_s for one in rounds], 0.5),
            "first_ms_median": quantile(first, 0.5),
            "first_ms_p99": quantile(first, 0.99),
            "requests": len(first),
        }
    for share in ("median", "p99"):
        name = f"first_ms_{share}"
        found[f"added_{name}"] = found["through"][name] - found["straight"][name]
    return found


async def take_all(server: DemoServer, effort: Effort) -> dict[str, Any]:
    """Number of streams → its figures."""
    through = Way(server.address, server.key, None)
    straight = Way(server.runner_address, server.runner_key, SLOTS)
    found = {}
    for streams in STREAMS:
        found[str(streams)] = figures(await take_pairs(through, straight, streams, effort))
    return found


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Figures for each number of streams."""
    effort = QUICK if quick else Effort()
    with tempfile.TemporaryDirectory(prefix="b-") as name, demo_server(Path(name)) as server:
        return {
            "tokens": effort.tokens,
            "slots": SLOTS,
            "target": TARGET_RATIO,
            "streams": uvloop.run(take_all(server, effort)),
        }
