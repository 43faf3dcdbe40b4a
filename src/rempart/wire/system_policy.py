"""An operator's system prompt before every conversation, and what becomes of clients' own system messages."""

from typing import Any

from rempart.wire.faults import FieldFault

_ROLES = ("system", "developer")
_EXPECTED = "absent: this model's system prompt is the operator's"


def system_places(body: dict[str, Any]) -> list[FieldFault]:
    """Where a request of any of the chat protocols says something as the system."""
    found = [
        FieldFault(name, _EXPECTED, "a text" if isinstance(body[name], str) else "a list")
        for name in ("system", "instructions")
        if body.get(name)
    ]
    for name in ("messages", "input"):
        messages = body.get(name)
        for index, message in enumerate(messages if isinstance(messages, list) else ()):
            if isinstance(message, dict) and message.get("role") in _ROLES:
                found.append(FieldFault(f"{name}[{index}].role", _EXPECTED, str(message["role"])))
    return found


def drop_system_messages(chat: dict[str, Any]) -> int:
    """Take them out of a chat request; gives how many there were."""
    messages = chat["messages"]
    kept = [message for message in messages if message.get("role") not in _ROLES]
    chat["messages"] = kept
    return len(messages) - len(kept)


def put_system_prompt(chat: dict[str, Any], prompt: str) -> None:
    """Put the operator's prompt first; a client's first system message follows it in the same turn.

    Many templates take one system message at most, and only at the beginning.
    """
    messages = chat["messages"]
    first = messages[0] if messages else {}
    if first.get("role") not in _ROLES:
        chat["messages"] = [{"role": "system", "content": prompt}, *messages]
        return
    content = first.get("content")
    if isinstance(content, list):
        joined: Any = [{"type": "text", "text": f"{prompt}\n\n"}, *content]
    else:
        joined = f"{prompt}\n\n{content}" if content else prompt
    chat["messages"] = [first | {"role": "system", "content": joined}, *messages[1:]]
