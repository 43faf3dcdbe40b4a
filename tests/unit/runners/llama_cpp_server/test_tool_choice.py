"""A tool choice that must be kept becomes a schema, and its text a call again."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.runners.llama_cpp_server.refusals import Refused
from rempart.runners.llama_cpp_server.tool_choice import (
    TOOLS_COUNT_MAX,
    CallReader,
    Tool,
    as_schema_request,
    call_schema,
    forced_tools,
)

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def listed(name: str, **more: Any) -> dict[str, Any]:
    function = {"name": name, "description": f"does {name}", "parameters": PARAMETERS}
    return {"type": "function", "function": function | more}


TWO = [listed("a"), listed("b")]


def names(choice: Any, tools: Any = TWO) -> list[str]:
    return [tool.name for tool in forced_tools({"tools": tools, "tool_choice": choice})]


ALLOWED_IN_AUTO = {
    "type": "allowed_tools",
    "allowed_tools": {"mode": "auto", "tools": [listed("a")]},
}


@pytest.mark.parametrize("choice", [None, "auto", "none", ALLOWED_IN_AUTO])
def test_a_free_choice_forces_nothing(choice: Any) -> None:
    assert names(choice) == []
    assert forced_tools({}) == []


def test_a_forced_choice_gives_the_tools_that_may_be_called() -> None:
    assert names("required") == ["a", "b"]
    assert names({"type": "function", "function": {"name": "b"}}) == ["b"]
    assert names({"type": "function", "name": "b"}) == ["b"]
    some = {"mode": "required", "tools": [{"type": "function", "function": {"name": "a"}}]}
    assert names({"type": "allowed_tools", "allowed_tools": some}) == ["a"]
    assert names({"type": "allowed_tools", **some}) == ["a"]


@pytest.mark.parametrize(
    ("choice", "tools"),
    [
        ("required", []),
        ("required", None),
        ("required", [{"type": "custom", "custom": {"name": "x"}}, 3, {"function": 3}]),
        ("always", TWO),
        (7, TWO),
        ({"type": "function", "function": {"name": "c"}}, TWO),
        ({"type": "function"}, TWO),
        ({"type": "allowed_tools", "allowed_tools": 3}, TWO),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required"}}, TWO),
        ("required", [listed("x")] * (TOOLS_COUNT_MAX + 1)),
    ],
)
def test_a_choice_that_cannot_be_kept_is_refused(choice: Any, tools: Any) -> None:
    with pytest.raises(Refused) as refused:
        names(choice, tools)
    assert refused.value.status == 400


def test_the_name_comes_first_and_nothing_else_may_come() -> None:
    schema = call_schema([Tool("a", "", PARAMETERS)])
    assert list(schema["properties"]) == ["name", "arguments"]
    assert schema["required"] == ["name", "arguments"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["name"] == {"const": "a"}


def test_arguments_are_an_object_even_where_the_tool_does_not_say_so() -> None:
    assert call_schema([Tool("a", "", {})])["properties"]["arguments"] == {"type": "object"}
    refers = {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}}
    assert "type" not in call_schema([Tool("a", "", refers)])["properties"]["arguments"]


def test_references_lead_to_where_the_parameters_went() -> None:
    refers = {"properties": {"x": {"anyOf": [{"$ref": "#/$defs/X"}, {"$ref": "#"}]}}, "$defs": {}}
    for tools, place in (
        ([Tool("a", "", refers)], "#/properties/arguments"),
        ([Tool("b", "", {}), Tool("a", "", refers)], "#/anyOf/1/properties/arguments"),
    ):
        text = json.dumps(call_schema(tools))
        assert f'"{place}/$defs/X"' in text
        assert f'"$ref": "{place}"' in text


def test_a_template_with_tools_shows_them_itself() -> None:
    body = {"messages": [], "tools": TWO, "tool_choice": "required", "grammar": "x"}
    asked = as_schema_request(body, forced_tools(body), template_takes_tools=True)
    assert asked["tools"] == TWO
    assert asked["tool_choice"] == "none"
    assert "grammar" not in asked
    assert body["tool_choice"] == "required", "the request itself is left as it was"


def test_a_template_without_tools_is_told_in_a_system_message() -> None:
    city = {"type": "string", "description": "where", "enum": ["X", "Y"]}
    described = {"type": "object", "properties": {"city": city, "n": 3}}
    tools = [listed("a", parameters=described), listed("b", description=None)]
    user = {"role": "user", "content": "hi"}
    body = {"messages": [user], "tools": tools, "tool_choice": "required"}
    asked = as_schema_request(body, forced_tools(body), template_takes_tools=False)
    assert "tools" not in asked
    assert "tool_choice" not in asked
    system, same = asked["messages"]
    assert same == user
    assert system["role"] == "system"
    for text in ("- a: does a", "city (string) one of X, Y: where", "- b"):
        assert text in system["content"]


@pytest.mark.parametrize("content", ["Be kind.", [{"type": "text", "text": "Be kind."}], None])
def test_a_system_message_that_is_there_is_added_to(content: Any) -> None:
    body = {
        "messages": [{"role": "system", "content": content}],
        "tools": TWO,
        "tool_choice": "required",
    }
    asked = as_schema_request(body, forced_tools(body), template_takes_tools=False)
    (system,) = asked["messages"]
    text = json.dumps(system["content"])
    assert "- a: does a" in text
    assert ("Be kind." in text) is (content is not None)


def test_earlier_calls_and_results_become_text() -> None:
    call = {"id": "1", "function": {"name": "a", "arguments": '{"city": "X"}'}}
    messages = [
        {"role": "assistant", "content": "well", "tool_calls": [call, 3]},
        {"role": "tool", "tool_call_id": "1", "content": "rain"},
        "no message",
    ]
    body = {"messages": messages, "tools": TWO, "tool_choice": "required"}
    _, said, result, odd = as_schema_request(body, forced_tools(body), template_takes_tools=False)[
        "messages"
    ]
    assert said == {
        "role": "assistant",
        "content": 'well\n{"name": "a", "arguments": {"city": "X"}}',
    }
    assert result == {"role": "user", "content": "rain"}
    assert odd == "no message"


def test_messages_that_are_none_are_the_librarys_to_refuse() -> None:
    body = {"messages": 3, "tools": TWO, "tool_choice": "required"}
    asked = as_schema_request(body, forced_tools(body), template_takes_tools=False)
    assert asked["messages"] == 3


TEXTS = st.text() | st.text('"\\{}[],: é\n')
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(
    name=st.text('ab"\\{}é', min_size=1, max_size=8),
    arguments=st.dictionaries(TEXTS, JSON, max_size=4),
    indent=st.sampled_from([None, 1, 4]),
    ascii_only=st.booleans(),
    cuts=st.lists(st.integers(0, 400), max_size=12),
    after=st.sampled_from(["", "\n\n", "  "]),
)
def test_a_call_is_read_the_same_for_every_cut(
    name: str, arguments: Any, indent: int | None, ascii_only: bool, cuts: list[int], after: str
) -> None:
    call = {"name": name, "arguments": arguments}
    text = json.dumps(call, indent=indent, ensure_ascii=ascii_only) + after
    reader = CallReader()
    got = ""
    before = 0
    for cut in [*sorted(cuts), len(text)]:
        got += reader.feed(text[before:cut])
        before = max(before, cut)
    assert reader.is_complete
    assert reader.name == name
    assert json.loads(got) == arguments


def test_a_call_that_is_not_whole_gives_what_there_is() -> None:
    reader = CallReader()
    assert reader.feed('{"name": "f"') == ""
    assert reader.name is None
    assert reader.feed(', "arguments": {"a": "x}') == '{"a": "x}'
    assert not reader.is_complete
