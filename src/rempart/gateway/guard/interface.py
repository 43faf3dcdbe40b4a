"""What a detector is: matchers that decide, at places where something may begin, whether it is there.

The same matchers serve whole texts and texts that come in pieces, so that both find the same. What makes
this exact is one promise: **a verdict never changes when more text comes**. A matcher that would have to
change its mind says ``Undecided`` instead, and the text from there on is held back. For a text that is
whole (``is_final``) every verdict is known.

The work is bounded: a matcher looks at most ``CONTEXT`` characters back, and a bounded number ahead.
"""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol

CONTEXT = 66
"""Characters before a place that a matcher may look at: an e-mail address' longest local part, and two."""

Tail = Callable[[str, int, bool], tuple[int, bool]]
"""``(text, position, is_final)`` → how far what was found goes on, and whether it ends there."""


class Undecided(Enum):
    """More text is needed."""

    WEAK = "weak"
    """An ordinary word or a few digits: nearly always nothing."""
    STRONG = "strong"
    """What has come so far looks like nothing else."""


class Match(NamedTuple):
    """It is there.

    Args:
        end: behind its last character, as far as is known.
        tail: says how it goes on from ``end``, for what is certain before it is whole; None: it ends there.
    """

    end: int
    kind: str
    tail: Tail | None = None


Verdict = Match | Undecided | None


class Matcher(Protocol):
    """Finds some kinds of text."""

    def starts(self, text: str, position: int, is_final: bool) -> list[int]:
        """Places from ``position`` on where something may begin, in rising order.

        While the text is not final, places near its end are among them whose verdict may be ``Undecided``.
        """
        ...

    def match(self, text: str, start: int, is_final: bool) -> Verdict:
        """The verdict on one of these places."""
        ...


class Detector(NamedTuple):
    """A named set of matchers, switched on and off together ([guard])."""

    name: str
    matchers: tuple[Matcher, ...]
