"""A sound body costs one conversion; of any other, every wrong field is named at once."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lab.chat_streams import documents
from rempart.wire import messages, responses
from rempart.wire.chat_request import (
    rules,
    typed,
    validate_chat,
    validate_completion,
    validate_embeddings,
    validate_rerank,
)
from rempart.wire.faults import FAULTS_MAX, Faults

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [USER]} | more


def found(faults: list[Any]) -> dict[str, str]:
    assert len({fault.path for fault in faults}) == len(faults)
    return {fault.path: fault.found for fault in faults}


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CUSTOM_CALL = {"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}
PARTS = [
    {"type": "text", "text": "a"},
    {"type": "refusal", "refusal": "a"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
    {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA=="}},
    {"type": "audio_url", "audio_url": {"url": "data:audio/wav;base64,AA=="}},
    {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    {"type": "file", "file": {"file_data": "AA==", "filename": "a.pdf"}},
]
SOUND_MESSAGES = [
    {"role": "system", "content": "a", "name": "n"},
    {"role": "developer", "content": [PARTS[0]]},
    {"role": "user", "content": PARTS},
    {"role": "user", "content": []},
    {"role": "assistant", "content": "a", "refusal": None, "reasoning_content": "b"},
    {"role": "assistant", "content": None, "tool_calls": [CALL, CUSTOM_CALL]},
    {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
    {"role": "tool", "tool_call_id": "c", "content": [PARTS[0]]},
    {"role": "function", "name": "f", "content": None},
]
SOUND: dict[str, list[Any]] = {
    "messages": [[message] for message in SOUND_MESSAGES],
    "frequency_penalty": [-2, 2.0],
    "logit_bias": [{"5": -100, "6": 1.5}],
    "logprobs": [True, False],
    "max_tokens": [1, 10**9],
    "max_completion_tokens": [1],
    "metadata": [{"a": "b"}],
    "n": [1, 128],
    "parallel_tool_calls": [True],
    "presence_penalty": [0],
    "reasoning_effort": ["none", "high"],
    "response_format": [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_object", "schema": {}},
        {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}},
    ],
    "seed": [-1, 2**63 - 1],
    "stop": ["a", ["a"] * 16, []],
    "stream": [True, False],
    "stream_options": [{"include_usage": True}, {}],
    "temperature": [0, 2, 0.7],
    "tool_choice": ["none", "auto"],
    "tools": [[TOOL], [{"type": "custom", "custom": {"name": "g"}}], []],
    "top_p": [0, 1],
    "user": ["u"],
    "grammar": ["root ::= x"],
    "min_p": [0.05],
    "top_k": [-1, 40],
    "chat_template_kwargs": [{"enable_thinking": False}],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in SOUND.items() for value in values]
)
def test_what_is_documented_is_accepted_by_the_types_and_by_the_rules(
    name: str, value: Any
) -> None:
    body = chat(**{name: value})
    msgspec.convert(body, typed.Chat)
    wrong = Faults()
    rules.check_chat(body, wrong)
    assert wrong.fields == validate_chat(body) == []


@pytest.mark.parametrize("name", sorted(set(SOUND) - {"messages"}))
def test_null_is_as_good_as_nothing(name: str) -> None:
    assert validate_chat(chat(**{name: None})) == []


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 200)
    | st.floats(-3, 3)
    | st.sampled_from([10**400, 2**63, 1.0, "", "f", "x" * 600, "text", "user", "function"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["a", "type"]), inner, max_size=2)
    ),
    max_leaves=5,
)


def mutated(value: Any, draw: st.DrawFn) -> Any:
    """``value`` with one place, however deep, made odd, left out or added to."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        name = draw(st.sampled_from(sorted(value)))
        act = draw(st.sampled_from(["deeper", "deeper", "drop", "odd"]))
        rest = {key: inner for key, inner in value.items() if key != name}
        if act == "drop":
            return rest
        return rest | {name: draw(ODD) if act == "odd" else mutated(value[name], draw)}
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], mutated(value[at], draw), *value[at + 1 :]]
    return draw(ODD)


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(SOUND)), max_size=4, unique=True))
    body = chat(**{name: draw(st.sampled_from(SOUND[name])) for name in names})
    for _ in range(draw(st.integers(0, 2))):
        changed = mutated(copy.deepcopy(body), draw)
        if isinstance(changed, dict):
            body = changed
    return body


TIES = ("top_logprobs", "tool_choice")


@given(bodies())
@example(chat(temperature=10**400))
def test_types_and_rules_agree_on_every_body(body: dict[str, Any]) -> None:
    wrong = Faults()
    rules.check_chat(body, wrong)
    try:
        msgspec.convert(body, typed.Chat)
        is_typed = True
    except (msgspec.ValidationError, OverflowError):
        is_typed = False
    if is_typed and wrong.fields:
        # Only what depends on another field may be found by the rules alone.
        assert {fault.path for fault in wrong.fields} <= {"logprobs", "tools"} | {
            f"messages[{index}].content" for index in range(9)
        } | {"tool_choice.function.name", "tool_choice.custom.name"}
    if not is_typed:
        assert wrong.fields
    assert validate_chat(body) == wrong.fields
    assert all(len(fault.found) <= 60 for fault in wrong.fields)


