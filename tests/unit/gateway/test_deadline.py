"""One scope for clocks, departure and shutdown: trips in every state, once, and leaves nothing behind."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lab.exchanges import call_of, exchange_of
from lab.sim_loop import simulate
from rempart.domain.errors import (
    ClientClosed,
    InvalidRequest,
    RempartError,
    ShuttingDown,
    TimedOut,
)
from rempart.gateway.deadline import Clocks, Deadline, clocks_of, parse_timeout
from rempart.gateway.exchange import Exchange
from rempart.settings.model import Deadline as DeadlineSettings
from rempart.settings.model import ModelDeadline

CLOCKS = Clocks(queue_s=30.0, first_token_s=60.0, silence_s=20.0, total_s=600.0, unstreamed_s=90.0)
READ_S = 600.0


def scope(
    *, stream: bool | None = True, timeout: str | None = None, clocks: Clocks = CLOCKS
) -> tuple[Deadline, Exchange]:
    """A deadline and its exchange; ``stream`` None: the call is not known yet."""
    headers = {} if timeout is None else {"x-request-timeout": timeout}
    exchange, _ = exchange_of(headers=headers)
    if stream is not None:
        exchange.call = call_of(stream=stream)
    return Deadline(exchange, {"near": clocks}, READ_S), exchange


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


Acts = list[tuple[float, Callable[[Exchange], None]]]


def queue(exchange: Exchange) -> None:
    exchange.is_queued = True


def grant(exchange: Exchange) -> None:
    exchange.is_queued = False


def chunk(exchange: Exchange) -> None:
    exchange.note_chunk()


async def run_out(acts: Acts, **options: Any) -> tuple[float, RempartError]:
    """What trips, and after how many seconds, when these things happen at these seconds."""
    deadline, exchange = scope(**options)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    task = asyncio.current_task()
    assert task is not None
    with pytest.raises(RempartError) as caught:
        async with deadline:
            if exchange.call is not None:
                deadline.begin_call(exchange)
            for at_s, act in acts:
                loop.call_at(began_s + at_s, act, exchange)
            await forever()
    assert task.cancelling() == 0
    return round(loop.time() - began_s, 6), caught.value


@pytest.mark.parametrize(
    ("stream", "acts", "at_s", "clock", "limit_s"),
    [
        (True, [(0, queue)], 30, "queue", 30.0),
        (False, [(0, queue)], 30, "queue", 30.0),
        (True, [(3, queue)], 30, "queue", 30.0),
        (False, [(3, queue)], 30, "queue", 30.0),
        (True, [(0, queue), (29, grant)], 60, "first_token", 60.0),
        (False, [(0, queue), (29, grant)], 90, "total", 90.0),
        (False, [(1, chunk)], 90, "total", 90.0),
        (True, [], 60, "first_token", 60.0),
        (True, [(59, chunk)], 79, "silence", 20.0),
        (True, [(1, chunk)], 21, "silence", 20.0),
        (True, [(1, chunk), (20, chunk), (39.5, chunk)], 59.5, "silence", 20.0),
        (True, [(at, chunk) for at in range(1, 700, 15)], 600, "total", 600.0),
        (None, [], 600, "total", 600.0),
    ],
)
def test_each_clock_fires_at_its_time_and_names_itself(
    stream: bool | None, acts: Acts, at_s: float, clock: str, limit_s: float
) -> None:
    found_s, error = simulate(run_out(acts, stream=stream))
    assert isinstance(error, TimedOut)
    assert (found_s, error.details) == (at_s, {"clock": clock, "limit_s": limit_s})


def test_a_second_wait_for_a_slot_has_what_is_left_of_the_queue_clock() -> None:
    """Another attempt queues again."""
    acts: Acts = [(0, queue), (1, grant), (10, queue)]
    found_s, error = simulate(run_out(acts, stream=False))
    assert (found_s, error.details["clock"]) == (30, "queue")


@given(
    st.lists(st.floats(0.1, 100), min_size=1, max_size=12),
    st.builds(
        Clocks,
        queue_s=st.floats(1, 50),
        first_token_s=st.floats(1, 50),
        silence_s=st.floats(1, 50),
        total_s=st.floats(1, 500),
        unstreamed_s=st.floats(1, 500),
    ),
)
def test_a_stream_s_clocks_fire_exactly_when_the_obvious_model_says(
    pauses: list[float], clocks: Clocks
) -> None:
    acts: Acts = []
    at_s = 0.0
    for pause in pauses:
        at_s += pause
        acts.append((at_s, chunk))
    chunks = [at for at, _ in acts]
    assume(all(abs(pause - clocks.silence_s) > 1e-6 for pause in pauses))  # no dead heats
    assume(abs(chunks[0] - clocks.first_token_s) > 1e-6)
    # The model: the earliest of the ceiling, the first token's clock, and any gap that is too long.
    due = [(clocks.total_s, "total")]
    if chunks[0] > clocks.first_token_s:
        due.append((clocks.first_token_s, "first_token"))
    for before, after in zip(chunks, [*chunks[1:], float("inf")], strict=True):
        if after - before > clocks.silence_s:
            due.append((before + clocks.silence_s, "silence"))
    wanted_s, clock = min(due)
    found_s, error = simulate(run_out(acts, stream=True, clocks=clocks))
    assert found_s == pytest.approx(wanted_s, abs=1e-5)
    near = [name for moment, name in due if moment == pytest.approx(wanted_s, abs=1e-5)]
    assert error.details["clock"] in near
    assert clock in near


def test_a_chunk_sets_no_timer() -> None:
    """It costs one store: timers are looked at when they fire."""

    async def body() -> None:
        deadline, exchange = scope()
        async with deadline:
            deadline.begin_call(exchange)
            loop = asyncio.get_running_loop()
            before = len(loop._scheduled)  # type: ignore[attr-defined]
            for _ in range(100):
                exchange.note_chunk()
            assert len(loop._scheduled) == before  # type: ignore[attr-defined]

    simulate(body())


@pytest.mark.parametrize(
    ("timeout", "stream", "limit_s"),
    [
        ("5", True, 5.0),
        ("0.5", False, 0.5),
        ("10000", True, 600.0),
        ("10000", False, 90.0),
        (" 7 ", True, 7.0),
    ],
)
def test_a_client_can_only_lower_the_total(timeout: str, stream: bool, limit_s: float) -> None:
    acts = [(float(at), chunk) for at in range(1, 700, 10)]
    found_s, error = simulate(run_out(acts, stream=stream, timeout=timeout))
    assert (found_s, error.details) == (limit_s, {"clock": "total", "limit_s": limit_s})


@pytest.mark.parametrize(("timeout", "until_s"), [(None, 30.0), ("12", 12.0), ("100", 30.0)])
@pytest.mark.parametrize("stream", [True, False])
def test_a_slot_is_wanted_no_longer_than_it_is_of_use(
    timeout: str | None, until_s: float, stream: bool
) -> None:
    async def body() -> None:
        deadline, exchange = scope(stream=stream, timeout=timeout)
        async with deadline:
            deadline.begin_call(exchange)
            assert deadline.queue_until_s - exchange.started_s == until_s

    simulate(body())


def test_the_queue_s_clock_is_never_longer_than_the_first_token_s() -> None:
    clocks = CLOCKS._replace(queue_s=100.0, first_token_s=10.0)
    found_s, error = simulate(run_out([(0, queue)], clocks=clocks))
    assert found_s == 10.0
    assert error.details["limit_s"] == 10.0


@pytest.mark.parametrize(
    "value",
    [b"", b"0", b"0.0", b"-1", b"+1", b"1e3", b"nan", b"inf", b"1_0", b"1,5", b"1.2.3", b".", b"86401", b"5s",
     b"0x10", "٣".encode(), b"\xb2", b"1 0"],
)  # fmt: skip
def test_what_is_no_positive_number_of_seconds_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidRequest, match="X-Request-Timeout") as caught:
        parse_timeout(value)
    assert caught.value.param == "X-Request-Timeout"
    assert caught.value.details["fields"][0]["path"] == "X-Request-Timeout"


@given(st.floats(0.001, 86400).map(lambda seconds: round(seconds, 3)))
def test_any_plain_decimal_number_is_taken(seconds: float) -> None:
    assert parse_timeout(f"{seconds:.3f}".encode()) == seconds


@pytest.mark.parametrize("value", [b"5", b"5.", b".5", b"86400", b" 20 "])
def test_numbers_as_people_write_them_are_taken(value: bytes) -> None:
    assert parse_timeout(value) == float(value)


def test_a_wrong_header_is_told_before_any_wait() -> None:
    async def body() -> None:
        deadline, exchange = scope(timeout="soon")
        with pytest.raises(InvalidRequest):
            async with deadline:
                deadline.begin_call(exchange)

    simulate(body())


# Tripping, in every state.


async def trip_in(state: str, error: RempartError) -> tuple[BaseException | None, Exchange]:
    """What comes out of the scope when it is tripped in that state."""
    deadline, exchange = scope()
    loop = asyncio.get_running_loop()
    caught: BaseException | None = None
    if state == "before":
        deadline.trip(error)
    try:
        async with deadline:
            deadline.begin_call(exchange)
            match state:
                case "waiting":
                    loop.call_later(1.0, deadline.trip, error)
                    await forever()
                case "twice":
                    loop.call_later(1.0, deadline.trip, error)
                    loop.call_later(1.0, deadline.trip, ShuttingDown())
                    await forever()
                case "ready in the same tick":
                    waiter = loop.create_future()
                    loop.call_later(1.0, waiter.set_result, None)
                    loop.call_later(1.0, deadline.trip, error)
                    await waiter
                case "failed in the same tick":
                    waiter = loop.create_future()
                    loop.call_later(1.0, waiter.set_exception, ValueError("it failed"))
                    loop.call_later(1.0, deadline.trip, error)
                    await waiter
                case "before the first wait":
                    loop.call_soon(deadline.trip, error)
                    await asyncio.sleep(0)
    except BaseException as found:
        caught = found
    if state == "after":
        deadline.trip(error)
    await asyncio.sleep(0)  # a cancellation that was left over would hit here
    await asyncio.sleep(1000)  # and a timer that was left over here
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    return caught, exchange


@pytest.mark.parametrize(
    "state",
    [
        "waiting",
        "twice",
        "ready in the same tick",
        "failed in the same tick",
        "before the first wait",
    ],
)
def test_the_first_error_it_is_tripped_with_comes_out(state: str) -> None:
    error = TimedOut(clock="total", limit_s=1.0)
    caught, exchange = simulate(trip_in(state, error))
    assert caught is error
    assert exchange.reply.on_gone is None


@pytest.mark.parametrize("state", ["before", "after"])
def test_outside_of_the_scope_nothing_is_tripped(state: str) -> None:
    caught, _ = simulate(trip_in(state, ClientClosed()))
    assert caught is None


def test_a_trip_that_came_too_early_does_not_spend_the_one_that_counts() -> None:
    async def body() -> None:
        deadline, exchange = scope()
        deadline.trip(ClientClosed())
        with pytest.raises(TimedOut):
            async with deadline:
                deadline.begin_call(exchange)
                await forever()

    simulate(body())


def test_it_has_one_timer_and_leaves_none() -> None:
    def timers() -> int:
        scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        return sum(not handle.cancelled() for handle in scheduled)

    async def body() -> None:
        deadline, exchange = scope()
        async with deadline:
            assert timers() == 1
            deadline.begin_call(exchange)
            assert timers() == 1
        assert timers() == 0

    simulate(body())


def test_a_task_that_was_cancelled_before_can_still_be_tripped() -> None:
    """Its earlier cancellation was caught, and is none of this scope's business."""

    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(1)
        assert task.cancelling() == 1
        deadline, exchange = scope()
        with pytest.raises(TimedOut):
            async with deadline:
                deadline.begin_call(exchange)
                await forever()
        assert task.cancelling() == 1

    simulate(body())


