"""The exchange's ids: ours as the key, the client's as an attribute, and the trace it takes part in."""

import asyncio
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.exchanges import exchange_of
from lab.sim_loop import SimClock, simulate
from rempart.base.ids import Ids
from rempart.gateway.exchange import Exchange
from rempart.gateway.request_id import identify
from rempart.wire import traceparent

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def identified(**headers: str) -> Exchange:
    async def body() -> Exchange:
        exchange, _ = exchange_of(
            headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        identify(exchange, Ids(SimClock()))
        return exchange

    return simulate(body())


def test_without_a_client_s_own_the_request_s_id_is_ours() -> None:
    exchange = identified()
    assert uuid.UUID(exchange.id).version == 7
    assert exchange.request_id == exchange.id
    assert exchange.timestamp.startswith("2026-11-24T16:16:40")


@given(st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True))
def test_a_well_formed_id_of_the_client_is_taken_and_is_never_the_key(sent: str) -> None:
    exchange = identified(x_request_id=sent)
    assert exchange.request_id == sent
    assert exchange.id != sent
    assert uuid.UUID(exchange.id).version == 7


@pytest.mark.parametrize(
    "sent",
    ["", "a" * 129, "a b", "a\tb", "a/b", 'a"b', "a,b", "é", "a\x7f", "{}", "a;b", "a\u2028"],
)
def test_any_other_is_replaced(sent: str) -> None:
    exchange = identified(x_request_id=sent)
    assert exchange.request_id == exchange.id


def test_the_last_character_counts_too() -> None:
    """``$`` would let a line end through, which has no place in a header."""

    async def body() -> None:
        exchange, _ = exchange_of()
        exchange.request._index[b"x-request-id"] = b"abc\n"
        identify(exchange, Ids(SimClock()))
        assert exchange.request_id == exchange.id

    simulate(body())


def test_a_client_s_trace_goes_on() -> None:
    exchange = identified(traceparent=PARENT, tracestate="a=1,b=2")
    came = traceparent.parse([exchange.traceparent.encode()], [])
    assert came is not None
    assert exchange.trace_id == came.trace_id == TRACE
    assert came.span_id != "b7ad6b7169203331", "the runner's parent is this exchange"
    assert came.span_id == exchange.id.replace("-", "")[16:]
    assert exchange.traceparent.endswith("-01")
    assert exchange.tracestate == "a=1,b=2"


@pytest.mark.parametrize(
    "sent", ["", "rubbish", f"00-{'0' * 32}-b7ad6b7169203331-01", f"ff-{TRACE}-b7ad6b7169203331-01"]
)
def test_without_a_sound_one_a_trace_begins_that_is_not_sampled(sent: str) -> None:
    exchange = identified(traceparent=sent, tracestate="a=1")
    begun = traceparent.parse([exchange.traceparent.encode()], [])
    assert begun is not None
    assert begun.trace_id == exchange.id.replace("-", "")
    assert exchange.traceparent.endswith("-00")
    assert exchange.tracestate == ""
    assert exchange.trace_id == "", "a record names a client's trace only"


def test_two_exchanges_share_nothing() -> None:
    async def body() -> tuple[str, str]:
        ids = Ids(SimClock())
        found = []
        for _ in range(2):
            exchange, _ = exchange_of()
            identify(exchange, ids)
            found.append(exchange.traceparent)
        return found[0], found[1]

    one, other = asyncio.run(body())
    assert one != other