@pytest.mark.requirement("validation-errors")
def test_every_wrong_field_is_named_at_once() -> None:
    body = chat(
        messages=[
            {"role": "wizard", "content": "x" * 500},
            {"role": "user"},
            {
                "role": "user",
                "content": [{"type": "text"}, {"type": "image_url", "image_url": "u"}, 3],
            },
            {
                "role": "user",
                "content": [{"type": "file", "file": {"file_id": "f"}}, {"type": "input_text"}],
            },
            {"role": "assistant", "content": None},
            {
                "role": "assistant",
                "tool_calls": [{"id": "", "type": "function", "function": {"name": "a b"}}],
            },
            {"role": "assistant", "content": 3, "function_call": {}},
            {"role": "tool", "content": "x"},
            {"role": "function", "content": 1},
            "text",
        ],
        temperature=-3,
        top_p="1",
        n=0,
        max_tokens=0,
        stop=["a"] * 17,
        logit_bias={"1": 101},
        stream="yes",
        stream_options={"include_usage": 1},
        response_format={"type": "json_schema", "json_schema": {"name": "a b"}},
        tools=[
            {"type": "web_search"},
            {"type": "function", "function": {"name": "f", "strict": 1}},
        ],
        top_logprobs=2,
    )
    assert found(validate_chat(body)) == {
        "messages[0].role": "'wizard'",
        "messages[1].content": "nothing",
        "messages[2].content[0].text": "nothing",
        "messages[2].content[1].image_url": "'u'",
        "messages[2].content[2]": "3",
        "messages[3].content[0].file.file_data": "nothing",
        "messages[3].content[1].type": "'input_text'",
        "messages[4].content": "null",
        "messages[5].tool_calls[0].id": "''",
        "messages[5].tool_calls[0].function.name": "'a b'",
        "messages[5].tool_calls[0].function.arguments": "nothing",
        "messages[6].content": "3",
        "messages[6].function_call.name": "nothing",
        "messages[6].function_call.arguments": "nothing",
        "messages[7].tool_call_id": "nothing",
        "messages[8].name": "nothing",
        "messages[8].content": "1",
        "messages[9]": "'text'",
        "temperature": "-3",
        "top_p": "'1'",
        "n": "0",
        "max_tokens": "0",
        "stop": "a list of 17",
        "logit_bias": "an object",
        "stream": "'yes'",
        "stream_options.include_usage": "1",
        "response_format.json_schema.name": "'a b'",
        "tools[0].type": "'web_search'",
        "tools[1].function.strict": "1",
        "logprobs": "nothing",
    }


def test_messages_are_needed_and_their_number_is_bounded() -> None:
    assert found(validate_chat({"model": "m"})) == {"messages": "nothing"}
    assert found(validate_chat(chat(messages=[]))) == {"messages": "a list of 0"}
    assert validate_chat(chat(messages=[USER] * 2048)) == []
    assert found(validate_chat(chat(messages=[USER] * 2049))) == {"messages": "a list of 2049"}


@pytest.mark.requirement("problem-validation")
def test_thousands_of_wrong_messages_give_a_bounded_answer() -> None:
    assert len(validate_chat(chat(messages=[{"role": "wizard"}] * 2000))) == FAULTS_MAX


@pytest.mark.parametrize(
    ("choice", "tools", "path"),
    [
        ("required", [TOOL], None),
        ("required", [], "tools"),
        ("required", None, "tools"),
        ({"type": "function", "function": {"name": "f"}}, [TOOL], None),
        ({"type": "function", "function": {"name": "g"}}, [TOOL], "tool_choice.function.name"),
        ({"type": "function"}, [TOOL], "tool_choice.function"),
        ({"type": "mcp"}, [TOOL], "tool_choice.type"),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}},
            [TOOL],
            None,
        ),
        ("any", [TOOL], "tool_choice"),
    ],
)
def test_a_forced_tool_must_be_there(choice: Any, tools: Any, path: str | None) -> None:
    assert list(found(validate_chat(chat(tools=tools, tool_choice=choice)))) == (
        [path] if path else []
    )


def test_top_logprobs_need_logprobs() -> None:
    assert validate_chat(chat(logprobs=True, top_logprobs=20)) == []
    assert list(found(validate_chat(chat(logprobs=False, top_logprobs=2)))) == ["logprobs"]
    assert list(found(validate_chat(chat(logprobs=True, top_logprobs=21)))) == ["top_logprobs"]


@pytest.mark.parametrize(
    "message", [{"content": None}, {"tool_calls": []}, {"content": None, "tool_calls": None}]
)
def test_an_earlier_answer_says_something_or_calls_a_tool(message: dict[str, Any]) -> None:
    faults = validate_chat(chat(messages=[USER, {"role": "assistant"} | message]))
    assert list(found(faults)) == ["messages[1].content"]


