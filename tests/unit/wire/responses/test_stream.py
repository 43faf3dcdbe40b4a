"""A streamed Response reads, through the official client, as the whole Response would."""

import json
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from lab.chat_streams import streams
from lab.official_clients import openai_reading
from rempart.wire.responses import ResponsesStream, response_document
from rempart.wire.sse import iter_data

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
REQUEST = {
    "model": "m",
    "input": "hi",
    "temperature": 0.5,
    "tools": [{"type": "function", "name": "f"}],
}


def new_stream(**request: Any) -> ResponsesStream:
    return ResponsesStream(request=REQUEST | request, id="resp_1", created=7, model="m")


def write(*chunks: dict[str, Any]) -> bytes:
    stream = new_stream()
    return stream.start() + b"".join(stream.feed(chunk) for chunk in chunks) + stream.finish()


def chunk(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta} | more]}


def events(stream: bytes) -> list[dict[str, Any]]:
    found = [json.loads(data) for data in iter_data(stream)]
    for text, event in zip(stream.split(b"\n\n"), found, strict=False):
        assert text.startswith(b"event: " + event["type"].encode() + b"\ndata: ")
        EVENTS.validate_python(event, strict=True)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def read(stream: bytes) -> list[Any]:
    """What the client makes of the events."""
    with openai_reading(stream) as client:
        return list(client.responses.create(model="m", input="hi", stream=True))


