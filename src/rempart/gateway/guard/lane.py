"""One text that comes in pieces: what is certain goes on, what may still become a finding is held back.

For any cut of a text into pieces the outputs together are the whole text masked, with two exceptions, in
which the beginning of something undecided goes out early (``released_count`` tells how often):

- more than ``held_max`` characters would be held: the oldest go;
- ``release_weak`` is called (time is up, or the model has turned to another part of its answer): what looks
  like an ordinary word or a few digits goes.

Also then it stays known where it began: when it does become a finding, the rest of it is masked.
"""

from collections.abc import Callable

from rempart.domain.guard import mask_of
from rempart.gateway.guard.escapes import Reading, ends_in_string, read
from rempart.gateway.guard.interface import CONTEXT, Tail, Undecided
from rempart.gateway.guard.scan import Matchers, scan

OnFinding = Callable[[str], None]


class Lane:
    """The masker of one text.

    Args:
        held_max: most characters that are held back.
        is_json: the text is JSON; a mask outside of its strings gets quotation marks, so that it stays JSON.
        on_finding: called with the kind of each finding.
    """

    __slots__ = (
        "_before",
        "_held_max",
        "_in_string",
        "_is_json",
        "_matchers",
        "_on_finding",
        "_raw",
        "_sent",
        "_tail",
        "_undecided",
        "held_since_s",
        "released_count",
    )

    def __init__(
        self, matchers: Matchers, held_max: int, on_finding: OnFinding, *, is_json: bool = False
    ) -> None:
        self._matchers = matchers
        self._held_max = held_max
        self._on_finding = on_finding
        self._is_json = is_json
        self._in_string = False
        self._before = ""
        """What came right before ``_raw``, as it reads: context for the matchers."""
        self._raw = ""
        """From where nothing is decided yet; bounded by how far the matchers look ahead."""
        self._sent = 0
        """How much of ``_raw`` went out before it was decided."""
        self._tail: Tail | None = None
        self._undecided: Undecided | None = None
        self.held_since_s = 0.0
        """The moment since which the held text is held, by the caller's clock."""
        self.released_count = 0

    @property
    def is_holding(self) -> bool:
        """Whether text is held back that is no part of a finding for certain."""
        return len(self._raw) > self._sent and self._tail is None

    def feed(self, piece: str, *, is_final: bool = False, now_s: float = 0.0) -> str:
        """Take the next piece; gives what is certain, masked. ``is_final``: nothing more comes."""
        was_holding = self.is_holding
        raw = self._raw + piece
        reading = read(raw, is_final)
        before = self._before
        position = len(before)
        text = before + reading.text if before else reading.text
        out: list[str] = []
        cursor = self._sent
        start = position
        if self._tail is not None:
            start, is_over = self._tail(text, position, is_final)
            cursor = reading.raw(start - position)
            if is_over:
                self._tail = None
        hold, undecided = start, None
        if self._tail is None:
            found = scan(self._matchers, text, start, is_final)
            for one in found.findings:
                begin, end = reading.raw(one.start - position), reading.raw(one.end - position)
                if end <= cursor:  # all of it is out already
                    continue
                if begin > cursor:
                    out.append(raw[cursor:begin])
                out.append(self._mask(one.kind, raw, begin))
                cursor = end
                self._on_finding(one.kind)
            hold, undecided, self._tail = found.hold, found.undecided, found.tail
        self._undecided = undecided
        held_from = reading.raw(hold - position)
        if held_from > cursor:
            out.append(raw[cursor:held_from])
            cursor = held_from
        if self._is_json:
            self._in_string = ends_in_string(raw[:held_from], self._in_string)
        self._before = text[max(0, hold - CONTEXT) : hold]
        self._raw = raw[held_from:]
        self._sent = cursor - held_from
        if held_from or not was_holding:
            self.held_since_s = now_s
        excess = len(self._raw) - self._sent - self._held_max
        if excess > 0 and self._tail is None:
            out.append(self._release(self._sent + excess, read(self._raw, False)))
        return "".join(out)

    def release_weak(self) -> str:
        """What is held for a weak reason only; it goes out now."""
        if not self.is_holding or self._undecided is Undecided.STRONG:
            return ""
        reading = read(self._raw, False)
        return self._release(reading.end, reading)

    def _release(self, to: int, reading: Reading) -> str:
        """The held text up to ``to``, or to the next place after it that is not inside an escape."""
        if reading.offsets is not None:
            to = next((offset for offset in reading.offsets if offset >= to), reading.end)
        out = self._raw[self._sent : to]
        if out:
            self.released_count += 1
        self._sent = max(self._sent, to)
        return out

    def _mask(self, kind: str, raw: str, begin: int) -> str:
        mask = mask_of(kind)
        if self._is_json and not ends_in_string(raw[:begin], self._in_string):
            return f'"{mask}"'
        return mask


def mask_text(
    matchers: Matchers, text: str, on_finding: OnFinding, *, is_json: bool = False
) -> str:
    """A whole text, masked; the very same object where there is nothing to mask."""
    if not text or ("\\" not in text and not scan(matchers, text, 0, True).findings):
        return text
    counted: list[str] = []
    lane = Lane(matchers, len(text), counted.append, is_json=is_json)
    masked = lane.feed(text, is_final=True)
    if not counted:
        return text
    for kind in counted:
        on_finding(kind)
    return masked
