"""A Responses request says the same as the chat request that it becomes."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.wire.responses import ConversionError, chat_request

BASE = {"model": "m", "input": "hi"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def convert(**more: Any) -> dict[str, Any]:
    return chat_request(BASE | more)


def messages_of(*items: dict[str, Any]) -> list[dict[str, Any]]:
    return convert(input=list(items))["messages"]


def faults(**more: Any) -> dict[str, str]:
    with pytest.raises(ConversionError) as caught:
        convert(**more)
    return {fault.path: fault.found for fault in caught.value.fields}


def test_what_both_protocols_have_goes_over() -> None:
    found = convert(
        instructions="Be brief.",
        max_output_tokens=9,
        parallel_tool_calls=False,
        stream=True,
        temperature=1.5,
        top_p=0.9,
        user="u",
        metadata={"a": "b"},
        prompt_cache_key="k",
        service_tier="auto",
    )
    assert found == CHAT | {
        "messages": [{"role": "system", "content": "Be brief."}, *CHAT["messages"]],
        "max_tokens": 9,
        "parallel_tool_calls": False,
        "stream": True,
        "temperature": 1.5,
        "top_p": 0.9,
        "user": "u",
    }


def test_a_safety_identifier_is_an_end_user_too() -> None:
    assert convert(safety_identifier="s") == CHAT | {"user": "s"}
    assert convert(safety_identifier="s", user="u") == CHAT | {"user": "u"}


def test_extras_go_over_as_they_are() -> None:
    assert chat_request(BASE | {"grammar": "g", "x": 1}, extras=["grammar"]) == CHAT | {
        "grammar": "g"
    }


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("store", True, "true"),
        ("background", True, "true"),
        ("previous_response_id", "resp_1", "'resp_1'"),
        ("conversation", {"id": "c"}, "an object"),
        ("prompt", {"id": "p"}, "an object"),
    ],
)
def test_what_needs_state_is_refused_by_name(name: str, value: Any, found: str) -> None:
    assert faults(**{name: value}) == {name: found}
    assert convert(**{name: None}) == CHAT


def test_false_asks_for_no_state() -> None:
    assert convert(store=False, background=False) == CHAT


TEXTS = st.text(min_size=1, max_size=8)


@st.composite
def turns(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A question, and an answer of several items with the results of its calls; and both as chat."""
    question, answer, thought = draw(TEXTS), draw(TEXTS), draw(st.none() | TEXTS)
    calls = draw(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=2))
    items: list[dict[str, Any]] = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": question}]}
    ]
    chat: list[dict[str, Any]] = [{"role": "user", "content": question}]
    message: dict[str, Any] = {"role": "assistant", "content": answer}
    if thought is not None:
        content = [{"type": "reasoning_text", "text": thought}]
        items.append({"type": "reasoning", "id": "rs_1", "summary": [], "content": content})
        message["reasoning_content"] = thought
    part = {"type": "output_text", "text": answer, "annotations": []}
    items.append(
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [part],
        }
    )
    for id_, arguments, _ in calls:
        items.append({"type": "function_call", "call_id": id_, "name": "f", "arguments": arguments})
        call = {"id": id_, "type": "function", "function": {"name": "f", "arguments": arguments}}
        message.setdefault("tool_calls", []).append(call)
    chat.append(message)
    for id_, _, output in calls:
        items.append({"type": "function_call_output", "call_id": id_, "output": output})
        chat.append({"role": "tool", "tool_call_id": id_, "content": output})
    return items, chat


@given(st.lists(turns(), min_size=1, max_size=3))
def test_any_conversation_keeps_its_meaning(
    conversation: list[tuple[list[dict[str, Any]], list[dict[str, Any]]]],
) -> None:
    body = BASE | {"input": [item for items, _ in conversation for item in items]}
    before = copy.deepcopy(body)
    assert chat_request(body)["messages"] == [m for _, chat in conversation for m in chat]
    assert body == before, "the request itself is not changed"


def test_messages_may_leave_their_type_out_and_be_plain_texts() -> None:
    assert messages_of(
        {"role": "developer", "content": "be kind"},
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": "b"},
    ) == [
        {"role": "developer", "content": "be kind"},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        },
    ]


def test_pictures_refusals_and_lists_of_outputs() -> None:
    url = "data:image/png;base64,AA=="
    picture = {"type": "input_image", "image_url": url, "detail": "low"}
    assert messages_of(
        {"role": "user", "content": [picture]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {
            "type": "function_call_output",
            "call_id": "c",
            "output": [{"type": "input_text", "text": "x"}] * 2,
        },
    ) == [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": url, "detail": "low"}}],
        },
        {"role": "assistant", "content": "no"},
        {"role": "tool", "tool_call_id": "c", "content": "xx"},
    ]


def test_a_turn_of_calls_alone_has_no_text() -> None:
    (message,) = messages_of(
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    )
    assert message["content"] is None
    assert message["tool_calls"][0]["id"] == "c"


