"""Masks the chunks of a streamed answer, chat or completion, before anything else is made of them.

Every text of a choice is a lane of its own: content, reasoning, refusal, whatever text a runner adds, and
the arguments of each tool call. Only members that are known go on: token ids, log-probabilities and what a
runner may say beside the text would give away what was masked, so they are left out.
"""

from typing import Any

from rempart.gateway.guard.lane import Lane, OnFinding, mask_text
from rempart.gateway.guard.scan import Matchers

_TOP = ("id", "object", "created", "model", "system_fingerprint", "service_tier", "usage", "timings",
        "prompt_progress")  # fmt: skip
_HEAD = ("id", "object", "created", "model", "system_fingerprint")
_KEPT_OF_CHOICE = ("index", "finish_reason")
_KEPT_OF_DELTA = ("role",)
_KEPT_OF_CALL = ("index", "id", "type")
LANES_MAX = 1024
"""More texts than this in one answer are no answer; what comes in further ones is left out."""

COMPLETION = None
"""Names the lane of a completion's own text, which stands in no delta."""

Key = tuple[Any, ...]
"""Choice, member, and for calls which member of theirs."""


class Chunks:
    """The masker of one answer's chunks.

    Args:
        held_max: most characters held back of each text.
    """

    __slots__ = (
        "_early",
        "_head",
        "_held_max",
        "_lanes",
        "_last",
        "_matchers",
        "_on_finding",
        "count",
    )

    def __init__(self, matchers: Matchers, held_max: int, on_finding: OnFinding) -> None:
        self._matchers = matchers
        self._held_max = held_max
        self._on_finding = on_finding
        self._lanes: dict[Key, Lane] = {}
        self._last: dict[int, Key] = {}
        """The lane of each choice that was written last."""
        self._early: list[dict[str, Any]] = []
        """What the turn to another text has let go, to be sent first."""
        self._head: dict[str, Any] = {}
        self.count = 0
        """Chunks with choices so far."""

    @property
    def released_count(self) -> int:
        """How often text went out undecided."""
        return sum(lane.released_count for lane in self._lanes.values())

    @property
    def held_since_s(self) -> float | None:
        """Since when text is held; None when none is."""
        held = [lane.held_since_s for lane in self._lanes.values() if lane.is_holding]
        return min(held) if held else None

    def feed(self, chunk: dict[str, Any], now_s: float) -> list[dict[str, Any]]:
        """What goes on for one chunk: usually one, none when all its text is held, two at a choice's end."""
        choices = chunk.get("choices")
        masked = {name: chunk[name] for name in _TOP if name in chunk}
        if not isinstance(choices, list):
            return [masked]
        if choices:
            self.count += 1
        self._head = {name: masked[name] for name in _HEAD if name in masked}
        out: list[dict[str, Any]] = []
        kept = []
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            index = choice.get("index")
            index = index if type(index) is int else 0
            part = self._choice(index, choice, now_s)
            if self._early:
                out += self._early
                self._early = []
            if choice.get("finish_reason") is not None:
                out += self._flushed(index)
            if part is not None:
                kept.append(part)
        if kept or not choices or any(name in masked for name in ("usage", "timings")):
            masked["choices"] = kept
            out.append(masked)
        elif "prompt_progress" in masked:
            masked["choices"] = choices
            out.append(masked)
        return out

    def flush(self) -> list[dict[str, Any]]:
        """What is still held, now that nothing more comes."""
        out: list[dict[str, Any]] = []
        for index in sorted({key[0] for key in self._lanes}):
            out += self._flushed(index)
        return out

    def release_weak(self, until_s: float) -> list[dict[str, Any]]:
        """What has been held since ``until_s`` or before and looks like nothing."""
        out = []
        for key, lane in self._lanes.items():
            if lane.is_holding and lane.held_since_s <= until_s:
                text = lane.release_weak()
                if text:
                    out.append(self._chunk_of(key, text))
        return out

    def _choice(self, index: int, choice: dict[str, Any], now_s: float) -> dict[str, Any] | None:
        """The choice with what may go on; None when nothing is left of it."""
        part: dict[str, Any] = {
            name: choice[name] for name in _KEPT_OF_CHOICE if choice.get(name) is not None
        }
        part["index"] = index
        part.setdefault("finish_reason", None)
        stop_reason = choice.get("stop_reason")
        if isinstance(stop_reason, str):
            stop_reason = mask_text(self._matchers, stop_reason, self._on_finding)
        if stop_reason is not None:
            part["stop_reason"] = stop_reason
        is_empty = part["finish_reason"] is None
        text = choice.get("text")
        if isinstance(text, str):
            part["text"] = self._write((index, COMPLETION), text, now_s)
            is_empty = is_empty and bool(text) and not part["text"]
        delta = choice.get("delta")
        if isinstance(delta, dict):
            part["delta"] = self._delta(index, delta, now_s)
            is_empty = is_empty and bool(delta) and not part["delta"]
        elif not isinstance(text, str):
            is_empty = False
        return None if is_empty else part

    def _delta(self, index: int, delta: dict[str, Any], now_s: float) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, value in delta.items():
            if value is None or name in _KEPT_OF_DELTA:
                kept[name] = value
            elif isinstance(value, str):
                text = self._write((index, name), value, now_s)
                if text or not value:
                    kept[name] = text
            elif name == "tool_calls" and isinstance(value, list):
                calls = self._calls(index, value, now_s)
                if calls:
                    kept[name] = calls
            elif name == "function_call" and isinstance(value, dict):
                call = self._function(index, "function_call", value, now_s)
                if call:
                    kept[name] = call
            elif isinstance(value, (dict, list)):
                kept[name] = masked_value(self._matchers, value, self._on_finding)
        return kept

    def _calls(self, index: int, calls: list[Any], now_s: float) -> list[dict[str, Any]]:
        kept = []
        for position, call in enumerate(calls):
            if not isinstance(call, dict):
                continue
            part = {name: call[name] for name in _KEPT_OF_CALL if name in call}
            number = call.get("index")
            number = number if type(number) is int else position
            has_text = False
            for name in ("function", "custom"):
                function = call.get(name)
                if isinstance(function, dict):
                    has_text = True
                    of_function = self._function(index, (name, number), function, now_s)
                    if of_function:
                        part[name] = of_function
            if not has_text or part.keys() - {"index", "type"}:
                kept.append(part)
        return kept

    def _function(
        self, index: int, of: Any, function: dict[str, Any], now_s: float
    ) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, value in function.items():
            if name in ("arguments", "input") and isinstance(value, str):
                text = self._write((index, of, name), value, now_s)
                if text or not value:
                    kept[name] = text
            elif isinstance(value, (str, dict, list)):
                kept[name] = masked_value(self._matchers, value, self._on_finding)
            else:
                kept[name] = value
        return kept

    def _write(self, key: Key, piece: str, now_s: float) -> str:
        lane = self._lanes.get(key)
        if lane is None:
            if len(self._lanes) >= LANES_MAX:
                return ""
            lane = self._lanes[key] = Lane(
                self._matchers, self._held_max, self._on_finding, is_json=key[-1] == "arguments"
            )
        if piece:
            last = self._last.get(key[0])
            if last is not None and last != key:
                text = self._lanes[last].release_weak()
                if text:
                    self._early.append(self._chunk_of(last, text))
            self._last[key[0]] = key
        return lane.feed(piece, now_s=now_s)

    def _flushed(self, index: int) -> list[dict[str, Any]]:
        out = []
        for key in [key for key in self._lanes if key[0] == index]:
            text = self._lanes[key].feed("", is_final=True)
            if text:
                out.append(self._chunk_of(key, text))
        return out

    def _chunk_of(self, key: Key, text: str) -> dict[str, Any]:
        """A chunk with one more piece of one text."""
        choice: dict[str, Any] = {"index": key[0], "finish_reason": None}
        if key[1] is COMPLETION:
            choice["text"] = text
        elif len(key) == 2:
            choice["delta"] = {key[1]: text}
        elif key[1] == "function_call":
            choice["delta"] = {"function_call": {key[2]: text}}
        else:
            name, number = key[1]
            choice["delta"] = {"tool_calls": [{"index": number, name: {key[2]: text}}]}
        return {**self._head, "choices": [choice]}


