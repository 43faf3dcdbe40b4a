"""Bounds that an operator sets: how many messages, tools, answers and tokens a request may ask for, and of what size.

What a field must be at all is said in ``chat_request``; here are only the amounts of ``[input]``. A body
that is within them costs a few comparisons.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from rempart.wire.faults import Faults, FieldFault

TEMPLATE_NAMES_REFUSED = frozenset(
    {"messages", "tools", "documents", "bos_token", "eos_token", "chat_template", "tokenize", "conversation"}
)  # fmt: skip
"""Variables of chat templates that a client may not set beside the fields that say the same."""
SCHEMA_COUNT_MAX = 10_000
"""Largest minItems, maxLength and their kin: a grammar is made of them, at its full length."""
PATTERN_CHARACTERS_MAX = 1024
_SCHEMA_COUNTS = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
)
_MEDIA = ("image_url", "video_url", "audio_url", "input_audio", "file")
_SAME: Mapping[str, str] = {}
_encode = msgspec.json.Encoder().encode


class Bounds(NamedTuple):
    """The amounts of ``[input]``."""

    messages_max: int
    tools_max: int
    tool_bytes_max: int
    image_bytes_max: int
    max_tokens_max: int
    n_max: int
    stop_max: int


def bound_faults(
    body: dict[str, Any], bounds: Bounds, *, body_bytes: int, names: Mapping[str, str] = _SAME
) -> list[FieldFault]:
    """Every field of a request that asks for more than it may.

    Args:
        body: a chat request, or another one with the same members; wrong types are others' business.
        body_bytes: of the client's body: what is within it cannot be larger.
        names: of members in the client's protocol, where they are others: ``{"max_tokens": "max_output_tokens"}``.
    """
    wrong = Faults()
    for name, most in (
        ("max_tokens", bounds.max_tokens_max),
        ("max_completion_tokens", bounds.max_tokens_max),
        ("n", bounds.n_max),
        ("best_of", bounds.n_max),
    ):
        value = body.get(name)
        if type(value) is int and value > most:
            wrong.add(names.get(name, name), f"a whole number from 1 to {most}", value)
    for name, most in (("messages", bounds.messages_max), ("tools", bounds.tools_max),
                       ("functions", bounds.tools_max), ("stop", bounds.stop_max)):  # fmt: skip
        value = body.get(name)
        if isinstance(value, list) and len(value) > most:
            wrong.add(names.get(name, name), f"a list of at most {most}", value)
    _schemas(body, bounds, body_bytes, wrong)
    kwargs = body.get("chat_template_kwargs")
    if isinstance(kwargs, dict):
        for name in sorted(TEMPLATE_NAMES_REFUSED & kwargs.keys()):
            wrong.add(
                f"chat_template_kwargs.{name}", "absent: it would replace a field", kwargs[name]
            )
    messages = body.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            for position, part in enumerate(content):
                if isinstance(part, dict) and part.get("type") in _MEDIA:
                    place = f"{names.get('messages', 'messages')}[{index}].content[{position}]"
                    _medium(part, place, bounds.image_bytes_max, wrong)
    return wrong.fields


def _medium(part: dict[str, Any], place: str, bytes_max: int, wrong: Faults) -> None:
    kind = part["type"]
    medium = part.get(kind)
    if not isinstance(medium, dict):
        return
    for name in ("url", "data", "file_data"):
        value = medium.get(name)
        if isinstance(value, str):
            size = len(value.partition(",")[2] if value.startswith("data:") else value) * 3 // 4
            if size > bytes_max:
                expected = (
                    f"at most {bytes_max} bytes" if bytes_max else "absent: no media are taken here"
                )
                wrong.add(f"{place}.{kind}.{name}", expected, size)


def _schemas(body: dict[str, Any], bounds: Bounds, body_bytes: int, wrong: Faults) -> None:
    for name in ("tools", "functions"):
        tools = body.get(name)
        for index, tool in enumerate(tools if isinstance(tools, list) else ()):
            # Four times: JSON of fewer bytes can be written with more, such as 1e9.
            if (
                4 * body_bytes > bounds.tool_bytes_max
                and len(_encode(tool)) > bounds.tool_bytes_max
            ):
                wrong.add(
                    f"{name}[{index}]", f"at most {bounds.tool_bytes_max} bytes of JSON", tool
                )
            _schema(tool, f"{name}[{index}]", wrong)
    form = body.get("response_format")
    if isinstance(form, dict):
        if 4 * body_bytes > bounds.tool_bytes_max and len(_encode(form)) > bounds.tool_bytes_max:
            wrong.add("response_format", f"at most {bounds.tool_bytes_max} bytes of JSON", form)
        _schema(form, "response_format", wrong)
    _schema(body.get("json_schema"), "json_schema", wrong)


def _schema(root: Any, place: str, wrong: Faults) -> None:
    """What makes a grammar without an end: counts, patterns, schemas of other places."""
    todo = [root]
    for value in todo:  # grows meanwhile; the body's bounds are its own
        if isinstance(value, dict):
            for name, inner in value.items():
                if isinstance(inner, (dict, list)):
                    todo.append(inner)
                elif name in _SCHEMA_COUNTS and isinstance(inner, int) and inner > SCHEMA_COUNT_MAX:
                    wrong.add(f"{place}: {name}", f"at most {SCHEMA_COUNT_MAX}", inner)
                elif (
                    name == "pattern"
                    and isinstance(inner, str)
                    and len(inner) > PATTERN_CHARACTERS_MAX
                ):
                    wrong.add(
                        f"{place}: pattern", f"at most {PATTERN_CHARACTERS_MAX} characters", inner
                    )
                elif name == "$ref" and isinstance(inner, str) and not inner.startswith("#"):
                    wrong.add(
                        f"{place}: $ref", "a place in the same schema, such as #/$defs/x", inner
                    )
        elif isinstance(value, list):
            todo.extend(one for one in value if isinstance(one, (dict, list)))
