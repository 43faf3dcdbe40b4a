"""A request stays in the trace that it came with, as the W3C's rules have it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.wire import traceparent
from rempart.wire.traceparent import TraceContext, child, parse

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SOUND = f"00-{TRACE}-{SPAN}-01"
HEX = "0123456789abcdef"


def state(*values: str) -> str:
    context = parse([SOUND.encode()], [value.encode() for value in values])
    assert context is not None
    return context.tracestate


@given(
    st.text(HEX, min_size=32, max_size=32).filter(lambda text: text.strip("0")),
    st.text(HEX, min_size=16, max_size=16).filter(lambda text: text.strip("0")),
    st.booleans(),
)
def test_what_is_written_is_read(trace_id: str, span_id: str, is_sampled: bool) -> None:
    context = TraceContext(trace_id, span_id, is_sampled)
    assert parse([traceparent.format(context).encode()]) == context


def test_the_standards_example() -> None:
    context = parse([SOUND.encode()])
    assert context == TraceContext(TRACE, SPAN, True, "")
    assert traceparent.format(context) == SOUND


@pytest.mark.parametrize(
    "value",
    [
        "",
        SOUND[:-1],
        SOUND + "0",
        SOUND + "-more",
        SOUND.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00_{TRACE}_{SPAN}_01",
        f"01-{TRACE}-{SPAN}-01more",
        f"00-{TRACE}-{SPAN}-0g",
        SOUND + "\n",
    ],
)
def test_what_is_not_sound_names_no_place(value: str) -> None:
    assert parse([value.encode()], [b"a=1"]) is None


def test_no_header_or_two_of_them_name_no_place() -> None:
    assert parse([]) is None
    assert parse([SOUND.encode()] * 2) is None


@pytest.mark.parametrize("more", ["", "-", "-what-comes-later"])
def test_a_later_version_is_read_as_far_as_known_and_sent_on_as_ours(more: str) -> None:
    context = parse([f"cc-{TRACE}-{SPAN}-03{more}".encode()])
    assert context is not None
    assert traceparent.format(context) == SOUND


def test_only_the_known_flag_counts() -> None:
    context = parse([f"00-{TRACE}-{SPAN}-fe".encode()])
    assert context == TraceContext(TRACE, SPAN, False)


def test_a_child_stays_in_the_trace() -> None:
    parent = TraceContext(TRACE, SPAN, True, "a=1")
    assert child(parent, "1234567890abcdef") == TraceContext(TRACE, "1234567890abcdef", True, "a=1")


def test_tracestate_of_several_headers_is_one_list() -> None:
    assert (
        state("rojo=1, congo=t61rcWkgMzE", "", " ,\tt@v=x y ") == "rojo=1,congo=t61rcWkgMzE,t@v=x y"
    )


@pytest.mark.parametrize(
    "value",
    ["a", "A=1", "a=", "a=b=c", "a=1,a=2", "a=é", "a@=1", "@a=1", "a b=1", "a=\x01"],
)
def test_a_tracestate_that_is_not_sound_is_left_out(value: str) -> None:
    assert state(value) == ""


def test_members_are_bounded() -> None:
    members = [f"k{i}=1" for i in range(33)]
    assert state(",".join(members[:32])) == ",".join(members[:32])
    assert state(",".join(members)) == ""


def test_long_members_go_first_then_those_at_the_end() -> None:
    long = "long=" + "x" * 200
    short = [f"k{i}=" + "y" * 95 for i in range(5)]
    assert state(",".join([long, *short])) == ",".join(short)
    assert state(",".join([*short, "z=" + "y" * 100])) == ",".join(short)


@given(st.lists(st.binary(max_size=40), max_size=3))
def test_a_tracestate_of_any_bytes_stays_within_the_bounds(values: list[bytes]) -> None:
    context = parse([SOUND.encode()], values)
    assert context is not None
    assert len(context.tracestate) <= traceparent.CHARACTERS_MAX


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_passed_over(value: bytes) -> None:
    context = parse([value])
    assert context is None or len(context.trace_id) == 32
