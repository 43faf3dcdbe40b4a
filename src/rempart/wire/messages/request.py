"""A Messages request → the chat request that asks for the same."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from rempart.wire import faults
from rempart.wire.faults import Faults, Rule

ROLES = faults.one_of("user", "assistant", "system")
CONTENT = Rule("a text or a list of blocks", lambda value: isinstance(value, str | list))
BLOCK = Rule(
    "an object with a type",
    lambda value: isinstance(value, dict) and isinstance(value.get("type"), str),
)

_RULES = {
    "max_tokens": faults.TOKENS,
    "stop_sequences": faults.STOP_TEXTS,
    "stream": faults.BOOLEAN,
    "temperature": faults.SHARE,
    "top_p": faults.SHARE,
    "top_k": faults.whole(0, 10**6),
}
_SAME_NAMES = ("model", "max_tokens", "temperature", "top_p", "top_k", "stream")

_THINKING_TYPE = faults.one_of("enabled", "disabled", "adaptive", "between_tools")
_EFFORT = faults.one_of("low", "medium", "high", "xhigh", "max")
_TOOL_CHOICE_TYPE = faults.one_of("auto", "any", "tool", "none")
_TOOL_TYPE = Rule(
    "custom, a tool with input_schema; tools that run on Anthropic's servers are not offered",
    lambda value: value in (None, "custom"),
)
_USER_BLOCKS = faults.one_of("text", "image", "document", "tool_result")
_ASSISTANT_BLOCKS = faults.one_of("text", "thinking", "redacted_thinking", "tool_use")
_RESULT_BLOCKS = faults.one_of("text", "image", "document")
_DOCUMENT_BLOCKS = faults.one_of("text", "image")
_TEXT_BLOCKS = faults.one_of("text")
_TEXTS = Rule("a text or a list of text blocks", CONTENT.holds)

_BILLING_STAMP = re.compile(r"\Ax-anthropic-billing-header:[^\n]*?\bcch=([^;\n]*);")


def chat_request(
    body: dict[str, Any], *, extras: Iterable[str] = (), is_max_tokens_required: bool = True
) -> dict[str, Any]:
    """The chat request for ``body``, a ``POST /v1/messages`` (or ``…/count_tokens``).

    Members that chat has no word for, such as ``cache_control``, are left out.

    Args:
        body: the decoded request; it is not changed.
        extras: names of members that go over as they are, where they are there.
        is_max_tokens_required: False for ``count_tokens``, which has no such member.
    Raises:
        ConversionError: with every wrong field.
    Source: platform.claude.com, Messages API, version 2023-06-01.
    """
    wrong = Faults()
    wrong.check_members(body, _RULES, "")
    if is_max_tokens_required and body.get("max_tokens") is None:
        wrong.add("max_tokens", faults.TOKENS.expected, faults.MISSING)
    chat: dict[str, Any] = {name: body[name] for name in _SAME_NAMES if body.get(name) is not None}
    chat |= {name: body[name] for name in extras if name in body and name not in chat}
    chat["messages"] = _system(body.get("system"), wrong) + _messages(body, wrong)
    if body.get("stop_sequences"):
        chat["stop"] = body["stop_sequences"]
    if body.get("tools") is not None:
        chat["tools"] = _tools(body["tools"], wrong)
    if body.get("tool_choice") is not None:
        chat |= _tool_choice(body["tool_choice"], wrong)
    chat |= _thinking(body, wrong)
    metadata = body.get("metadata")
    if metadata is not None and wrong.check("metadata", metadata, faults.OBJECT):
        user = metadata.get("user_id")
        if user is not None and wrong.check("metadata.user_id", user, faults.text(512)):
            chat["user"] = user
    wrong.raise_if_any()
    return chat


def _system(system: Any, wrong: Faults) -> list[dict[str, Any]]:
    if system is None:
        return []
    texts = _texts(system, "system", wrong)
    content = "".join(_without_stamp(text) for text in texts)
    return [{"role": "system", "content": content}] if content else []


def _without_stamp(text: str) -> str:
    """Claude Code's first system block holds a stamp that differs in every request.

    With it no two prompts share a prefix, and the runner's KV cache is of no use.
    """
    found = _BILLING_STAMP.match(text)
    return text if found is None else text[: found.start(1)] + text[found.end(1) :]


def _texts(content: Any, path: str, wrong: Faults) -> list[str]:
    if not wrong.check(path, content, _TEXTS):
        return []
    if isinstance(content, str):
        return [content]
    texts = []
    for index, block in enumerate(content):
        place = f"{path}[{index}]"
        if not wrong.check(place, block, BLOCK):
            continue
        if wrong.check(f"{place}.type", block["type"], _TEXT_BLOCKS):
            text = wrong.required(block, "text", f"{place}.", faults.TEXT)
            texts.append(text or "")
    return texts


def _messages(body: dict[str, Any], wrong: Faults) -> list[dict[str, Any]]:
    found = wrong.required(body, "messages", "", faults.MESSAGES)
    chat: list[dict[str, Any]] = []
    for index, message in enumerate(found or ()):
        path = f"messages[{index}]"
        if not wrong.check(path, message, faults.OBJECT):
            continue
        role = wrong.required(message, "role", f"{path}.", ROLES)
        content = wrong.required(message, "content", f"{path}.", CONTENT)
        if role is None or content is None:
            continue
        if role == "system":
            chat.append(
                {"role": role, "content": "".join(_texts(content, f"{path}.content", wrong))}
            )
        elif isinstance(content, str):
            chat.append({"role": role, "content": content})
        elif role == "user":
            chat.extend(_user_message(content, f"{path}.content", wrong))
        else:
            chat.append(_assistant_message(content, f"{path}.content", wrong))
    return chat


def _blocks(
    content: list[Any], path: str, types: Rule, wrong: Faults
) -> Iterable[tuple[str, dict[str, Any]]]:
    for index, block in enumerate(content):
        place = f"{path}[{index}]"
        if wrong.check(place, block, BLOCK) and wrong.check(f"{place}.type", block["type"], types):
            yield f"{place}.", block


def _user_message(content: list[Any], path: str, wrong: Faults) -> list[dict[str, Any]]:
    """Results of tools become messages of their own, first: chat wants them behind the calls."""
    parts: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for place, block in _blocks(content, path, _USER_BLOCKS, wrong):
        if block["type"] == "tool_result":
            results.append(_tool_result(block, place, wrong))
        else:
            parts.extend(_parts(block, place, wrong))
    if parts or not results:
        results.append({"role": "user", "content": _as_content(parts)})
    return results


def _as_content(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """One text is said as a text, which every runner takes; else the list of parts."""
    if not parts:
        return ""
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def _tool_result(block: dict[str, Any], place: str, wrong: Faults) -> dict[str, Any]:
    call_id = wrong.required(block, "tool_use_id", place, faults.text(256, least=1))
    content = block.get("content")
    parts: list[dict[str, Any]] = []
    if isinstance(content, list):
        for inner, part in _blocks(content, f"{place}content", _RESULT_BLOCKS, wrong):
            parts.extend(_parts(part, inner, wrong))
    elif content is not None and wrong.check(f"{place}content", content, CONTENT):
        parts.append({"type": "text", "text": content})
    if all(part["type"] == "text" for part in parts):
        return {
            "role": "tool",
            "tool_call_id": call_id,
            "content": "".join(part["text"] for part in parts),
        }
    return {"role": "tool", "tool_call_id": call_id, "content": parts}


def _parts(block: dict[str, Any], place: str, wrong: Faults) -> list[dict[str, Any]]:
    if block["type"] == "text":
        text = wrong.required(block, "text", place, faults.TEXT)
        return [{"type": "text", "text": text or ""}]
    source = wrong.required(block, "source", place, faults.OBJECT)
    if source is None:
        return []
    place += "source."
    if block["type"] == "image":
        return _image(source, place, wrong)
    return _document(source, place, wrong)


def _image(source: dict[str, Any], place: str, wrong: Faults) -> list[dict[str, Any]]:
    kind = wrong.required(source, "type", place, faults.one_of("base64", "url"))
    if kind == "base64":
        media_type = wrong.required(
            source,
            "media_type",
            place,
            faults.pattern(
                "an image's media type, such as image/png", r"image/[A-Za-z0-9.+-]{1,64}"
            ),
        )
        data = wrong.required(source, "data", place, faults.TEXT_NOT_EMPTY)
        url = f"data:{media_type};base64,{data}"
    elif kind == "url":
        # Whether an address is allowed is decided for all protocols by media_faults.
        url = wrong.required(source, "url", place, faults.TEXT_NOT_EMPTY)
    else:
        return []
    return [{"type": "image_url", "image_url": {"url": url}}]


def _document(source: dict[str, Any], place: str, wrong: Faults) -> list[dict[str, Any]]:
    kind = wrong.required(
        source,
        "type",
        place,
        Rule("text or content; other documents are not read", ("text", "content").__contains__),
    )
    if kind == "text":
        text = wrong.required(source, "data", place, faults.TEXT)
        return [{"type": "text", "text": text or ""}]
    if kind != "content":
        return []
    content = wrong.required(source, "content", place, CONTENT)
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    parts: list[dict[str, Any]] = []
    for inner, part in _blocks(content or [], f"{place}content", _DOCUMENT_BLOCKS, wrong):
        parts.extend(_parts(part, inner, wrong))
    return parts


def _assistant_message(content: list[Any], path: str, wrong: Faults) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    reasoning: list[str] = []
    calls: list[dict[str, Any]] = []
    for place, block in _blocks(content, path, _ASSISTANT_BLOCKS, wrong):
        kind = block["type"]
        if kind == "text":
            parts.extend(_parts(block, place, wrong))
        elif kind == "thinking":
            reasoning.append(wrong.required(block, "thinking", place, faults.TEXT) or "")
        elif kind == "tool_use":
            calls.append(_tool_use(block, place, wrong))
        # Redacted thinking can be read by Anthropic's servers only.
    message: dict[str, Any] = {"role": "assistant", "content": _as_content(parts)}
    if calls:
        message["tool_calls"] = calls
        message["content"] = message["content"] or None
    if any(reasoning):
        message["reasoning_content"] = "".join(reasoning)
    return message


def _tool_use(block: dict[str, Any], place: str, wrong: Faults) -> dict[str, Any]:
    call_id = wrong.required(block, "id", place, faults.text(256, least=1))
    name = wrong.required(block, "name", place, faults.FUNCTION_NAME)
    arguments = wrong.required(block, "input", place, faults.OBJECT)
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": msgspec.json.encode(arguments or {}).decode()},
    }


def _tools(tools: Any, wrong: Faults) -> list[dict[str, Any]]:
    chat: list[dict[str, Any]] = []
    if not wrong.check("tools", tools, faults.TOOLS):
        return chat
    for index, tool in enumerate(tools):
        place = f"tools[{index}]"
        if not wrong.check(place, tool, faults.OBJECT):
            continue
        if not wrong.check(f"{place}.type", tool.get("type"), _TOOL_TYPE):
            continue
        function = {
            "name": wrong.required(tool, "name", f"{place}.", faults.FUNCTION_NAME),
            "parameters": wrong.required(tool, "input_schema", f"{place}.", faults.OBJECT),
        }
        wrong.check_members(
            tool, {"description": faults.TEXT, "strict": faults.BOOLEAN}, f"{place}."
        )
        function |= {
            name: tool[name] for name in ("description", "strict") if tool.get(name) is not None
        }
        chat.append({"type": "function", "function": function})
    return chat


def _tool_choice(choice: Any, wrong: Faults) -> dict[str, Any]:
    if not wrong.check("tool_choice", choice, faults.OBJECT):
        return {}
    kind = wrong.required(choice, "type", "tool_choice.", _TOOL_CHOICE_TYPE)
    chat: dict[str, Any] = {}
    if kind == "tool":
        name = wrong.required(choice, "name", "tool_choice.", faults.FUNCTION_NAME)
        chat["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif kind is not None:
        chat["tool_choice"] = "required" if kind == "any" else kind
    single = choice.get("disable_parallel_tool_use")
    if single is not None and wrong.check(
        "tool_choice.disable_parallel_tool_use", single, faults.BOOLEAN
    ):
        chat["parallel_tool_calls"] = not single
    return chat


def _thinking(body: dict[str, Any], wrong: Faults) -> dict[str, Any]:
    """``thinking`` and ``output_config``: effort and the form of the answer."""
    chat: dict[str, Any] = {}
    thinking = body.get("thinking")
    if thinking is not None and wrong.check("thinking", thinking, faults.OBJECT):
        kind = wrong.required(thinking, "type", "thinking.", _THINKING_TYPE)
        if kind == "enabled":
            budget = wrong.required(thinking, "budget_tokens", "thinking.", faults.TOKENS)
            # llama.cpp's own name; runners that do not know it are not sent it.
            chat["thinking_budget_tokens"] = budget
    config = body.get("output_config")
    if config is None or not wrong.check("output_config", config, faults.OBJECT):
        return chat
    effort = config.get("effort")
    if effort is not None and wrong.check("output_config.effort", effort, _EFFORT):
        chat["reasoning_effort"] = effort if effort in ("low", "medium") else "high"
    form = config.get("format")
    if form is not None and wrong.check("output_config.format", form, faults.OBJECT):
        wrong.required(form, "type", "output_config.format.", faults.one_of("json_schema"))
        schema = wrong.required(form, "schema", "output_config.format.", faults.OBJECT)
        chat["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema, "strict": True},
        }
    return chat
