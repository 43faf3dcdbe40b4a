"""What the runner does not do, it says in the usual envelope with the right status."""

from typing import Any

import pytest

from lab.demo_runner import Answer, DemoRunner, is_slots

CHAT = "/v1/chat/completions"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
HI: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}


def error_of(answer: Answer) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/json"
    error: dict[str, Any] = answer.json()["error"]
    assert error["message"]
    assert error["type"]
    assert isinstance(error["code"], str)
    return error


@pytest.mark.parametrize("key", ["", "wrong", "x" * 32])
@pytest.mark.parametrize("path", ["/v1/models", "/slots", "/counters", CHAT, "/nowhere", "/props"])
def test_nothing_but_health_answers_without_the_key(
    runner: DemoRunner, path: str, key: str
) -> None:
    answer = runner.call("GET", path, key=key)
    assert answer.status == 401
    assert error_of(answer)["code"] == "invalid_api_key"
    assert runner.call("GET", "/health", key=key).status == 200


def test_unknown_paths_and_methods_are_told_apart(runner: DemoRunner) -> None:
    assert error_of(runner.call("GET", "/nowhere"))["code"] == "not_found"
    answer = runner.call("GET", CHAT)
    assert answer.status == 405
    assert error_of(answer)["code"] == "method_not_allowed"


@pytest.mark.parametrize("body", [b'{"messages": [', b"[]", b"3", b"", b"\xff\xfe", b'{"a": NaN}'])
@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
def test_a_body_that_is_no_json_object_is_400(runner: DemoRunner, path: str, body: bytes) -> None:
    answer = runner.call("POST", path, body=body)
    assert answer.status == 400
    assert error_of(answer)["code"] == "invalid_json"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": 3},
        {"temperature": "warm"},
        {"n": 0},
        {"grammar": "root ::= ("},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "wat"}}}},
        {"tool_choice": "required"},
        {"messages": [{"role": "user", "content": [IMAGE]}]},
    ],
)
def test_a_field_that_makes_no_sense_is_400_streamed_or_not(
    runner: DemoRunner, wrong: dict[str, Any], stream: bool
) -> None:
    answer = runner.call("POST", CHAT, HI | wrong | {"stream": stream}, grant="wrong")
    assert answer.status == 400, answer.body
    error_of(answer)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", [CHAT, "/v1/completions"])
def test_a_prompt_beyond_the_context_is_told_with_both_numbers(
    runner: DemoRunner, path: str, stream: bool
) -> None:
    text = "hello " * 3000
    asked = {"messages": [{"role": "user", "content": text}], "prompt": text, "stream": stream}
    answer = runner.call("POST", path, asked, grant="long")
    assert answer.status == 400
    error = error_of(answer)
    assert error["type"] == "exceed_context_size_error"
    assert error["code"] == "context_length_exceeded"
    assert error["n_ctx"] == 2048
    assert error["n_prompt_tokens"] > 3000
    assert runner.wait_end("long").completion_tokens == 0


def test_bad_json_for_the_tokenizer_is_400(runner: DemoRunner) -> None:
    answer = runner.call("POST", "/tokenize", body=b"{")
    assert answer.status == 400
    error_of(answer)


def test_a_request_beyond_the_slots_is_refused_at_once(runner: DemoRunner) -> None:
    asked = {"prompt": "go", "max_tokens": 1500, "ignore_eos": True, "stream": True}
    streams = [runner.stream("/v1/completions", asked, grant=f"full-{i}") for i in range(4)]
    for stream in streams:
        stream.wait_for(b"data: ")
    listed = runner.call("GET", "/slots").json()
    assert sorted(slot["grant"] for slot in listed) == [f"full-{i}" for i in range(4)]
    assert all(slot["busy"] for slot in listed)
    answer = runner.call("POST", CHAT, HI)
    assert answer.status == 503
    assert error_of(answer)["code"] == "overloaded"
    assert answer.headers["retry-after"] == "1"
    for stream in streams:
        stream.hang_up()
    runner.wait_event(is_slots(0))
    assert runner.call("POST", CHAT, HI).status == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"input": ""},
        {"input": []},
        {"input": [""]},
        {"input": {"a": 1}},
        {"input": [1, "a"]},
    ],
)
def test_an_input_that_cannot_be_embedded_is_400(
    embedding_runner: DemoRunner, wrong: dict[str, Any]
) -> None:
    answer = embedding_runner.call("POST", "/v1/embeddings", wrong)
    assert answer.status == 400
    error_of(answer)


@pytest.mark.parametrize(
    "wrong",
    [
        {"query": "x"},
        {"query": "", "documents": ["a"]},
        {"query": "x", "documents": [3]},
        {"query": "x", "documents": ["a"], "top_n": 0},
    ],
)
def test_documents_that_cannot_be_ranked_are_400(
    rank_runner: DemoRunner, wrong: dict[str, Any]
) -> None:
    answer = rank_runner.call("POST", "/v1/rerank", wrong)
    assert answer.status == 400
    error_of(answer)
