"""Limit stores for tests: each back end, demands in few words, and the slow obvious model of a limit."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from rempart.domain.limits import Unit
from rempart.state.shared.environment import Environment
from rempart.state.shared.limits.interface import Demand, LimitStore
from rempart.state.shared.limits.lmdb import LmdbLimits
from rempart.state.shared.limits.memory import MemoryLimits

BACK_ENDS = ("memory", "lmdb")
LEASE_S = 900.0
SIZE_BYTES_MAX = 2**28


@contextlib.contextmanager
def opened(
    back_end: str, folder: Path, *, size_bytes_max: int = SIZE_BYTES_MAX
) -> Iterator[LimitStore]:
    """A store of this kind, empty unless ``folder`` holds one already."""
    if back_end == "memory":
        yield MemoryLimits(lease_s=LEASE_S)
        return
    environment = Environment(folder / "state.mdb", size_bytes_max=size_bytes_max)
    try:
        yield LmdbLimits(environment, monotonic_s=lambda: 0.0, lease_s=LEASE_S)
    finally:
        environment.close()


def requests(amount_max: int, window_s: int = 60, subject: str = "key:a") -> Demand:
    """One request of a limit of requests."""
    return Demand(
        subject=subject,
        name="requests_per_minute" if window_s == 60 else "requests_per_hour",
        unit=Unit.REQUESTS,
        window_s=window_s,
        amount=1,
        amount_max=amount_max,
    )


def tokens(amount: int, amount_max: int, window_s: int = 60, subject: str = "key:a") -> Demand:
    """So many tokens of a limit of tokens."""
    return Demand(
        subject=subject,
        name={60: "tokens_per_minute", 86400: "tokens_per_day"}.get(window_s, "tokens_per_month"),
        unit=Unit.TOKENS,
        window_s=window_s,
        amount=amount,
        amount_max=amount_max,
    )


def at_a_time(amount_max: int, subject: str = "key:a") -> Demand:
    """One place of a limit of requests at a time."""
    return Demand(
        subject=subject,
        name="concurrent_requests",
        unit=Unit.AT_A_TIME,
        window_s=0,
        amount=1,
        amount_max=amount_max,
    )


def most_in_any_window(events: list[tuple[int, int]], window_ms: int) -> int:
    """The largest sum of weights in any window of this length: (moment, weight), by brute force."""
    return max(
        (
            sum(weight for at, weight in events if start <= at < start + window_ms)
            for start, _ in events
        ),
        default=0,
    )
