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


class SlowClient:
    """Takes so many bytes at each look."""

    def __init__(self, takes: list[int]) -> None:
        self.takes = takes
        self.taken = 0
        self.looks = 0
        self.stalled = asyncio.Event()

    def flushed_bytes(self) -> int:
        self.looks += 1
        if self.takes:
            self.taken += self.takes.pop(0)
        return self.taken


def watch(client: SlowClient) -> WriteStall:
    return WriteStall(
        asyncio.get_running_loop(),
        0.08,
        flushed_bytes=client.flushed_bytes,
        on_stalled=client.stalled.set,
    )


def test_a_client_that_takes_nothing_has_stalled(run: Callable) -> None:
    """After the whole time without a byte, and not before."""

    async def main() -> None:
        client = SlowClient([])
        stall = watch(client)
        began = asyncio.get_running_loop().time()
        stall.begin(began)
        await client.stalled.wait()
        assert asyncio.get_running_loop().time() >= began + 0.08
        stall.close()

    run(main())


def test_a_byte_now_and_then_is_progress(run: Callable) -> None:
    """Frames of further writes make it look like less for a moment, which is no progress."""

    async def main() -> None:
        client = SlowClient([0, 1, 0, 1, -5, 6, 1, 0, 1])
        stall = watch(client)
        stall.begin(asyncio.get_running_loop().time())
        await client.stalled.wait()
        assert client.takes == []
        assert client.looks >= 12
        stall.close()

    run(main())


def test_who_has_caught_up_is_not_watched(run: Callable) -> None:
    async def main() -> None:
        client = SlowClient([])
        stall = watch(client)
        stall.begin(asyncio.get_running_loop().time())
        stall.end()
        await asyncio.sleep(0.12)
        assert not client.stalled.is_set()
        stall.close()

    run(main())
