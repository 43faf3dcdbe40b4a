"""Cards, French social security and company numbers, phone numbers: all that is written in digits.

A number counts only as people write it: in one piece, or in the groups of its kind with the same separator
between them, and with nothing before or behind that makes it part of a longer one. That, the beginnings
that are really issued, and the check digits keep order numbers, dates and hashes out.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from rempart.gateway.guard.detectors.check_digits import is_card, is_nir, is_siret
from rempart.gateway.guard.detectors.iban import SEPARATORS
from rempart.gateway.guard.detectors.phone import match_international
from rempart.gateway.guard.interface import Match, Undecided, Verdict

DIGITS = frozenset("0123456789")
DIGITS_MAX = 19
PAIRS = (2, 2, 2, 2, 2)
STRONG_DIGITS = 6
"""From here on what has come is hardly a quantity or a date any more."""

# All look ahead without taking: a number may begin at any group of digits.
_UNFINISHED_START = re.compile(
    rf"(?<![^\W_])(?=\+|[0-9](?:[{SEPARATORS}]?[0-9ABab]){{0,{DIGITS_MAX + 1}}}[{SEPARATORS}]?\Z)[+0-9]"
)
_TAIL_CHARACTERS = 2 * DIGITS_MAX + 6
"""A number that is not whole begins this near to the end, and one whose boundary is not known."""


def _is_french_phone(digits: str) -> bool:
    if digits.startswith("0033"):
        return len(digits) == 13 and digits[4] != "0"
    return len(digits) == 10 and digits[0] == "0" and digits[1] != "0"


_BY_STRENGTH = ("nir", "siret", "card", "phone")


class _Layout(NamedTuple):
    """One way in which a kind is written: how many digits stand in each group."""

    kind: str
    groups: tuple[int, ...]
    first: str
    """The digits it can begin with."""
    is_it: Callable[[str], bool]

    @property
    def total(self) -> int:
        return sum(self.groups)


def _layouts(kinds: frozenset[str]) -> tuple[_Layout, ...]:
    groups: tuple[int, ...]
    found = [_Layout("card", (total,), "23456", is_card) for total in range(13, DIGITS_MAX + 1)]
    for groups in ((4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 4, 2)):
        found.append(_Layout("card", groups, "23456", is_card))
    for groups in ((15,), (13, 2), (1, 2, 2, 2, 3, 3, 2), (1, 2, 2, 2, 6, 2), (1, 2, 2, 2, 3, 5)):
        found.append(_Layout("nir", groups, "123478", is_nir))
    for groups in ((14,), (9, 5), (3, 3, 3, 5), (3, 3, 3, 3, 2)):
        found.append(_Layout("siret", groups, "0123456789", is_siret))
    for groups in (
        (10,), PAIRS, (4, 2, 2, 2), (4, 3, 3), (1, 3, 3, 3),
        (13,), (4, 9), (4, 1, 2, 2, 2, 2),
    ):  # fmt: skip
        found.append(_Layout("phone", groups, "0", _is_french_phone))
    # The longest first: of a number and its beginning, the number. Of two kinds of one length the one whose
    # check is less often passed by chance: what is both a SIRET and a card is a SIRET ten times out of eleven.
    return tuple(
        sorted(
            (one for one in found if one.kind in kinds),
            key=lambda layout: (-layout.total, _BY_STRENGTH.index(layout.kind)),
        )
    )


def _start_of(layouts: tuple[_Layout, ...], has_phone: bool) -> re.Pattern[str]:
    """Where digits stand in one of these layouts: what everything else is told from at little cost."""
    forms = [r"(?<=\+)[1-9]"] if has_phone else []
    separated = 0
    for layout in layouts:
        classes = ["[0-9]"] * layout.total
        classes[0] = f"(?<=[{layout.first}])"  # the pattern has taken it already
        if layout.kind == "nir":
            classes[6] = "[0-9ABab]"
        form, at = "", 0
        for number, size in enumerate(layout.groups):
            if number == 1:
                separated += 1
                form += f"([{SEPARATORS}])"
            elif number:
                form += rf"\{separated}"
            form += "".join(classes[at : at + size])
            at += size
        if layout.groups == PAIRS:
            form += rf"(?!\{separated}[0-9]{{2}}(?![0-9]))"
        forms.append(form + "(?![0-9])")
    # A pattern that begins with a class of characters skips whatever is not in it, at the speed of a search.
    return re.compile(rf"[+0-9](?<![^\W_].)(?={'|'.join(forms)})")


class _Written(NamedTuple):
    """Digits as they stand in a text."""

    digits: str
    groups: list[int]
    ends: list[int]
    separator: str
    is_open: bool
    """More digits may come."""
    awaits_group: bool
    """The text ends with a separator."""


class Numbers:
    """All kinds of numbers at once, since they begin alike."""

    def __init__(self, kinds: frozenset[str]) -> None:
        self._layouts = _layouts(kinds)
        self._has_phone = "phone" in kinds
        self._start = _start_of(self._layouts, self._has_phone)

    def starts(self, text: str, position: int, is_final: bool) -> list[int]:
        """See ``Matcher``."""
        found = [one.start() for one in self._start.finditer(text, position)]
        if not is_final:
            near_end = max(position, len(text) - _TAIL_CHARACTERS)
            found += [one.start() for one in _UNFINISHED_START.finditer(text, near_end)]
        return found

    def match(self, text: str, start: int, is_final: bool) -> Verdict:
        """See ``Matcher``."""
        if _continues_number(text, start):
            return None
        if text[start] == "+":
            return match_international(text, start, is_final) if self._has_phone else None
        written = _read(text, start, is_final)
        for layout in self._layouts:
            verdict = _verdict(layout, text, start, written, is_final)
            if verdict is not None:
                return verdict
        return None


def _continues_number(text: str, start: int) -> bool:
    """Whether it is the later part of a decimal, a version or a date: ``3.14…``, ``2024-01-…``."""
    return start > 1 and text[start - 1] in ".-" and text[start - 2] in DIGITS


def _read(text: str, start: int, is_final: bool) -> _Written:
    digits: list[str] = []
    groups = [0]
    ends: list[int] = []
    separator = ""
    at, end = start, len(text)
    while at < end and len(digits) <= DIGITS_MAX:
        character = text[at]
        if character in DIGITS or (
            len(digits) == 6 and digits[5] == "2" and character in "ABab"  # Corsica, in a NIR
        ):
            digits.append(character)
            groups[-1] += 1
            at += 1
            continue
        if character not in SEPARATORS or (separator and character != separator):
            break
        if at + 1 == end:
            ends.append(at)
            return _Written("".join(digits), groups, ends, character, not is_final, not is_final)
        if text[at + 1] not in DIGITS:
            break
        separator = character
        ends.append(at)
        groups.append(0)
        at += 1
    ends.append(at)
    is_open = at == end and not is_final and len(digits) <= DIGITS_MAX
    return _Written("".join(digits), groups, ends, separator, is_open, False)


def _verdict(layout: _Layout, text: str, start: int, written: _Written, is_final: bool) -> Verdict:
    groups, count = written.groups, len(layout.groups)
    if written.digits[0] not in layout.first:
        return None
    known = len(groups)
    if known < count or (known == count and written.is_open and not written.awaits_group):
        # Too short so far: can it still become one?
        if not written.is_open:
            return None
        whole = known if written.awaits_group else known - 1
        if tuple(groups[:whole]) != layout.groups[:whole]:
            return None
        if not written.awaits_group and groups[-1] > layout.groups[known - 1]:
            return None
        return _undecided(written)
    if tuple(groups[:count]) != layout.groups:
        return None
    end = written.ends[count - 1]
    is_alone = _stands_alone(layout, text, start, end, written, is_final)
    if is_alone is None:
        return _undecided(written)
    digits = written.digits[: layout.total].upper()
    if not is_alone or (layout.kind != "nir" and not digits.isdigit()) or not layout.is_it(digits):
        return None
    return Match(end, layout.kind)


def _undecided(written: _Written) -> Undecided:
    return Undecided.STRONG if len(written.digits) >= STRONG_DIGITS else Undecided.WEAK


def _stands_alone(
    layout: _Layout, text: str, start: int, end: int, written: _Written, is_final: bool
) -> bool | None:
    """Whether nothing behind (or, for pairs, before) makes it part of something longer; None: not known yet."""
    # Pairs without end are no phone number: lists, bytes, what was drawn in a lottery.
    before = text[max(0, start - 4) : start]
    is_behind_pair = (
        layout.groups == PAIRS
        and before[-1:] == written.separator
        and len(before) > 2
        and before[-3:-1].isdigit()
        and (
            len(before) < 4 or (before[0] not in DIGITS and before[0] not in "-/.:")
        )  # a date's day
    )
    if is_behind_pair:
        return False
    if end == len(text):
        return True if is_final else None
    behind = text[end]
    if behind.isalnum():
        return False
    if behind in ".-":
        if end + 1 == len(text):
            return True if is_final else None
        if text[end + 1] in DIGITS:
            return False
    if layout.groups != PAIRS:
        return True
    if behind != written.separator:
        return True
    following = text[end + 1 : end + 4]
    for index, character in enumerate(following):
        if character not in DIGITS:
            return index != 2
    if len(following) < 3:
        return len(following) != 2 if is_final else None
    return True
