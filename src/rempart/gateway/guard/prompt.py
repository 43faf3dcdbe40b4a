"""Every text of a request that can reach a model: masked in place, or found for a refusal.

All texts of the document are looked at but for the members that are known to be something else: so a field
that comes with the next version of a protocol is covered from its first day.
"""

import re
from collections.abc import Callable
from typing import Any

from rempart.gateway.guard.lane import mask_text
from rempart.gateway.guard.scan import Matchers

OnKind = Callable[[str, str], None]
"""``(kind, path)``: called for each finding."""

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
_PLAIN_KEY = re.compile(r"[A-Za-z_-]{1,40}")
DEPTH_MAX = 200


class Prompt:
    """Goes through documents.

    Args:
        on_finding: is told kind and path of each finding.
        skipped: gets the names of parts that were not looked at.
    """

    __slots__ = ("_matchers", "_on_finding", "_skipped")

    def __init__(self, matchers: Matchers, on_finding: OnKind, skipped: set[str]) -> None:
        self._matchers = matchers
        self._on_finding = on_finding
        self._skipped = skipped

    def mask(self, document: dict[str, Any]) -> None:
        """Mask every text of a request's document, in place."""
        for name in list(document):
            if name in _NO_TEXT:
                continue
            value = document[name]
            if name in _TOKENS and _has_tokens(value):
                self._skipped.add("token_ids")
            masked = self._value(value, name, name, 0)
            if masked is not value:
                document[name] = masked

    def _value(self, value: Any, name: str, path: str, depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value, path, is_json=name in _JSON_TEXTS)
        if isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, (str, list, dict)):
                    masked = self._value(item, name, f"{path}[{index}]", depth + 1)
                    if masked is not item:
                        value[index] = masked
        elif isinstance(value, dict):
            self._members(value, path, depth)
        return value

    def _members(self, members: dict[str, Any], path: str, depth: int) -> None:
        if depth > DEPTH_MAX:  # the JSON bounds are far below
            self._skipped.add("too_deep")
            return
        for name, value in list(members.items()):
            if name in _MEDIA and (isinstance(value, dict) or _is_data_url(value)):
                self._skipped.add("media")
                continue
            if name in _NO_TEXT_BELOW and isinstance(value, str):
                continue
            shown = name if _PLAIN_KEY.fullmatch(name) else "*"
            below = f"{path}.{shown}"
            masked = self._value(value, name, below, depth + 1)
            new_name = name if shown is name else self._text(name, below, is_json=False)
            if new_name is not name:
                del members[name]
                while new_name in members:
                    new_name += "_"
                members[new_name] = masked
            elif masked is not value:
                members[name] = masked

    def _text(self, text: str, path: str, *, is_json: bool) -> str:
        kinds: list[str] = []
        masked = mask_text(self._matchers, text, kinds.append, is_json=is_json)
        for kind in kinds:
            self._on_finding(kind, path)
        return masked


def _is_data_url(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("data:")


def _has_tokens(value: Any) -> bool:
    """Whether (part of) a prompt is given as token ids, one list of them or several."""
    if not isinstance(value, list):
        return False
    return any(type(one) is int or (isinstance(one, list) and one) for one in value)
