"""Signs of life for a streaming client that waits: real refusals for 10 s, then a comment every 15 s."""

import asyncio
from typing import Any

import pytest

from lab.exchanges import Wire, call_of, exchange_of
from lab.sim_loop import simulate
from rempart.gateway.exchange import Exchange
from rempart.gateway.keep_alive import KeepAlive
from rempart.gateway.operations.passed_stream import PassedStream


class Ticket:
    def __init__(self, place: int) -> None:
        self.place = place


def streaming() -> tuple[Exchange, Wire]:
    exchange, wire = exchange_of()
    exchange.call = call_of(shape=PassedStream(is_runner=True, wants_usage=False))
    return exchange, wire


def since_start(wire: Wire, exchange: Exchange) -> list[float]:
    return [round(at_s - exchange.started_s, 6) for at_s in wire.times_s]


def write(exchange: Exchange, data: bytes) -> None:
    """What the relay does with events."""
    exchange.note_chunk()
    if not exchange.reply.is_started:
        exchange.start_stream()
    exchange.reply.write(data)
    exchange.last_write_s = exchange.last_chunk_s


def test_who_waits_hears_of_it_after_10_s_and_then_every_15() -> None:
    async def body() -> None:
        exchange, wire = streaming()
        exchange.is_queued, exchange.ticket = True, Ticket(3)
        with KeepAlive(exchange):
            await asyncio.sleep(9.999)
            assert not exchange.reply.is_started, "a refusal can still be a real 503"
            await asyncio.sleep(50)
        assert since_start(wire, exchange) == [10.0, 25.0, 40.0, 55.0]
        assert wire.chunks == [b": queued, place 3\n"] * 4
        assert wire.head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream")
        assert b"x-request-id: 0199-request" in wire.head

    simulate(body())


@pytest.mark.parametrize(
    ("is_queued", "ticket", "comment"),
    [
        (True, Ticket(1), b": queued, place 1\n"),
        (True, Ticket(0), b": queued\n"),
        (True, None, b": queued\n"),
        (False, Ticket(1), b": working\n"),
        (False, None, b": working\n"),
    ],
)
def test_a_comment_is_one_line_with_one_newline(
    is_queued: bool, ticket: Any, comment: bytes
) -> None:
    """A blank line behind it would be an empty event to some clients."""

    async def body() -> None:
        exchange, wire = streaming()
        exchange.is_queued, exchange.ticket = is_queued, ticket
        with KeepAlive(exchange):
            await asyncio.sleep(10)
        assert wire.chunks == [comment]

    simulate(body())


def test_the_place_is_the_newest() -> None:
    async def body() -> None:
        exchange, wire = streaming()
        ticket = Ticket(9)
        exchange.is_queued, exchange.ticket = True, ticket
        with KeepAlive(exchange):
            await asyncio.sleep(12)
            ticket.place = 2
            await asyncio.sleep(15)
            exchange.is_queued = False
            await asyncio.sleep(15)
        assert wire.chunks == [b": queued, place 9\n", b": queued, place 2\n", b": working\n"]

    simulate(body())


def test_a_stream_that_flows_needs_no_comment() -> None:
    async def body() -> None:
        exchange, wire = streaming()
        with KeepAlive(exchange):
            for _ in range(20):
                await asyncio.sleep(5)
                write(exchange, b"data: x\n\n")
        assert set(wire.chunks) == {b"data: x\n\n"}

    simulate(body())


def test_a_stream_that_pauses_is_kept_alive_after_15_s_of_silence() -> None:
    """Comments are no progress: the silence clock runs on, and they stand between events only."""

    async def body() -> None:
        exchange, wire = streaming()
        with KeepAlive(exchange):
            await asyncio.sleep(8)
            write(exchange, b"data: 1\n\n")
            first_s = exchange.last_chunk_s
            await asyncio.sleep(32)
            assert exchange.last_chunk_s == first_s
            write(exchange, b"data: 2\n\n")
            await asyncio.sleep(14)
        assert since_start(wire, exchange) == [8.0, 23.0, 38.0, 40.0]
        assert wire.chunks == [b"data: 1\n\n", b": working\n", b": working\n", b"data: 2\n\n"]

    simulate(body())


@pytest.mark.parametrize("kind", ["unstreamed", "route of one's own", "not known yet"])
def test_other_calls_get_none(kind: str) -> None:
    async def body() -> None:
        exchange, wire = streaming()
        match kind:
            case "unstreamed":
                assert exchange.call is not None
                exchange.call.stream = False
            case "route of one's own":
                exchange.call = call_of(shape=None)
            case "not known yet":
                exchange.call = None
        exchange.is_queued = True
        with KeepAlive(exchange):
            await asyncio.sleep(100)
        assert wire.writes == []

    simulate(body())


@pytest.mark.parametrize("after_s", [3, 12])
def test_it_ends_with_its_block(after_s: float) -> None:
    async def body() -> None:
        exchange, wire = streaming()
        with KeepAlive(exchange):
            await asyncio.sleep(after_s)
        count = len(wire.writes)
        await asyncio.sleep(100)
        assert len(wire.writes) == count

    simulate(body())


def test_a_client_that_left_is_written_nothing() -> None:
    async def body() -> None:
        exchange, wire = streaming()
        with KeepAlive(exchange):
            exchange.reply.lose()
            await asyncio.sleep(40)
        assert wire.writes == []

    simulate(body())