def test_a_body_that_never_waits_keeps_its_own_end() -> None:
    """It was done before the trip could reach it; the cancellation must not hit anything later."""

    async def body() -> None:
        deadline, exchange = scope()
        exchange.reply.lose()  # the client left before the request's task ran
        with pytest.raises(ValueError, match="mine"):
            async with deadline:
                raise ValueError("mine")
        async with scope()[0]:
            pass
        await asyncio.sleep(1)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    simulate(body())


@pytest.mark.parametrize("when", ["before", "later"])
def test_a_client_that_leaves_trips_it(when: str) -> None:
    async def body() -> None:
        deadline, exchange = scope()
        if when == "before":
            exchange.reply.lose()
        else:
            asyncio.get_running_loop().call_later(3.0, exchange.reply.lose)
        with pytest.raises(ClientClosed):
            async with deadline:
                deadline.begin_call(exchange)
                await forever()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    simulate(body())


def test_an_error_of_the_body_s_own_is_not_replaced_by_a_later_trip() -> None:
    """Cleaning up after the trip, the body failed in its own way: that is the better finding."""

    async def body() -> None:
        deadline, _ = scope()
        asyncio.get_running_loop().call_later(1.0, deadline.trip, ShuttingDown())
        with pytest.raises(ValueError, match="broken"):
            async with deadline:
                try:
                    await forever()
                finally:
                    raise ValueError("broken")

    simulate(body())


