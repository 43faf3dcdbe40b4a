"""A whole answer as a Response."""

from typing import Any

from hypothesis import given
from openai.types.responses import Response
from openai.types.responses.input_token_count_response import InputTokenCountResponse

from lab.chat_streams import documents
from rempart.wire.responses import input_tokens_document, response_document


def document(chat: dict[str, Any], **request: Any) -> dict[str, Any]:
    return response_document(chat, request={"model": "m"} | request, id="resp_1", created=7)


def answer(message: dict[str, Any], finish_reason: str = "stop", **more: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"message": message, "finish_reason": finish_reason}]} | more


@given(documents())
def test_every_answer_is_a_response_to_the_official_client(chat: dict[str, Any]) -> None:
    response = Response.model_validate(document(chat), strict=True)
    assert response.output_text == (chat["choices"][0]["message"]["content"] or "")


def test_the_requests_settings_are_said_again() -> None:
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object"}}]
    request = {
        "instructions": "Be brief.",
        "max_output_tokens": 50,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "temperature": 0.2,
        "text": {"format": {"type": "json_object"}, "verbosity": None},
        "tool_choice": "required",
        "tools": tools,
        "top_logprobs": 3,
        "top_p": None,
        "user": "u",
    }
    found = document(answer({"content": "a"}), **request)
    Response.model_validate(found, strict=True)
    same = set(request) - {"reasoning", "text", "tools", "top_p"}
    assert {name: found[name] for name in same} == {name: request[name] for name in same}
    assert found["reasoning"] == {"effort": "low", "summary": None}
    assert found["text"] == {"format": {"type": "json_object"}}
    assert found["top_p"] == 1.0
    assert found["tools"] == [tools[0] | {"description": None, "strict": None}]


def test_what_is_not_asked_for_has_the_documented_defaults() -> None:
    found = document(answer({"content": "a"}))
    assert (found["object"], found["status"], found["created_at"]) == ("response", "completed", 7)
    assert (found["store"], found["tools"], found["tool_choice"]) == (False, [], "auto")
    assert found["text"] == {"format": {"type": "text"}}
    assert found["usage"] is None


def test_a_cut_answer_is_incomplete_and_so_is_its_last_item() -> None:
    found = document(answer({"content": "a", "reasoning_content": "b"}, "length"))
    assert found["status"] == "incomplete"
    assert found["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in found["output"]] == ["completed", "incomplete"]
    filtered = document(answer({"content": ""}, "content_filter"))
    assert filtered["incomplete_details"] == {"reason": "content_filter"}


def test_counts_come_from_the_usage_or_from_timings() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 6},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    timings = {"prompt_n": 4, "cache_n": 6, "predicted_n": 4}
    first = document(answer({"content": "a"}, usage=usage))["usage"]
    second = document(answer({"content": "a"}, timings=timings))["usage"]
    assert first == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 6, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 14,
    }
    assert second == first | {"output_tokens_details": {"reasoning_tokens": 0}}


def test_items_come_in_order_with_ids_of_their_own() -> None:
    calls = [{"function": {"name": "f", "arguments": "{}"}}, {"id": "c", "function": {"name": "g"}}]
    message = {"content": "a", "refusal": "no", "reasoning_content": "b", "tool_calls": calls}
    output = document(answer(message))["output"]
    assert [item["id"] for item in output] == ["rs_1_0", "msg_1_1", "msg_1_2", "fc_1_3", "fc_1_4"]
    assert [item["call_id"] for item in output[3:]] == ["call_fc_1_3", "c"]


def test_a_model_given_from_outside_is_named() -> None:
    found = response_document(
        answer({"content": "a"}), request={}, id="r", created=1, model="far", completed=2
    )
    assert (found["model"], found["completed_at"]) == ("far", 2)


def test_counted_tokens() -> None:
    assert InputTokenCountResponse.model_validate(input_tokens_document(7)).input_tokens == 7
