"""``tool_choice`` that must be kept, by a schema: the library takes it and ignores it. Pure.

A required or named call becomes ``response_format: json_schema`` for ``{"name", "arguments"}``,
which the library does enforce, and the text that comes is wrapped as ``tool_calls`` again. One call
is made: ``parallel_tool_calls`` has no effect here. ``auto`` stays the library's business: its
parser finds calls where the model's template has a form for them; a template that knows no tools
drops them, and then the model just answers.
"""

import re
from typing import Any, NamedTuple

import msgspec

from rempart.runners.llama_cpp_server.refusals import invalid

TOOLS_COUNT_MAX = 1024

Json = dict[str, Any]


class Tool(NamedTuple):
    """A function that the model may be made to call."""

    name: str
    description: str
    parameters: Json


def forced_tools(body: Json) -> list[Tool]:
    """The tools of which one must be called; none if the model is free to answer.

    Raises:
        Refused: the choice names no tool that there is, or is of an unknown form.
    """
    choice = body.get("tool_choice")
    if choice is None or choice in ("none", "auto"):
        return []
    tools = _tools(body)
    if choice == "required":
        return _some(tools)
    if isinstance(choice, dict):
        kind = choice.get("type")
        if kind == "function":
            name = _name_in(choice)
            return _some([tool for tool in tools if tool.name == name], name)
        if kind == "allowed_tools":
            inner = choice.get("allowed_tools", choice)
            if isinstance(inner, dict):
                if inner.get("mode") != "required":
                    return []
                allowed = inner.get("tools")
                names = [_name_in(one) for one in allowed] if isinstance(allowed, list) else []
                return _some([tool for tool in tools if tool.name in names])
    raise invalid(
        "tool_choice must be 'none', 'auto', 'required' or "
        '{"type": "function", "function": {"name": …}}'
    )


def _some(tools: list[Tool], name: str | None = None) -> list[Tool]:
    if tools:
        return tools
    if name is None:
        raise invalid("tool_choice asks for a call, but tools has no function that may be called")
    raise invalid(f"tool_choice names {name!r}, which is not among the functions in tools")


def _name_in(one: Any) -> str:
    if not isinstance(one, dict):
        return ""
    function = one.get("function")
    name = function.get("name") if isinstance(function, dict) else one.get("name")
    return name if isinstance(name, str) else ""


def _tools(body: Json) -> list[Tool]:
    listed = body.get("tools")
    if not isinstance(listed, list):
        return []
    if len(listed) > TOOLS_COUNT_MAX:
        raise invalid(f"tools has {len(listed)} entries; at most {TOOLS_COUNT_MAX} are taken")
    found = []
    for one in listed:
        function = one.get("function") if isinstance(one, dict) else None
        if not isinstance(function, dict) or one.get("type", "function") != "function":
            continue
        name = _name_in(one)
        parameters = function.get("parameters")
        description = function.get("description")
        if name:
            found.append(
                Tool(
                    name,
                    description if isinstance(description, str) else "",
                    parameters if isinstance(parameters, dict) else {},
                )
            )
    return found


def call_schema(tools: list[Tool]) -> Json:
    """The schema of a text that is one call of one of ``tools``."""
    if len(tools) == 1:
        return _one_call(tools[0], "#")
    return {"anyOf": [_one_call(tool, f"#/anyOf/{at}") for at, tool in enumerate(tools)]}


