"""A streamed Message reads, through the official client, as the whole Message would."""

import json
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import assume, given, settings
from pydantic import TypeAdapter

from lab.chat_streams import streams
from lab.official_clients import anthropic_reading
from rempart.wire.chat import ChatAssembler
from rempart.wire.messages import MessagesStream, message_document
from rempart.wire.sse import iter_data

EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def write(*chunks: dict[str, Any], **more: Any) -> bytes:
    stream = MessagesStream(message_id="msg_c-1", model="m", **more)
    return b"".join(stream.feed(chunk) for chunk in chunks) + stream.finish()


def chunk(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta} | more]}


def events(stream: bytes) -> list[dict[str, Any]]:
    found = [json.loads(data) for data in iter_data(stream)]
    for text, event in zip(stream.split(b"\n\n"), found, strict=False):
        assert text.startswith(b"event: " + event["type"].encode() + b"\ndata: ")
        EVENTS.validate_python(event, strict=True)
    return found


def read(stream: bytes) -> Message:
    """What the client makes of the events."""
    with (
        anthropic_reading(stream) as client,
        client.messages.stream(model="m", max_tokens=1, messages=[]) as found,
    ):
        return found.get_final_message()


@settings(max_examples=40)
@given(streams())
def test_the_client_reads_what_the_document_says(
    stream: tuple[dict[str, Any], list[dict[str, Any]]],
) -> None:
    document, chunks = stream
    assume("refusal" not in document["choices"][0]["message"])
    written = write(*chunks)
    events(written)
    message = read(written)
    wanted = Message.model_validate(message_document(document, model="m"), strict=True)
    assert (message.id, message.model, message.role) == (wanted.id, "m", "assistant")
    assert message.stop_reason == wanted.stop_reason
    assert message.usage == wanted.usage
    for kind, member in (("text", "text"), ("thinking", "thinking")):
        texts = [
            "".join(getattr(block, member) for block in found.content if block.type == kind)
            for found in (message, wanted)
        ]
        assert texts[0] == texts[1]
    calls = [
        sorted((b.id, b.name, str(b.input)) for b in found.content if b.type == "tool_use")
        for found in (message, wanted)
    ]
    assert calls[0] == calls[1]


def test_the_events_come_in_the_order_that_clients_rely_on() -> None:
    found = events(
        write(
            chunk({"role": "assistant", "content": None}),
            chunk({"reasoning_content": "hm"}),
            chunk({"content": "Bon"}),
            chunk({"content": "jour"}),
            chunk(
                {
                    "tool_calls": [
                        {"index": 0, "id": "t", "function": {"name": "f", "arguments": "{}"}}
                    ]
                }
            ),
            chunk({}, finish_reason="tool_calls"),
            {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}},
        )
    )
    assert [(e["type"], e.get("index")) for e in found] == [
        ("message_start", None),
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("content_block_delta", 0),
        ("content_block_stop", 0),
        ("content_block_start", 1),
        ("content_block_delta", 1),
        ("content_block_delta", 1),
        ("content_block_stop", 1),
        ("content_block_start", 2),
        ("content_block_delta", 2),
        ("content_block_stop", 2),
        ("message_delta", None),
        ("message_stop", None),
    ]
    assert found[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert (found[-2]["usage"]["input_tokens"], found[-2]["usage"]["output_tokens"]) == (5, 7)


def test_each_token_goes_out_with_its_chunk() -> None:
    stream = MessagesStream(message_id="msg_1", model="m")
    stream.feed(chunk({"content": "a"}))
    (event,) = events(stream.feed(chunk({"content": "b"})))
    assert event["delta"] == {"type": "text_delta", "text": "b"}


def test_a_prompt_count_known_before_stands_in_the_first_event() -> None:
    found = events(write(chunk({"content": "a"}, finish_reason="stop"), input_tokens=11))
    assert found[0]["message"]["usage"]["input_tokens"] == 11
    assert found[-2]["usage"]["input_tokens"] == 11


def test_progress_of_the_prompt_gives_the_first_event_its_counts() -> None:
    progress = {"prompt_progress": {"total": 9, "cache": 4, "processed": 9}, "choices": []}
    found = events(write(progress, chunk({"content": "a"}, finish_reason="stop")))
    usage = found[0]["message"]["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (5, 4)
    assert events(write({"prompt_progress": None}))[0]["type"] == "message_start"


@pytest.mark.parametrize(
    ("end", "reason", "sequence"),
    [
        ({"finish_reason": "stop"}, "end_turn", None),
        ({"finish_reason": "length"}, "max_tokens", None),
        ({"finish_reason": "content_filter"}, "refusal", None),
        ({"finish_reason": "stop", "stop_reason": "END"}, "stop_sequence", "END"),
        ({"finish_reason": "stop", "stop_reason": 2}, "end_turn", None),
    ],
)
def test_why_it_ended_is_told(end: dict[str, Any], reason: str, sequence: str | None) -> None:
    message = read(write(chunk({"content": "a"}, **end)))
    assert (message.stop_reason, message.stop_sequence) == (reason, sequence)


def test_a_tool_call_with_finish_stop_is_still_tool_use() -> None:
    calls = {"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": ""}}]}
    message = read(write(chunk(calls), chunk({}, finish_reason="stop")))
    assert message.stop_reason == "tool_use"
    assert message.content[0].to_dict() == {"type": "tool_use", "id": "t", "name": "f", "input": {}}


def test_only_the_first_choice_is_told_and_rubbish_is_passed_over() -> None:
    other = {
        "choices": [{"index": 1, "delta": {"content": "other"}}, 3, {"index": 0, "delta": None}]
    }
    message = read(write(chunk({"content": "a"}), other, {"choices": None}))
    assert [block.to_dict()["text"] for block in message.content] == ["a"]


def test_an_empty_answer_is_a_message_without_blocks() -> None:
    assert read(write()).content == []


def test_the_client_raises_on_a_failure_in_mid_stream() -> None:
    stream = MessagesStream(message_id="msg_1", model="m")
    written = stream.feed(chunk({"content": "a"}))
    more = {"code": "overloaded", "request_id": "r-1", "details": {}}
    written += stream.fail("overloaded_error", "no room", more)
    assert (
        stream.finish() == stream.feed(chunk({"content": "b"})) == stream.fail("x", "y", {}) == b""
    )
    with pytest.raises(anthropic.APIStatusError, match="no room") as caught:
        read(written)
    assert caught.value.body == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "no room"} | more,
        "request_id": "r-1",
    }


def test_assembled_chunks_and_streamed_chunks_agree_on_timings() -> None:
    last = chunk({}, finish_reason="stop") | {
        "timings": {"prompt_n": 3, "cache_n": 4, "predicted_n": 5}
    }
    assembler = ChatAssembler()
    assembler.feed(last)
    wanted = message_document(assembler.document(), model="m")["usage"]
    assert events(write(last))[-2]["usage"] == wanted
    assert (wanted["input_tokens"], wanted["cache_read_input_tokens"]) == (3, 4)
