"""Counters in memory-mapped files, one file per process, which any process can sum.

A process adds to its own cells without a lock or a system call (one addition to a mapped double);
what it counted survives its ``kill -9``. A series gets the next free cell when it is first used, and
its name is appended to the file beside it, line i naming cell i. Main folds the files of dead
processes into a base document, so that no counter ever falls.

Counting never fails: what finds no room (too many series, a full disk) is not counted, and only that.
"""

import mmap
import os
from pathlib import Path

import msgspec

SERIES_COUNT_MAX = 65535
"""Cells with a name per process, in a file of 512 KiB."""
DROPPED = "rempart_series_dropped_total"
"""Cell 0: how often a series was asked for that found no room."""
SPARE = SERIES_COUNT_MAX
"""The last cell, which never has a name: what is added there shows nowhere."""
_FILE_BYTES = (SERIES_COUNT_MAX + 1) * 8

FOLDED_REMEMBERED = 1024
"""Ids of folded processes that are kept, for readers that began before the fold."""

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
    """One process's own counters.

    Args:
        process_id: not used before in this folder.
    Attributes:
        is_shared: whether other processes see what is counted; False where the disk had no room.
    """

    __slots__ = ("_index", "_map", "_names", "_names_bytes", "is_shared", "values")

    def __init__(self, folder: Path, process_id: str) -> None:
        self._index: dict[str, int] = {}
        self._names_bytes = 0
        self._names = -1
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # The cells come first: where there are names there is what they name.
            self._map = _mapped(folder / f"{process_id}.cells")
            self._names = _new_file(folder / f"{process_id}.names", os.O_WRONLY | os.O_APPEND)
            self.is_shared = True
        except FileExistsError:
            raise  # two processes would name the same cells differently
        except OSError:
            self._map = mmap.mmap(-1, _FILE_BYTES)
            self.is_shared = False
        self.values = memoryview(self._map).cast("d")
        """Add to ``values[cell(name)]``; the position of a name never changes."""
        self.cell(DROPPED)

    def cell(self, series: str) -> int:
        """The position of a series such as ``name{label="value"}``; ``SPARE``, for once, when there is no room."""
        position = self._index.get(series)
        if position is None:
            position = len(self._index)
            if position >= SERIES_COUNT_MAX or not self._write_name(series):
                self.values[0] += 1
                return SPARE
            self._index[series] = position
        return position

    def close(self) -> None:
        """Let go of the files; they stay, and count, until they are folded."""
        self.values.release()
        self._map.close()
        if self._names >= 0:
            os.close(self._names)
            self._names = -1

    def _write_name(self, series: str) -> bool:
        if self._names < 0:
            return not self.is_shared
        line = series.encode("utf-8", "replace") + b"\n"
        try:
            written = os.write(self._names, line)
            if written != len(line):
                # Half a line would give every name behind it to the wrong cell.
                os.ftruncate(self._names, self._names_bytes)
                return False
        except OSError:
            return False
        self._names_bytes += written
        return True


def _mapped(path: Path) -> mmap.mmap:
    descriptor = _new_file(path, os.O_RDWR)
    try:
        # Room is taken now: on a full disk the first touch of a page without it would be SIGBUS.
        os.posix_fallocate(descriptor, 0, _FILE_BYTES)
        return mmap.mmap(descriptor, _FILE_BYTES)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _new_file(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _read_base(folder: Path) -> Base:
    try:
        return msgspec.json.decode((folder / "base.json").read_bytes(), type=Base)
    except FileNotFoundError:
        return Base()


def _read_process(folder: Path, process_id: str) -> Sums | None:
    """What a process has counted; None once it has been folded, or where it died while opening its files."""
    try:
        names = (folder / f"{process_id}.names").read_bytes().split(b"\n")[:-1]
        with (folder / f"{process_id}.cells").open("rb") as file:
            data = file.read(len(names) * 8)
    except FileNotFoundError:
        return None
    values = memoryview(data).cast("d")
    return {name.decode(): value for name, value in zip(names, values, strict=False)}


def _add(sums: Sums, more: Sums) -> None:
    for series, value in more.items():
        sums[series] = sums.get(series, 0.0) + value


def total(folder: Path) -> Sums:
    """The sums over all processes, living and dead.

    The base is read last: a process that is folded meanwhile is in it, and a process that is not in
    it was there to be read. So a sum never falls between two calls, whatever dies in between.
    """
    living = {path.stem: _read_process(folder, path.stem) for path in folder.glob("*.names")}
    base = _read_base(folder)
    folded = set(base.folded)
    sums = base.sums
    for process_id, own in living.items():
        if own is not None and process_id not in folded:
            _add(sums, own)
    return sums


def fold(folder: Path, process_id: str, *, leave_out: frozenset[str] = frozenset()) -> None:
    """Take a dead process's counts into the base and remove its files. Only main calls this.

    Args:
        leave_out: names of gauges: what a process had under way ended with it.
    Raises:
        OSError: the base could not be written; the files stay and count as before.
    """
    base = _read_base(folder)
    last = _read_process(folder, process_id)
    if last is not None and process_id not in base.folded:
        _add(base.sums, {s: v for s, v in last.items() if s.partition("{")[0] not in leave_out})
        base.folded = [*base.folded[1 - FOLDED_REMEMBERED :], process_id]
        temporary = folder / "base.json.new"
        temporary.write_bytes(msgspec.json.encode(base))
        temporary.replace(folder / "base.json")
    (folder / f"{process_id}.names").unlink(missing_ok=True)
    (folder / f"{process_id}.cells").unlink(missing_ok=True)
