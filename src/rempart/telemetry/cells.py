"""Counters in memory-mapped files, one file per process, which any process can sum.

A process adds to its own cells without a lock or a system call (one addition to a mapped double);
what it counted survives its ``kill -9``. A series gets the next free cell when it is first used, and
its name is appended to the file beside it, line i naming cell i. Main folds the files of dead
processes into a base document, so that no counter ever falls.
"""

import mmap
import os
from pathlib import Path

import msgspec

SERIES_COUNT_MAX = 65536
"""Cells per process: 512 KiB of a sparse file. Series beyond it are dropped and counted in cell 0."""
DROPPED = "rempart_series_dropped_total"
READ_ATTEMPTS_MAX = 20

Sums = dict[str, float]


class Base(msgspec.Struct):
    """What was counted by processes that have ended.

    Args:
        folded: ids of the processes whose files are contained; readers leave those files out.
        sums: series → value.
    """

    folded: list[str] = []
    sums: Sums = {}


class Cells:
    """One process's own counters."""

    __slots__ = ("_index", "_map", "_names", "values")

    def __init__(self, folder: Path, process_id: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._index: dict[str, int] = {}
        self._names = os.open(
            folder / f"{process_id}.names",
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
            0o600,
        )
        descriptor = os.open(
            folder / f"{process_id}.cells", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            os.ftruncate(descriptor, SERIES_COUNT_MAX * 8)
            self._map = mmap.mmap(descriptor, SERIES_COUNT_MAX * 8)
        finally:
            os.close(descriptor)
        self.values = memoryview(self._map).cast("d")
        """Add to ``values[cell(name)]``; the position of a name never changes."""
        self.cell(DROPPED)

    def cell(self, series: str) -> int:
        """The position of a series such as ``name{label="value"}``; 0 when there is no room left."""
        position = self._index.get(series)
        if position is None:
            position = len(self._index)
            if position >= SERIES_COUNT_MAX:
                self.values[0] += 1
                return 0
            os.write(self._names, series.encode() + b"\n")
            self._index[series] = position
        return position

    def close(self) -> None:
        """Let go of the files; they stay, and count, until they are folded."""
        self.values.release()
        self._map.close()
        os.close(self._names)


def _read_base(folder: Path) -> Base:
    try:
        return msgspec.json.decode((folder / "base.json").read_bytes(), type=Base)
    except FileNotFoundError:
        return Base()


def _read_process(folder: Path, process_id: str, sums: Sums) -> None:
    names = (folder / f"{process_id}.names").read_bytes().split(b"\n")[:-1]
    with (folder / f"{process_id}.cells").open("rb") as file:
        values = memoryview(file.read(len(names) * 8)).cast("d")
    for name, value in zip(names, values, strict=False):
        text = name.decode()
        sums[text] = sums.get(text, 0.0) + value


def total(folder: Path) -> Sums:
    """The sums over all processes, living and dead.

    A fold that happens while this reads is seen by the base having changed, and reading starts again.
    """
    for _ in range(READ_ATTEMPTS_MAX):
        before = _read_base(folder)
        sums = dict(before.sums)
        folded = set(before.folded)
        try:
            for path in sorted(folder.glob("*.names")):
                if path.stem not in folded:
                    _read_process(folder, path.stem, sums)
        except FileNotFoundError:
            continue
        if _read_base(folder).folded == before.folded:
            return sums
    return sums


def fold(folder: Path, process_id: str, *, leave_out: frozenset[str] = frozenset()) -> None:
    """Take a dead process's counts into the base and remove its files. Only main calls this.

    Args:
        leave_out: names of gauges: what a process had under way ended with it.
    """
    base = _read_base(folder)
    if process_id not in base.folded:
        try:
            last: Sums = {}
            _read_process(folder, process_id, last)
        except FileNotFoundError:
            return
        for series, value in last.items():
            if series.partition("{")[0] not in leave_out:
                base.sums[series] = base.sums.get(series, 0.0) + value
        base.folded = [*base.folded[-1023:], process_id]
        temporary = folder / "base.json.new"
        temporary.write_bytes(msgspec.json.encode(base))
        temporary.replace(folder / "base.json")
    (folder / f"{process_id}.names").unlink(missing_ok=True)
    (folder / f"{process_id}.cells").unlink(missing_ok=True)