@pytest.mark.parametrize("order", ["outside first", "trip first", "outside alone"])
def test_a_cancellation_from_outside_is_never_swallowed(order: str) -> None:
    """The worker ends: whatever the request's own scope wants to say, its task must go."""

    async def inner(deadlines: list[Deadline]) -> None:
        deadline, _ = scope()
        deadlines.append(deadline)
        async with deadline:
            await forever()

    async def body() -> None:
        deadlines: list[Deadline] = []
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(inner(deadlines))
            await asyncio.sleep(1)
            if order == "trip first":
                deadlines[0].trip(ShuttingDown())
            task.cancel()
            if order == "outside first":
                deadlines[0].trip(ShuttingDown())
            await asyncio.wait([task])
        assert task.cancelled()

    simulate(body())


def test_an_outer_timeout_keeps_its_own_error() -> None:
    async def body() -> None:
        deadline, _ = scope()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                async with deadline:
                    await forever()
        assert asyncio.get_running_loop().time() == 1005.0

    simulate(body())


def test_it_is_known_to_the_exchange_only_while_it_is_open() -> None:
    async def body() -> None:
        deadline, exchange = scope()
        assert exchange.deadline is None
        async with deadline:
            assert exchange.deadline is deadline
            assert exchange.reply.on_gone is not None
        assert exchange.deadline is None
        assert exchange.reply.on_gone is None

    simulate(body())


def test_a_model_s_own_clocks_come_before_the_server_s() -> None:
    server = DeadlineSettings(queue_s=1, first_token_s=2, silence_s=3, total_s=4, unstreamed_s=5)
    assert clocks_of(server, ModelDeadline()) == (1, 2, 3, 4, 5)
    assert clocks_of(server, ModelDeadline(silence_s=9, unstreamed_s=0.5)) == (1, 2, 9, 4, 0.5)