def test_reasoning_that_only_its_maker_can_read_is_left_out() -> None:
    item = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}]}
    assert messages_of(item | {"encrypted_content": "x"}, {"role": "user", "content": "a"}) == [
        {"role": "user", "content": "a"}
    ]


def test_functions_are_nested_and_other_tools_refused_by_name() -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
    found = convert(tools=[tool | {"description": None}], tool_choice="required")
    function = {"name": "f", "parameters": {"type": "object"}, "strict": True}
    assert found["tools"] == [{"type": "function", "function": function}]
    assert found["tool_choice"] == "required"
    assert faults(tools=[{"type": "web_search"}, 3, {"type": "function", "parameters": 1}]) == {
        "tools[0].type": "'web_search'",
        "tools[1]": "3",
        "tools[2].name": "nothing",
        "tools[2].parameters": "1",
    }


def test_a_named_function_is_chosen_and_allowed_tools_are_the_only_ones_shown() -> None:
    tools = [{"type": "function", "name": name} for name in ("f", "g")]
    found = convert(tools=tools, tool_choice={"type": "function", "name": "f"})
    assert found["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [tools[1]]}
    found = convert(tools=tools, tool_choice=allowed)
    assert found["tools"] == [{"type": "function", "function": {"name": "g"}}]
    assert found["tool_choice"] == "required"
    assert faults(tool_choice="any") == {"tool_choice": "'any'"}
    assert faults(tool_choice={"type": "mcp"}) == {"tool_choice.type": "'mcp'"}
    assert faults(tool_choice={"type": "allowed_tools"}) == {
        "tool_choice.mode": "nothing",
        "tool_choice.tools": "nothing",
    }


def test_the_form_of_the_text_effort_and_log_probabilities() -> None:
    schema = {"type": "json_schema", "name": "n", "schema": {}, "strict": True, "description": "d"}
    found = convert(
        text={"format": schema, "verbosity": "low"},
        reasoning={"effort": "minimal", "summary": "auto"},
        top_logprobs=2,
    )
    assert found["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {}, "strict": True, "description": "d"},
    }
    assert (found["verbosity"], found["reasoning_effort"]) == ("low", "minimal")
    assert (found["logprobs"], found["top_logprobs"]) == (True, 2)
    assert convert(text={"format": {"type": "json_object"}})["response_format"] == {
        "type": "json_object"
    }
    assert convert(text={"format": {"type": "text"}}, reasoning={"effort": None}) == CHAT
    assert convert(include=["message.output_text.logprobs"]) == CHAT | {"logprobs": True}
    assert convert(include=["reasoning.encrypted_content"]) == CHAT


def test_every_wrong_field_is_named_at_once() -> None:
    assert faults(
        temperature=9,
        instructions=4,
        input=[
            {"type": "item_reference", "id": "x"},
            {"content": "no role"},
            {"role": "wizard", "content": "x"},
            {"role": "user", "content": [{"type": "input_file"}, {"type": "input_image"}, {}]},
            {"type": "function_call", "call_id": "", "name": "a b"},
            {"type": "function_call_output", "call_id": "c"},
            {"type": "reasoning", "content": [{"type": "reasoning_text"}]},
            "text",
        ],
        text={"format": {"type": "json_schema"}, "verbosity": "loud"},
        reasoning={"effort": "vast"},
        include="all",
    ) == {
        "temperature": "9",
        "instructions": "4",
        "input[0].type": "'item_reference'",
        "input[1].type": "nothing",
        "input[2].role": "'wizard'",
        "input[3].content[0].type": "'input_file'",
        "input[3].content[1].image_url": "nothing",
        "input[3].content[2]": "an object",
        "input[4].call_id": "''",
        "input[4].name": "'a b'",
        "input[4].arguments": "nothing",
        "input[5].output": "nothing",
        "input[6].content[0].text": "nothing",
        "input[7]": "'text'",
        "text.verbosity": "'loud'",
        "text.format.name": "nothing",
        "text.format.schema": "nothing",
        "reasoning.effort": "'vast'",
        "include": "'all'",
    }


def test_an_input_is_needed() -> None:
    assert faults(input=None) == {"input": "null"}
    assert faults(input=[]) == {"input": "a list of 0"}


NAMES = [
    "type",
    "text",
    "role",
    "content",
    "output",
    "call_id",
    "name",
    "arguments",
    "mode",
    "tools",
]
WORDS = st.sampled_from(
    ["message", "function_call", "reasoning", "user", "assistant", "input_text"]
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), inner | WORDS, max_size=4)
    ),
    max_leaves=15,
)
MEMBERS = ["input", "instructions", "tools", "tool_choice", "text", "reasoning", "include", "user"]


@given(st.fixed_dictionaries({}, optional=dict.fromkeys([*MEMBERS, "top_logprobs"], ODD)))
def test_a_body_of_any_shape_is_converted_or_refused_by_name(body: dict[str, Any]) -> None:
    refused: list[Any] = []
    chat = None
    try:
        chat = chat_request(body)
    except ConversionError as error:
        refused = error.fields
    assert (chat is None) == bool(refused)
    assert all(len(fault.found) <= 60 for fault in refused)
