"""Limits are taken at once, told truly, and settled to what was used at every end."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.exchanges import exchange_of
from rempart.domain.errors import RempartError, RunnerError, UpstreamError
from rempart.domain.keys import Principal
from rempart.domain.limits import Unit
from rempart.domain.models import Facts, ModelStatus, RunnerState
from rempart.gateway.exchange import Call, Exchange
from rempart.gateway.limits.step import UNSEEN_TOKENS, Limits
from rempart.settings.model import Model, Settings
from rempart.settings.protection import Prices
from rempart.state.shared.limits.interface import Demand
from rempart.state.shared.limits.memory import MemoryLimits

START = datetime(2026, 11, 25, tzinfo=UTC)


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.ms = 0

    def now(self) -> float:
        return self.ms / 1000

    def wall(self) -> datetime:
        return START + timedelta(milliseconds=self.ms)


class Seen:
    """The part of a shape that tells usage."""

    def __init__(self) -> None:
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.chunk_count = 0


class Models:
    is_accepting = True
    statuses = {  # noqa: RUF012 - never changed
        "m": ModelStatus(
            name="m", kind="command", state=RunnerState.READY, facts=Facts(context_length=4096)
        )
    }


class Counts:
    def __init__(self) -> None:
        self.refused: list[tuple[str, str]] = []
        self.limit_refusals = self
        self.limits_unsettled = self

    def add(self, amount: float, *labels: str) -> None:
        self.refused.append(cast("tuple[str, str]", labels))


class Bench:
    """The step over a store in memory, and what a test needs to look into it."""

    def __init__(self, *, is_ours: bool = True, exact: int | None = None, **limits: int | None):
        self.clock = HandClock()
        self.store = MemoryLimits()
        self.exact_asked = 0

        async def count(exchange: Exchange, call: Call, status: ModelStatus) -> int | None:
            self.exact_asked += 1
            return exact

        prices = Prices(prompt=1.0, completion=2.0)
        self.limits = Limits(
            store=self.store,
            settings=Settings(models=[Model(name="m", source="demo", prices=prices)]),
            models=cast("Any", Models()),
            clock=self.clock,
            owner="me",
            project_limits=lambda id_: {},
            count=count,
            tells_each_token=lambda model: is_ours,
            metrics=cast("Any", Counts()),
        )
        self.principal = Principal(
            id="k", scopes=frozenset(), limits=cast("Any", limits), is_unlimited=True
        )
        self.number = 0

    def exchange(self, **document: Any) -> tuple[Exchange, Seen]:
        exchange, _ = exchange_of(body={})
        self.number += 1
        exchange.id = f"r{self.number}"
        exchange.principal = self.principal
        seen = Seen()
        body = {"messages": [{"role": "user", "content": "Bonjour"}], **document}
        exchange.call = Call(
            model="m", endpoint="/chat/completions", document=body, shape=cast("Any", seen)
        )
        return exchange, seen

    def left(self, name: str, amount_max: int) -> int:
        unit, window_s = {
            "tokens_per_minute": (Unit.TOKENS, 60),
            "concurrent_requests": (Unit.AT_A_TIME, 0),
            "requests_per_minute": (Unit.REQUESTS, 60),
        }[name]
        demand = Demand(
            subject="key:k",
            name=name,
            unit=unit,
            window_s=window_s,
            amount=1,
            amount_max=amount_max,
        )
        now_ms = int(self.clock.wall().timestamp() * 1000)
        return self.store.standings([demand], now_ms)[0].remaining


def started(exchange: Exchange) -> None:
    exchange.sent_count = 1


def test_a_client_that_waits_as_told_is_let_in_and_one_millisecond_earlier_it_is_not() -> None:
    async def scenario() -> None:
        bench = Bench(requests_per_minute=3)
        for pause_ms in (0, 700, 1300):
            bench.clock.ms += pause_ms
            exchange, _ = bench.exchange()
            async with bench.limits.reserve(exchange):
                pass
        exchange, _ = bench.exchange()
        with pytest.raises(RempartError) as refused:
            async with bench.limits.reserve(exchange):
                pass
        wait_ms = round((refused.value.retry_after_s or 0) * 1000)
        assert wait_ms == 58_000
        bench.clock.ms += wait_ms - 1
        with pytest.raises(RempartError):
            bench.limits.look(exchange)
        bench.clock.ms += 1
        bench.limits.look(exchange)
        async with bench.limits.reserve(exchange):
            pass

    asyncio.run(scenario())


def test_a_look_charges_nothing() -> None:
    async def scenario() -> None:
        bench = Bench(requests_per_minute=2)
        exchange, _ = bench.exchange()
        for _ in range(10):
            bench.limits.look(exchange)
        assert bench.left("requests_per_minute", 2) == 2

    asyncio.run(scenario())


def test_a_refused_request_takes_nothing_of_its_other_limits() -> None:
    async def scenario() -> None:
        bench = Bench(requests_per_minute=5, tokens_per_minute=100, concurrent_requests=1)
        exchange, _ = bench.exchange(max_tokens=200)
        with pytest.raises(RempartError):
            async with bench.limits.reserve(exchange):
                pass
        assert bench.left("requests_per_minute", 5) == 5
        assert bench.left("tokens_per_minute", 100) == 100
        assert bench.left("concurrent_requests", 1) == 1

    asyncio.run(scenario())


def test_a_prompt_whose_bound_does_not_fit_is_counted_exactly() -> None:
    async def scenario() -> None:
        bench = Bench(tokens_per_minute=100, exact=20)
        exchange, seen = bench.exchange(max_tokens=50)
        async with bench.limits.reserve(exchange):
            assert bench.left("tokens_per_minute", 100) == 30
            started(exchange)
            seen.prompt_tokens, seen.completion_tokens = 20, 10
        assert (bench.exact_asked, bench.left("tokens_per_minute", 100)) == (1, 70)
        assert exchange.cost == (20 * 1.0 + 10 * 2.0) / 1e6

    asyncio.run(scenario())


def test_what_was_reserved_for_the_answer_is_written_into_the_request() -> None:
    async def scenario() -> None:
        bench = Bench(tokens_per_minute=2000)
        exchange, _ = bench.exchange(n=2)
        async with bench.limits.reserve(exchange):
            assert exchange.call is not None
            assert exchange.call.document is not None
            assert exchange.call.document["max_tokens"] == 250
        free, _ = Bench().exchange()
        async with Bench().limits.reserve(free):
            assert "max_tokens" not in (free.call.document or {}) if free.call else False

    asyncio.run(scenario())


ENDS: dict[str, Callable[[Exchange, Seen], Exception | None]] = {}


def end(function: Callable[[Exchange, Seen], Exception | None]) -> None:
    ENDS[function.__name__] = function


@end
def answered(exchange: Exchange, seen: Seen) -> None:
    started(exchange)
    seen.prompt_tokens, seen.completion_tokens = 11, 7


@end
def refused_in_the_queue(exchange: Exchange, seen: Seen) -> Exception:
    return RunnerError(reason="x")


@end
def refused_by_the_upstream(exchange: Exchange, seen: Seen) -> Exception:
    started(exchange)
    return UpstreamError(upstream_status=400, reason="no")


@end
def cut_after_three_chunks(exchange: Exchange, seen: Seen) -> Exception:
    started(exchange)
    seen.chunk_count = 3
    return RunnerError(reason="died")


def used_in(name: str, prompt: int, answer: int, *, is_ours: bool) -> int:
    if name == "answered":
        return 18
    if name in ("refused_in_the_queue", "refused_by_the_upstream"):
        return 0
    return prompt + (min(answer, 6 + UNSEEN_TOKENS) if is_ours else answer)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*range(4)]), max_size=8), st.booleans())
def test_the_ledger_balances_to_the_token_after_any_sequence_of_ends(
    ends: list[int], is_ours: bool
) -> None:
    async def scenario() -> None:
        bench = Bench(is_ours=is_ours, tokens_per_minute=10_000, concurrent_requests=1)
        used = 0
        for number in ends:
            name, finish = list(ENDS.items())[number]
            exchange, seen = bench.exchange(max_tokens=100)
            before = bench.left("tokens_per_minute", 10_000)
            error = None
            try:
                async with bench.limits.reserve(exchange):
                    reserved = before - bench.left("tokens_per_minute", 10_000)
                    assert bench.left("concurrent_requests", 1) == 0
                    error = finish(exchange, seen)
                    if error is not None:
                        raise error
            except RempartError:
                pass
            used += used_in(name, reserved - 100, 100, is_ours=is_ours)
            assert bench.left("tokens_per_minute", 10_000) == 10_000 - used
            assert bench.left("concurrent_requests", 1) == 1

    asyncio.run(scenario())
