"""A Responses request → the chat request that asks for the same."""

from collections.abc import Iterable
from typing import Any

from rempart.wire import faults
from rempart.wire.faults import Faults, Rule

_RULES = {
    "max_output_tokens": faults.TOKENS,
    "metadata": faults.METADATA,
    "parallel_tool_calls": faults.BOOLEAN,
    "safety_identifier": faults.text(512),
    "stream": faults.BOOLEAN,
    "temperature": faults.TEMPERATURE,
    "top_logprobs": faults.whole(0, 20),
    "top_p": faults.SHARE,
    "truncation": faults.one_of("auto", "disabled"),
    "user": faults.text(512),
}
_STATE = {
    "store": Rule("false or absent: nothing is stored here", lambda value: value is False),
    "background": Rule(
        "false or absent: answers are not made in the background", lambda value: value is False
    ),
    "previous_response_id": Rule(
        "absent: nothing is stored here. Send the whole input", lambda _: False
    ),
    "conversation": Rule("absent: nothing is stored here. Send the whole input", lambda _: False),
    "prompt": Rule(
        "absent: no prompts are stored here. Send instructions and input", lambda _: False
    ),
}
"""Members that ask for state; each is refused by its name, for an answer without it would be wrong."""

_SAME_NAMES = ("model", "parallel_tool_calls", "stream", "temperature", "top_p")
_CONTENT = Rule("a text or a list of parts", lambda value: isinstance(value, str | list))
_TYPED = Rule(
    "an object with a type",
    lambda value: isinstance(value, dict) and isinstance(value.get("type"), str),
)
_ITEM_TYPE = faults.one_of("message", "function_call", "function_call_output", "reasoning")
_ROLE = faults.one_of("user", "assistant", "system", "developer")
_EFFORT = faults.one_of("none", "minimal", "low", "medium", "high", "xhigh", "max")
_FORMAT_TYPE = faults.one_of("text", "json_object", "json_schema")
_FORMAT_NAME = faults.pattern("1 to 64 letters, digits, _ or -", r"[A-Za-z0-9_-]{1,64}")
_TOOL_TYPE = Rule(
    "function; tools of other kinds are not run here", lambda value: value == "function"
)
_CALL_ID = faults.text(256, least=1)
_INPUT = Rule("a text or a list of items", _CONTENT.holds)
_ITEMS = Rule("a list of 1 to 2048 items", faults.MESSAGES.holds)
_INPUT_PARTS = faults.one_of("input_text", "input_image")
_ASSISTANT_PARTS = faults.one_of("output_text", "refusal", "input_text")


def chat_request(body: dict[str, Any], *, extras: Iterable[str] = ()) -> dict[str, Any]:
    """The chat request for ``body``, a ``POST /v1/responses`` (or ``…/input_tokens``).

    Members that chat has no word for, such as ``prompt_cache_key``, are left out.

    Args:
        body: the decoded request; it is not changed.
        extras: names of members that go over as they are, where they are there.
    Raises:
        ConversionError: with every wrong field; ``store: true``, ``previous_response_id``,
            ``conversation``, ``background: true`` and ``prompt`` are among them by name.
    Source: OpenAI's Responses API as of openai-python 3.x.
    """
    wrong = Faults()
    wrong.check_members(body, _STATE, "")
    wrong.check_members(body, _RULES, "")
    chat: dict[str, Any] = {name: body[name] for name in _SAME_NAMES if body.get(name) is not None}
    chat |= {name: body[name] for name in extras if name in body and name not in chat}
    chat["messages"] = _instructions(body, wrong) + _input(body, wrong)
    if body.get("max_output_tokens") is not None:
        chat["max_tokens"] = body["max_output_tokens"]
    user = body.get("user") or body.get("safety_identifier")
    if user:
        chat["user"] = user
    if body.get("tools") is not None:
        chat["tools"] = _tools(body["tools"], wrong)
    if body.get("tool_choice") is not None:
        _tool_choice(body["tool_choice"], chat, wrong)
    chat |= _text(body.get("text"), wrong) | _reasoning(body.get("reasoning"), wrong)
    chat |= _logprobs(body, wrong)
    wrong.raise_if_any()
    return chat


def _instructions(body: dict[str, Any], wrong: Faults) -> list[dict[str, Any]]:
    instructions = body.get("instructions")
    if instructions is None or not wrong.check("instructions", instructions, faults.TEXT):
        return []
    return [{"role": "system", "content": instructions}] if instructions else []


