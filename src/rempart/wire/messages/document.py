"""A chat.completion → the Message that says the same."""

from collections.abc import Mapping
from typing import Any

import msgspec

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def message_id(chat_id: str) -> str:
    """The Message's id that goes with a chat.completion's."""
    return "msg_" + chat_id.removeprefix("chatcmpl-").removeprefix("msg_")


def tool_use_id(call_id: str, of_message: str, index: int) -> str:
    """The call's own id, or one made of the message's where the runner gave none."""
    return call_id or f"toolu_{of_message.removeprefix('msg_')}_{index}"


def stop_reason(
    finish_reason: Any, stopped_by: Any, *, has_tool_use: bool
) -> tuple[str, str | None]:
    """``stop_reason`` and ``stop_sequence`` for a choice's end.

    Args:
        finish_reason: chat's word for it.
        stopped_by: the choice's ``stop_reason`` (vLLM), the stop text that was met if it is a text.
        has_tool_use: whether a tool was called; some servers say ``stop`` then too.
    """
    if finish_reason == "stop":
        if isinstance(stopped_by, str) and stopped_by:
            return "stop_sequence", stopped_by
        if has_tool_use:
            return "tool_use", None
    if not isinstance(finish_reason, str):
        return "end_turn", None
    return _STOP_REASONS.get(finish_reason, "end_turn"), None


def usage(chat: Mapping[str, Any]) -> dict[str, int]:
    """Token counts in Anthropic's terms: cached prompt tokens are not part of ``input_tokens``.

    Args:
        chat: holds ``usage``, or llama.cpp's ``timings``; all counts are 0 without either.
    """
    counts = chat.get("usage")
    if isinstance(counts, dict):
        details = counts.get("prompt_tokens_details")
        cached = _count(details, "cached_tokens")
        return {
            "input_tokens": max(_count(counts, "prompt_tokens") - cached, 0),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": cached,
            "output_tokens": _count(counts, "completion_tokens"),
        }
    timings = chat.get("timings")
    return {
        "input_tokens": _count(timings, "prompt_n"),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": _count(timings, "cache_n"),
        "output_tokens": _count(timings, "predicted_n"),
    }


def progress_counts(progress: Any) -> dict[str, Any]:
    """What llama.cpp's ``prompt_progress`` tells of the prompt, as ``timings``; empty without."""
    if not isinstance(progress, dict):
        return {}
    cached = _count(progress, "cache")
    return {"timings": {"prompt_n": _count(progress, "total") - cached, "cache_n": cached}}


def _count(holder: Any, name: str) -> int:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if type(value) is int else 0


def tool_input(arguments: str) -> dict[str, Any]:
    """A call's arguments as the object they spell; what is no JSON object stays readable in one."""
    if not arguments:
        return {}
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"INVALID_JSON": arguments}


def _text(value: Any) -> str:
    """What a runner said, if it is a text at all."""
    return value if isinstance(value, str) else ""


def message_document(chat: dict[str, Any], *, model: str) -> dict[str, Any]:
    """The Message for ``chat``'s first choice.

    Args:
        chat: a chat.completion, as ``ChatAssembler.document`` gives it.
        model: the name of the model that answered.
    """
    choices = chat.get("choices") or [{}]
    choice = choices[0]
    message = choice.get("message") or {}
    id_ = message_id(_text(chat.get("id")))
    content: list[dict[str, Any]] = []
    reasoning = _text(message.get("reasoning_content"))
    if reasoning:
        content.append({"type": "thinking", "thinking": reasoning, "signature": ""})
    for text in (message.get("content"), message.get("refusal")):
        if text and isinstance(text, str):
            content.append({"type": "text", "text": text})
    calls = message.get("tool_calls") or ()
    for index, call in enumerate(calls):
        function = call.get("function") or {}
        content.append(
            {
                "type": "tool_use",
                "id": tool_use_id(_text(call.get("id")), id_, index),
                "name": _text(function.get("name")),
                "input": tool_input(_text(function.get("arguments"))),
            }
        )
    reason, sequence = stop_reason(
        choice.get("finish_reason"), choice.get("stop_reason"), has_tool_use=bool(calls)
    )
    return {
        "id": id_,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": usage(chat),
    }


def count_tokens_document(tokens_count: int) -> dict[str, Any]:
    """The answer of ``POST /v1/messages/count_tokens``."""
    return {"input_tokens": tokens_count}
