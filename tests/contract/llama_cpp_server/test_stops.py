"""Whoever hangs up stops the work, and the slot is free when the runner says so."""

import json
from typing import Any

import pytest

from lab.demo_runner import DemoRunner, is_slots
from rempart.runners.status import End

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"


def slot_of(runner: DemoRunner, grant: str) -> dict[str, Any]:
    """The slot of a request, as the runner lists it."""
    (found,) = (slot for slot in runner.call("GET", "/slots").json() if slot["grant"] == grant)
    return dict(found)


def generates(max_tokens: int = 1900, **more: Any) -> dict[str, Any]:
    return {
        "prompt": "Once upon a time",
        "max_tokens": max_tokens,
        "ignore_eos": True,
        "stream": True,
    } | more


def reads(words: int = 1500, **more: Any) -> dict[str, Any]:
    """A prompt that takes many seconds to read."""
    return {
        "prompt": " ".join(f"w{n}" for n in range(words // 3)),
        "max_tokens": 5,
        "cache_prompt": False,
        "stream": True,
    } | more


@pytest.mark.requirement("timeout-cancels")
def test_a_hang_up_while_tokens_are_made_frees_the_slot(runner: DemoRunner) -> None:
    before = runner.counters()
    with runner.stream(COMPLETIONS, generates(), grant="decode") as stream:
        stream.wait_for(b"data: ", 5)
    end = runner.wait_end("decode")
    assert end.cancelled
    assert 5 <= end.completion_tokens < 1000
    runner.wait_event(is_slots(0))
    after = runner.counters()
    assert after["wasted_tokens"] - before["wasted_tokens"] == end.completion_tokens
    assert after["completion_tokens"] - before["completion_tokens"] == end.completion_tokens


@pytest.mark.requirement("timeout-cancels")
@pytest.mark.parametrize("stream", [True, False])
def test_a_hang_up_while_the_prompt_is_read_frees_the_slot(
    runner: DemoRunner, stream: bool
) -> None:
    """It is noticed between two batches, also by a request that does not ask for progress."""
    with runner.stream(COMPLETIONS, reads(stream=stream), grant="prefill") as asked:
        runner.wait_event(is_slots(1))
        while (slot := slot_of(runner, "prefill"))["prompt_tokens"] == 0:
            pass
        assert slot["completion_tokens"] == 0
        assert asked.received == b""
    end = runner.wait_end("prefill")
    assert end.cancelled
    assert end.completion_tokens == 0
    assert end.prompt_tokens == slot["prompt_tokens"] > 1000


@pytest.mark.requirement("timeout-cancels")
def test_a_client_that_does_not_stream_stops_it_too(runner: DemoRunner) -> None:
    with runner.stream(COMPLETIONS, generates(stream=False), grant="whole"):
        runner.wait_event(is_slots(1))
        while slot_of(runner, "whole")["completion_tokens"] < 3:
            pass
    end = runner.wait_end("whole")
    assert end.cancelled
    assert 3 <= end.completion_tokens < 1000


def test_a_request_with_many_choices_stops_as_a_whole(runner: DemoRunner) -> None:
    with runner.stream(COMPLETIONS, generates(max_tokens=15, n=100), grant="many") as stream:
        stream.wait_for(b'"index":1')
    end = runner.wait_end("many")
    assert end.cancelled
    assert 15 <= end.completion_tokens < 300


def test_hang_ups_leave_the_others_alone(runner: DemoRunner) -> None:
    stays = runner.stream(COMPLETIONS, generates(max_tokens=60), grant="stays")
    leaves = [
        runner.stream(COMPLETIONS, generates() if i else reads(), grant=f"leaves-{i}")
        for i in range(3)
    ]
    stays.wait_for(b"data: ", 3)
    for stream in leaves:
        stream.hang_up()
    text = stays.rest()
    stays.hang_up()
    assert text.count(b'"text"') == 61
    assert b"data: [DONE]" in text
    ends = {}
    while len(ends) < 4:
        event = runner.wait_event(lambda e: isinstance(e, End))
        assert isinstance(event, End)
        ends[event.grant] = event
    assert {g for g, e in ends.items() if e.cancelled} == {f"leaves-{i}" for i in range(3)}
    assert not ends["stays"].cancelled
    assert ends["stays"].completion_tokens == 60


def test_after_a_hundred_hang_ups_the_counters_are_what_was_told(runner: DemoRunner) -> None:
    before = runner.counters()
    wasted = 0
    for round_ in range(25):
        streams = [
            runner.stream(COMPLETIONS, generates(), grant=f"w-{round_}-{i}") for i in range(4)
        ]
        for stream in streams[: round_ % 5]:
            stream.wait_for(b"data: ")
        for stream in streams:
            stream.hang_up()
        missing = {f"w-{round_}-{i}" for i in range(4)}
        while missing:
            event = runner.wait_event(lambda e: isinstance(e, End))
            assert isinstance(event, End)
            assert event.cancelled
            missing.remove(event.grant)
            wasted += event.completion_tokens
    after = runner.counters()
    assert after["wasted_tokens"] - before["wasted_tokens"] == wasted > 0
    assert after["requests"] - before["requests"] == 100
    assert runner.call("POST", COMPLETIONS, generates(3, stream=False)).status == 200


def test_a_slot_is_free_as_soon_as_the_answer_is_whole(runner: DemoRunner) -> None:
    """Whoever reads the last byte may send the next request: with one too many it would be 503."""
    busy = [runner.stream(COMPLETIONS, generates(), grant=f"b{i}") for i in range(3)]
    for stream in busy:
        stream.wait_for(b"data: ")
    for stream_mode in (True, False) * 8:
        asked = generates(max_tokens=2, stream=stream_mode)
        assert runner.call("POST", COMPLETIONS, asked).status == 200
    for stream in busy:
        stream.hang_up()


def test_a_client_that_does_not_read_holds_up_only_itself(runner: DemoRunner) -> None:
    heavy = generates(max_tokens=1500, logprobs=20)
    stalled = runner.stream(COMPLETIONS, heavy, grant="stalled")

    def taken() -> int:
        """Tokens of it that were taken from the engine."""
        found: int = slot_of(runner, "stalled")["completion_tokens"]
        return found

    stalled.wait_for(b"data: ")
    counts = [-1, taken()]
    while counts[-1] != counts[-2] or counts[-1] == 0:
        answer = runner.call("POST", COMPLETIONS, generates(max_tokens=20, stream=False))
        assert answer.json()["usage"]["completion_tokens"] == 20
        counts.append(taken())
    assert counts[-1] < 1000, "it stands still long before it is whole"
    stalled.hang_up()
    assert runner.wait_end("stalled").cancelled


def test_a_client_that_stops_reading_and_goes_on_gets_everything(runner: DemoRunner) -> None:
    heavy = generates(max_tokens=150, logprobs=20)
    with runner.stream(COMPLETIONS, heavy, grant="slow") as stream:
        # By the time the others are served, the engine has made more than all buffers hold.
        for _ in range(3):
            runner.call("POST", COMPLETIONS, generates(max_tokens=60, stream=False))
        text = stream.rest()
    assert text.count(b'"finish_reason":null') == 150
    assert b"data: [DONE]" in text
    assert not runner.wait_end("slow").cancelled


def test_embeddings_stop_between_two_inputs(embedding_runner: DemoRunner) -> None:
    embedding_runner.wait_idle()
    embedding_runner.events()
    asked = {"input": ["word " * 200] * 40}
    with embedding_runner.stream("/v1/embeddings", asked, grant="embed"):
        embedding_runner.wait_event(is_slots(1))
    assert embedding_runner.wait_end("embed").cancelled


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_events_are_whole_however_the_client_reads(runner: DemoRunner, path: str) -> None:
    # A character of several tokens comes as one event, so that there may be fewer events than tokens.
    asked = generates(max_tokens=40, temperature=0) | {
        "messages": [{"role": "user", "content": "é 你好 🙂"}]
    }
    with runner.stream(path, asked) as stream:
        text = stream.rest()
    events = [e for e in text.split(b"data: ")[1:] if not e.startswith(b"[DONE]")]
    assert len(events) >= 5
    for event in events:
        json.loads(event.split(b"\n\n")[0])
