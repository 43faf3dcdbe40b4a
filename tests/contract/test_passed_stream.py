"""A passed stream is the runner's own, whatever stands in it and however it is cut into reads."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rempart.gateway.operations.passed_stream import PassedStream

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "finish_reason", 'finish_reason":"stop', '"usage":{', "[DONE]", "[DONE]\n\n", "}", '"}', "\\", "", " le",
            'error":', "prompt_progress", "timings", '\\"error\\":', "\r\n\r\n", "data: x",
        ]
    ),
)  # fmt: skip


def event(document: dict[str, Any], *, spaced: bool = False) -> bytes:
    text = json.dumps(document, separators=None if spaced else (",", ":"), ensure_ascii=False)
    return b"data: " + text.encode("utf-8", "surrogatepass") + b"\n\n"


def chunk(text: str, created: int, *, spaced: bool, behind: bool) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    document: dict[str, Any] = {"id": "c", "created": created, "choices": [choice]}
    if behind:
        document = {"choices": [choice], "created": created, "id": "c"}
    return event(document, spaced=spaced)


END = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
USAGE = event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}})
DONE = b"data: [DONE]\n\n"


@given(
    st.lists(st.tuples(TEXTS, st.integers(1, 2)), min_size=1, max_size=12),
    st.lists(st.integers(1, 4), min_size=1, max_size=12),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_every_event_goes_out_unchanged_but_the_usage_nobody_asked_for(
    texts: list[tuple[str, int]], reads: list[int], spaced: bool, behind: bool, wants_usage: bool
) -> None:
    plain = [
        chunk(text.encode("utf-8", "replace").decode(), created, spaced=spaced, behind=behind)
        for text, created in texts
    ]
    events = [*plain, END, USAGE, DONE]
    stream = PassedStream(is_runner=True, wants_usage=wants_usage)
    out, at, number = b"", 0, 0
    while at < len(events):
        size = reads[number % len(reads)]
        out += stream.feed(b"".join(events[at : at + size]))
        at, number = at + size, number + 1
    out += stream.finish()
    expected = [*plain, END, *([USAGE] if wants_usage else []), DONE]
    assert out == b"".join(expected)
    assert stream.finish_reason == "stop"
    assert stream.completion_tokens == 5
    assert stream.error is None
    assert stream.malformed_count == 0


@given(st.lists(TEXTS, min_size=2, max_size=8))
def test_an_error_is_seen_behind_any_plain_chunks(texts: list[str]) -> None:
    stream = PassedStream(is_runner=True, wants_usage=False)
    for text in texts:
        stream.feed(chunk(text.encode("utf-8", "replace").decode(), 1, spaced=False, behind=False))
    assert stream.error is None
    stream.feed(event({"error": {"message": "out of memory"}}))
    assert stream.error is not None


def test_what_comes_between_two_plain_chunks_in_one_read_is_seen() -> None:
    stream = PassedStream(is_runner=True, wants_usage=False)
    plain = chunk(" a", 1, spaced=False, behind=False)
    assert stream.feed(plain) == plain
    progress = event({"choices": [], "prompt_progress": {"processed": 1}})
    assert stream.feed(plain + progress + plain) == plain + plain
    stream.feed(plain + event({"error": {"message": "out of memory"}}) + plain)
    assert stream.error is not None


def test_chunks_are_counted_one_by_one() -> None:
    stream = PassedStream(is_runner=True, wants_usage=False)
    for text in (" a", " b", ' "c"', " d", " e"):
        stream.feed(chunk(text, 1, spaced=False, behind=False))
    assert stream.chunk_count == 5
