"""A required or named tool call is made, whatever the model's template knows of tools."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.demo_runner import DemoRunner, demo_runner

CHAT = "/v1/chat/completions"

TEMPLATE = (
    "{%- if tools %}<|im_start|>system\nFunctions: {{ tools | tojson }}\n"
    "Call one as <tool_call>{...}</tool_call><|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content %}{{ message.content }}{% endif %}"
    "{% if message.tool_calls %}{% for call in message.tool_calls %}<tool_call>\n"
    '{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}\n'
    "</tool_call>{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": "function",
        "function": {"name": name, "description": f"do {name}", "parameters": parameters},
    }


CITY = {"enum": ["Paris", "Rome"]}
TOOLS = [tool("get_weather", city=CITY), tool("add", a={"type": "integer"})]
ASKED: dict[str, Any] = {
    "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
    "tools": TOOLS,
    "max_tokens": 120,
    "temperature": 0,
}
NAMED = {"type": "function", "function": {"name": "get_weather"}}


@pytest.fixture(scope="module")
def tool_runner(demo_model: Path) -> Iterator[DemoRunner]:
    with demo_runner(demo_model, batch=64, chat_template=TEMPLATE, context=4096) as runner:
        yield runner


@pytest.fixture(params=["template without tools", "template with tools"])
def any_runner(
    request: pytest.FixtureRequest, chat_runner: DemoRunner, tool_runner: DemoRunner
) -> DemoRunner:
    return chat_runner if request.param == "template without tools" else tool_runner


def test_the_template_with_tools_is_known_as_one(
    chat_runner: DemoRunner, tool_runner: DemoRunner
) -> None:
    assert chat_runner.facts.supports_tools is False
    assert tool_runner.facts.supports_tools is True


def test_a_named_tool_is_called(any_runner: DemoRunner) -> None:
    answer = any_runner.call("POST", CHAT, ASKED | {"tool_choice": NAMED})
    assert answer.status == 200, answer.body
    choice = answer.json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert call["type"] == "function"
    assert call["id"].startswith("call_")
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"])["city"] in CITY["enum"]


def test_some_tool_is_called_when_one_is_required(any_runner: DemoRunner) -> None:
    answer = any_runner.call("POST", CHAT, ASKED | {"tool_choice": "required"}).json()
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] in ("get_weather", "add")
    assert isinstance(json.loads(call["function"]["arguments"]), dict)
    assert answer["usage"]["completion_tokens"] < 120, "it stops when the call is whole"


def test_a_streamed_call_comes_as_name_and_pieces_of_arguments(any_runner: DemoRunner) -> None:
    asked = ASKED | {
        "tool_choice": NAMED,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    answer = any_runner.call("POST", CHAT, asked, grant="streamed-call")
    assert answer.events()[-1] == "[DONE]"
    *chunks, usage = answer.chunks()
    deltas = [c["choices"][0]["delta"] for c in chunks]
    calls = [d["tool_calls"][0] for d in deltas if "tool_calls" in d]
    assert deltas[0]["role"] == "assistant"
    assert not any(d.get("content") for d in deltas)
    assert calls[0]["function"] == {"name": "get_weather", "arguments": ""}
    assert all(call["index"] == 0 for call in calls)
    assert all("id" not in call and "name" not in call["function"] for call in calls[1:])
    assert json.loads("".join(c["function"]["arguments"] for c in calls))["city"] in CITY["enum"]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    end = any_runner.wait_end("streamed-call")
    assert usage["usage"]["completion_tokens"] == end.completion_tokens > 0
    assert not end.cancelled


def test_a_call_that_is_cut_short_says_so(any_runner: DemoRunner) -> None:
    asked = ASKED | {"tool_choice": NAMED, "max_tokens": 4}
    choice = any_runner.call("POST", CHAT, asked).json()["choices"][0]
    assert choice["finish_reason"] == "length"


def test_calls_and_results_of_earlier_turns_are_taken(any_runner: DemoRunner) -> None:
    called = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'},
    }
    messages = [
        *ASKED["messages"],
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    asked = ASKED | {"messages": messages, "tool_choice": "required"}
    assert any_runner.call("POST", CHAT, asked).json()["choices"][0]["message"]["tool_calls"]


def test_the_model_is_told_of_the_tools(any_runner: DemoRunner) -> None:
    without = ASKED | {"max_tokens": 1}
    del without["tools"]
    forced = ASKED | {"tool_choice": NAMED, "max_tokens": 1}
    counts = [
        any_runner.call("POST", CHAT, asked).json()["usage"]["prompt_tokens"]
        for asked in (without, forced)
    ]
    assert counts[1] > counts[0] + 15


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_a_free_choice_is_the_models(any_runner: DemoRunner, choice: str) -> None:
    asked = ASKED | {"tool_choice": choice, "max_tokens": 3}
    answer = any_runner.call("POST", CHAT, asked)
    assert answer.status == 200


@pytest.mark.parametrize(
    "choice", ["sometimes", {"type": "function", "function": {"name": "nowhere"}}, {"type": "x"}, 3]
)
def test_a_choice_that_cannot_be_kept_is_400(chat_runner: DemoRunner, choice: Any) -> None:
    answer = chat_runner.call("POST", CHAT, ASKED | {"tool_choice": choice})
    assert answer.status == 400
    assert "tool_choice" in answer.json()["error"]["message"]


def test_references_inside_the_parameters_lead_where_they_did(any_runner: DemoRunner) -> None:
    place = {"$defs": {"P": {"enum": ["Oslo", "Bern"]}}}
    refers = tool("go", to={"$ref": "#/$defs/P"})
    refers["function"]["parameters"] |= place
    asked = ASKED | {"tools": [TOOLS[1], refers], "tool_choice": "required"}
    message = any_runner.call("POST", CHAT, asked).json()["choices"][0]["message"]
    (call,) = message["tool_calls"]
    if call["function"]["name"] == "go":
        assert json.loads(call["function"]["arguments"])["to"] in ("Oslo", "Bern")
    only = ASKED | {"tools": [refers], "tool_choice": "required"}
    (call,) = any_runner.call("POST", CHAT, only).json()["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"])["to"] in ("Oslo", "Bern")
