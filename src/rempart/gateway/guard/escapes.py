r"""A text as it reads once its JSON escapes are resolved, with the way back to where each character stands.

Arguments of tool calls are JSON, results of tools often are, and models write JSON into plain answers. In
``"\n0612345678"`` no number begins after ``n`` unless the escape is read as one. Resolving is only for
looking: the text itself is never rewritten, and in a text that is no JSON a stray escape does no harm.
"""

import re
from typing import NamedTuple

_ESCAPE = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|(["\\/bfnrt]))')
_UNFINISHED = re.compile(r"\\(?:u[0-9A-Fa-f]{0,3})?\Z")
_SHORT = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Reading(NamedTuple):
    """A text as it reads.

    Args:
        offsets: where each character of ``text`` begins in the raw text, and where the last one ends;
            None: they are the same.
        end: how much of the raw text was read; what follows is an unfinished escape.
    """

    text: str
    offsets: list[int] | None
    end: int

    def raw(self, index: int) -> int:
        """Where the character ``index`` of ``text`` begins in the raw text."""
        return index if self.offsets is None else self.offsets[index]


def read(raw: str, is_final: bool) -> Reading:
    """``raw`` as it reads; while it is not final an escape at its end that may go on is left out."""
    if "\\" not in raw:
        return Reading(raw, None, len(raw))
    pieces: list[str] = []
    offsets: list[int] = []
    at = 0
    end = len(raw)
    for escape in _ESCAPE.finditer(raw):
        start = escape.start()
        pieces.append(raw[at:start])
        offsets.extend(range(at, start))
        pieces.append(chr(int(escape[1], 16)) if escape[1] else _SHORT[escape[2]])
        offsets.append(start)
        at = escape.end()
    if not is_final:
        unfinished = _UNFINISHED.search(raw, max(at, end - 5))
        if unfinished is not None:
            end = unfinished.start()
    pieces.append(raw[at:end])
    offsets.extend(range(at, end))
    offsets.append(end)
    return Reading("".join(pieces), offsets, end)


def ends_in_string(raw: str, is_in_string: bool) -> bool:
    """Whether a JSON string is open behind ``raw``, which begins at a character and not inside an escape."""
    if "\\" in raw:
        raw = _ESCAPE.sub("", raw)
    return is_in_string != bool(raw.count('"') % 2)
