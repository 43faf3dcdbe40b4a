"""A chat.completion → the Response that says the same."""

from collections.abc import Mapping
from typing import Any

INCOMPLETE_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


def item_id(kind: str, response_id: str, index: int) -> str:
    """The id of an item of ``response_id``'s output; ``kind`` is its prefix, such as ``msg``."""
    return f"{kind}_{response_id.removeprefix('resp_')}_{index}"


def message_item(id_: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    """An answer in words."""
    return {"id": id_, "type": "message", "status": status, "role": "assistant", "content": content}


def text_part(text: str, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    """A text of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def refusal_part(text: str) -> dict[str, Any]:
    """A refusal in a message."""
    return {"type": "refusal", "refusal": text}


def reasoning_item(id_: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    """What the model thought; nothing summarises it here."""
    return {"id": id_, "type": "reasoning", "summary": [], "content": content, "status": status}


def reasoning_part(text: str) -> dict[str, Any]:
    """The text of a reasoning item."""
    return {"type": "reasoning_text", "text": text}


def call_item(id_: str, status: str, *, call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """A call of one of the client's functions."""
    return {
        "id": id_,
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def output_logprobs(entries: Any) -> list[dict[str, Any]]:
    """Chat's log-probabilities in Responses' form, where ``bytes`` is never null."""
    found: list[dict[str, Any]] = []
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("token"), str):
            one = _logprob(entry)
            tops = entry.get("top_logprobs")
            one["top_logprobs"] = [
                _logprob(top)
                for top in (tops if isinstance(tops, list) else ())
                if isinstance(top, dict) and isinstance(top.get("token"), str)
            ]
            found.append(one)
    return found


def _logprob(entry: dict[str, Any]) -> dict[str, Any]:
    octets = entry.get("bytes")
    if not isinstance(octets, list):
        octets = list(entry["token"].encode("utf-8", "surrogatepass"))
    return {"token": entry["token"], "bytes": octets, "logprob": entry.get("logprob", 0.0)}


def usage(chat: Mapping[str, Any]) -> dict[str, Any] | None:
    """Token counts in Responses' terms, from ``usage`` or llama.cpp's ``timings``; None without."""
    counts, timings = chat.get("usage"), chat.get("timings")
    if isinstance(counts, dict):
        prompt, completion = _count(counts, "prompt_tokens"), _count(counts, "completion_tokens")
        of_prompt = counts.get("prompt_tokens_details")
        of_completion = counts.get("completion_tokens_details")
    elif isinstance(timings, dict):
        of_prompt = {"cached_tokens": _count(timings, "cache_n")}
        of_completion = None
        prompt = _count(timings, "prompt_n") + _count(timings, "cache_n")
        completion = _count(timings, "predicted_n")
    else:
        return None
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": _count(of_prompt, "cached_tokens"),
            "cache_write_tokens": _count(of_prompt, "cache_write_tokens"),
        },
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": _count(of_completion, "reasoning_tokens")},
        "total_tokens": prompt + completion,
    }


def _count(holder: Any, name: str) -> int:
    value = holder.get(name) if isinstance(holder, dict) else None
    return value if type(value) is int else 0


def skeleton(request: Mapping[str, Any], *, id: str, created: int, model: str) -> dict[str, Any]:
    """A Response under way, without output: every member that the client's types know.

    Args:
        request: the request's body, whose settings are said again.
        id: the Response's id.
        created: seconds since 1970.
        model: the name of the model that answers.
    """
    told = {name: value for name, value in request.items() if value is not None}
    text = told.get("text")
    reasoning = told.get("reasoning")
    return {
        "id": id,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": told.get("instructions"),
        "max_output_tokens": told.get("max_output_tokens"),
        "max_tool_calls": told.get("max_tool_calls"),
        "metadata": told.get("metadata", {}),
        "model": model,
        "output": [],
        "parallel_tool_calls": told.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "prompt_cache_key": told.get("prompt_cache_key"),
        "reasoning": {"effort": None, "summary": None} | (reasoning or {}),
        "safety_identifier": told.get("safety_identifier"),
        "service_tier": "default",
        "store": False,
        "temperature": told.get("temperature", 1.0),
        "text": {"format": {"type": "text"}}
        | {name: value for name, value in (text or {}).items() if value is not None},
        "tool_choice": told.get("tool_choice", "auto"),
        "tools": [_tool(tool) for tool in told.get("tools", ())],
        "top_logprobs": told.get("top_logprobs", 0),
        "top_p": told.get("top_p", 1.0),
        "truncation": told.get("truncation", "disabled"),
        "usage": None,
        "user": told.get("user"),
    }


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"description": None, "parameters": None, "strict": None} | tool


def ending(finish_reason: Any) -> dict[str, Any]:
    """``status`` and ``incomplete_details`` for a choice's end."""
    reason = INCOMPLETE_REASONS.get(finish_reason) if isinstance(finish_reason, str) else None
    if reason is None:
        return {"status": "completed"}
    return {"status": "incomplete", "incomplete_details": {"reason": reason}}


def response_document(
    chat: dict[str, Any],
    *,
    request: Mapping[str, Any],
    id: str,
    created: int,
    model: str | None = None,
    completed: int | None = None,
) -> dict[str, Any]:
    """The Response for ``chat``'s first choice.

    Args:
        chat: a chat.completion, as ``ChatAssembler.document`` gives it.
        request: the body of the Responses request.
        id: the Response's id, ``resp_…``.
        created: seconds since 1970.
        model: the name of the model that answered; by default what ``chat`` says.
        completed: seconds since 1970 at which it was whole.
    """
    choices = chat.get("choices") or [{}]
    choice = choices[0]
    end = ending(choice.get("finish_reason"))
    output = _output(choice, id)
    if end["status"] == "incomplete" and output:
        output[-1]["status"] = "incomplete"
    document = skeleton(request, id=id, created=created, model=model or chat.get("model") or "")
    document |= end
    document["output"] = output
    document["usage"] = usage(chat)
    document["completed_at"] = completed if end["status"] == "completed" else None
    return document


def _output(choice: dict[str, Any], response_id: str) -> list[dict[str, Any]]:
    message = choice.get("message") or {}
    output: list[dict[str, Any]] = []

    def new_id(kind: str) -> str:
        return item_id(kind, response_id, len(output))

    reasoning, text, refusal = (
        message.get(name) for name in ("reasoning_content", "content", "refusal")
    )
    if reasoning and isinstance(reasoning, str):
        output.append(reasoning_item(new_id("rs"), "completed", [reasoning_part(reasoning)]))
    if text and isinstance(text, str):
        logprobs = output_logprobs((choice.get("logprobs") or {}).get("content"))
        output.append(message_item(new_id("msg"), "completed", [text_part(text, logprobs)]))
    if refusal and isinstance(refusal, str):
        output.append(message_item(new_id("msg"), "completed", [refusal_part(refusal)]))
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        id_ = new_id("fc")
        output.append(
            call_item(
                id_,
                "completed",
                call_id=call.get("id") or f"call_{id_}",
                name=function.get("name") or "",
                arguments=function.get("arguments") or "",
            )
        )
    return output


def input_tokens_document(tokens_count: int) -> dict[str, Any]:
    """The answer of ``POST /v1/responses/input_tokens``."""
    return {"object": "response.input_tokens", "input_tokens": tokens_count}