BOUNDS = {
    "frequency_penalty": (-2.1, 2.1),
    "presence_penalty": (-2.1, 2.1),
    "max_tokens": (0, 10**9 + 1),
    "max_completion_tokens": (0, 10**9 + 1),
    "n": (0, 129),
    "temperature": (-0.1, 2.1),
    "top_p": (-0.1, 1.1),
    "min_p": (-0.1, 1.1),
    "top_k": (-2, 10**6 + 1),
    "seed": (-(2**63) - 1, 2**63),
    "user": (3, "u" * 513),
    "grammar": (3, "g" * 65537),
    "logit_bias": ({"1": -100.5}, {"1": 100.5}),
    "stop": (["a"] * 17, "a" * 1025),
    "metadata": ({"a": "b" * 513}, {"a" * 65: "b"}),
    "reasoning_effort": ("vast", 1),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, pair in BOUNDS.items() for value in pair]
)
def test_what_is_just_beyond_a_bound_is_refused(name: str, value: Any) -> None:
    assert list(found(validate_chat(chat(**{name: value})))) == [name]


@given(documents())
def test_what_an_answer_says_may_be_sent_back_as_it_is(document: dict[str, Any]) -> None:
    message = document["choices"][0]["message"]
    for call in message.get("tool_calls", ()):
        call["function"]["name"] = "f"
    assert validate_chat(chat(messages=[USER, message, USER])) == []


def test_what_the_converters_make_is_sound() -> None:
    picture = {"type": "base64", "media_type": "image/png", "data": "AA=="}
    body = {
        "model": "m",
        "max_tokens": 5,
        "system": "s",
        "messages": [
            {"role": "user", "content": [{"type": "image", "source": picture}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "t", "signature": ""},
                    {"type": "tool_use", "id": "c", "name": "f", "input": {}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c"}]},
        ],
        "tools": [{"name": "f", "input_schema": {}}],
        "tool_choice": {"type": "any"},
        "output_config": {"effort": "max", "format": {"type": "json_schema", "schema": {}}},
    }
    assert validate_chat(messages.chat_request(body)) == []
    asked = {
        "model": "m",
        "input": [
            {"role": "user", "content": "a"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "1"},
        ],
        "tools": [{"type": "function", "name": "f"}],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}},
        "top_logprobs": 2,
        "reasoning": {"effort": "low"},
    }
    assert validate_chat(responses.chat_request(asked)) == []


PROMPTS = ["a", "", ["a", "b"], [1, 2], [[1], [2, 3]]]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_completions_take_texts_and_token_ids(prompt: Any) -> None:
    assert validate_completion({"model": "m", "prompt": prompt, "logprobs": 5, "echo": True}) == []


@pytest.mark.parametrize("prompt", [None, [], 3, ["a", 1], [-1], [[]], ["a"] * 129, [1.0]])
def test_other_prompts_are_refused(prompt: Any) -> None:
    assert list(found(validate_completion({"model": "m", "prompt": prompt}))) == ["prompt"]


def test_completions_bounds() -> None:
    body = {"model": "m", "prompt": "a", "logprobs": True, "suffix": 3, "temperature": 9}
    assert list(found(validate_completion(body))) == ["temperature", "logprobs", "suffix"]
    assert found(validate_completion({"model": "m"})) == {"prompt": "nothing"}


@pytest.mark.parametrize(
    ("more", "is_sound"),
    [({"best_of": 1}, True), ({"best_of": 2, "n": 2}, True), ({"best_of": 2}, False)],
)
def test_nothing_is_generated_to_be_thrown_away(more: dict[str, Any], is_sound: bool) -> None:
    assert (validate_completion({"model": "m", "prompt": "a"} | more) == []) == is_sound


def test_embeddings() -> None:
    for sound in ("a", ["a", "b"], [1, 2], [[1], [2]]):
        body = {"model": "m", "input": sound, "encoding_format": "base64", "dimensions": 8}
        assert validate_embeddings(body) == []
    for wrong in ("", ["a", ""], [], None, ["a"] * 2049, {}):
        assert list(found(validate_embeddings({"model": "m", "input": wrong}))) == ["input"]
    body = {"model": "m", "encoding_format": "int8", "dimensions": 0}
    assert list(found(validate_embeddings(body))) == ["input", "dimensions", "encoding_format"]


def test_rerank() -> None:
    body = {"model": "m", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1}
    assert validate_rerank(body) == []
    wrong = {"query": "", "documents": [{"title": "b"}], "top_n": 0, "return_documents": "yes"}
    assert list(found(validate_rerank(wrong))) == [
        "query",
        "documents",
        "top_n",
        "return_documents",
    ]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(ANY, ANY, ANY)
def test_bodies_of_any_shape_never_raise(first: Any, second: Any, third: Any) -> None:
    for name in ("messages", "tools", "tool_choice", "response_format", "stream_options", "stop"):
        validate_chat(chat(**{name: first, "top_logprobs": second}))
    validate_completion({"prompt": first, "best_of": second, "n": third})
    validate_embeddings({"input": first, "dimensions": second})
    validate_rerank({"query": first, "documents": second, "top_n": third})
