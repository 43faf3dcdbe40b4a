"""What stands in a chunk is found by bytes, whatever its text says."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rempart.runners.llama_cpp_server import chunks

TIMINGS = {"cache_n": 2, "prompt_n": 31, "prompt_ms": 1.5, "predicted_n": 7}


def made(document: Any) -> bytes:
    """As the library writes it."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def chunk(text: str, **more: Any) -> bytes:
    return made({"choices": [{"index": 0, "delta": {"content": text}}], "id": "x"} | more)


def test_timings_are_taken_out_and_read() -> None:
    plain, raw = chunks.without_timings(chunk("a", timings=TIMINGS))
    assert plain == chunk("a")
    assert chunks.timings(raw) == chunks.Timings(cache_n=2, prompt_n=31, predicted_n=7)
    assert chunks.timings(raw).prompt_tokens == 33


def test_a_chunk_without_timings_is_left_alone() -> None:
    assert chunks.without_timings(chunk("a")) == (chunk("a"), b"")
    assert chunks.timings(b"") == chunks.Timings()


def test_what_follows_the_timings_stays() -> None:
    progress = {"total": 9, "processed": 3, "cache": 0}
    whole = chunk("a", timings=TIMINGS, prompt_progress=progress)
    assert chunks.without_timings(whole)[0] == chunk("a", prompt_progress=progress)
    assert chunks.has_progress(whole)
    assert chunks.progress(whole) == chunks.Progress(total=9, processed=3)


def test_kinds_are_told_apart() -> None:
    assert chunks.is_error(made({"error": {"code": 400}}))
    assert chunks.is_nothing(b"null")
    assert not chunks.is_nothing(chunk("a"))
    assert chunks.has_usage(made({"choices": [], "usage": {"prompt_tokens": 1}}))
    assert chunks.NO_CHOICES in made({"choices": [], "id": "x"})


TEXTS = st.text() | st.sampled_from(
    [
        ',"timings":{',
        '","timings":{"a":1}}',
        '"prompt_progress":{',
        '"usage":{',
        '{"error":{',
        '"choices":[],',
        '\\",\\"timings\\":{',
        "\\",
    ]
)


@given(text=st.lists(TEXTS).map("".join), has_timings=st.booleans())
def test_no_text_passes_for_a_member(text: str, has_timings: bool) -> None:
    more = {"timings": TIMINGS} if has_timings else {}
    whole = chunk(text, **more)
    assert chunks.without_timings(whole)[0] == chunk(text)
    assert not chunks.has_progress(whole)
    assert not chunks.has_usage(whole)
    assert not chunks.is_error(whole)
    assert chunks.NO_CHOICES not in whole
