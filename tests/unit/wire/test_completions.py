"""The chunks of a completion amount to its document."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion

from rempart.wire.completions import CompletionAssembler

HEAD = {"id": "cmpl-1", "object": "text_completion", "created": 7, "model": "m"}


@st.composite
def parts(draw: st.DrawFn, index: int) -> list[dict[str, Any]]:
    texts = draw(st.lists(st.text(max_size=5), min_size=1, max_size=5))
    lane = []
    has_logprobs = draw(st.booleans())
    for text in texts:
        part: dict[str, Any] = {"index": index, "text": text, "finish_reason": None}
        if has_logprobs:
            part["logprobs"] = {
                "tokens": [text],
                "token_logprobs": [-1.0],
                "top_logprobs": [{text: -1.0}],
                "text_offset": [0],
            }
        lane.append(part)
    lane.append({"index": index, "text": "", "logprobs": None, "finish_reason": "stop"})
    return lane


@given(st.data(), st.integers(1, 3))
def test_assembling_any_stream_gives_the_document(data: st.DataObject, n: int) -> None:
    lanes = [data.draw(parts(index)) for index in range(n)]
    expected = [
        {
            "index": index,
            "text": "".join(part["text"] for part in lane),
            "tokens": [
                t for part in lane for t in (part.get("logprobs") or {"tokens": []})["tokens"]
            ],
        }
        for index, lane in enumerate(lanes)
    ]
    assembler = CompletionAssembler()
    while lanes := [lane for lane in lanes if lane]:
        assert not assembler.is_finished or len(lanes) < n
        assembler.feed(HEAD | {"choices": [data.draw(st.sampled_from(lanes)).pop(0)]})
    assembler.feed(
        HEAD
        | {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}
    )
    document = assembler.document()
    assert assembler.is_finished
    for choice, wanted in zip(document["choices"], expected, strict=True):
        assert choice["index"] == wanted["index"]
        assert choice["text"] == wanted["text"]
        assert (choice["logprobs"] or {"tokens": []})["tokens"] == wanted["tokens"]
    Completion.model_validate(document, strict=True)


def test_unknown_members_are_kept_and_defaults_fill_what_is_missing() -> None:
    assembler = CompletionAssembler()
    assembler.feed(
        {
            "choices": [{"index": 0, "text": "a", "finish_reason": "stop", "stop_reason": 2}],
            "timings": {"n": 1},
        }
    )
    document = assembler.document(default_id="x", default_created=9)
    assert document["timings"] == {"n": 1}
    assert document["choices"][0]["stop_reason"] == 2
    assert (document["id"], document["created"]) == ("x", 9)
    Completion.model_validate(document)


def test_parts_of_the_wrong_shape_are_left_out() -> None:
    assembler = CompletionAssembler()
    for chunk in (
        {"choices": None},
        {"choices": [3]},
        {"choices": [{"index": "a", "text": 4, "logprobs": 5}]},
    ):
        assembler.feed(chunk)
    assert assembler.document()["choices"][0]["text"] == ""
