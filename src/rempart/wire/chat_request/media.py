"""Pictures and sounds in a chat must come with the request: an address would be fetched by the runner.

llama.cpp and vLLM fetch what ``image_url``, ``input_audio`` and their like point at, from inside the
network and, with ``--media-path``, from the disk. So an address is a way past every wall.
"""

from typing import Any

from rempart.wire.faults import Faults, FieldFault

_EXPECTED = "a data: URL, or base64 where the protocol has it"
_URL_EXPECTED = "a data: URL with the content itself"
_ADDRESS_NAMES = frozenset(
    {"url", "image_url", "video_url", "audio_url", "file_url", "input_video"}
)
_TEXT_TYPES = frozenset({"text", "refusal"})
_DEPTH_MAX = 4


def media_faults(body: dict[str, Any]) -> list[FieldFault]:
    """Every medium in the messages that is an address, or a file of another place.

    Args:
        body: a chat request; parts of the wrong shape are ``validate_chat``'s business.
    """
    wrong = Faults()
    messages = body.get("messages")
    for index, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, list):
            continue
        for position, part in enumerate(content):
            if isinstance(part, dict) and part.get("type") not in _TEXT_TYPES:
                _walk(part, f"messages[{index}].content[{position}]", "", wrong, 0)
    return wrong.fields


def _walk(value: Any, path: str, name: str, wrong: Faults, depth: int) -> None:
    """Look at every text of a part, however it is nested: runners differ in where they look."""
    if isinstance(value, str):
        if name in _ADDRESS_NAMES:
            if not value.startswith("data:"):
                wrong.add(path, _URL_EXPECTED, value)
        # Neither base64 nor the name of a format has a colon; an address does.
        elif not value.startswith("data:") and ":" in value[:64]:
            wrong.add(path, _EXPECTED, value)
    elif isinstance(value, dict | list):
        if depth == _DEPTH_MAX:
            wrong.add(path, "nested less deeply", value)
            return
        members = (
            value.items() if isinstance(value, dict) else ((str(i), v) for i, v in enumerate(value))
        )
        for member, inner in members:
            _walk(inner, f"{path}.{member[:40]}", member, wrong, depth + 1)
