"""Calls run one after the other, stop when told to, and the slot is free when ``run`` returns."""

import json
from typing import Any

import pytest

from rempart.runners.llama_cpp_server.answer import Answer
from rempart.runners.llama_cpp_server.engine import EngineRefused, OnChunk
from rempart.runners.llama_cpp_server.generation import Documents, Generation
from rempart.runners.llama_cpp_server.plan import Plan
from rempart.runners.llama_cpp_server.refusals import Refused
from rempart.runners.llama_cpp_server.tool_choice import Tool


def chunk(text: str, predicted: int) -> bytes:
    timings = {"cache_n": 0, "prompt_n": 4, "predicted_n": predicted}
    document = {"choices": [{"index": 0, "delta": {"content": text}}], "timings": timings}
    return json.dumps(document, separators=(",", ":")).encode()


class FakeEngine:
    """An engine that says ten words in each call, and notes what is asked of it."""

    def __init__(self, words: list[bytes] | None = None, error: Exception | None = None) -> None:
        self.words = words or [chunk(f"w{n}", n + 1) for n in range(10)]
        self.error = error
        self.asked: list[str] = []

    def chat(self, body: bytes, on_chunk: OnChunk) -> None:
        self.asked.append(body.decode())
        if self.error is not None:
            raise self.error
        for word in self.words:
            if on_chunk(word):
                return

    def settle(self) -> None:
        self.asked.append("settle")


def made(
    engine: FakeEngine, got: list[bytes], bodies: list[bytes], **plan: Any
) -> tuple[Generation, Answer]:
    answer = Answer(Plan(calls=bodies, **plan), call_id="k")

    def deliver(text: bytes) -> bool:
        got.append(text)
        return True

    return Generation(engine, engine.chat, bodies, answer, deliver), answer  # type: ignore[arg-type]  # a stand-in


def test_what_comes_is_delivered_and_counted() -> None:
    engine, got = FakeEngine(), []
    generation, _ = made(engine, got, [b"a"])
    generation.run()
    assert len(got) == 10
    assert engine.asked == ["a"]
    assert (generation.prompt_tokens, generation.completion_tokens) == (4, 10)
    assert not generation.is_stopped
    assert generation.refused is None


def test_a_stopped_one_waits_until_its_slot_is_free() -> None:
    engine = FakeEngine()
    got: list[bytes] = []
    answer = Answer(Plan(calls=[b"a", b"b"]), call_id="k")

    def deliver(text: bytes) -> bool:
        got.append(text)
        if len(got) == 3:
            generation.stop()
        return True

    generation = Generation(engine, engine.chat, [b"a", b"b"], answer, deliver)  # type: ignore[arg-type]  # as above
    generation.run()
    assert len(got) == 3
    assert engine.asked == ["a", "settle"]
    assert generation.is_stopped
    assert generation.completion_tokens == 3


def test_a_client_that_takes_no_more_stops_it() -> None:
    engine = FakeEngine()
    answer = Answer(Plan(calls=[b"a"]), call_id="k")
    generation = Generation(engine, engine.chat, [b"a"], answer, lambda _: False)  # type: ignore[arg-type]  # as above
    generation.run()
    assert generation.is_stopped
    assert engine.asked == ["a", "settle"]


def test_one_that_is_stopped_before_it_begins_asks_nothing() -> None:
    engine = FakeEngine()
    generation, _ = made(engine, [], [b"a"])
    generation.stop()
    generation.run()
    assert engine.asked == []


def test_one_that_ends_by_itself_at_that_moment_waits_for_nothing() -> None:
    engine = FakeEngine(words=[chunk("last", 1)])
    answer = Answer(Plan(calls=[b"a"]), call_id="k")

    def deliver(_: bytes) -> bool:
        generation.stop()
        return True

    generation = Generation(engine, engine.chat, [b"a"], answer, deliver)  # type: ignore[arg-type]  # as above
    generation.run()
    assert engine.asked == ["a"]


def test_calls_follow_each_other() -> None:
    engine, got = FakeEngine(), []
    generation, _ = made(engine, got, [b"a", b"b"], choices=2)
    generation.run()
    assert engine.asked == ["a", "b"]
    assert generation.completion_tokens == 20
    assert generation.prompt_tokens == 4


def test_a_whole_tool_call_ends_the_call_but_is_not_stopped() -> None:
    engine = FakeEngine(words=[chunk('{"name":"f","arguments":{}}', 5), chunk("\n", 6)])
    got: list[bytes] = []
    generation, _ = made(engine, got, [b"a"], forced=[Tool("f", "", {})])
    generation.run()
    assert engine.asked == ["a", "settle"]
    assert not generation.is_stopped
    assert generation.completion_tokens == 5
    assert b'"tool_calls"' in got[-1]


@pytest.mark.parametrize(
    ("error", "status"), [(EngineRefused("no"), 400), (OSError("broken"), 500)]
)
def test_what_the_engine_raises_is_an_answer(error: Exception, status: int) -> None:
    engine = FakeEngine(error=error)
    generation, _ = made(engine, [], [b"a", b"b"])
    generation.run()
    assert generation.refused is not None
    assert generation.refused.status == status
    assert engine.asked == ["a"], "the next call is not made"


def test_an_error_of_the_library_ends_it() -> None:
    error = b'{"error":{"code":400,"message":"m","type":"invalid_request_error"}}'
    engine = FakeEngine(words=[error])
    generation, _ = made(engine, [], [b"a", b"b"])
    generation.run()
    assert generation.refused is not None
    assert generation.refused.message == "m"
    assert engine.asked == ["a"]


def test_a_chunk_that_cannot_be_read_ends_it() -> None:
    engine = FakeEngine(words=[b'{"choices":[{'])
    generation, _ = made(engine, [], [b"a"], forced=[Tool("f", "", {})])
    generation.run()
    assert generation.refused is not None
    assert generation.refused.status == 500
    assert engine.asked == ["a", "settle"]


# Documents.


def joined(answers: list[bytes]) -> tuple[bytes, int]:
    return b"+".join(answers), len(answers)


def test_inputs_are_asked_for_one_by_one() -> None:
    work = Documents(lambda body: body.upper(), [b"a", b"b"], joined)
    work.run()
    assert (work.document, work.prompt_tokens) == (b"A+B", 2)
    assert not work.is_stopped


def test_they_stop_between_two_inputs() -> None:
    asked: list[bytes] = []

    def call(body: bytes) -> bytes:
        asked.append(body)
        work.stop()
        return body

    work = Documents(call, [b"a", b"b"], joined)
    work.run()
    assert asked == [b"a"]
    assert work.is_stopped
    assert work.document == b""


@pytest.mark.parametrize(
    ("error", "status"),
    [(EngineRefused("no"), 400), (Refused(418, "k", "c", "m"), 418), (KeyError("x"), 500)],
)
def test_their_errors_are_answers(error: Exception, status: int) -> None:
    def call(body: bytes) -> bytes:
        raise error

    work = Documents(call, [b"a"], joined)
    work.run()
    assert work.refused is not None
    assert work.refused.status == status


def test_an_error_in_an_answer_ends_them() -> None:
    error = b'{"error":{"code":501,"message":"m","type":"not_supported_error"}}'
    work = Documents(lambda body: error, [b"a", b"b"], joined)
    work.run()
    assert work.refused is not None
    assert work.refused.status == 501
