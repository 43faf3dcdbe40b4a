"""What one subject took of one unit, and when: the count behind every limit over a window.

An entry is a moment and a weight. An entry counts in a window of W until the moment W after it, so that
within any W milliseconds no more than the limit is ever taken. Up to ``EXACT_MAX`` entries stand as they
were taken; beyond that neighbours in one cell of a window (1/75 of its length) are one entry at the later moment:
it counts until the last of what it holds has left the window, which can only be too careful. GCRA and
two-bucket counters would let almost twice the limit through (REFERENCES, section 1).

One log serves all windows: what is younger than the shortest stands exactly, what only longer ones still
count in their coarser cells. Cells of two windows nest, since a longer window is a multiple of a shorter.
"""

import struct
from array import array
from bisect import bisect_left, bisect_right
from itertools import accumulate

EXACT_MAX = 64
CELLS = 75
"""Cells of a window: the least number from 64 on that divides a minute into whole milliseconds."""
OLDER_ENTRIES_MAX = 192
"""Entries beyond the shortest window at which those of one cell are brought together, at most 76 for each of two
longer windows: so seldom that it costs a request next to nothing."""
WEIGHT_MAX = 2**63 - 1

WINDOWS_MS = (60_000, 3_600_000, 86_400_000, 2_592_000_000)
"""Windows a log can serve: each a bit of its mask."""
WINDOWS_OF_MASK = tuple(
    tuple(window for bit, window in enumerate(WINDOWS_MS) if mask >> bit & 1)
    for mask in range(1 << len(WINDOWS_MS))
)
MASK_OF_WINDOW = {window: 1 << bit for bit, window in enumerate(WINDOWS_MS)}

_HEADER = struct.Struct("<QIBB")
_HEADER_BYTES = _HEADER.size
_STAMP_MAX = 2**32 - 1
_ALL_ONES, _NARROW, _WIDE = 0, 4, 8