def _input(body: dict[str, Any], wrong: Faults) -> list[dict[str, Any]]:
    found = wrong.required(body, "input", "", _INPUT)
    if found is None:
        return []
    if isinstance(found, str):
        return [{"role": "user", "content": found}]
    if not wrong.check("input", found, _ITEMS):
        return []
    messages: list[dict[str, Any]] = []
    for index, item in enumerate(found):
        path = f"input[{index}]"
        if wrong.check(path, item, faults.OBJECT):
            _item(item, f"{path}.", messages, wrong)
    for message in messages:
        _settle(message)
    return messages


def _item(item: dict[str, Any], place: str, messages: list[dict[str, Any]], wrong: Faults) -> None:
    # A message may leave its type out; all others have one.
    kind = item.get("type", "message" if "role" in item else faults.MISSING)
    if not wrong.check(f"{place}type", kind, _ITEM_TYPE):
        return
    if kind == "message":
        role = wrong.required(item, "role", place, _ROLE)
        parts = _parts(item, "content", place, wrong, is_assistant=role == "assistant")
        if role == "assistant":
            _assistant(messages)["content"].extend(parts)
        else:
            messages.append({"role": role, "content": parts})
    elif kind == "function_call":
        _assistant(messages).setdefault("tool_calls", []).append(_call(item, place, wrong))
    elif kind == "function_call_output":
        call_id = wrong.required(item, "call_id", place, _CALL_ID)
        parts = _parts(item, "output", place, wrong, is_assistant=False)
        messages.append({"role": "tool", "tool_call_id": call_id, "content": parts})
    else:
        reasoning = _reasoning_text(item, place, wrong)
        if reasoning:
            message = _assistant(messages)
            message["reasoning_content"] = message.get("reasoning_content", "") + reasoning


