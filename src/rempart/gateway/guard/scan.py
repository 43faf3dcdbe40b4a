"""One pass over a text: the leftmost finding first, and from there on the next."""

from typing import NamedTuple

from rempart.domain.guard import Finding, mask_of
from rempart.gateway.guard.interface import Match, Matcher, Tail, Undecided

Matchers = tuple[Matcher, ...]


class Scan(NamedTuple):
    """What one pass found.

    Args:
        hold: from here on nothing is decided; the text's length where all is.
        undecided: why, unless a finding's end is what is not known.
        tail: of the last finding, when it may go on at ``hold``.
    """

    findings: list[Finding]
    hold: int
    undecided: Undecided | None = None
    tail: Tail | None = None


def scan(matchers: Matchers, text: str, position: int, is_final: bool) -> Scan:
    """Look through ``text`` from ``position`` on; what stands before is context only.

    Where several matchers begin at one place the first in order wins; the verdict on a place is reached
    before any later place is looked at, so that pieces and the whole give the same.
    """
    places: list[tuple[int, int]] = []
    for order, matcher in enumerate(matchers):
        for start in matcher.starts(text, position, is_final):
            places.append((start, order))
    findings: list[Finding] = []
    if not places:
        return Scan(findings, len(text))
    places.sort()
    at = position
    for number, (start, order) in enumerate(places):
        if start < at:
            continue
        verdict = matchers[order].match(text, start, is_final)
        if verdict is None:
            continue
        if isinstance(verdict, Undecided):
            if verdict is Undecided.WEAK and _is_strong(matchers, text, places[number + 1 :]):
                verdict = Undecided.STRONG
            return Scan(findings, start, verdict)
        at = verdict.end
        is_over = True
        if verdict.tail is not None:
            at, is_over = verdict.tail(text, at, is_final)
        findings.append(Finding(start, at, verdict.kind))
        if not is_over:
            return Scan(findings, at, None, verdict.tail)
    return Scan(findings, len(text))


def _is_strong(matchers: Matchers, text: str, places: list[tuple[int, int]]) -> bool:
    """Whether what is held for a weak reason holds something strong too."""
    for start, order in places:
        verdict = matchers[order].match(text, start, False)
        if isinstance(verdict, Match) or verdict is Undecided.STRONG:
            return True
    return False


def masked(text: str, findings: list[Finding]) -> str:
    """``text`` with a mask for each finding."""
    pieces = []
    at = 0
    for start, end, kind in findings:
        pieces.append(text[at:start])
        pieces.append(mask_of(kind))
        at = end
    pieces.append(text[at:])
    return "".join(pieces)
