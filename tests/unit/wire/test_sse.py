"""Events come out whole and the same, however the bytes are cut."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rempart.wire.sse import EventSplitter, EventTooLarge, event, iter_data

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
LINES = st.sampled_from(
    [
        b"data: {}",
        b"data: ",
        b"data",
        b"data:x",
        b"data:  y",
        b"event: a",
        b": ping",
        b"",
        b"id: 1",
        b"dat",
        b":",
    ]
)
STREAMS = st.lists(st.tuples(LINES, LINE_ENDS), max_size=30).map(
    lambda lines: b"".join(a + b for a, b in lines)
)


def parse(stream: bytes) -> list[bytes]:
    """The standard's own words, line by line: the slow, obvious model."""
    payloads, values = [], []
    parts = re.split(rb"\r\n|\n|\r", stream)
    for line in parts[:-1]:
        if line == b"":
            if values:
                payloads.append(b"\n".join(values))
            values = []
        elif not line.startswith(b":"):
            name, _, value = line.partition(b":")
            if name == b"data":
                values.append(value.removeprefix(b" "))
    return payloads


def feed_all(stream: bytes, cuts: list[int]) -> tuple[list[bytes], EventSplitter]:
    splitter = EventSplitter()
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    return [splitter.feed(stream[a:b]) for a, b in pairwise(places)], splitter


@given(STREAMS, st.lists(st.integers(0, 400), max_size=40))
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", list(range(60)))
@example(b"\n\n\ndata\n\n", [1])
@example(b"data:  y\r\n\r\n", [])
def test_any_cut_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    outputs, splitter = feed_all(stream, cuts)
    assert [data for output in outputs for data in iter_data(output)] == parse(stream)
    assert list(iter_data(stream)) == parse(stream)
    assert parse(splitter.rest) == []


@given(STREAMS, st.lists(st.integers(0, 400), max_size=40))
def test_outputs_end_with_a_blank_line_and_no_byte_is_lost(stream: bytes, cuts: list[int]) -> None:
    outputs, splitter = feed_all(stream, cuts)
    for output in outputs:
        assert not output or re.search(rb"(\A|\r\n|\n|\r)(\r\n|\n|\r)\Z", output)
    assert b"".join(outputs) + splitter.rest == stream


@given(STREAMS, st.lists(st.integers(0, 400), max_size=40))
def test_no_whole_event_is_held_back(stream: bytes, cuts: list[int]) -> None:
    _, splitter = feed_all(stream, cuts)
    assert not re.search(
        rb"\A(\r|\n)|(\r\n|\n|\r)(\r\n|\n|\r)", splitter.rest.replace(b"\r\n", b"\n")
    )


def test_nothing_is_left_of_a_line_end_that_was_cut() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\r\n\r") == b"data: a\r\n\r"
    assert splitter.feed(b"\n") == b"\n"
    assert splitter.rest == b""
    assert splitter.feed(b"data: a\r\n\r\ndata: b") == b"data: a\r\n\r\n"


def test_whole_events_go_through_as_the_very_same_object() -> None:
    data = b'data: {"a": 1}\n\ndata: [DONE]\n\n'
    assert EventSplitter().feed(data) is data


def test_an_event_whose_lines_end_with_cr_alone_is_not_held_back() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\r\r") == b"data: a\r\r"
    assert splitter.feed(b"data: b\r\r") == b"data: b\r\r"


def test_an_unfinished_event_is_held_and_shown_as_the_rest() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: a\n\ndata: b\n") == b"data: a\n\n"
    assert splitter.rest == b"data: b\n"
    assert splitter.feed(b"") == b""
    assert splitter.feed(b"\n") == b"data: b\n\n"
    assert splitter.rest == b""


def test_an_event_above_the_bound_is_an_error() -> None:
    splitter = EventSplitter(tail_bytes_max=100)
    assert splitter.feed(b"x" * 500 + b"\n\n" + b"y" * 100) == b"x" * 500 + b"\n\n"
    with pytest.raises(EventTooLarge, match="100 bytes"):
        splitter.feed(b"z")


def test_a_byte_order_mark_before_the_first_event_is_no_part_of_a_name() -> None:
    assert list(iter_data(b"\xef\xbb\xbfdata: a\n\n")) == [b"a"]


@given(st.lists(st.binary(max_size=20), max_size=5), st.sampled_from([None, b"error"]))
def test_what_event_writes_iter_data_reads(payloads: list[bytes], name: bytes | None) -> None:
    expected = [re.sub(rb"\r\n|\r", b"\n", payload) for payload in payloads]
    assert list(iter_data(b"".join(event(payload, name) for payload in payloads))) == expected


def test_event_puts_the_name_before_the_data() -> None:
    assert event(b"{}", b"message_stop") == b"event: message_stop\ndata: {}\n\n"
    assert event(b"{}") == b"data: {}\n\n"
