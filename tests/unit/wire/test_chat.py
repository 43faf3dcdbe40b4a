"""The chunks of a chat amount to the document that an unstreamed answer would have been."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from rempart.wire.chat import ChatAssembler

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
LOGPROB = st.builds(
    lambda token, p: {"token": token, "logprob": p, "bytes": None, "top_logprobs": []},
    TEXT,
    st.floats(-10, 0),
)
CALL = st.builds(
    lambda name, arguments, id: {
        "id": id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    },
    TEXT,
    TEXT,
    TEXT,
)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": draw(TEXT)}
    if draw(st.booleans()):
        message["reasoning_content"] = draw(TEXT)
    if draw(st.booleans()):
        message["refusal"] = draw(TEXT)
    if draw(st.booleans()):
        message["x_note"] = draw(TEXT)
    if draw(st.booleans()):
        message["x_number"] = draw(st.integers())
    if draw(st.booleans()):
        message["tool_calls"] = draw(st.lists(CALL, min_size=1, max_size=3))
        if draw(st.booleans()):
            message["content"] = None
    return message


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    choices = [
        {
            "index": index,
            "message": draw(messages()),
            "logprobs": draw(
                st.none()
                | st.fixed_dictionaries({"content": st.lists(LOGPROB, min_size=1, max_size=4)})
            ),
            "finish_reason": draw(
                st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
            ),
        }
        for index in range(draw(st.integers(1, 3)))
    ]
    document = {
        "id": "c-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": choices,
    }
    if draw(st.booleans()):
        document["usage"] = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    for name in ("system_fingerprint", "service_tier"):
        if draw(st.booleans()):
            document[name] = "default"
    if draw(st.booleans()):
        document["timings"] = {"prompt_n": 3}
    return document


def pieces(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def choice_parts(draw: st.DrawFn, choice: dict[str, Any]) -> list[dict[str, Any]]:
    """One choice as the parts of chunks, members in any order, each member's pieces in theirs."""
    lanes: list[list[dict[str, Any]]] = []
    for name, value in choice["message"].items():
        if name == "role" or value is None:
            continue
        if name == "tool_calls":
            for index, call in enumerate(value):
                head = {"index": index, "id": call["id"], "type": "function"}
                lane = [
                    {
                        "tool_calls": [
                            head | {"function": {"name": call["function"]["name"], "arguments": ""}}
                        ]
                    }
                ]
                for piece in pieces(draw, call["function"]["arguments"]):
                    lane.append(
                        {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
                    )
                lanes.append(lane)
        elif isinstance(value, str):
            lanes.append([{name: piece} for piece in pieces(draw, value)])
        else:
            lanes.append([{name: value}])
    parts = [{"delta": {"role": "assistant", "content": None}}]
    while lanes:
        lane = draw(st.sampled_from(lanes))
        parts.append({"delta": lane.pop(0)})
        lanes = [lane for lane in lanes if lane]
    if choice["logprobs"]:
        for entry in choice["logprobs"]["content"]:
            parts.append({"delta": {}, "logprobs": {"content": [entry]}})
    parts.append({"delta": {}, "finish_reason": choice["finish_reason"]})
    return [
        {"index": choice["index"], "logprobs": None, "finish_reason": None} | part for part in parts
    ]


@st.composite
def streams(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    document = draw(documents())
    head = {"id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    rest = {
        name: value for name, value in document.items() if name not in head and name != "choices"
    }
    lanes = [choice_parts(draw, choice) for choice in document["choices"]]
    chunks = []
    while lanes:
        lane = draw(st.sampled_from(lanes))
        chunks.append(head | {"choices": [lane.pop(0)]})
        lanes = [lane for lane in lanes if lane]
    chunks.append(head | {"choices": []} | rest)
    return document, chunks


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


NAMES = st.from_regex(
    r"choices|delta|index|content|tool_calls|function|function_call|name|arguments|id|type|logprobs"
    r"|finish_reason|usage|role|x",
    fullmatch=True,
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
def test_chunks_of_any_shape_never_raise(chunks: list[dict[str, Any]]) -> None:
    assert assemble(*chunks).document()["object"] == "chat.completion"
