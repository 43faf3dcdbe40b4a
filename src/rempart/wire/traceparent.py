"""W3C trace context: which trace a request belongs to, and the headers that say so onwards.

Source: W3C Recommendation "Trace Context" (Level 1), 23 November 2021, sections 3.2 and 3.3.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

MEMBERS_MAX = 32
CHARACTERS_MAX = 512
"""What of ``tracestate`` goes on; the standard asks to carry at least this much."""

_LONG_MEMBER_CHARACTERS = 128
_SAMPLED = 0x01

# Behind a version that we do not know more may follow, set off by a dash; never in version 00.
_TRACEPARENT = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})"
    rb"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_KEY = rb"[a-z0-9][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}"
_VALUE = rb"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER = re.compile(rb"(?P<key>%b)=%b" % (_KEY, _VALUE))


class TraceContext(NamedTuple):
    """A place in a trace: the span that a request came from, or our own.

    Args:
        trace_id: 32 hexadecimal digits, in small letters, not all 0.
        span_id: 16 of them.
        is_sampled: whether someone before us records the trace.
        tracestate: what others want carried on; may be empty.
    """

    trace_id: str
    span_id: str
    is_sampled: bool = False
    tracestate: str = ""


def parse(traceparent: Iterable[bytes], tracestate: Iterable[bytes] = ()) -> TraceContext | None:
    """The place that a request's headers name; None where they name none, or not soundly.

    Of a version that we do not know the parts of version 00 are read, and sent on as version 00
    (section 3.2.4). A ``tracestate`` that is not sound is left out.

    Args:
        traceparent: the values of all ``traceparent`` headers; only a single one counts.
        tracestate: the values of all ``tracestate`` headers, in their order.
    """
    values = list(traceparent)
    if len(values) != 1:
        return None
    found = _TRACEPARENT.fullmatch(values[0].strip(b" \t"))
    if found is None or (found["version"] == b"00" and found["more"] is not None):
        return None
    trace_id, span_id = found["trace"].decode(), found["parent"].decode()
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    is_sampled = bool(int(found["flags"], 16) & _SAMPLED)
    return TraceContext(trace_id, span_id, is_sampled, _carried(tracestate))


def format(context: TraceContext) -> str:
    """The ``traceparent`` of ``context``; flags that we do not know are 0 (section 3.2.2.5)."""
    return f"00-{context.trace_id}-{context.span_id}-{'01' if context.is_sampled else '00'}"


def child(parent: TraceContext, span_id: str) -> TraceContext:
    """The place of a span below ``parent``, in the same trace.

    Args:
        parent: where it was called from.
        span_id: 16 random hexadecimal digits, not all 0.
    """
    return parent._replace(span_id=span_id)


def _carried(values: Iterable[bytes]) -> str:
    """``tracestate`` in one line and within the bounds; empty if it is not sound (section 3.3.1)."""
    members: list[bytes] = []
    keys: set[bytes] = set()
    for value in values:
        for member in value.split(b","):
            member = member.strip(b" \t")
            if not member:
                continue
            found = _MEMBER.fullmatch(member)
            if found is None or found["key"] in keys or len(members) == MEMBERS_MAX:
                return ""
            keys.add(found["key"])
            members.append(member)
    return b",".join(_shortened(members)).decode("ascii")


def _shortened(members: list[bytes]) -> list[bytes]:
    """Whole members within the bound: long ones go first, then those at the end (section 3.3.1.5)."""
    while sum(map(len, members)) + len(members) - 1 > CHARACTERS_MAX:
        long = [i for i, member in enumerate(members) if len(member) > _LONG_MEMBER_CHARACTERS]
        members.pop(long[-1] if long else -1)
    return members