@settings(max_examples=40)
@given(streams())
def test_the_client_reads_what_the_document_says(
    stream: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    document, chunks = stream
    message = document["choices"][0]["message"]
    written = write(*chunks)
    events(written)
    final = read(written)[-1].response
    wanted = Response.model_validate(
        response_document(document, request=REQUEST, id="resp_1", created=7), strict=True
    )
    for name in ("id", "model", "status", "incomplete_details", "usage", "temperature", "tools"):
        assert getattr(final, name) == getattr(wanted, name)
    if not message.get("refusal"):
        assert final.output_text == wanted.output_text == (message["content"] or "")
    assert calls_of(final) == calls_of(wanted)


def calls_of(response: Response) -> list[tuple[str, str, str]]:
    return sorted(
        (item.call_id, item.name, item.arguments)
        for item in response.output
        if item.type == "function_call"
    )


@settings(max_examples=40)
@given(streams())
def test_the_clients_own_accumulation_agrees_with_the_last_event(
    stream: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    _, chunks = stream
    snapshots: dict[str, str] = {}
    output: list[Any] = []
    with (
        openai_reading(write(*chunks)) as client,
        client.responses.stream(model="m", input="hi") as found,
    ):
        for event in found:
            if event.type in (
                "response.output_text.delta",
                "response.function_call_arguments.delta",
            ):
                snapshots[event.item_id] = event.snapshot
            elif event.type in ("response.completed", "response.incomplete"):
                output = event.response.output
    wholes = {item.id: item.arguments for item in output if item.type == "function_call"}
    for item in output:
        if item.type == "message" and item.content[0].type == "output_text":
            wholes[item.id] = item.content[0].text
    assert snapshots == wholes


ADDED, DONE = "response.output_item.added", "response.output_item.done"
PART_ADDED, PART_DONE = "response.content_part.added", "response.content_part.done"


def test_the_events_come_in_the_documented_order() -> None:
    found = events(
        write(
            chunk({"role": "assistant", "content": None}),
            chunk({"reasoning_content": "hm"}),
            chunk({"content": "Bon"}),
            chunk({"content": "jour"}),
            chunk({"refusal": "no"}),
            chunk(
                {
                    "tool_calls": [
                        {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
                    ]
                }
            ),
            chunk({}, finish_reason="tool_calls"),
            {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}},
        )
    )
    assert [e["type"] for e in found] == [
        "response.created",
        "response.in_progress",
        *[ADDED, PART_ADDED, "response.reasoning_text.delta"],
        *["response.reasoning_text.done", PART_DONE, DONE],
        *[ADDED, PART_ADDED, "response.output_text.delta", "response.output_text.delta"],
        *["response.output_text.done", PART_DONE, DONE],
        *[ADDED, PART_ADDED, "response.refusal.delta"],
        *["response.refusal.done", PART_DONE, DONE],
        *[ADDED, "response.function_call_arguments.delta"],
        *["response.function_call_arguments.done", DONE],
        "response.completed",
    ]
    last = found[-1]["response"]
    assert [item["type"] for item in last["output"]] == [
        "reasoning",
        "message",
        "message",
        "function_call",
    ]
    assert [item["id"] for item in last["output"]] == ["rs_1_0", "msg_1_1", "msg_1_2", "fc_1_3"]
    assert last["usage"]["total_tokens"] == 12


def test_each_token_goes_out_with_its_chunk() -> None:
    stream = new_stream()
    stream.feed(chunk({"content": "a"}))
    (event,) = (json.loads(data) for data in iter_data(stream.feed(chunk({"content": "b"}))))
    assert (event["type"], event["delta"]) == ("response.output_text.delta", "b")


def test_an_answer_cut_at_its_limit_is_incomplete() -> None:
    found = events(write(chunk({"content": "a"}), chunk({}, finish_reason="length")))
    last = found[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert last["response"]["output"][0]["status"] == "incomplete"


def test_log_probabilities_go_with_their_text() -> None:
    entry = {"token": "é", "logprob": -1.0, "bytes": None, "top_logprobs": [{"token": "e"}]}
    found = events(
        write(
            chunk({"role": "assistant"}),
            chunk({"content": "é"}, logprobs={"content": [entry]}),
            chunk({"content": "é"}, logprobs={"content": [entry]}),
        )
    )
    told = {
        "token": "é",
        "bytes": [195, 169],
        "logprob": -1.0,
        "top_logprobs": [{"token": "e", "bytes": [101], "logprob": 0.0}],
    }
    deltas = [e["logprobs"] for e in found if e["type"] == "response.output_text.delta"]
    assert deltas == [[told], [told]]
    assert found[-1]["response"]["output"][0]["content"][0]["logprobs"] == [told, told]


def test_log_probabilities_of_one_text_do_not_stand_at_the_next() -> None:
    call = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}
    one, two = ({"content": [{"token": token, "logprob": 0.0}]} for token in "ab")
    found = events(
        write(
            chunk({"content": "a"}, logprobs=one),
            chunk(call),
            chunk({"content": "b"}, logprobs=two),
        )
    )
    texts = [
        item["content"][0] for item in found[-1]["response"]["output"] if item["type"] == "message"
    ]
    assert [[entry["token"] for entry in text["logprobs"]] for text in texts] == [["a"], ["b"]]


def test_a_failure_after_the_start_is_the_response_failed_and_the_client_raises() -> None:
    stream = new_stream()
    written = stream.start() + stream.feed(chunk({"content": "a"}))
    written += stream.fail("timeout", "too slow", {"type": "timeout_error", "request_id": "r-1"})
    assert stream.feed(chunk({"content": "b"})) == stream.finish() == stream.start() == b""
    assert stream.fail("x", "y") == b""
    # Our codes are not among those that the client's type knows, so that it is read as it came.
    failed, error = [json.loads(data) for data in iter_data(written)][-2:]
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"] == {
        "code": "timeout",
        "message": "too slow",
        "type": "timeout_error",
        "param": None,
        "request_id": "r-1",
    }
    assert error["type"] == "error"
    assert error["sequence_number"] == failed["sequence_number"] + 1
    with pytest.raises(openai.APIError, match="too slow") as caught:
        read(written)
    assert caught.value.code == "timeout"


def test_the_client_raises_on_a_failure_before_the_start() -> None:
    written = new_stream().fail("overloaded", "no room", {"type": "overloaded_error", "param": "p"})
    (event,) = events(written)
    assert (event["code"], event["message"], event["param"]) == ("overloaded", "no room", "p")
    with pytest.raises(openai.APIError, match="no room") as caught:
        read(written)
    assert caught.value.code == "overloaded"


def test_an_empty_answer_is_a_completed_response_without_output() -> None:
    found = events(new_stream().finish(completed=9))
    assert [e["type"] for e in found][-1] == "response.completed"
    assert found[-1]["response"]["output"] == []
    assert found[-1]["response"]["completed_at"] == 9


def test_only_the_first_choice_is_told_and_rubbish_is_passed_over() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "other"}}, 3, {"index": 0, "delta": 1}]}
    final = read(write(chunk({"content": "a"}), other, {"choices": None}))[-1].response
    assert final.output_text == "a"
