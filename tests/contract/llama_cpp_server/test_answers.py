"""The runner speaks the OpenAI protocol, streamed and not."""

import json
from typing import Any

import pytest

from lab.demo_runner import DemoRunner

pytestmark = pytest.mark.requirement("quantised")

HI: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Say hello."}],
    "max_tokens": 6,
    "temperature": 0,
}
COUNT: dict[str, Any] = {"prompt": "1, 2, 3, 4,", "max_tokens": 6, "temperature": 0}


def text_of(chunks: list[Any]) -> str:
    return "".join(c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"])


def test_a_streamed_chat_says_the_same_as_a_whole_one(runner: DemoRunner) -> None:
    whole = runner.call("POST", "/v1/chat/completions", HI)
    streamed = runner.call("POST", "/v1/chat/completions", HI | {"stream": True})
    assert whole.status == streamed.status == 200
    assert whole.headers["content-type"] == "application/json"
    assert streamed.headers["content-type"] == "text/event-stream"
    choice = whole.json()["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "length"
    assert text_of(streamed.chunks()) == choice["message"]["content"] != ""
    assert whole.json()["usage"]["completion_tokens"] == 6
    assert whole.json()["model"] == "demo"


def test_a_stream_has_one_first_chunk_a_finish_and_done(runner: DemoRunner) -> None:
    answer = runner.call("POST", "/v1/chat/completions", HI | {"stream": True})
    assert answer.events()[-1] == "[DONE]"
    chunks = answer.chunks()
    roles = [c for c in chunks if c["choices"][0]["delta"].get("role")]
    assert roles == chunks[:1]
    assert [c["choices"][0]["finish_reason"] for c in chunks[-2:]] == [None, "length"]
    assert all("usage" not in c and "timings" not in c for c in chunks)
    assert all("prompt_progress" not in c for c in chunks)


def test_usage_comes_when_it_is_asked_for_and_is_right(runner: DemoRunner) -> None:
    asked = HI | {"stream": True, "stream_options": {"include_usage": True}}
    last = runner.call("POST", "/v1/chat/completions", asked).chunks()[-1]
    whole = runner.call("POST", "/v1/chat/completions", HI).json()
    assert last["choices"] == []
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert last["usage"][name] == whole["usage"][name]


def test_progress_of_the_prompt_comes_when_it_is_asked_for(runner: DemoRunner) -> None:
    long = {"messages": [{"role": "user", "content": "word " * 60}], "max_tokens": 1}
    asked = long | {"stream": True, "return_progress": True}
    progress = [
        chunk["prompt_progress"]
        for chunk in runner.call("POST", "/v1/chat/completions", asked).chunks()
        if "prompt_progress" in chunk
    ]
    assert [p["processed"] for p in progress] == sorted(p["processed"] for p in progress)
    assert progress[-1]["processed"] == progress[-1]["total"]
    assert len(progress) > 2


def test_several_choices_are_one_answer_with_one_usage(runner: DemoRunner) -> None:
    asked = HI | {"n": 3, "temperature": 1, "seed": 7}
    whole = runner.call("POST", "/v1/chat/completions", asked).json()
    assert [c["index"] for c in whole["choices"]] == [0, 1, 2]
    assert len({c["message"]["content"] for c in whole["choices"]}) > 1
    assert whole["usage"]["completion_tokens"] == 18
    one = runner.call("POST", "/v1/chat/completions", HI).json()
    assert whole["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]
    streamed = asked | {"stream": True, "stream_options": {"include_usage": True}}
    chunks = runner.call("POST", "/v1/chat/completions", streamed).chunks()
    assert len({c["id"] for c in chunks}) == 1
    assert {c["choices"][0]["index"] for c in chunks[:-1]} == {0, 1, 2}
    assert chunks[-1]["usage"]["completion_tokens"] == 18


def test_completions_are_streamed_and_whole(runner: DemoRunner) -> None:
    whole = runner.call("POST", "/v1/completions", COUNT).json()
    assert whole["object"] == "text_completion"
    assert "5" in whole["choices"][0]["text"]
    asked = COUNT | {"stream": True, "stream_options": {"include_usage": True}}
    chunks = runner.call("POST", "/v1/completions", asked).chunks()
    assert "".join(c["choices"][0]["text"] for c in chunks[:-1]) == whole["choices"][0]["text"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 6
    assert all("usage" not in c for c in chunks[:-1])


def test_a_list_of_prompts_gives_a_choice_for_each(runner: DemoRunner) -> None:
    asked = COUNT | {"prompt": ["a b c", [1, 2, 3], "x"], "max_tokens": 2, "n": 2}
    whole = runner.call("POST", "/v1/completions", asked).json()
    assert [c["index"] for c in whole["choices"]] == [0, 1, 2, 3, 4, 5]
    assert whole["usage"]["completion_tokens"] == 12
    assert whole["usage"]["prompt_tokens"] == 3 + 3 + 1


def test_log_probabilities_pass_through(runner: DemoRunner) -> None:
    asked = HI | {"logprobs": True, "top_logprobs": 2, "max_tokens": 2}
    content = runner.call("POST", "/v1/chat/completions", asked).json()["choices"][0]["logprobs"]
    assert len(content["content"]) == 2
    assert len(content["content"][0]["top_logprobs"]) == 2


def test_a_schema_is_kept(runner: DemoRunner) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}},
        "required": ["colour"],
        "additionalProperties": False,
    }
    asked = HI | {
        "max_tokens": 60,
        "response_format": {"type": "json_schema", "json_schema": {"name": "c", "schema": schema}},
    }
    content = runner.call("POST", "/v1/chat/completions", asked).json()["choices"][0]["message"]
    assert json.loads(content["content"])["colour"] in ("red", "green")


def test_a_grammar_is_kept(runner: DemoRunner) -> None:
    asked = HI | {"grammar": 'root ::= "yes" | "no"'}
    content = runner.call("POST", "/v1/chat/completions", asked).json()["choices"][0]["message"]
    assert content["content"] in ("yes", "no")


def test_tokens_and_templates_take_no_slot(runner: DemoRunner) -> None:
    found = runner.call("POST", "/tokenize", {"content": "hello world"}).json()["tokens"]
    assert len(found) == 2
    back = runner.call("POST", "/detokenize", {"tokens": found}).json()
    assert back["content"] == "hello world"
    rendered = runner.call("POST", "/apply-template", {"messages": HI["messages"]}).json()
    assert "Say hello." in rendered["prompt"]
    counted = runner.call(
        "POST", "/v1/chat/completions/input_tokens", {"messages": HI["messages"]}
    ).json()["input_tokens"]
    whole = runner.call("POST", "/v1/chat/completions", HI).json()
    assert counted == whole["usage"]["prompt_tokens"]


def test_what_is_known_of_the_model_is_told(runner: DemoRunner) -> None:
    assert runner.facts.context_length == 2048
    assert runner.facts.supports_tools is False
    assert runner.facts.batch_tokens == 8
    assert 100 * 2**20 < runner.facts.memory_bytes < 1000 * 2**20
    assert runner.facts.load_s > 0
    models = runner.call("GET", "/v1/models").json()["data"]
    assert [m["id"] for m in models] == ["demo"]
    assert runner.call("GET", "/health").json() == {"status": "ok"}
    assert runner.call("GET", "/props").json()["total_slots"] == 4


def test_the_grant_and_the_tokens_are_told_when_a_request_has_ended(runner: DemoRunner) -> None:
    before = runner.counters()
    whole = runner.call("POST", "/v1/chat/completions", HI, grant="g-1").json()
    end = runner.wait_end("g-1")
    assert (end.prompt_tokens, end.completion_tokens) == (
        whole["usage"]["prompt_tokens"],
        whole["usage"]["completion_tokens"],
    )
    assert end.cancelled is False
    after = runner.counters()
    assert after["requests"] == before["requests"] + 1
    assert after["completion_tokens"] == before["completion_tokens"] + 6
    assert after["wasted_tokens"] == before["wasted_tokens"]


@pytest.mark.parametrize("given", ["hello", ["hello"], [[1, 2, 3]], [1, 2, 3]])
def test_one_input_is_embedded(embedding_runner: DemoRunner, given: Any) -> None:
    answer = embedding_runner.call("POST", "/v1/embeddings", {"input": given}).json()
    assert len(answer["data"]) == 1
    assert len(answer["data"][0]["embedding"]) == 576
    assert answer["usage"]["prompt_tokens"] in (1, 3)


def test_several_inputs_are_embedded_in_their_order(embedding_runner: DemoRunner) -> None:
    texts = ["hello", "wide world", "x"]
    together = embedding_runner.call("POST", "/v1/embeddings", {"input": texts}, grant="e").json()
    assert [entry["index"] for entry in together["data"]] == [0, 1, 2]
    for text, entry in zip(texts, together["data"], strict=True):
        alone = embedding_runner.call("POST", "/v1/embeddings", {"input": text}).json()
        assert alone["data"][0]["embedding"] == pytest.approx(entry["embedding"], abs=1e-3)
    end = embedding_runner.wait_end("e")
    assert end.prompt_tokens == together["usage"]["prompt_tokens"] == 4
    assert end.completion_tokens == 0


def test_embeddings_may_come_as_base64(embedding_runner: DemoRunner) -> None:
    asked = {"input": ["a", "b"], "encoding_format": "base64"}
    answer = embedding_runner.call("POST", "/v1/embeddings", asked).json()
    assert all(isinstance(entry["embedding"], str) for entry in answer["data"])


def test_an_input_above_the_context_is_told_with_its_size(embedding_runner: DemoRunner) -> None:
    most = embedding_runner.facts.more["input_tokens_max"]
    fits = embedding_runner.call("POST", "/v1/embeddings", {"input": "hello " * (most - 10)})
    assert fits.status == 200
    answer = embedding_runner.call("POST", "/v1/embeddings", {"input": ["a", "hello " * 2 * most]})
    assert answer.status == 400
    error = answer.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert error["n_prompt_tokens"] > error["n_ctx"] >= most


def test_chat_works_beside_embeddings(embedding_runner: DemoRunner) -> None:
    assert embedding_runner.call("POST", "/v1/chat/completions", HI).status == 200


def test_documents_are_ranked_best_first(rank_runner: DemoRunner) -> None:
    asked = {"query": "hello", "documents": ["a", "hello", {"text": "b"}]}
    answer = rank_runner.call("POST", "/v1/rerank", asked | {"return_documents": True}).json()
    scores = [r["relevance_score"] for r in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert {r["index"]: r["document"]["text"] for r in answer["results"]} == {
        0: "a",
        1: "hello",
        2: "b",
    }
    best = rank_runner.call("POST", "/v1/rerank", asked | {"top_n": 1}).json()["results"]
    assert [r["index"] for r in best] == [answer["results"][0]["index"]]


def test_what_the_model_was_not_started_for_is_said(
    runner: DemoRunner, rank_runner: DemoRunner
) -> None:
    for path in ("/v1/embeddings", "/v1/rerank"):
        answer = runner.call("POST", path, {"input": "x", "query": "x", "documents": ["a"]})
        assert answer.status == 501
        assert answer.json()["error"]["code"] == "not_supported"
    assert rank_runner.call("POST", "/v1/embeddings", {"input": "x"}).status == 501
