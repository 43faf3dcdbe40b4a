"""Log lines: JSON, one ``write()`` each, to a file opened for append that all processes share.

A whole line in one write to an O_APPEND file is never mixed with another process's line. Main alone
rotates: it renames the file and tells the others to open it anew. The console gets the same events in
a form for people. Writing a line never fails and never waits: one that cannot be written (a full disk,
a pipe that nobody reads) is lost and counted.
"""

import os
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any

import msgspec

from rempart.base.clock import Clock, iso_utc
from rempart.telemetry.console import LINE_BYTES_MAX as CONSOLE_LINE_BYTES_MAX
from rempart.telemetry.console import Console

REQUEST_FIELDS_SHOWN = (
    "request_id",
    "operation",
    "model",
    "status",
    "end_reason",
    "completion_tokens",
    "ttft_ms",
    "duration_ms",
    "address",
)
"""Of a request's line people are shown this much; the file has all of it."""
LINE_BYTES_MAX = 64 * 1024
"""A longer line is replaced by one that says so: nothing from outside decides how much we write."""
SHORT_TEXT_CHARACTERS_MAX = 64
"""Texts that a line keeps which was too long; ids are shorter."""
HEAD_FIELDS = 4
"""``at``, ``level``, ``event`` and ``process``, which every line begins with."""


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
        self._is_console_json = console == "json"
        self._level = Level[level.upper()]
        self.on_dropped = on_dropped
        self._descriptor = -1
        self._is_torn = False
        self._encode = msgspec.json.Encoder(enc_hook=str).encode
        self._console: Console | None = None
        if console != "off" and sys.stderr is not None:  # None: started with descriptor 2 closed
            self._console = Console(sys.stderr.fileno())
        self.reopen()

    def reopen(self) -> None:
        """Open the file by its name again, after main has renamed it away.

        Raises:
            OSError: it could not be opened, and no file was open before; else the old one is kept.
        """
        if self._path is None:
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = os.open(self._path, flags, 0o640)
        except OSError:
            if self._descriptor < 0:
                raise
            self.on_dropped()
            return
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = fresh
        self._is_torn = False

    def close(self) -> None:
        """Close the file and the console; later lines go nowhere."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._console is not None:
            self._console.close()
            self._console = None

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
            "at": fields.get("at") or iso_utc(self._clock.wall()),
            "level": level.name.lower(),
            "event": event,
            "process": self._process,
            **fields,
        }
        line = self._line(document)
        if len(line) > LINE_BYTES_MAX:
            document = _shortened(document, len(line))
            line = self._line(document)
        if self._descriptor >= 0 and not self._to_file(line):
            self.on_dropped()
        if self._console is not None and not self._console.write(self._shown(document, line)):
            self.on_dropped()

    def _line(self, document: dict[str, Any]) -> bytes:
        try:
            return self._encode(document) + b"\n"
        except Exception:  # half a character, a number too large, a value that has no text
            plain = {_ascii(name): _ascii(value) for name, value in document.items()}
            return self._encode(plain) + b"\n"

    def _to_file(self, line: bytes) -> bool:
        if self._is_torn:  # what a full disk left of a line must not take the next one with it
            line = b"\n" + line
        try:
            written = os.write(self._descriptor, line)
        except OSError:
            return False
        is_whole = written == len(line)
        self._is_torn = not is_whole
        return is_whole

    def _shown(self, document: dict[str, Any], line: bytes) -> bytes:
        most = CONSOLE_LINE_BYTES_MAX
        if not self._is_console_json:
            shown = text_line(document)
            return shown if len(shown) <= most else _cut(shown, most - 1) + b"\n"
        if len(line) <= most:
            return line
        short = self._line(_shortened(document, len(line)))
        return short if len(short) <= most else self._line(_head(document))


def _head(document: dict[str, Any]) -> dict[str, Any]:
    return dict(list(document.items())[:HEAD_FIELDS])


def _shortened(document: dict[str, Any], size: int) -> dict[str, Any]:
    """What is left of an event whose line was ``size`` bytes long: numbers, and short texts such as ids."""
    kept = {
        name: value
        for name, value in document.items()
        if isinstance(value, (int, float, bool))
        or (isinstance(value, str) and len(value) <= SHORT_TEXT_CHARACTERS_MAX)
    }
    return _head(document) | kept | {"line_too_long_bytes": size}


def _ascii(value: Any) -> str:
    try:
        return value if isinstance(value, str) and value.isascii() else ascii(value)
    except Exception:
        return f"a {type(value).__name__} that cannot be shown"


def _cut(line: bytes, size: int) -> bytes:
    """At most so many bytes, cut between characters."""
    return line[:size].decode("utf-8", "ignore").encode()


def text_line(document: dict[str, Any]) -> bytes:
    """An event for people: time, level, process, event, then the fields that say something.

    Control characters are shown, not written: what comes from outside must not make lines of its own
    or move the cursor. A traceback follows on lines of its own, set in.
    """
    head = f"{document['at'][11:23]} {document['level']:<7} {document['process']:<9} {document['event']}"
    if document["event"] == "request" and "duration_ms" in document:
        return f"{head}  {_request_text(document)}\n".encode("utf-8", "backslashreplace")
    fields = {
        name: value
        for name, value in list(document.items())[HEAD_FIELDS:]
        if value is not None and value != "" and value != []
    }
    trace = str(fields.pop("traceback", "")).splitlines()
    rest = " ".join(f"{_printable(name)}={_value_text(value)}" for name, value in fields.items())
    lines = [f"{head}  {rest}".rstrip(), *(f"    {_printable(line)}" for line in trace)]
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def _request_text(document: dict[str, Any]) -> str:
    """What people are shown of a request: once per request, so that it must cost little."""
    parts = []
    for name in REQUEST_FIELDS_SHOWN:
        value = document.get(name)
        if value is not None and value != "":
            parts.append(f"{name}={_value_text(value) if isinstance(value, str) else value}")
    return " ".join(parts)


def _value_text(value: Any) -> str:
    if isinstance(value, str):
        text = _printable(value)
        return f'"{text}"' if " " in text else text
    try:
        return _printable(msgspec.json.encode(value, enc_hook=str).decode())
    except Exception:
        return _ascii(value)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def rotate(path: Path, keep: int) -> None:
    """Move ``api.log`` to ``api.log.1`` and so on; older ones than ``keep`` go. Only main calls this.

    Raises:
        OSError: the folder does not let us.
    """
    numbered = path.with_name
    for number in range(keep, 0, -1):
        newer = path if number == 1 else numbered(f"{path.name}.{number - 1}")
        if newer.exists():
            newer.replace(numbered(f"{path.name}.{number}"))
    if keep == 0:
        path.unlink(missing_ok=True)
    beyond = keep + 1  # of a time when more were kept
    while (left := numbered(f"{path.name}.{beyond}")).exists():
        left.unlink()
        beyond += 1
