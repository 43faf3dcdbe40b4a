"""What one subject took of one unit, and when: the count behind every limit over a window.

An entry is a moment and a weight. It counts in a window of W until the moment W after it, so that within
any W milliseconds no more than the limit is ever taken. Up to ``EXACT_MAX`` entries stand as they were
taken; beyond that neighbours in one cell of a window (1/75 of its length) are one entry at the latest moment of them:
it counts until the last of what it holds has left the window, which can only be too careful. GCRA and
two-bucket counters would let almost twice the limit through (REFERENCES, section 1).

One log serves all windows: what is younger than the shortest stands exactly, what only longer ones still
count in their coarser cells. Cells of two windows nest, since a longer window is a multiple of a shorter.
Weights are kept as running sums, so that a window's count is one subtraction.
"""

import struct
from array import array
from bisect import bisect_left, bisect_right

EXACT_MAX = 64
CELLS = 75
"""Cells of a window: the least number from 64 on that divides a minute into whole milliseconds."""
OLDER_ENTRIES_MAX = 192
"""Entries beyond the shortest window at which those of one cell are brought together; at most 76 for each longer
window are left. So it costs a request next to nothing."""

WINDOWS_MS = (60_000, 3_600_000, 86_400_000, 2_592_000_000)
"""Windows a log can serve: each a bit of its mask."""
WINDOWS_OF_MASK = tuple(
    tuple(window for bit, window in enumerate(WINDOWS_MS) if mask >> bit & 1)
    for mask in range(1 << len(WINDOWS_MS))
)
MASK_OF_WINDOW = {window: 1 << bit for bit, window in enumerate(WINDOWS_MS)}

_HEADER = struct.Struct("<QIBB")
_HEADER_BYTES = _HEADER.size
_BEFORE = struct.Struct("<Q")
_NARROW_MAX = 2**32 - 1
_WIDE_MAX = 2**64 - 1
_ALL_ONES, _NARROW, _WIDE = 0, 4, 8


