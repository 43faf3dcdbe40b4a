"""Every text of a request that reaches a model's template: cleaned, and without control strings.

All members are gone through but those known to be something else, so that what comes with the next version
of a protocol is covered from its first day. Cleaning comes first: taking out a hidden character may bring
the two halves of a control string together.
"""

from typing import Any, NamedTuple

import msgspec

from rempart.wire.control_strings import BOUNDARY_BREAK, ControlStrings, break_at
from rempart.wire.sanitise import needs_no_look, sanitise

_REACHING = frozenset(
    {
        *("messages", "tools", "functions", "tool_choice", "function_call", "response_format"),
        *("chat_template_kwargs", "prediction", "json_schema"),
        *("prompt", "suffix", "input", "query", "documents"),
    }
)
"""Members at the top whose texts come into a prompt."""
_NO_TEXT = frozenset({"role", "type"})
_MEDIA = frozenset({"image_url", "input_audio", "audio_url", "video_url", "input_video", "file"})
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class _Slot(NamedTuple):
    """One text, and where it stands."""

    holder: Any
    key: Any
    is_json: bool = False
    is_name: bool = False


def clean_prompt(
    document: dict[str, Any], raw: bytes, control: ControlStrings | None, *, sanitises: bool = True
) -> int:
    """Clean every text that reaches the template, in place; gives the number of characters taken out.

    Args:
        document: the request for the runner, made of ``raw``.
        raw: the client's body; what it cannot hold is not looked for in its texts.
        control: of the model; None leaves them as they are.
    """
    is_clean = needs_no_look(raw)
    if is_clean and (control is None or control.are_absent(raw)):
        return 0
    slots: list[_Slot] = []
    for name in _REACHING & document.keys():
        _collect(slots, document, name)
    slots.sort(key=lambda slot: slot.is_name)  # a name changes after what it names was written
    return _clean(slots, control, sanitises=sanitises and not is_clean)


def _clean(slots: list[_Slot], control: ControlStrings | None, *, sanitises: bool) -> int:
    taken = 0
    may_be_in = False
    for slot in slots:
        text = before = slot.key if slot.is_name else slot.holder[slot.key]
        if sanitises:
            text, count = sanitise(text)
            taken += count
        if slot.is_json and "\\" in text:
            text, count = _clean_json(text, control, sanitises=sanitises)
            taken += count
        if control is not None and control.may_be_in(text):
            may_be_in = True
            text = control.break_in(text)
        if text is not before:
            _put(slot, text)
    if may_be_in and control is not None:
        _break_across([slot for slot in slots if not slot.is_name], control)
    return taken


def _clean_json(text: str, control: ControlStrings | None, *, sanitises: bool) -> tuple[str, int]:
    """Arguments of a tool call: some templates read them, and write the texts in them without escapes."""
    try:
        value = {"": _decode(text)}
    except (msgspec.DecodeError, RecursionError):
        return text, 0
    slots: list[_Slot] = []
    before = _encode(value)
    _collect(slots, value, "")
    slots.sort(key=lambda slot: slot.is_name)
    taken = _clean(slots, control, sanitises=sanitises)
    if _encode(value) == before:
        return text, 0
    return _encode(value[""]).decode(), taken


def _collect(slots: list[_Slot], holder: Any, key: Any) -> None:
    value = holder[key]
    if isinstance(value, str):
        slots.append(_Slot(holder, key, is_json=key == "arguments"))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, (str, list, dict)):
                _collect(slots, value, index)
    elif isinstance(value, dict):
        for name, item in value.items():
            if not (name.isascii() and name.isidentifier()):
                slots.append(_Slot(value, name, is_name=True))
            if isinstance(item, str):
                if name not in _NO_TEXT and not (name in _MEDIA and item.startswith("data:")):
                    slots.append(_Slot(value, name, is_json=name == "arguments"))
            elif isinstance(item, (list, dict)) and not (name in _MEDIA and _is_medium(item)):
                _collect(slots, value, name)


def _is_medium(item: Any) -> bool:
    return isinstance(item, dict) and any(
        isinstance(item.get(name), str) for name in ("url", "data", "file_data")
    )


def _put(slot: _Slot, text: str) -> None:
    if not slot.is_name:
        slot.holder[slot.key] = text
        return
    while text in slot.holder:
        text += "_"
    slot.holder[text] = slot.holder.pop(slot.key)


def _break_across(slots: list[_Slot], control: ControlStrings) -> None:
    """Templates write one text right behind another, as it is or trimmed: a string may be spread over several."""
    for trims in (False, True):
        for _ in range(len(slots)):
            joined = "".join([_written(slot, trims=trims)[1] for slot in slots])
            spans = control.spans(joined)
            if not spans:
                break
            for start, end in reversed(spans):  # from behind: what comes before stays where it is
                _break_between(slots, joined[start:end], start, end, control.sign, trims=trims)


def _written(slot: _Slot, *, trims: bool) -> tuple[int, str]:
    """What a template writes of a text, and where that begins in it."""
    text: str = slot.holder[slot.key]
    if not trims:
        return 0, text
    kept = text.lstrip()
    return len(text) - len(kept), kept.rstrip()


def _break_between(
    slots: list[_Slot], one: str, start: int, end: int, sign: str, *, trims: bool
) -> None:
    """Break one string at a place within a text if there is one: ends of texts may be trimmed."""
    wanted = start + break_at(one)
    places: list[tuple[int, _Slot, int]] = []
    offset = 0
    for slot in slots:
        lead, text = _written(slot, trims=trims)
        size = len(text)
        for at in range(max(start + 1, offset), min(end - 1, offset + size) + 1):
            is_within = offset < at < offset + size
            places.append((abs(at - wanted) + (0 if is_within else 1000), slot, lead + at - offset))
        offset += size
        if offset >= end:
            break
    if not places:
        return
    distance, slot, at = min(places, key=lambda place: place[0])
    text = slot.holder[slot.key]
    slot.holder[slot.key] = text[:at] + (sign if distance < 1000 else BOUNDARY_BREAK) + text[at:]
