"""Step 1: the exchange's own id, the client's request id, and the trace context."""

import re

from rempart.base.clock import iso_utc
from rempart.base.ids import Ids
from rempart.gateway.exchange import Exchange
from rempart.wire import traceparent

WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def identify(exchange: Exchange, ids: Ids) -> None:
    """Give the exchange its ids.

    The record's id is always ours; a well-formed ``X-Request-ID`` is the client's name for the request,
    echoed, logged and passed on, and never used as a key.
    """
    exchange.id = ids.uuid7()
    exchange.timestamp = iso_utc(exchange.clock.wall())
    sent = exchange.request.header(b"x-request-id")
    if sent is not None and WELL_FORMED.fullmatch(sent):
        exchange.request_id = sent.decode("ascii")
    else:
        exchange.request_id = exchange.id
    _trace(exchange)


def _trace(exchange: Exchange) -> None:
    """Take part in the client's trace, or start one; its ids are cut from the exchange's own."""
    digits = exchange.id.replace("-", "")
    span_id = digits[16:]
    if exchange.request.header(b"traceparent") is not None:
        headers = exchange.request.headers
        came = traceparent.parse(
            [value for name, value in headers if name == b"traceparent"],
            [value for name, value in headers if name == b"tracestate"],
        )
        if came is not None:
            here = traceparent.child(came, span_id)
            exchange.trace_id = came.trace_id
            exchange.traceparent = traceparent.format(here)
            exchange.tracestate = here.tracestate
            return
    exchange.traceparent = f"00-{digits}-{span_id}-00"
