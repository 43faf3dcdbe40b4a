"""A whole answer as a Message."""

from typing import Any

from anthropic.types import Message, MessageTokensCount
from hypothesis import given

from lab.chat_streams import documents
from rempart.wire.messages import count_tokens_document, message_document


def document(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return message_document({"id": "chatcmpl-1", "choices": [choice]} | more, model="m")


@given(documents())
def test_every_answer_is_a_message_to_the_official_client(chat: dict[str, Any]) -> None:
    message = Message.model_validate(message_document(chat, model="m"), strict=True)
    assert message.stop_reason is not None


def test_blocks_come_as_the_model_thinks_speaks_and_calls() -> None:
    found = document(
        {
            "content": "Bonjour",
            "reasoning_content": "hm",
            "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": '{"a": 1}'}}],
        }
    )
    assert found["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "Bonjour"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
    ]
    assert (found["id"], found["stop_reason"]) == ("msg_1", "tool_use")


def test_cached_prompt_tokens_come_on_top_of_input_tokens() -> None:
    counts = {
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    assert document({"content": "a"}, usage=counts)["usage"] == {
        "input_tokens": 6,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 2,
    }


def test_arguments_that_are_no_object_stay_readable() -> None:
    calls = [
        {"function": {"name": "f", "arguments": arguments}} for arguments in ("", "[1]", '{"a')
    ]
    blocks = document({"content": None, "tool_calls": calls})["content"]
    assert [block["input"] for block in blocks] == [
        {},
        {"INVALID_JSON": "[1]"},
        {"INVALID_JSON": '{"a'},
    ]
    assert [block["id"] for block in blocks] == ["toolu_1_0", "toolu_1_1", "toolu_1_2"]


def test_an_answer_without_choices_is_an_empty_message() -> None:
    assert message_document({"choices": []}, model="m")["content"] == []


def test_an_id_that_is_a_messages_already_stays() -> None:
    assert message_document({"id": "msg_7", "choices": []}, model="m")["id"] == "msg_7"


def test_counted_tokens() -> None:
    assert MessageTokensCount.model_validate(count_tokens_document(7)).input_tokens == 7