def masked_value(matchers: Matchers, value: Any, on_finding: OnFinding) -> Any:
    """A copy of a JSON value with every text in it masked."""
    if isinstance(value, str):
        return mask_text(matchers, value, on_finding)
    if isinstance(value, list):
        return [masked_value(matchers, one, on_finding) for one in value]
    if isinstance(value, dict):
        return {
            mask_text(matchers, name, on_finding): masked_value(matchers, one, on_finding)
            for name, one in value.items()
        }
    return value


def mask_document(
    matchers: Matchers, document: dict[str, Any], on_finding: OnFinding
) -> dict[str, Any]:
    """A whole answer (chat.completion, text_completion), masked; as strict as for chunks."""
    masked = {name: document[name] for name in _TOP if name in document}
    choices = document.get("choices")
    kept = []
    for choice in choices if isinstance(choices, list) else ():
        if not isinstance(choice, dict):
            continue
        part = {name: choice[name] for name in _KEPT_OF_CHOICE if name in choice}
        if "stop_reason" in choice:
            part["stop_reason"] = masked_value(matchers, choice["stop_reason"], on_finding)
        if "text" in choice:
            part["text"] = masked_value(matchers, choice["text"], on_finding)
        message = choice.get("message")
        if isinstance(message, dict):
            part["message"] = _message(matchers, message, on_finding)
        part["logprobs"] = None
        kept.append(part)
    masked["choices"] = kept
    return masked


def _message(matchers: Matchers, message: dict[str, Any], on_finding: OnFinding) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in message.items():
        if name == "tool_calls" and isinstance(value, list):
            kept[name] = [
                _call(matchers, call, on_finding) for call in value if isinstance(call, dict)
            ]
        elif name == "function_call" and isinstance(value, dict):
            kept[name] = _function(matchers, value, on_finding)
        elif name in _KEPT_OF_DELTA:
            kept[name] = value
        else:
            kept[name] = masked_value(matchers, value, on_finding)
    return kept


def _call(matchers: Matchers, call: dict[str, Any], on_finding: OnFinding) -> dict[str, Any]:
    kept = {name: call[name] for name in _KEPT_OF_CALL if name in call}
    for name in ("function", "custom"):
        if isinstance(call.get(name), dict):
            kept[name] = _function(matchers, call[name], on_finding)
    return kept


def _function(
    matchers: Matchers, function: dict[str, Any], on_finding: OnFinding
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in function.items():
        if name == "arguments" and isinstance(value, str):
            kept[name] = mask_text(matchers, value, on_finding, is_json=True)
        else:
            kept[name] = masked_value(matchers, value, on_finding)
    return kept
