"""The official clients against the real model: what they expect is what they get."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from lab.server import ADMIN_KEY, RempartServer

pytestmark = pytest.mark.requirement("clients", "endpoints")

MESSAGES: list[Any] = [{"role": "user", "content": "Say hello in French."}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@pytest.fixture
def client(demo_server: RempartServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{demo_server.url}/v1", api_key=ADMIN_KEY, max_retries=0, timeout=60
    ) as one:
        yield one


@pytest.fixture
def claude(demo_server: RempartServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=demo_server.url, api_key=ADMIN_KEY, max_retries=0, timeout=60
    ) as one:
        yield one


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="demo", messages=MESSAGES, max_tokens=12, seed=1)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= 12
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.model == "demo"


def test_a_stream_says_what_the_document_says(client: openai.OpenAI) -> None:
    wanted: dict[str, Any] = {
        "model": "demo",
        "messages": MESSAGES,
        "max_tokens": 16,
        "seed": 1,
        "temperature": 0,
    }
    whole = client.chat.completions.create(**wanted).choices[0].message.content
    chunks = list(
        client.chat.completions.create(
            **wanted, stream=True, stream_options={"include_usage": True}
        )
    )
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole
    )
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens <= 16
    silent = list(client.chat.completions.create(**wanted, stream=True))
    assert all(chunk.choices for chunk in silent), "usage that was not asked for is left out"


def test_a_required_tool_is_called(client: openai.OpenAI) -> None:
    wanted: dict[str, Any] = {
        "model": "demo", "messages": [{"role": "user", "content": "Weather in Paris?"}], "tools": [WEATHER],
        "tool_choice": "required", "max_tokens": 60, "temperature": 0,
    }  # fmt: skip
    answer = client.chat.completions.create(**wanted)
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert calls[0].function.name == "get_weather"
    assert "city" in json.loads(calls[0].function.arguments)
    assert answer.choices[0].finish_reason == "tool_calls"
    arguments = ""
    for chunk in client.chat.completions.create(**wanted, stream=True):
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or ():
                arguments += (call.function.arguments if call.function else "") or ""
    assert "city" in json.loads(arguments)


def test_structured_output(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": "Answer with JSON: is water wet?"}],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": True},
        },
        max_tokens=40,
    )
    assert isinstance(json.loads(answer.choices[0].message.content or "")["ok"], bool)


def test_log_probabilities_and_several_choices(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="demo", messages=MESSAGES, max_tokens=4, logprobs=True, top_logprobs=2, n=2
    )
    assert len(answer.choices) == 2
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.content


def test_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="demo", prompt="The capital of France is", max_tokens=5, temperature=0
    )
    assert "Paris" in answer.choices[0].text
    text = "".join(
        chunk.choices[0].text
        for chunk in client.completions.create(
            model="demo",
            prompt="The capital of France is",
            max_tokens=5,
            temperature=0,
            stream=True,
        )
    )
    assert text == answer.choices[0].text


def test_embeddings_of_a_model_that_is_loaded_for_it(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="vectors", input=["le chat", "the cat"])
    assert len(answer.data) == 2
    assert len(answer.data[0].embedding) == 576
    assert answer.usage.prompt_tokens > 0


def test_responses(client: openai.OpenAI) -> None:
    answer = client.responses.create(
        model="demo", input="Say hello in French.", max_output_tokens=12, store=False
    )
    assert answer.output_text
    assert answer.usage is not None
    events = list(
        client.responses.create(
            model="demo", input="Say hello.", max_output_tokens=8, store=False, stream=True
        )
    )
    assert events[0].type == "response.created"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    last = events[-1]
    assert last.type in ("response.completed", "response.incomplete")
    assert last.response.output_text == text
    counted = client.responses.input_tokens.count(model="demo", input="Say hello in French.")
    assert counted.input_tokens == answer.usage.input_tokens


def test_responses_refuses_what_it_cannot_keep(client: openai.OpenAI) -> None:
    for refused in ({"store": True}, {"previous_response_id": "resp_1"}, {"background": True}):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model="demo", input="x", **refused)  # type: ignore[arg-type]
        assert next(iter(refused)) in str(caught.value)


def test_messages(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(
        model="demo", max_tokens=12, messages=MESSAGES, system="Be brief."
    )
    assert answer.content[0].type == "text"
    assert answer.stop_reason in ("end_turn", "max_tokens")
    assert answer.usage.input_tokens > 0
    counted = claude.messages.count_tokens(model="demo", messages=MESSAGES, system="Be brief.")
    cached = answer.usage.cache_read_input_tokens or 0
    assert counted.input_tokens == answer.usage.input_tokens + cached
    with claude.messages.stream(model="demo", max_tokens=12, messages=MESSAGES) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert final.content[0].type == "text"
    assert final.content[0].text == text
    assert final.usage.output_tokens > 0


def test_messages_with_a_tool(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(
        model="demo", max_tokens=60, messages=[{"role": "user", "content": "Weather in Paris?"}],
        tools=[{"name": "get_weather", "description": "Weather", "input_schema": WEATHER["function"]["parameters"]}],
        tool_choice={"type": "tool", "name": "get_weather"},
    )  # fmt: skip
    used = [block for block in answer.content if block.type == "tool_use"]
    assert used[0].name == "get_weather"
    assert "city" in used[0].input  # type: ignore[operator]
    assert answer.stop_reason == "tool_use"


def test_models(client: openai.OpenAI) -> None:
    found = {model.id: model for model in client.models.list()}
    assert set(found) == {"demo", "vectors"}
    assert client.models.retrieve("demo").model_extra is not None
    assert client.models.retrieve("demo").model_extra["context_length"] == 2048  # type: ignore[index]


def test_errors_are_the_clients_own_exceptions(
    client: openai.OpenAI, demo_server: RempartServer
) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="none", messages=MESSAGES)
    assert missing.value.code == "model_not_found"
    assert missing.value.request_id
    with pytest.raises(openai.BadRequestError) as invalid:
        client.chat.completions.create(
            model="demo", messages=[{"role": "wizard", "content": "x"}], temperature=-3
        )  # type: ignore[list-item]
    fields = {field["path"] for field in invalid.value.body["details"]["fields"]}  # type: ignore[index]
    assert {"temperature", "messages[0].role"} <= fields
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "mot " * 4000}]
        )
    assert long.value.code == "context_length_exceeded"
    with (
        openai.OpenAI(base_url=f"{demo_server.url}/v1", api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as unknown,
    ):
        stranger.models.list()
    assert unknown.value.code == "invalid_api_key"
    with pytest.raises(openai.APIStatusError) as late:
        client.chat.completions.create(
            model="demo", messages=MESSAGES, max_tokens=1500, extra_headers={"x-request-timeout": "0.3"},
            extra_body={"ignore_eos": True},
        )  # fmt: skip
    assert late.value.status_code == 504
    assert late.value.code == "timeout"


def test_an_error_in_mid_stream_raises(client: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    long = "Count from 1 to 500, one number per line."
    with pytest.raises(openai.APIError) as caught:
        for _ in client.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": long}], max_tokens=1500, stream=True,
            extra_headers={"x-request-timeout": "1.5"}, extra_body={"ignore_eos": True},
        ):  # fmt: skip
            pass
    assert caught.value.code == "timeout"
    with pytest.raises(anthropic.APIStatusError), claude.messages.stream(
        model="demo", max_tokens=1500, messages=[{"role": "user", "content": long}],
        extra_headers={"x-request-timeout": "1.5"}, extra_body={"ignore_eos": True},
    ) as stream:  # fmt: skip
        for _ in stream.text_stream:
            pass


def test_anthropic_errors_have_its_types(
    claude: anthropic.Anthropic, demo_server: RempartServer
) -> None:
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="none", max_tokens=3, messages=MESSAGES)
    with (
        anthropic.Anthropic(base_url=demo_server.url, api_key="wrong", max_retries=0) as stranger,
        pytest.raises(anthropic.AuthenticationError),
    ):
        stranger.messages.create(model="demo", max_tokens=3, messages=MESSAGES)
