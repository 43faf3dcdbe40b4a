"""Chunks become what the client gets, and their tokens are added up."""

import json
from typing import Any

import pytest

from rempart.runners.llama_cpp_server.answer import Answer
from rempart.runners.llama_cpp_server.plan import Plan
from rempart.runners.llama_cpp_server.tool_choice import Tool

TOP = {"created": 1, "id": "c-1", "model": "m", "object": "chat.completion.chunk"}


def made(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def timings(predicted: int, prompt: int = 10, cache: int = 3) -> dict[str, Any]:
    return {"timings": {"cache_n": cache, "prompt_n": prompt, "predicted_n": predicted}}


def delta(content: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {} if finish else {"content": content}
    return {"choices": [{"finish_reason": finish, "index": 0, "delta": fields}]} | TOP | more


def usage(completion: int, prompt: int = 13) -> dict[str, Any]:
    found = {"completion_tokens": completion, "prompt_tokens": prompt}
    return {"choices": []} | TOP | {"usage": found} | timings(completion)


def progress(processed: int) -> dict[str, Any]:
    return delta() | timings(0) | {"prompt_progress": {"total": 40, "processed": processed}}


def feed(answer: Answer, *documents: dict[str, Any]) -> list[Any]:
    return [json.loads(text) for document in documents for text in answer.take(made(document))]


def begun(**more: Any) -> Answer:
    answer = Answer(Plan(**({"calls": [b""]} | more)), call_id="k")
    answer.begin(0)
    return answer


def test_chunks_go_through_as_they_are_but_for_what_was_only_for_us() -> None:
    answer = begun()
    answer.take(b"null")
    got = feed(answer, progress(5), delta("a") | timings(1), delta(finish="stop"), usage(2))
    assert got == [delta("a"), delta(finish="stop")]
    answer.end_call()
    assert (answer.prompt_tokens, answer.completion_tokens) == (13, 2)
    assert json.loads(answer.usage_chunk()) == usage(2)


def test_progress_and_timings_go_through_when_they_were_asked_for() -> None:
    answer = begun(wants_progress=True, wants_timings=True)
    got = feed(answer, progress(5), delta("a") | timings(1))
    assert got[0]["prompt_progress"] == {"total": 40, "processed": 5}
    assert got[1] == delta("a") | timings(1)


def test_tokens_are_known_while_it_runs() -> None:
    answer = begun()
    assert (answer.prompt_tokens, answer.completion_tokens) == (0, 0)
    answer.take(made(delta() | {"prompt_progress": {"total": 40, "processed": 5}}))
    assert (answer.prompt_tokens, answer.completion_tokens) == (40, 0)
    answer.take(made(delta("a") | timings(4, prompt=37)))
    assert (answer.prompt_tokens, answer.completion_tokens) == (40, 4)


def test_an_error_of_the_library_ends_it() -> None:
    answer = begun()
    assert answer.take(made({"error": {"code": 500, "message": "m", "type": "server_error"}})) == ()
    assert answer.refused is not None
    assert answer.refused.status == 500


def test_choices_are_numbered_under_one_id_and_added_up() -> None:
    answer = begun(calls=[b"", b""], choices=2)
    first = feed(answer, delta("a") | timings(1), delta(finish="stop"), usage(1))
    answer.end_call()
    answer.begin(1)
    other = {"id": "c-2", "created": 9}
    second = feed(answer, delta("b") | timings(2) | other, delta(finish="stop") | other, usage(2))
    answer.end_call()
    assert [c["choices"][0]["index"] for c in first + second] == [0, 0, 1, 1]
    assert {c["id"] for c in first + second} == {"c-1"}
    assert {c["created"] for c in first + second} == {1}
    told = json.loads(answer.usage_chunk())
    assert told["choices"] == []
    assert told["id"] == "c-1"
    assert told["usage"] == {
        "completion_tokens": 3,
        "prompt_tokens": 13,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 3},
    }


def test_several_prompts_count_each() -> None:
    answer = begun(calls=[b"", b""], choices=1)
    feed(answer, delta("a") | timings(1), usage(1))
    answer.end_call()
    answer.begin(1)
    feed(answer, delta("b") | timings(1, prompt=20, cache=0), usage(1) | timings(1, 20, 0))
    answer.end_call()
    assert (answer.prompt_tokens, answer.completion_tokens) == (33, 2)


def test_a_text_completions_last_chunk_loses_its_usage() -> None:
    answer = begun()
    last = {"choices": [{"text": "", "index": 0, "finish_reason": "length"}], "id": "x"}
    got = feed(answer, last | {"usage": {"completion_tokens": 2}} | timings(2))
    assert got == [last]
    answer.end_call()
    told = json.loads(answer.usage_chunk())
    assert told["choices"] == []
    assert told["usage"]["completion_tokens"] == 2


def forced() -> Answer:
    return begun(forced=[Tool("f", "", {})])


def test_a_forced_call_is_named_and_then_told_as_it_comes() -> None:
    answer = forced()
    got = feed(
        answer,
        delta(None),
        *(delta(text) | timings(1) for text in ('{"na', 'me": "f", "argu', 'ments": {"a"', ": 1}")),
    )
    calls = [c["choices"][0]["delta"].get("tool_calls") for c in got]
    assert calls == [
        None,
        [{"index": 0, "id": "call_k_0", "type": "function", "function": {"name": "f", "arguments": ""}}],
        [{"index": 0, "function": {"arguments": '{"a"'}}],
        [{"index": 0, "function": {"arguments": ": 1}"}}],
    ]  # fmt: skip
    assert not answer.is_call_over
    (last,) = feed(answer, delta(" }\n\n") | timings(9))
    assert answer.is_call_over
    assert last["choices"][0]["finish_reason"] == "tool_calls"
    assert all("content" not in c["choices"][0]["delta"] for c in got)
    answer.end_call()
    assert json.loads(answer.usage_chunk())["usage"]["completion_tokens"] == 9


def test_a_forced_call_in_one_piece_is_whole() -> None:
    answer = forced()
    got = feed(answer, delta('{"name":"f","arguments":{"a":"}"}}'))
    assert [c["choices"][0]["finish_reason"] for c in got] == [None, None, "tool_calls"]
    assert got[1]["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] == '{"a":"}"}'


def test_a_forced_call_that_is_cut_keeps_its_reason() -> None:
    answer = forced()
    got = feed(answer, delta('{"name":"f","arguments":{'), delta(finish="length"), usage(3))
    assert got[-1]["choices"][0]["finish_reason"] == "length"
    assert not answer.is_call_over


@pytest.mark.parametrize("member", ["reasoning_content", "role"])
def test_what_else_a_forced_call_says_goes_through(member: str) -> None:
    answer = forced()
    chunk = delta()
    chunk["choices"][0]["delta"] = {member: "x"}
    (got,) = feed(answer, chunk)
    assert got["choices"][0]["delta"] == {member: "x"}
