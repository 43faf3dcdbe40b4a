"""The status pipe: events however the bytes are cut, and rubbish that is only counted."""

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from rempart.domain.models import Facts
from rempart.runners.status import (
    LINE_BYTES_MAX,
    End,
    Failed,
    Malformed,
    Progress,
    Ready,
    Slots,
    StatusLines,
)

LINES = (
    b'{"event": "progress", "ratio": 0.5}\n'
    b'{"event": "ready", "facts": {"context_length": 2048, "supports_tools": false}}\n'
    b'{"event": "slots", "total": 4, "busy": 1, "unknown": [1]}\n'
    b'{"event": "end", "grant": "g1", "prompt_tokens": 3, "completion_tokens": 9}\n'
    b'{"event": "failed", "reason": "no memory"}\n'
)
EVENTS = [
    Progress(ratio=0.5),
    Ready(facts=Facts(context_length=2048, supports_tools=False)),
    Slots(total=4, busy=1),
    End(grant="g1", prompt_tokens=3, completion_tokens=9),
    Failed(reason="no memory"),
]


@given(st.lists(st.integers(0, len(LINES)), max_size=6))
def test_events_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    lines = StatusLines()
    edges = [0, *sorted(cuts), len(LINES)]
    events = [
        event for start, end in itertools.pairwise(edges) for event in lines.feed(LINES[start:end])
    ]
    assert events == EVENTS
    assert lines.malformed_count == 0


@given(st.binary(max_size=300))
def test_rubbish_is_counted_and_what_follows_is_read(rubbish: bytes) -> None:
    lines = StatusLines()
    events = lines.feed(rubbish + b"\n" + LINES)
    assert events[-len(EVENTS) :] == EVENTS
    assert lines.malformed_count == len(events) - len(EVENTS)


def test_a_wrong_type_says_where() -> None:
    (event,) = StatusLines().feed(json.dumps({"event": "end", "grant": 5}).encode() + b"\n")
    assert isinstance(event, Malformed)
    assert "$.grant" in event.reason


def test_a_line_without_end_is_thrown_away_whole_and_counted_once() -> None:
    lines = StatusLines()
    events = []
    for _ in range(5):
        events += lines.feed(b"x" * LINE_BYTES_MAX)
    events += lines.feed(b"tail\n" + LINES)
    assert [type(event) for event in events[:1]] == [Malformed]
    assert events[1:] == EVENTS
    assert lines.malformed_count == 1