def _one_call(tool: Tool, place: str) -> Json:
    parameters = dict(tool.parameters)
    if "type" not in parameters and not parameters.keys() & {"anyOf", "oneOf", "allOf", "$ref"}:
        parameters["type"] = "object"
    # The order matters: it is the order in which the model writes them, so that the name is known
    # before the first argument comes.
    return {
        "type": "object",
        "properties": {
            "name": {"const": tool.name},
            "arguments": _moved(parameters, f"{place}/properties/arguments"),
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _moved(schema: Any, place: str) -> Any:
    """``schema`` with its references, which begin at its own root, leading to ``place``."""
    if isinstance(schema, dict):
        return {
            name: place + value[1:]
            if name == "$ref" and isinstance(value, str) and value.startswith("#")
            else _moved(value, place)
            for name, value in schema.items()
        }
    if isinstance(schema, list):
        return [_moved(one, place) for one in schema]
    return schema


def as_schema_request(body: Json, tools: list[Tool], *, template_takes_tools: bool) -> Json:
    """The request that makes the model write one call of ``tools``.

    Args:
        template_takes_tools: the chat template shows tools to the model; else a system message does.
    """
    asked = {name: value for name, value in body.items() if name != "parallel_tool_calls"}
    asked["response_format"] = {
        "type": "json_schema",
        "json_schema": {"name": "call", "strict": True, "schema": call_schema(tools)},
    }
    asked.pop("grammar", None)
    if template_takes_tools:
        # The template is to show them; no choice is to be made any more.
        asked["tool_choice"] = "none"
    else:
        asked.pop("tool_choice", None)
        asked.pop("tools", None)
        asked["messages"] = _told(body.get("messages"), tools)
    return asked


def _told(messages: Any, tools: list[Tool]) -> Any:
    """The messages, with what each tool is for in the system message; calls and results as text."""
    if not isinstance(messages, list):
        return messages  # the library says what is wrong with it
    plain = [_as_text(message) for message in messages]
    notice = _notice(tools)
    first = plain[0] if plain else None
    if isinstance(first, dict) and first.get("role") in ("system", "developer"):
        return [first | {"content": _with_text(first.get("content"), notice)}, *plain[1:]]
    return [{"role": "system", "content": notice}, *plain]


def _with_text(content: Any, text: str) -> Any:
    if isinstance(content, list):
        return [*content, {"type": "text", "text": text}]
    return f"{content}\n\n{text}" if content else text


def _notice(tools: list[Tool]) -> str:
    lines = ["Answer by calling one of these functions, as JSON with its name and its arguments:"]
    for tool in tools:
        described = f"- {tool.name}"
        if tool.description:
            described += f": {tool.description}"
        lines.append(described)
        properties = tool.parameters.get("properties")
        if isinstance(properties, dict):
            for name, schema in properties.items():
                lines.append(f"    {name}{_described(schema)}")
    return "\n".join(lines)


def _described(schema: Any) -> str:
    if not isinstance(schema, dict):
        return ""
    kind = schema.get("type")
    text = f" ({kind})" if isinstance(kind, str) else ""
    options = schema.get("enum")
    if isinstance(options, list):
        text += " one of " + ", ".join(str(option) for option in options[:32])
    description = schema.get("description")
    return f"{text}: {description}" if isinstance(description, str) else text


def _as_text(message: Any) -> Any:
    """A message that a template without tools can show: earlier calls and results as plain text."""
    if not isinstance(message, dict):
        return message
    calls = message.get("tool_calls")
    if message.get("role") == "tool":
        return {"role": "user", "content": message.get("content")}
    if not isinstance(calls, list) or not calls:
        return message
    texts = [message["content"]] if isinstance(message.get("content"), str) else []
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            texts.append(
                f'{{"name": "{function.get("name")}", "arguments": {function.get("arguments")}}}'
            )
    rest = {name: value for name, value in message.items() if name != "tool_calls"}
    return rest | {"content": "\n".join(texts)}


_BEGINNING = re.compile(
    r'\s*\{\s*"name"\s*:\s*"((?:[^"\\]|\\.)*)"\s*,\s*"arguments"\s*:\s*', re.DOTALL
)
_MARK = re.compile(r'["\\{}\[\],]')


class CallReader:
    """Reads ``{"name": …, "arguments": …}`` as it comes, cut anyhow.

    The schema fixes the order, so that the name is whole before the first argument, and the
    arguments' text goes on as the model wrote it.
    """

    def __init__(self) -> None:
        self._beginning = ""
        self._depth = 0
        self._is_in_text = False
        self._is_escaped = False
        self.name: str | None = None
        """The function's name, once it is known."""
        self.is_complete = False
        """Whether the call is whole; what comes after it is blank."""

    def feed(self, text: str) -> str:
        """The part of the arguments that ``text`` brings; "" if it brings none."""
        if self.is_complete:
            return ""
        if self.name is None:
            self._beginning += text
            match = _BEGINNING.match(self._beginning)
            if match is None:
                return ""
            self.name = _unescaped(match[1])
            text = self._beginning[match.end() :]
            self._beginning = ""
        return self._arguments(text)

    def _arguments(self, text: str) -> str:
        """``text`` up to the brace that closes the call, which is the first not opened in it."""
        position = 0
        while True:
            if self._is_escaped:
                if position >= len(text):
                    return text
                self._is_escaped = False
                position += 1
            found = _MARK.search(text, position)
            if found is None:
                return text
            mark, position = found[0], found.end()
            if mark == "\\":
                self._is_escaped = self._is_in_text
            elif mark == '"':
                self._is_in_text = not self._is_in_text
            elif self._is_in_text:
                continue
            elif mark in "{[":
                self._depth += 1
            elif mark in "}]":
                if self._depth == 0:
                    self.is_complete = True
                    return text[: found.start()].rstrip()
                self._depth -= 1


def _unescaped(text: str) -> str:
    try:
        return msgspec.json.decode(f'"{text}"', type=str)
    except msgspec.DecodeError:
        return text
