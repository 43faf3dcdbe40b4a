"""Puts the pieces of an answer in one block at a time, for protocols whose blocks end for good.

Chat names a tool call's index in every delta, so calls may alternate; Messages and Responses show
one block after the other. A call whose arguments are not yet whole JSON stays open, and what
belongs to others waits behind it. Servers that send one call after the other, as all known ones
do, never wait.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from rempart.wire.assembly import as_index

TEXT = "text"
REASONING = "reasoning"
REFUSAL = "refusal"


class Lane:
    """A block of the answer: a text, reasoning, a refusal, or one tool call."""

    __slots__ = ("call_id", "kind", "name", "pieces", "waiting")

    def __init__(self, kind: str | int) -> None:
        self.kind = kind
        """``text``, ``reasoning``, ``refusal``, or a tool call's index."""
        self.call_id = ""
        self.name = ""
        self.pieces: list[str] = []
        """What was written of it: the text or the arguments."""
        self.waiting: list[str] = []
        """What came while another lane was open."""

    @property
    def is_call(self) -> bool:
        """Whether it is a tool call."""
        return type(self.kind) is int

    @property
    def text(self) -> str:
        """All that was written of it."""
        return "".join(self.pieces)

    def may_close(self) -> bool:
        """Whether nothing can be missing: a text may be opened again, arguments must be whole."""
        if not self.is_call:
            return True
        arguments = self.text.rstrip()
        if not arguments.endswith("}"):
            return False
        try:
            msgspec.json.decode(arguments, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, RecursionError):
            return False
        return True


Pieces = Iterator[tuple[str | int, str, str, str]]


def pieces_of(delta: dict[str, Any]) -> Pieces:
    """The delta of a chat chunk as (kind, text or arguments, call id, function name)."""
    # Most chunks have one member; this order is the one in which servers send several.
    for name, kind in (("reasoning_content", REASONING), ("content", TEXT), ("refusal", REFUSAL)):
        text = delta.get(name)
        if text and isinstance(text, str):
            yield kind, text, "", ""
    calls = delta.get("tool_calls")
    if not isinstance(calls, list):
        return
    for position, call in enumerate(calls):
        if not isinstance(call, dict):
            continue
        function = call.get("function")
        if not isinstance(function, dict):
            function = {}
        index = as_index(call.get("index"))
        yield (
            position if index is None else index,
            _text(function.get("arguments")),
            _text(call.get("id")),
            _text(function.get("name")),
        )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


class Writer(Protocol):
    """Says the blocks in a protocol's own events; each call gives the bytes for it."""

    def open(self, lane: Lane) -> bytes:
        """The block begins; a call's name is known unless the stream ended without one."""
        ...

    def write(self, lane: Lane, text: str) -> bytes:
        """More of the block, which ``lane.pieces`` has already."""
        ...

    def close(self, lane: Lane) -> bytes:
        """The block is whole."""
        ...


class Lanes:
    """Puts deltas in an order in which every block is written from its begin to its end."""

    __slots__ = ("_closed_calls", "_open", "_queue", "_writer")

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._open: Lane | None = None
        self._queue: list[Lane] = []
        self._closed_calls: set[str | int] = set()

    def feed(self, delta: dict[str, Any]) -> bytes:
        """What the delta lets us write."""
        out = b""
        for kind, text, call_id, name in pieces_of(delta):
            lane = self._open
            if lane is None or lane.kind != kind:
                lane = self._lane(kind)
                if lane is None:
                    continue
            lane.call_id = lane.call_id or call_id
            lane.name = lane.name or name
            if lane is not self._open:
                lane.waiting.append(text)
            elif text:
                lane.pieces.append(text)
                out += self._writer.write(lane, text)
            if self._queue:
                out += self._advance()
        return out

    def finish(self) -> bytes:
        """What waits, and the end of what is open."""
        out = self._close()
        while self._queue:
            out += self._open_next() + self._close()
        return out

    def _lane(self, kind: str | int) -> Lane | None:
        """The lane that waits for ``kind``, or a new one; None for a call that is over."""
        for lane in reversed(self._queue):
            if lane.kind == kind:
                return lane
        if kind in self._closed_calls:
            return None
        lane = Lane(kind)
        self._queue.append(lane)
        return lane

    def _advance(self) -> bytes:
        out = b""
        while self._queue and (self._open is None or self._open.may_close()):
            if self._queue[0].is_call and not self._queue[0].name:
                break
            out += self._close() + self._open_next()
        return out

    def _open_next(self) -> bytes:
        lane = self._open = self._queue.pop(0)
        out = self._writer.open(lane)
        text = "".join(lane.waiting)
        if text:
            lane.pieces.append(text)
            out += self._writer.write(lane, text)
        return out

    def _close(self) -> bytes:
        lane, self._open = self._open, None
        if lane is None:
            return b""
        if lane.is_call:
            self._closed_calls.add(lane.kind)
        return self._writer.close(lane)
