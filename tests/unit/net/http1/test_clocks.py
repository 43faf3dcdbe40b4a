"""A connection's clocks."""

import asyncio
from collections.abc import Callable

from rempart.net.http1.clocks import Alarm, BodyRate, WriteStall
from rempart.net.http1.limits import ServerLimits


def test_an_alarm_calls_once_at_its_moment(run: Callable) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        rung: asyncio.Queue[float] = asyncio.Queue(1)
        alarm = Alarm(loop, rung.put_nowait)
        at = loop.time() + 0.02
        alarm.set(at)
        assert await rung.get() >= at
        await asyncio.sleep(0.03)
        assert rung.empty()
        alarm.close()

    run(main())


def test_an_alarm_can_be_moved_both_ways(run: Callable) -> None:
    """Later costs no new timer; the call comes at the last moment set."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        rung: asyncio.Queue[float] = asyncio.Queue(1)
        alarm = Alarm(loop, rung.put_nowait)
        now = loop.time()
        alarm.set(now + 60)
        alarm.set(now + 0.01)
        alarm.set(now + 0.05)
        assert await rung.get() >= now + 0.05
        alarm.close()

    run(main())


def test_an_alarm_that_is_off_stays_silent_until_it_is_set_again(run: Callable) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        rung: asyncio.Queue[float] = asyncio.Queue(1)
        alarm = Alarm(loop, rung.put_nowait)
        alarm.set(loop.time() + 0.01)
        alarm.off()
        await asyncio.sleep(0.03)
        assert rung.empty()
        alarm.set(loop.time() + 0.01)
        await rung.get()
        alarm.set(loop.time() + 0.01)
        alarm.close()
        await asyncio.sleep(0.03)
        assert rung.empty()

    run(main())


LIMITS = ServerLimits(body_read_s=5, body_bytes_per_s_min=100, rate_window_s=10)


def test_a_body_in_time_is_fine() -> None:
    rate = BodyRate(LIMITS, now=100.0, received_bytes=0)
    for second in range(1, 60):
        rate.read(100.0 + second)
        assert rate.verdict(100.0 + second, received_bytes=100 * second) is None
        assert rate.next_look_at() > 100.0 + second


def test_silence_is_seen_at_its_bound() -> None:
    rate = BodyRate(LIMITS, now=100.0, received_bytes=0)
    rate.read(103.0)
    assert rate.next_look_at() == 108.0
    assert rate.verdict(107.9, received_bytes=5000) is None
    assert rate.verdict(108.0, received_bytes=5000) == "nothing came for 5 s"


def test_a_trickle_is_seen_after_a_window() -> None:
    """What came before the window does not help it."""
    rate = BodyRate(LIMITS, now=100.0, received_bytes=10_000)
    rate.read(109.9)
    assert rate.verdict(109.9, received_bytes=10_100) is None
    rate.read(110.0)
    assert rate.verdict(110.0, received_bytes=11_000) is None
    rate.read(120.0)
    missed = rate.verdict(120.0, received_bytes=11_999)
    assert missed == "less than 100 bytes per second came"


def test_a_stall_is_no_progress_for_long_enough() -> None:
    stall = WriteStall(8.0, now=100.0, flushed_bytes=50)
    assert stall.next_look_at(100.0) == 102.0
    assert not stall.is_over(107.9, flushed_bytes=50)
    assert not stall.is_over(107.9, flushed_bytes=51)
    assert not stall.is_over(115.8, flushed_bytes=51)
    assert stall.is_over(115.9, flushed_bytes=40)  # frames of further writes look like less