class WindowLog:
    """The entries of one log, oldest first.

    Args:
        base_ms: moments are kept as milliseconds after this one.
        floor: nothing at or before this moment (relative to the base) is kept.
        mask: the windows it has been asked for, of ``WINDOWS_MS``; 0 when ``windows_ms`` says.
        windows_ms: its windows, shortest first.
    """

    __slots__ = ("base_ms", "floor", "mask", "stamps", "weights", "windows_ms")

    def __init__(self, now_ms: int, windows_ms: tuple[int, ...] = ()) -> None:
        self.base_ms = now_ms - 1
        self.floor = 0
        self.mask = 0
        self.windows_ms = windows_ms
        self.stamps: array[int] = array("I")
        self.weights: array[int] | None = None
        """None as long as each entry weighs 1."""

    @classmethod
    def decode(cls, raw: bytes, windows_ms: tuple[int, ...] = ()) -> "WindowLog":
        """The log that ``encode`` wrote.

        Raises:
            ValueError: these bytes are no log.
        """
        log = cls.__new__(cls)
        try:
            log.base_ms, log.floor, mask, width = _HEADER.unpack_from(raw)
        except struct.error as error:
            raise ValueError(f"{len(raw)} bytes are no log") from error
        if mask >= len(WINDOWS_OF_MASK) or width not in (_ALL_ONES, _NARROW, _WIDE):
            raise ValueError("a log with an unknown header")
        log.mask = mask
        log.windows_ms = windows_ms or WINDOWS_OF_MASK[mask]
        log.stamps = stamps = array("I")
        if width == _ALL_ONES:
            stamps.frombytes(raw[_HEADER_BYTES:])
            log.weights = None
            return log
        count, rest = divmod(len(raw) - _HEADER_BYTES, 4 + width)
        if rest:
            raise ValueError("a log with half an entry")
        middle = _HEADER_BYTES + 4 * count
        stamps.frombytes(raw[_HEADER_BYTES:middle])
        log.weights = weights = array("I" if width == _NARROW else "Q")
        weights.frombytes(raw[middle:])
        return log

    def encode(self) -> bytes:
        """Bytes of 14 and 4 for each entry, or 8 or 12 once entries have weights."""
        weights = self.weights
        if weights is None:
            return (
                _HEADER.pack(self.base_ms, self.floor, self.mask, _ALL_ONES) + self.stamps.tobytes()
            )
        header = _HEADER.pack(self.base_ms, self.floor, self.mask, weights.itemsize)
        return header + self.stamps.tobytes() + weights.tobytes()

    def serve(self, window_ms: int) -> None:
        """Keep what this window needs from here on.

        Raises:
            KeyError: it is not one of ``WINDOWS_MS``.
        """
        bit = MASK_OF_WINDOW[window_ms]
        if not self.mask & bit:
            self.mask |= bit
            self.windows_ms = WINDOWS_OF_MASK[self.mask]

    @property
    def last_ms(self) -> int:
        """The latest moment the log knows of; its time never goes back behind it."""
        return self.base_ms + (self.stamps[-1] if self.stamps else self.floor)

    def used(self, window_ms: int, now_ms: int) -> int:
        """What counts in the window that ends at this moment."""
        first = self._first(window_ms, now_ms)
        if self.weights is None:
            return len(self.stamps) - first
        return sum(self.weights[first:]) if first else sum(self.weights)

    def wait_ms(self, window_ms: int, excess: int, now_ms: int) -> int:
        """Milliseconds until ``excess`` of what counts has left the window, if nothing more is taken.

        Args:
            excess: from 1 to what is ``used``.
            now_ms: the asker's own time, also when it lies behind the log's.
        """
        first = self._first(window_ms, now_ms)
        if self.weights is None:
            position = first + excess - 1
        else:
            sums = list(accumulate(self.weights[first:]))
            position = first + bisect_left(sums, excess)
        return self.base_ms + self.stamps[position] + window_ms - now_ms

    def full_ms(self, window_ms: int, now_ms: int) -> int:
        """Milliseconds until nothing counts in the window any more, if nothing more is taken."""
        stamps, weights = self.stamps, self.weights
        position = len(stamps) - 1
        if weights is not None:
            while position >= 0 and not weights[position]:
                position -= 1
        if position < 0:
            return 0
        return max(0, self.base_ms + stamps[position] + window_ms - now_ms)

    def take(self, amount: int, now_ms: int) -> int:
        """Enter that so much was taken; gives the moment of the entry, by which ``correct`` finds it."""
        at_ms = max(now_ms, self.last_ms)
        self._drop_old(at_ms)
        if at_ms - self.base_ms > _STAMP_MAX:
            self._rebase(at_ms)
        at = at_ms - self.base_ms
        stamps = self.stamps
        if amount != 1 or len(stamps) >= EXACT_MAX or self.weights is not None:
            self._take_weighted(amount, at)
        else:
            stamps.append(at)
        return at_ms

    def correct(self, at_ms: int, change: int) -> bool:
        """Add to the weight of the entry that holds what was taken at this moment; False if it has left the log."""
        at = at_ms - self.base_ms
        if not change or at <= self.floor or not self.stamps or at > self.stamps[-1]:
            return False
        # Entries only come at the end and only melt into later ones: what was taken at a moment is in
        # the first entry at or after it.
        position = bisect_left(self.stamps, at)
        weights = self._weighted()
        weight = min(max(0, weights[position] + change), WEIGHT_MAX)
        self._put_weight(position, weight)
        return True

    def is_idle(self, now_ms: int) -> bool:
        """Whether all that was entered lies outside of its windows."""
        return not self.stamps or self.last_ms + self.windows_ms[-1] <= now_ms

    @property
    def is_empty(self) -> bool:
        """Whether nothing is entered at all."""
        return not self.stamps if self.weights is None else not any(self.weights)

    def _first(self, window_ms: int, now_ms: int) -> int:
        """The position of the first entry that counts in the window."""
        stamps = self.stamps
        if not stamps:
            return 0
        now = now_ms - self.base_ms
        last = stamps[-1]
        outside = (now if now > last else last) - window_ms
        return bisect_right(stamps, outside) if outside >= stamps[0] else 0

    def _drop_old(self, now_ms: int) -> None:
        """Let go of what no window counts any more."""
        gone = self._first(self.windows_ms[-1], now_ms)
        if gone:
            self.floor = self.stamps[gone - 1]
            del self.stamps[:gone]
            if self.weights is not None:
                del self.weights[:gone]

    def _rebase(self, now_ms: int) -> None:
        """Count moments from a later base; seven weeks of milliseconds fit a stamp, and no window is longer."""
        if not self.stamps:
            self.base_ms, self.floor = now_ms - 1, 0
            return
        # The first entry may hold what was taken up to a cell before it; that must stay findable.
        shift = max(self.floor, self.stamps[0] - self.windows_ms[-1] // CELLS - 1)
        self.base_ms += shift
        self.floor = 0
        self.stamps = array("I", [stamp - shift for stamp in self.stamps])

    def _weighted(self) -> "array[int]":
        if self.weights is None:
            self.weights = array("I", [1]) * len(self.stamps)
        return self.weights

    def _put_weight(self, position: int, weight: int) -> None:
        weights = self._weighted()
        if weight > _STAMP_MAX and weights.itemsize == _NARROW:
            self.weights = weights = array("Q", weights)
        weights[position] = weight

    def _take_weighted(self, amount: int, at: int) -> None:
        stamps, weights = self.stamps, self._weighted()
        shortest_ms = self.windows_ms[0]
        if stamps:
            older_count = bisect_right(stamps, at - shortest_ms)
            is_crowded = len(stamps) - older_count >= EXACT_MAX
            cell_ms = shortest_ms // CELLS
            last = stamps[-1]
            if last == at or (
                is_crowded
                and (self.base_ms + last) // cell_ms == (self.base_ms + at) // cell_ms
                and last > at - shortest_ms
            ):
                stamps[-1] = at
                self._put_weight(len(stamps) - 1, min(weights[-1] + amount, WEIGHT_MAX))
                return
            if older_count >= OLDER_ENTRIES_MAX:
                self._bring_together(at, older_count)
        self.stamps.append(at)
        self._weighted().append(0)
        self._put_weight(len(self.stamps) - 1, min(amount, WEIGHT_MAX))

    def _bring_together(self, at: int, older_count: int) -> None:
        """Make one entry of those that are beyond the shortest window and share a cell of the next longer one."""
        base_ms, old_stamps, old_weights = self.base_ms, self.stamps, self._weighted()
        windows_ms = self.windows_ms
        stamps, weights = array("I"), array(old_weights.typecode)
        longer = len(windows_ms) - 1
        known: tuple[int, int] | None = None
        total = 0
        for position in range(older_count):
            stamp, weight = old_stamps[position], old_weights[position]
            while longer > 1 and at - stamp < windows_ms[longer - 1]:
                longer -= 1
            cell_ms = windows_ms[longer] // CELLS
            cell = (longer, (base_ms + stamp) // cell_ms)
            if not weight:
                continue
            if cell == known:
                total = min(total + weight, WEIGHT_MAX)
                stamps[-1] = stamp
                if total > _STAMP_MAX and weights.itemsize == _NARROW:
                    weights = array("Q", weights)
                weights[-1] = total
            else:
                known, total = cell, weight
                stamps.append(stamp)
                weights.append(weight)
        if weights.itemsize != old_weights.itemsize:
            old_weights = array(weights.typecode, old_weights)
        self.stamps = stamps + old_stamps[older_count:]
        self.weights = weights + old_weights[older_count:]
