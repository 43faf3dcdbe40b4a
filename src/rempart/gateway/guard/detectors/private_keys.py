"""Private keys in PEM form (RFC 7468, OpenSSH, OpenPGP): from their first line to their last.

The first line alone decides, so that a stream holds nothing of the key itself back. What follows is taken
away up to the last line, or, where a key is cut short, up to the first sign that no key has inside.
"""

import re

from rempart.gateway.guard.interface import Match, Undecided, Verdict

_BEGIN = "-----BEGIN "
_FIRST_LINE = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_FIRST_LINE_CHARACTERS_MAX = 66
_UNFINISHED = re.compile(r"-----BEGIN [A-Z0-9 ]*-{0,4}\Z")
_GAP = re.compile(r"[\s\\]+")
_LINE = re.compile(r"[0-9A-Za-z+/=]+")
_HEADER = re.compile(
    r"(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset):[^\r\n\\]{0,100}(?=[\r\n\\])"
)
_UNFINISHED_HEADER = re.compile(
    r"(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset):[^\r\n\\]{0,100}\Z"
)
_HEADER_NAMES = ("Proc-Type:", "DEK-Info:", "Version:", "Comment:", "Hash:", "Charset:")
_LAST_LINE = re.compile(r"-----END [A-Z0-9 ]{1,60}-----")
_UNFINISHED_LAST_LINE = re.compile(r"-{1,4}\Z|-----(?:E|EN|END|END [A-Z0-9 ]{0,60}-{0,4})?\Z")


class PrivateKeys:
    """One kind, ``private_key``."""

    def starts(self, text: str, position: int, is_final: bool) -> list[int]:
        """See ``Matcher``."""
        found = []
        at = text.find(_BEGIN, position)
        while at >= 0:
            found.append(at)
            at = text.find(_BEGIN, at + 1)
        near_end = max(position, len(text) - len(_BEGIN) + 1)
        if not is_final and text.find("-", near_end) >= 0:
            for start in range(near_end, len(text)):
                if _BEGIN.startswith(text[start:]):
                    found.append(start)
        return found

    def match(self, text: str, start: int, is_final: bool) -> Verdict:
        """See ``Matcher``."""
        first_line = _FIRST_LINE.match(text, start)
        if first_line is not None:
            return Match(first_line.end(), "private_key", self.tail)
        length = len(text) - start
        if is_final or length >= _FIRST_LINE_CHARACTERS_MAX:
            return None
        if length < len(_BEGIN):
            return Undecided.WEAK if _BEGIN.startswith(text[start:]) else None
        return Undecided.STRONG if _UNFINISHED.match(text, start) else None

    def tail(self, text: str, position: int, is_final: bool) -> tuple[int, bool]:
        """See ``interface.Tail``."""
        at = position
        begins_line = text[at - 1 : at] in ("-", "\n", "\r", " ", "\\")
        while at < len(text):
            if text[at] == "-":
                last_line = _LAST_LINE.match(text, at)
                if last_line is not None:
                    return last_line.end(), True
                return at, is_final or _UNFINISHED_LAST_LINE.match(text, at) is None
            if begins_line:
                header = _HEADER.match(text, at)
                if header is not None:
                    at = header.end()
                    continue
                if not is_final and _may_be_header(text, at):
                    return at, False
            gap = _GAP.match(text, at)
            line = gap or _LINE.match(text, at)
            if line is None:
                return at, True
            at = line.end()
            begins_line = gap is not None
        return at, is_final


def _may_be_header(text: str, at: int) -> bool:
    if _UNFINISHED_HEADER.match(text, at):
        return True
    rest = text[at : at + 10]
    return at + len(rest) == len(text) and any(name.startswith(rest) for name in _HEADER_NAMES)
