"""A Messages request says the same as the chat request that it becomes."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.wire.messages import ConversionError, chat_request

BASE = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def convert(**more: Any) -> dict[str, Any]:
    return chat_request(BASE | more)


def messages_of(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    return convert(messages=list(messages))["messages"]


def faults(body: dict[str, Any], **more: Any) -> dict[str, str]:
    with pytest.raises(ConversionError) as caught:
        chat_request(body, **more)
    return {fault.path: fault.found for fault in caught.value.fields}


def test_what_both_protocols_have_goes_over() -> None:
    chat = convert(
        system="Be brief.",
        stop_sequences=["END"],
        temperature=0.5,
        top_p=1,
        top_k=40,
        stream=True,
        metadata={"user_id": "u"},
    )
    assert chat == {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
        "stop": ["END"],
        "temperature": 0.5,
        "top_p": 1,
        "top_k": 40,
        "stream": True,
        "user": "u",
    }


def test_what_chat_has_no_word_for_is_left_out_unless_it_is_an_extra() -> None:
    chat = chat_request(
        BASE | {"cache_control": {}, "grammar": "g", "min_p": 0.1}, extras=["grammar"]
    )
    assert chat == BASE | {"grammar": "g"}


TEXTS = st.text(min_size=1, max_size=8)
OBJECTS = st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=2)
DATA = st.sampled_from(["AAAA", "iVBORw0KGgo="])


@st.composite
def turns(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """One message of either role with several blocks, and the chat messages it must become."""
    if draw(st.booleans()):
        text, thought = draw(TEXTS), draw(st.none() | TEXTS)
        calls = draw(st.lists(st.tuples(TEXTS, OBJECTS), max_size=2))
        blocks: list[dict[str, Any]] = [{"type": "text", "text": text}]
        wanted: dict[str, Any] = {"role": "assistant", "content": text}
        if thought is not None:
            blocks.insert(0, {"type": "thinking", "thinking": thought, "signature": "s"})
            wanted["reasoning_content"] = thought
        for id_, arguments in calls:
            blocks.append({"type": "tool_use", "id": id_, "name": "f", "input": arguments})
            wanted.setdefault("tool_calls", []).append((id_, "f", arguments))
        return {"role": "assistant", "content": blocks}, [wanted]
    results = draw(st.lists(st.tuples(TEXTS, TEXTS), max_size=2))
    parts = draw(st.lists(TEXTS | DATA.map(lambda data: (data,)), min_size=2, max_size=3))
    blocks = [
        {"type": "tool_result", "tool_use_id": id_, "content": [{"type": "text", "text": text}]}
        for id_, text in results
    ]
    chat: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": id_, "content": text} for id_, text in results
    ]
    content = []
    for part in parts:
        if isinstance(part, str):
            blocks.append({"type": "text", "text": part, "cache_control": {"type": "ephemeral"}})
            content.append({"type": "text", "text": part})
        else:
            source = {"type": "base64", "media_type": "image/png", "data": part[0]}
            blocks.append({"type": "image", "source": source})
            url = f"data:image/png;base64,{part[0]}"
            content.append({"type": "image_url", "image_url": {"url": url}})
    chat.append({"role": "user", "content": content})
    return {"role": "user", "content": blocks}, chat


@given(st.lists(turns(), min_size=1, max_size=4))
def test_any_conversation_keeps_its_meaning(
    conversation: list[tuple[dict[str, Any], list[dict[str, Any]]]],
) -> None:
    body = BASE | {"messages": [message for message, _ in conversation]}
    before = copy.deepcopy(body)
    found = chat_request(body)["messages"]
    assert body == before, "the request itself is not changed"
    for message in found:
        for position, call in enumerate(message.get("tool_calls", [])):
            function = call["function"]
            message["tool_calls"][position] = (
                call["id"],
                function["name"],
                json.loads(function["arguments"]),
            )
    assert found == [message for _, chat in conversation for message in chat]


def test_one_text_block_is_a_text_and_several_are_parts() -> None:
    block = {"type": "text", "text": "a"}
    assert messages_of({"role": "user", "content": [block]})[0]["content"] == "a"
    assert messages_of({"role": "user", "content": [block, block]})[0]["content"] == [block, block]
    assert messages_of({"role": "user", "content": []})[0]["content"] == ""


def test_results_of_tools_stand_right_behind_the_calls() -> None:
    content = [
        {"type": "text", "text": "and now?"},
        {"type": "tool_result", "tool_use_id": "t", "content": "42", "is_error": True},
        {"type": "tool_result", "tool_use_id": "u"},
    ]
    assert messages_of({"role": "user", "content": content}) == [
        {"role": "tool", "tool_call_id": "t", "content": "42"},
        {"role": "tool", "tool_call_id": "u", "content": ""},
        {"role": "user", "content": "and now?"},
    ]


def test_a_result_with_a_picture_keeps_its_parts() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}
    content = [{"type": "tool_result", "tool_use_id": "t", "content": [picture]}]
    (message,) = messages_of({"role": "user", "content": content})
    assert message["content"] == [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]


def test_documents_that_are_text_are_read() -> None:
    blocks = [
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "law"}},
        {"type": "document", "source": {"type": "content", "content": "more"}},
        {
            "type": "document",
            "source": {"type": "content", "content": [{"type": "text", "text": "x"}]},
        },
    ]
    (message,) = messages_of({"role": "user", "content": blocks})
    assert [part["text"] for part in message["content"]] == ["law", "more", "x"]


def test_a_turn_of_calls_alone_has_no_text_and_redacted_thinking_is_left_out() -> None:
    blocks = [
        {"type": "redacted_thinking", "data": "…"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ]
    assert messages_of({"role": "assistant", "content": blocks}) == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        }
    ]


def test_system_blocks_are_one_text_and_may_stand_among_the_messages() -> None:
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    chat = convert(system=blocks, messages=[{"role": "system", "content": blocks}])
    assert chat["messages"] == [{"role": "system", "content": "ab"}] * 2
    assert convert(system=[])["messages"] == BASE["messages"]


def test_a_stamp_that_changes_with_every_request_does_not_spoil_the_shared_prefix() -> None:
    stamped = "x-anthropic-billing-header: cc_version=2.1; cc_entrypoint=cli; cch={};You are"
    first, second = (convert(system=stamped.format(cch)) for cch in ("a5145", "b0000"))
    assert first == second
    assert first["messages"][0]["content"].endswith("cch=;You are")
    assert convert(system="say cch=1;")["messages"][0]["content"] == "say cch=1;"


@pytest.mark.parametrize(
    ("choice", "chat"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        (
            {"type": "any", "disable_parallel_tool_use": True},
            {"tool_choice": "required", "parallel_tool_calls": False},
        ),
        (
            {"type": "tool", "name": "f"},
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        ),
    ],
)
def test_tools_and_how_they_are_chosen(choice: dict[str, Any], chat: dict[str, Any]) -> None:
    tool = {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True}
    found = convert(tools=[tool | {"type": "custom", "cache_control": {}}], tool_choice=choice)
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    assert found == BASE | {"tools": [{"type": "function", "function": function}]} | chat


def test_thinking_effort_and_the_form_of_the_answer() -> None:
    schema = {"type": "object"}
    found = convert(
        thinking={"type": "enabled", "budget_tokens": 2048},
        output_config={"effort": "max", "format": {"type": "json_schema", "schema": schema}},
    )
    assert found["thinking_budget_tokens"] == 2048
    assert found["reasoning_effort"] == "high"
    assert found["response_format"]["json_schema"]["schema"] == schema
    assert convert(thinking={"type": "disabled"}) == BASE


def test_every_wrong_field_is_named_at_once() -> None:
    body = {
        "model": "m",
        "temperature": 3,
        "stop_sequences": [""],
        "system": [{"type": "image"}],
        "messages": [
            {"role": "wizard", "content": "x" * 500},
            {"role": "user"},
            {
                "role": "user",
                "content": [{"type": "server_tool_use"}, 3, {"type": "text", "text": 1}],
            },
            {
                "role": "user",
                "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}],
            },
            {"role": "user", "content": [{"type": "document", "source": {"type": "base64"}}]},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t", "name": "a b", "input": 1}],
            },
        ],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}, {"name": "f"}, 4],
        "tool_choice": {"type": "tool"},
        "thinking": {"type": "enabled"},
        "output_config": {"effort": "vast", "format": {"type": "json"}},
        "metadata": {"user_id": 3},
    }
    assert faults(body) == {
        "temperature": "3",
        "stop_sequences": "a list of 1",
        "max_tokens": "nothing",
        "system[0].type": "'image'",
        "messages[0].role": "'wizard'",
        "messages[1].content": "nothing",
        "messages[2].content[0].type": "'server_tool_use'",
        "messages[2].content[1]": "3",
        "messages[2].content[2].text": "1",
        "messages[3].content[0].source.type": "'file'",
        "messages[4].content[0].source.type": "'base64'",
        "messages[5].content[0].name": "'a b'",
        "messages[5].content[0].input": "1",
        "tools[0].type": "'web_search_20250305'",
        "tools[1].input_schema": "nothing",
        "tools[2]": "4",
        "tool_choice.name": "nothing",
        "thinking.budget_tokens": "nothing",
        "output_config.effort": "'vast'",
        "output_config.format.type": "'json'",
        "output_config.format.schema": "nothing",
        "metadata.user_id": "3",
    }


def test_a_request_without_messages_or_with_none_is_refused() -> None:
    assert faults({"max_tokens": 1}) == {"messages": "nothing"}
    assert faults({"max_tokens": 1, "messages": []}) == {"messages": "a list of 0"}


def test_counting_tokens_needs_no_max_tokens() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    assert chat_request(body, is_max_tokens_required=False) == body


NAMES = ["type", "text", "role", "content", "source", "input", "name", "id", "tool_use_id"]
WORDS = st.sampled_from(["text", "image", "user", "assistant", "tool_result", "tool_use"])
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), inner | WORDS, max_size=4)
    ),
    max_leaves=15,
)
MEMBERS = ["messages", "system", "tools", "tool_choice", "thinking", "output_config", "metadata"]


@given(st.fixed_dictionaries({}, optional=dict.fromkeys([*MEMBERS, "max_tokens", "stream"], ODD)))
def test_a_body_of_any_shape_is_converted_or_refused_by_name(body: dict[str, Any]) -> None:
    refused: list[Any] = []
    chat = None
    try:
        chat = chat_request(body)
    except ConversionError as error:
        refused = error.fields
    assert (chat is None) == bool(refused)
    assert all(len(fault.found) <= 60 for fault in refused)