class WindowLog:
    """The entries of one log, oldest first.

    Args:
        now_ms: of a new log.
        windows_ms: its windows, shortest first, when they are not of ``WINDOWS_MS``.
    """

    __slots__ = ("base_ms", "before", "floor", "mask", "stamps", "sums", "windows_ms")

    def __init__(self, now_ms: int, windows_ms: tuple[int, ...] = ()) -> None:
        self.base_ms = now_ms - 1
        """Moments are kept as milliseconds after this one."""
        self.floor = 0
        """What was taken at or before this moment (after the base) is no longer kept."""
        self.mask = 0
        """Windows that were asked for, of ``WINDOWS_MS``."""
        self.windows_ms = windows_ms
        self.stamps: array[int] = array("I")
        self.sums: array[int] | None = None
        """Of the weights up to and with each entry; None as long as each entry weighs 1."""
        self.before = 0
        """The running sum before the first entry."""

    @classmethod
    def decode(cls, raw: bytes, windows_ms: tuple[int, ...] = ()) -> "WindowLog":
        """The log that ``encode`` wrote.

        Raises:
            ValueError: these bytes are no log.
        """
        log = cls.__new__(cls)
        try:
            log.base_ms, log.floor, log.mask, width = _HEADER.unpack_from(raw)
            log.windows_ms = windows_ms or WINDOWS_OF_MASK[log.mask]
        except (struct.error, IndexError) as error:
            raise ValueError(f"{len(raw)} bytes are no log") from error
        log.stamps = stamps = array("I")
        log.before = 0
        if width == _ALL_ONES:
            stamps.frombytes(raw[_HEADER_BYTES:])
            log.sums = None
            return log
        count, rest = divmod(len(raw) - _HEADER_BYTES - _BEFORE.size, 4 + width)
        if rest or count < 0 or width not in (_NARROW, _WIDE):
            raise ValueError(f"{len(raw)} bytes are no log")
        (log.before,) = _BEFORE.unpack_from(raw, _HEADER_BYTES)
        start = _HEADER_BYTES + _BEFORE.size
        middle = start + 4 * count
        stamps.frombytes(raw[start:middle])
        log.sums = sums = array("I" if width == _NARROW else "Q")
        sums.frombytes(raw[middle:])
        return log

    def encode(self) -> bytes:
        """14 bytes and 4 for each entry; 22 and 8 or 12 once entries have weights."""
        stamps, sums = self.stamps.tobytes(), self.sums
        if sums is None:
            return _HEADER.pack(self.base_ms, self.floor, self.mask, _ALL_ONES) + stamps
        header = _HEADER.pack(self.base_ms, self.floor, self.mask, sums.itemsize)
        return header + _BEFORE.pack(self.before) + stamps + sums.tobytes()

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

    @property
    def total(self) -> int:
        """Everything that is entered, in its windows or not."""
        if self.sums is None:
            return len(self.stamps)
        return self.sums[-1] - self.before if self.sums else 0

    def used(self, window_ms: int, now_ms: int) -> int:
        """What counts in the window that ends at this moment."""
        first = self._first(window_ms, now_ms)
        sums = self.sums
        if sums is None:
            return len(self.stamps) - first
        if first == len(sums):
            return 0
        return sums[-1] - (sums[first - 1] if first else self.before)

    def wait_ms(self, window_ms: int, excess: int, now_ms: int) -> int:
        """Milliseconds until ``excess`` of what counts has left the window, if nothing more is taken.

        Args:
            excess: from 1 to what is ``used``.
            now_ms: the asker's own time, also when it lies behind the log's.
        """
        first = self._first(window_ms, now_ms)
        sums = self.sums
        if sums is None:
            position = first + excess - 1
        else:
            outside = sums[first - 1] if first else self.before
            position = bisect_left(sums, outside + excess, first)
        return self.base_ms + self.stamps[position] + window_ms - now_ms

    def full_ms(self, window_ms: int, now_ms: int) -> int:
        """Milliseconds until nothing counts in the window any more, if nothing more is taken."""
        position = len(self.stamps) - 1
        sums = self.sums
        if sums is not None and sums:
            if sums[-1] == self.before:
                return 0
            if position and sums[-2] == sums[-1]:
                position = bisect_left(sums, sums[-1])
        if position < 0:
            return 0
        rest_ms = self.base_ms + self.stamps[position] + window_ms - now_ms
        return rest_ms if rest_ms > 0 else 0

    def take(self, amount: int, now_ms: int) -> int:
        """Enter that so much was taken; gives the moment of the entry, by which ``correct`` finds it."""
        base_ms, stamps = self.base_ms, self.stamps
        at = now_ms - base_ms
        last = stamps[-1] if stamps else self.floor
        if at < last:
            at = last
        if stamps and stamps[0] <= at - self.windows_ms[-1]:
            self._drop_old(at)
        if at > _NARROW_MAX:
            at_ms = base_ms + at
            self._rebase(at_ms)
            at = at_ms - self.base_ms
        if self.sums is None and amount == 1 and len(self.stamps) < EXACT_MAX:
            self.stamps.append(at)
        else:
            self._take_weight(amount, at)
        return self.base_ms + at

    def correct(self, at_ms: int, change: int) -> bool:
        """Add to the weight of the entry that holds what was taken at this moment; False if it has left the log."""
        at = at_ms - self.base_ms
        if not change or at <= self.floor or not self.stamps or at > self.stamps[-1]:
            return False
        sums = self._weighted()
        # Entries only come at the end and only melt into later ones: what was taken at a moment is in
        # the first entry at or after it.
        position = bisect_left(self.stamps, at)
        weight = sums[position] - (sums[position - 1] if position else self.before)
        change = max(change, -weight)
        sums, change = self._with_room(change)
        for later in range(position, len(sums)):
            sums[later] += change
        return True

    def is_idle(self, now_ms: int) -> bool:
        """Whether all that was entered lies outside of its windows."""
        return not self.stamps or self.last_ms + self.windows_ms[-1] <= now_ms

    def _first(self, window_ms: int, now_ms: int) -> int:
        """The position of the first entry that counts in the window."""
        stamps = self.stamps
        if not stamps:
            return 0
        now = now_ms - self.base_ms
        last = stamps[-1]
        outside = (now if now > last else last) - window_ms
        return bisect_right(stamps, outside) if outside >= stamps[0] else 0

    def _drop_old(self, at: int) -> None:
        """Let go of what no window counts any more."""
        gone = bisect_right(self.stamps, at - self.windows_ms[-1])
        self.floor = self.stamps[gone - 1]
        del self.stamps[:gone]
        if self.sums is not None:
            self.before = self.sums[gone - 1]
            del self.sums[:gone]

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
        """The sums; made, with one entry for each moment, when all have weighed 1."""
        if self.sums is None:
            stamps, sums = array("I"), array("I")
            for count, stamp in enumerate(self.stamps, start=1):
                if stamps and stamps[-1] == stamp:
                    sums[-1] = count
                else:
                    stamps.append(stamp)
                    sums.append(count)
            self.stamps, self.sums = stamps, sums
        return self.sums

    def _with_room(self, change: int) -> tuple["array[int]", int]:
        """The sums, such that the last of them can grow by the change; which is cut where even that is too much."""
        sums = self._weighted()
        last = sums[-1] if sums else self.before
        if last + change <= (_NARROW_MAX if sums.itemsize == _NARROW else _WIDE_MAX):
            return sums, change
        before, self.before = self.before, 0
        rest = [value - before for value in sums]
        last -= before
        is_narrow = last + change <= _NARROW_MAX
        self.sums = sums = array("I" if is_narrow else "Q", rest)
        return sums, min(change, _WIDE_MAX - last)

    def _take_weight(self, amount: int, at: int) -> None:
        self._weighted()
        stamps = self.stamps
        if stamps:
            shortest_ms = self.windows_ms[0]
            last, outside = stamps[-1], at - shortest_ms
            older_count = bisect_right(stamps, outside) if outside >= stamps[0] else 0
            cell_ms = shortest_ms // CELLS
            is_crowded = len(stamps) - older_count >= EXACT_MAX
            if last == at or (
                is_crowded and (self.base_ms + last) // cell_ms == (self.base_ms + at) // cell_ms
            ):
                sums, amount = self._with_room(amount)
                stamps[-1] = at
                sums[-1] += amount
                return
            if older_count >= OLDER_ENTRIES_MAX:
                self._bring_together(at, older_count)
        sums, amount = self._with_room(amount)
        self.stamps.append(at)
        sums.append((sums[-1] if sums else self.before) + amount)

    def _bring_together(self, at: int, older_count: int) -> None:
        """Of those beyond the shortest window that share a cell of the next longer one, leave the latest."""
        base_ms, windows_ms = self.base_ms, self.windows_ms
        old_stamps, old_sums = self.stamps, self._weighted()
        stamps, sums = array("I"), array(old_sums.typecode)
        longer = len(windows_ms) - 1
        sum_before = self.before
        known: tuple[int, int] | None = None
        for position in range(older_count):
            stamp = old_stamps[position]
            total = old_sums[position]
            if total == sum_before:  # settled to nothing
                continue
            sum_before = total
            while longer > 1 and at - stamp < windows_ms[longer - 1]:
                longer -= 1
            cell = (longer, (base_ms + stamp) // (windows_ms[longer] // CELLS))
            if cell == known:
                stamps[-1], sums[-1] = stamp, total
            else:
                known = cell
                stamps.append(stamp)
                sums.append(total)
        self.stamps = stamps + old_stamps[older_count:]
        self.sums = sums + old_sums[older_count:]
