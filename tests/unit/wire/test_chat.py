"""The chunks of a chat amount to the document that an unstreamed answer would have been."""

import copy
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from lab.chat_streams import streams
from rempart.wire.chat import ChatAssembler


@given(streams())
def test_assembling_any_stream_gives_the_document(
    stream: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    document, chunks = stream
    before = copy.deepcopy(chunks)
    assembler = ChatAssembler()
    for chunk in chunks:
        assembler.feed(chunk)
    assert assembler.is_finished
    assert assembler.document() == document
    assert chunks == before, "what is fed is not changed"
    ChatCompletion.model_validate(assembler.document(), strict=True)


def chunk(delta: dict[str, Any], index: int = 0, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta} | more]}


def assemble(*chunks: dict[str, Any]) -> ChatAssembler:
    assembler = ChatAssembler()
    for one in chunks:
        assembler.feed(one)
    return assembler


def message_of(*chunks: dict[str, Any]) -> dict[str, Any]:
    return assemble(*chunks).document()["choices"][0]["message"]


def test_an_answer_is_finished_when_every_choice_that_came_is() -> None:
    assembler = assemble()
    assert not assembler.is_finished
    assembler.feed(chunk({"content": "a"}))
    assembler.feed(chunk({"content": "b"}, 1, finish_reason="stop"))
    assert not assembler.is_finished
    assembler.feed(chunk({}, finish_reason="length"))
    assert assembler.is_finished


def test_an_empty_answer_has_an_empty_text_and_one_of_tool_calls_alone_has_none() -> None:
    assert message_of(chunk({"content": None}))["content"] == ""
    assert (
        message_of(chunk({"content": "", "tool_calls": [{"index": 0, "id": "a"}]}))["content"]
        is None
    )


def test_id_and_moment_come_from_outside_where_the_chunks_have_none() -> None:
    document = assemble(chunk({"content": "a"}, finish_reason="stop")).document(
        default_id="x", default_created=9
    )
    assert (document["id"], document["created"]) == ("x", 9)
    ChatCompletion.model_validate(document)


def test_tool_calls_without_an_index_are_told_apart_by_their_id() -> None:
    calls = message_of(
        chunk({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]}),
        chunk({"tool_calls": [{"function": {"arguments": "}"}}]}),
        chunk({"tool_calls": [{"id": "b", "function": {"name": "g", "arguments": "{}"}}]}),
    )["tool_calls"]
    assert [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls] == [
        ("a", "f", "{}"),
        ("b", "g", "{}"),
    ]


def test_the_old_function_call_and_custom_tools_are_joined_too() -> None:
    message = message_of(
        chunk({"function_call": {"name": "f", "arguments": "{"}}),
        chunk({"function_call": {"arguments": "}"}}),
    )
    assert message["function_call"] == {"name": "f", "arguments": "{}"}
    assert message["content"] is None
    call = message_of(
        chunk(
            {
                "tool_calls": [
                    {
                        "index": 0,
                        "id": "a",
                        "type": "custom",
                        "custom": {"name": "sql", "input": "sel"},
                    }
                ]
            }
        ),
        chunk({"tool_calls": [{"index": 0, "custom": {"input": "ect"}}]}),
    )["tool_calls"][0]
    assert call == {"id": "a", "type": "custom", "custom": {"name": "sql", "input": "select"}}


def test_the_last_usage_counts_and_a_null_does_not_clear_it() -> None:
    assembler = assemble(
        {"usage": {"total_tokens": 1}}, {"usage": {"total_tokens": 2}}, {"usage": None}
    )
    assert assembler.usage == {"total_tokens": 2}
    assert assembler.document()["usage"] == {"total_tokens": 2}
    assert "usage" not in assemble({"usage": None}).document()


NAMES = st.sampled_from(
    [
        *[
            "choices",
            "delta",
            "index",
            "content",
            "tool_calls",
            "function",
            "function_call",
            "name",
        ],
        *["arguments", "id", "type", "logprobs", "finish_reason", "usage", "role", "x"],
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
ODD_CHUNKS = st.builds(
    lambda choice, delta, top: {"choices": [{"delta": delta} | choice]} | top,
    st.dictionaries(NAMES, JSON),
    JSON,
    st.dictionaries(NAMES, JSON),
)


@given(st.lists(ODD_CHUNKS, max_size=4))
@example([chunk({"function_call": True}), chunk({"function_call": {"name": "f"}})])
@example([chunk({"tool_calls": [{"function": 3}]}), chunk({"tool_calls": 3})])
def test_chunks_of_any_shape_never_raise(chunks: list[dict[str, Any]]) -> None:
    assert assemble(*chunks).document()["object"] == "chat.completion"


def test_an_id_that_is_said_again_or_emptied_does_not_change() -> None:
    (call,) = message_of(
        chunk(
            {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}]}
        ),
        chunk({"tool_calls": [{"index": 0, "id": "", "function": {"arguments": "}"}}]}),
    )["tool_calls"]
    assert call["id"] == "a"
