"""What a runner prints: the newest lines in memory, all of it in a rotated file of its own."""

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from rempart.base.secret import MASK
from rempart.telemetry import logs

LINES_MAX = 2000
BYTES_MAX = 512 * 1024
LINE_BYTES_MAX = 8 * 1024
"""A longer line is cut into pieces of this size; progress bars without a newline are such lines."""


class LogRing:
    """A runner's newest lines, bounded in number and bytes; older ones are dropped and counted.

    Args:
        hidden: texts that must not be kept, such as the key of this start; they are masked.
    """

    def __init__(
        self,
        *,
        lines_max: int = LINES_MAX,
        bytes_max: int = BYTES_MAX,
        hidden: tuple[str, ...] = (),
    ) -> None:
        self._lines_max = lines_max
        self._bytes_max = bytes_max
        self._hidden = tuple(text.encode() for text in hidden if text)
        self._lines: deque[bytes] = deque()  # bounded by both of the above, in _keep
        self._size = 0
        self._partial = b""
        self.dropped_count = 0

    def hide(self, text: str) -> None:
        """From here on this text is masked, instead of what was hidden before."""
        self._hidden = (text.encode(),) if text else ()

    def feed(self, data: bytes) -> bytes:
        """Take what the runner wrote, cut anywhere.

        Returns:
            The lines that are whole now, as they may be written to a file.
        """
        *whole, self._partial = (self._partial + data).split(b"\n")
        while len(self._partial) > LINE_BYTES_MAX:
            whole.append(self._partial[:LINE_BYTES_MAX])
            self._partial = self._partial[LINE_BYTES_MAX:]
        return b"".join(self._keep(line) for line in whole)

    def end(self) -> bytes:
        """The runner is gone: its last line counts, though no newline came.

        Returns:
            As ``feed``.
        """
        last, self._partial = self._partial, b""
        return self._keep(last) if last else b""

    def lines(self, count: int) -> list[str]:
        """The newest ``count`` lines, oldest first."""
        newest = list(self._lines)[-count:] if count > 0 else []
        return [line.decode("utf-8", "replace") for line in newest]

    def _keep(self, line: bytes) -> bytes:
        # A progress bar rewrites its line with carriage returns; its last state is what it says.
        line = line.removesuffix(b"\r").rpartition(b"\r")[2][:LINE_BYTES_MAX]
        for text in self._hidden:
            line = line.replace(text, MASK.encode())
        self._lines.append(line)
        self._size += len(line)
        while len(self._lines) > self._lines_max or self._size > self._bytes_max:
            self._size -= len(self._lines.popleft())
            self.dropped_count += 1
        return line + b"\n"


class LogFile:
    """A runner's rotated file. A disk that is full costs lines, never the runner: they are counted.

    Args:
        path: opened at the first line; its folder is made then.
        rotate_bytes: size at which it is renamed to ``.1`` and so on.
        keep: renamed files kept.
        on_failed: called once per series of failed writes.
    """

    def __init__(
        self, path: Path, *, rotate_bytes: int, keep: int, on_failed: Callable[[OSError], None]
    ) -> None:
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._on_failed = on_failed
        self._descriptor: int | None = None
        self._size = 0
        self._is_failing = False
        self.failed_count = 0

    def write(self, lines: bytes) -> None:
        """Append whole lines."""
        if not lines:
            return
        try:
            if self._descriptor is not None and self._size + len(lines) > self._rotate_bytes:
                self.close()
                logs.rotate(self._path, self._keep)
            if self._descriptor is None:
                self._descriptor = self._open()
            os.write(self._descriptor, lines)
            self._size += len(lines)
            self._is_failing = False
        except OSError as error:
            self.failed_count += 1
            if not self._is_failing:
                self._is_failing = True
                self._on_failed(error)

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        self._size = os.fstat(descriptor).st_size
        return descriptor
