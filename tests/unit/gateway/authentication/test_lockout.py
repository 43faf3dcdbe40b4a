"""Wrong keys cost time, then everything; mistakes that are no guesses cost nothing."""

import asyncio

import pytest

from lab.exchanges import LoopClock
from lab.sim_loop import simulate
from rempart.domain.errors import (
    ExpiredApiKey,
    InvalidApiKey,
    RateLimitExceeded,
    RevokedApiKey,
    StateUnavailable,
)
from rempart.gateway.authentication import lockout as lockout_module
from rempart.gateway.authentication.failures import Failures
from rempart.gateway.authentication.lockout import DELAY_S_MAX, WAITING_MAX, Lockout
from rempart.settings.protection import Lockout as LockoutSettings
from rempart.state.shared.lockout.memory import MemoryLockout

SETTINGS = LockoutSettings(failures=5, window_s=60, block_s=300)


class Broken(MemoryLockout):
    def failed(self, *_: object) -> None:  # type: ignore[override]
        raise StateUnavailable(reason="away")


def lockout(settings: LockoutSettings = SETTINGS, store: MemoryLockout | None = None) -> Lockout:
    clock = LoopClock()
    return Lockout(
        store=store or MemoryLockout(), settings=settings, clock=clock, failures=Failures(clock)
    )


async def took_s(one: Lockout, address: str = "192.0.2.1") -> float:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await one.failed(address, InvalidApiKey())
    return round(loop.time() - began_s, 3)


@pytest.mark.requirement("problem-authentication")
def test_an_address_is_slowed_more_and_more_and_then_blocked_for_a_while() -> None:
    async def body() -> None:
        one = lockout()
        assert [await took_s(one) for _ in range(4)] == [0, 0, 0.1, 0.2]
        for _ in range(3):
            with pytest.raises(RateLimitExceeded) as refused:
                await one.failed("192.0.2.1", InvalidApiKey())
        error = refused.value
        assert error.details == {
            "limit_name": "failed_authentications", "limit": 5, "window_seconds": 60.0,
        }  # fmt: skip
        assert error.retry_after_s == pytest.approx(300)
        assert await took_s(one, "192.0.2.2") == 0
        await asyncio.sleep(301)
        assert await took_s(one) == 0

    simulate(body())


def test_failures_of_long_ago_do_not_add_up() -> None:
    async def body() -> None:
        one = lockout()
        for _ in range(10):
            assert await took_s(one) == 0
            await asyncio.sleep(31)

    simulate(body())


def test_an_ipv6_customer_is_counted_as_one() -> None:
    async def body() -> None:
        one = lockout()
        for number in range(4):
            await one.failed(f"2001:db8::{number}:1", InvalidApiKey())
        with pytest.raises(RateLimitExceeded):
            await one.failed("2001:db8::ffff", InvalidApiKey())

    simulate(body())


@pytest.mark.parametrize("error", [ExpiredApiKey(), RevokedApiKey()])
def test_a_key_that_has_ended_is_no_guess(error: Exception) -> None:
    async def body() -> None:
        one = lockout()
        for _ in range(20):
            await one.failed("192.0.2.1", error)  # type: ignore[arg-type]

    simulate(body())


def test_it_can_be_switched_off_and_failures_are_still_told() -> None:
    async def body() -> None:
        clock = LoopClock()
        failures = Failures(clock)
        one = Lockout(
            store=MemoryLockout(), settings=LockoutSettings(enabled=False, failures=1),
            clock=clock, failures=failures,
        )  # fmt: skip
        for _ in range(5):
            assert await took_s(one) == 0
        assert [found.count for found in failures.take()] == [5]

    simulate(body())


def test_a_store_that_is_away_opens_no_door_and_closes_none() -> None:
    async def body() -> None:
        one = lockout(store=Broken())
        for _ in range(20):
            assert await took_s(one) == 0

    simulate(body())


def test_answers_that_are_held_back_have_a_bound() -> None:
    async def body() -> None:
        one = lockout(LockoutSettings(failures=100_000))
        for _ in range(20):
            await one.failed("192.0.2.1", InvalidApiKey())
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        times_s: list[float] = []

        async def attempt() -> None:
            await one.failed("192.0.2.1", InvalidApiKey())
            times_s.append(round(loop.time() - began_s, 3))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(WAITING_MAX + 10):
                tasks.create_task(attempt())
        assert times_s == [0.0] * 10 + [DELAY_S_MAX] * WAITING_MAX
        assert one._waiting == 0

    simulate(body())


def test_an_attempt_that_is_given_up_gives_its_place_back() -> None:
    async def body() -> None:
        one = lockout(LockoutSettings(failures=100))
        for _ in range(10):
            await one.failed("192.0.2.1", InvalidApiKey())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await one.failed("192.0.2.1", InvalidApiKey())
        assert one._waiting == 0

    simulate(body())


def test_what_is_told_names_what_to_do() -> None:
    assert "valid one is let in" in lockout_module.BLOCKED