def _assistant(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The assistant's turn under way: its items are one message in chat."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": []})
    return messages[-1]


def _settle(message: dict[str, Any]) -> None:
    """Parts → content: texts of a tool are one, a single text is a text, none is null beside calls."""
    parts = message["content"]
    has_only_texts = all(part["type"] == "text" for part in parts)
    if has_only_texts and (len(parts) <= 1 or message["role"] == "tool"):
        text = "".join(part["text"] for part in parts)
        message["content"] = text if text or "tool_calls" not in message else None


def _parts(
    holder: dict[str, Any], name: str, place: str, wrong: Faults, *, is_assistant: bool
) -> list[dict[str, Any]]:
    content = wrong.required(holder, name, place, _CONTENT)
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    parts: list[dict[str, Any]] = []
    types = _ASSISTANT_PARTS if is_assistant else _INPUT_PARTS
    for index, part in enumerate(content):
        path = f"{place}{name}[{index}]"
        if not wrong.check(path, part, _TYPED) or not wrong.check(
            f"{path}.type", part["type"], types
        ):
            continue
        if part["type"] == "input_image":
            parts.extend(_image(part, f"{path}.", wrong))
        else:
            member = "refusal" if part["type"] == "refusal" else "text"
            text = wrong.required(part, member, f"{path}.", faults.TEXT)
            parts.append({"type": "text", "text": text or ""})
    return parts


def _image(part: dict[str, Any], place: str, wrong: Faults) -> list[dict[str, Any]]:
    url = wrong.required(
        part,
        "image_url",
        place,
        Rule("a text, the picture as a data: URL", faults.TEXT_NOT_EMPTY.holds),
    )
    image: dict[str, Any] = {"url": url}
    if part.get("detail") is not None and wrong.check(
        f"{place}detail", part["detail"], faults.TEXT
    ):
        image["detail"] = part["detail"]
    return [{"type": "image_url", "image_url": image}]


def _call(item: dict[str, Any], place: str, wrong: Faults) -> dict[str, Any]:
    return {
        "id": wrong.required(item, "call_id", place, _CALL_ID),
        "type": "function",
        "function": {
            "name": wrong.required(item, "name", place, faults.FUNCTION_NAME),
            "arguments": wrong.required(item, "arguments", place, faults.TEXT),
        },
    }


def _reasoning_text(item: dict[str, Any], place: str, wrong: Faults) -> str:
    """The reasoning itself. A summary is not it, and what is encrypted only its maker can read."""
    content = item.get("content")
    if content is None or not wrong.check(f"{place}content", content, faults.LIST):
        return ""
    texts = []
    for index, part in enumerate(content):
        path = f"{place}content[{index}]"
        if wrong.check(path, part, _TYPED):
            texts.append(wrong.required(part, "text", f"{path}.", faults.TEXT) or "")
    return "".join(texts)


def _tools(tools: Any, wrong: Faults) -> list[dict[str, Any]]:
    chat: list[dict[str, Any]] = []
    if not wrong.check("tools", tools, faults.TOOLS):
        return chat
    members = {
        "description": faults.TEXT,
        "parameters": faults.OBJECT,
        "strict": faults.BOOLEAN,
    }
    for index, tool in enumerate(tools):
        place = f"tools[{index}]"
        if not wrong.check(place, tool, _TYPED):
            continue
        if not wrong.check(f"{place}.type", tool["type"], _TOOL_TYPE):
            continue
        function = {"name": wrong.required(tool, "name", f"{place}.", faults.FUNCTION_NAME)}
        wrong.check_members(tool, members, f"{place}.")
        function |= {name: tool[name] for name in members if tool.get(name) is not None}
        chat.append({"type": "function", "function": function})
    return chat


def _tool_choice(choice: Any, chat: dict[str, Any], wrong: Faults) -> None:
    expected = "none, auto, required, or an object of type function or allowed_tools"
    if isinstance(choice, str):
        if wrong.check(
            "tool_choice", choice, Rule(expected, ("none", "auto", "required").__contains__)
        ):
            chat["tool_choice"] = choice
        return
    if not wrong.check("tool_choice", choice, Rule(expected, _TYPED.holds)):
        return
    kind = choice["type"]
    if not wrong.check("tool_choice.type", kind, faults.one_of("function", "allowed_tools")):
        return
    if kind == "function":
        name = wrong.required(choice, "name", "tool_choice.", faults.FUNCTION_NAME)
        chat["tool_choice"] = {"type": "function", "function": {"name": name}}
        return
    mode = wrong.required(choice, "mode", "tool_choice.", faults.one_of("auto", "required"))
    allowed = wrong.required(choice, "tools", "tool_choice.", faults.list_of(_TYPED, 1024, least=1))
    # No runner knows allowed_tools; one that is shown only these tools cannot call another.
    names = [tool.get("name") for tool in allowed or ()]
    chat["tools"] = [tool for tool in chat.get("tools", ()) if tool["function"]["name"] in names]
    chat["tool_choice"] = mode


def _text(config: Any, wrong: Faults) -> dict[str, Any]:
    chat: dict[str, Any] = {}
    if config is None or not wrong.check("text", config, faults.OBJECT):
        return chat
    wrong.check_members(config, {"verbosity": faults.one_of("low", "medium", "high")}, "text.")
    if config.get("verbosity") is not None:
        chat["verbosity"] = config["verbosity"]
    form = config.get("format")
    if form is None or not wrong.check("text.format", form, faults.OBJECT):
        return chat
    kind = wrong.required(form, "type", "text.format.", _FORMAT_TYPE)
    if kind == "json_object":
        chat["response_format"] = {"type": kind}
    elif kind == "json_schema":
        schema: dict[str, Any] = {
            "name": wrong.required(form, "name", "text.format.", _FORMAT_NAME),
            "schema": wrong.required(form, "schema", "text.format.", faults.OBJECT),
        }
        members = {"description": faults.TEXT, "strict": faults.BOOLEAN}
        wrong.check_members(form, members, "text.format.")
        schema |= {name: form[name] for name in members if form.get(name) is not None}
        chat["response_format"] = {"type": kind, "json_schema": schema}
    return chat


def _reasoning(config: Any, wrong: Faults) -> dict[str, Any]:
    if config is None or not wrong.check("reasoning", config, faults.OBJECT):
        return {}
    effort = config.get("effort")
    if effort is None or not wrong.check("reasoning.effort", effort, _EFFORT):
        return {}
    return {"reasoning_effort": effort}


def _logprobs(body: dict[str, Any], wrong: Faults) -> dict[str, Any]:
    include = body.get("include")
    if include is not None and not wrong.check("include", include, faults.list_of(faults.TEXT, 64)):
        include = None
    top = body.get("top_logprobs")
    chat: dict[str, Any] = {}
    if top or "message.output_text.logprobs" in (include or ()):
        chat["logprobs"] = True
    if top:
        chat["top_logprobs"] = top
    return chat
