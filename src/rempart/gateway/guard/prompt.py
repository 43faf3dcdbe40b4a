"""Every text of a request that can reach a model: masked in place, or found for a refusal.

All texts of the document are looked at but for the members that are known to be something else: so a field
that comes with the next version of a protocol is covered from its first day.
"""

import re
from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

from rempart.gateway.guard.lane import Lane, mask_text
from rempart.gateway.guard.scan import Matchers

OnKind = Callable[[str, str], None]
"""``(kind, path)``: called for each finding."""

SLICE_CHARACTERS = 16 * 1024
"""So much is looked at in one go, in a few milliseconds at most; then others get their turn."""
DEPTH_MAX = 200

_NO_TEXT = frozenset(
    ["model", "stream", "stream_options", "stop", "user", "metadata", "safety_identifier", "grammar",
     "prompt_cache_key", "service_tier", "encoding_format", "reasoning_effort", "verbosity"]
)  # fmt: skip
"""At the top: never part of a prompt, but names, numbers, and what is for the server."""
_NO_TEXT_BELOW = frozenset(["role", "type", "id", "tool_call_id", "call_id"])
"""A call and its result find each other by their ids."""
_MEDIA = frozenset(["image_url", "input_audio", "audio", "file", "video_url", "input_video"])
_TOKENS = frozenset(["prompt", "input"])
_JSON_TEXTS = frozenset(["arguments"])
_PLAIN_NAME = re.compile(r"[A-Za-z_-]{1,40}")


class _Slot(NamedTuple):
    """One text, and where it stands."""

    holder: Any
    key: Any
    path: str
    is_json: bool = False
    is_name: bool = False
    """It is the member's name."""


class Prompt:
    """Goes through documents.

    Args:
        on_finding: is told kind and path of each finding.
        skipped: gets the names of parts that were not looked at: ``media``, ``token_ids``, ``too_deep``.
    """

    __slots__ = ("_matchers", "_on_finding", "_skipped")

    def __init__(self, matchers: Matchers, on_finding: OnKind, skipped: set[str]) -> None:
        self._matchers = matchers
        self._on_finding = on_finding
        self._skipped = skipped

    def mask(self, document: dict[str, Any]) -> Iterator[None]:
        """Mask every text of a request's document, in place; yields where others may get their turn."""
        slots: list[_Slot] = []
        for name, value in document.items():
            if name in _NO_TEXT:
                continue
            if name in _TOKENS and _has_tokens(value):
                self._skipped.add("token_ids")
            self._collect(slots, document, name, name, 0)
        done = 0
        # A name changes only after what it names has been written.
        for slot in sorted(slots, key=lambda slot: slot.is_name):
            text = slot.key if slot.is_name else slot.holder[slot.key]
            done += len(text)
            if len(text) <= SLICE_CHARACTERS:
                masked = mask_text(self._matchers, text, self._found(slot), is_json=slot.is_json)
            else:
                masked = yield from self._long(slot, text)
            if masked is not text:
                _put(slot, masked)
            if done > SLICE_CHARACTERS:
                done = 0
                yield

    def _long(self, slot: _Slot, text: str) -> Generator[None, None, str]:
        lane = Lane(self._matchers, len(text), self._found(slot), is_json=slot.is_json)
        pieces = []
        for start in range(0, len(text), SLICE_CHARACTERS):
            pieces.append(lane.feed(text[start : start + SLICE_CHARACTERS]))
            yield
        pieces.append(lane.feed("", is_final=True))
        return "".join(pieces)

    def _found(self, slot: _Slot) -> Callable[[str], None]:
        def found(kind: str) -> None:
            self._on_finding(kind, slot.path)

        return found

    def _collect(self, slots: list[_Slot], holder: Any, key: Any, path: str, depth: int) -> None:
        value = holder[key]
        if isinstance(value, str):
            slots.append(_Slot(holder, key, path, is_json=key in _JSON_TEXTS))
        elif depth > DEPTH_MAX:  # the bounds of JSON are far below
            self._skipped.add("too_deep")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, (str, list, dict)):
                    self._collect(slots, value, index, f"{path}[{index}]", depth + 1)
        elif isinstance(value, dict):
            for name, item in value.items():
                self._member(slots, value, name, item, path, depth)

    def _member(
        self,
        slots: list[_Slot],
        holder: dict[str, Any],
        name: str,
        item: Any,
        path: str,
        depth: int,
    ) -> None:
        is_plain = _PLAIN_NAME.fullmatch(name) is not None
        path = f"{path}.{name if is_plain else '*'}"
        if not is_plain:
            slots.append(_Slot(holder, name, path, is_name=True))
        if name in _MEDIA and (isinstance(item, dict) or _is_data_url(item)):
            self._skipped.add("media")
        elif not (name in _NO_TEXT_BELOW and isinstance(item, str)):
            self._collect(slots, holder, name, path, depth + 1)


def _put(slot: _Slot, masked: str) -> None:
    if not slot.is_name:
        slot.holder[slot.key] = masked
        return
    while masked in slot.holder:
        masked += "_"
    slot.holder[masked] = slot.holder.pop(slot.key)


def _is_data_url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("data:")


def _has_tokens(value: Any) -> bool:
    """Whether (part of) a prompt is given as token ids, one list of them or several."""
    if not isinstance(value, list):
        return False
    return any(type(one) is int or (isinstance(one, list) and one) for one in value)
