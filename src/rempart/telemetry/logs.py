"""Log lines: JSON, one ``write()`` each, to a file opened for append that all processes share.

A whole line in one write to an O_APPEND file is never mixed with another process's line. Main alone
rotates: it renames the file and tells the others to open it anew. The console gets the same events in
a form for people. Neither may hold up a request: a console that does not take the line (a stalled
pipe) costs that line, which is counted.
"""

import os
import select
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec

from rempart.base.clock import Clock, iso_utc

LINE_BYTES_MAX = 64 * 1024
"""A longer line is replaced by one that says so: nothing from outside decides how much we write."""
CONSOLE_LINE_BYTES_MAX = 4096
"""Pipes report room in units of PIPE_BUF (4096): a line of at most that never blocks when they do."""


class Level(IntEnum):
    """How much a line matters."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


class Log:
    """Writes one process's events.

    Args:
        process: who writes: ``main``, ``control``, ``worker-1``.
        file: where the JSON lines go; None for none.
        console: ``text``, ``json`` or ``off``.
        on_dropped: called for each line that could not be written.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        process: str,
        file: Path | None,
        console: str = "text",
        level: str = "info",
        on_dropped: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._process = process
        self._path = file
        self._console = console
        self._level = Level[level.upper()]
        self.on_dropped = on_dropped
        self._descriptor = -1
        self._encoder = msgspec.json.Encoder(enc_hook=str)
        self._room = select.poll()
        self._console_descriptor = sys.stderr.fileno() if console != "off" else -1
        if self._console_descriptor >= 0:
            self._room.register(self._console_descriptor, select.POLLOUT)
        self.reopen()

    def reopen(self) -> None:
        """Open the file by its name again, after main has renamed it away."""
        if self._path is None:
            return
        fresh = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = fresh

    def close(self) -> None:
        """Close the file; later lines go to the console only."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def is_on(self, level: Level) -> bool:
        """Whether a line of this level would be written."""
        return level >= self._level

    def debug(self, event: str, **fields: Any) -> None:
        """Write a line that only helps when looking for a fault."""
        self.write(Level.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Write a line about what happened as it should."""
        self.write(Level.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Write a line that someone should look at in daylight."""
        self.write(Level.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Write a line that someone should look at."""
        self.write(Level.ERROR, event, fields)

    def write(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        """Write one event to the file and the console."""
        if level < self._level:
            return
        document = {
            "at": iso_utc(self._clock.wall()),
            "level": level.name.lower(),
            "event": event,
            "process": self._process,
            **fields,
        }
        line = self._encoder.encode(document) + b"\n"
        if len(line) > LINE_BYTES_MAX:
            document = dict(list(document.items())[:4]) | {"line_too_long_bytes": len(line)}
            line = self._encoder.encode(document) + b"\n"
        if self._descriptor >= 0:
            try:
                if os.write(self._descriptor, line) != len(line):
                    self.on_dropped()
            except OSError:
                self.on_dropped()
        if self._console_descriptor >= 0:
            shown = line if self._console == "json" else text_line(document)
            self._to_console(shown[: CONSOLE_LINE_BYTES_MAX - 1].rstrip(b"\n") + b"\n")

    def _to_console(self, line: bytes) -> None:
        try:
            if self._room.poll(0):
                os.write(self._console_descriptor, line)
            else:
                self.on_dropped()
        except OSError:
            self.on_dropped()


def text_line(document: dict[str, Any]) -> bytes:
    """An event for people: time, level, process, event, then the fields that say something."""
    head = f"{document['at'][11:23]} {document['level']:<7} {document['process']:<9} {document['event']}"
    rest = " ".join(
        f"{name}={_shown(value)}"
        for name, value in list(document.items())[4:]
        if value is not None and value != "" and value != []
    )
    return f"{head}  {rest}\n".encode()


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
    return f'"{text}"' if isinstance(value, str) and (" " in text or not text) else text


def rotate(path: Path, keep: int) -> None:
    """Move ``api.log`` to ``api.log.1`` and so on; the oldest beyond ``keep`` goes. Only main calls this."""
    for number in range(keep, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        newer = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
        if newer.exists():
            newer.replace(older)
    if keep == 0:
        path.unlink(missing_ok=True)
