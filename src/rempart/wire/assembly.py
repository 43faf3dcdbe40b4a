"""How the pieces of a streamed answer are put together, the same for chat and completions."""

from typing import Any


def as_index(value: Any) -> int | None:
    """``value`` if it is a whole number from 0, else None."""
    return value if type(value) is int and value >= 0 else None


def join_into(members: dict[str, Any], delta: dict[str, Any]) -> None:
    """Put ``delta`` into ``members``: texts are gathered in pieces, of all else the last counts.

    A member that was a text and then is something else, or the other way round, is replaced.
    """
    for name, value in delta.items():
        if value is None:
            continue
        if isinstance(value, str):
            pieces = members.get(name)
            if type(pieces) is Pieces:
                pieces.append(value)
            else:
                members[name] = Pieces((value,))
        else:
            members[name] = value


class Pieces(list[str]):
    """A text in pieces, told apart from a list that came as such."""

    __slots__ = ()


def joined(members: dict[str, Any]) -> dict[str, Any]:
    """``members`` with each text in one piece."""
    return {
        name: "".join(value) if type(value) is Pieces else value for name, value in members.items()
    }


def extend_logprobs(known: dict[str, Any] | None, more: Any) -> dict[str, Any] | None:
    """Log-probabilities so far with those of one more chunk: lists are appended to."""
    if not isinstance(more, dict):
        return known
    if known is None:
        known = {}
    for name, value in more.items():
        before = known.get(name)
        if isinstance(value, list):
            if isinstance(before, list):
                before.extend(value)
            else:
                known[name] = list(value)
        elif value is not None or name not in known:
            known[name] = value
    return known
