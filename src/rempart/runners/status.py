"""What a runner says of itself on its status pipe: one JSON object per line, ``event`` first.

Our llama.cpp server speaks it whole; any program may, on the descriptor that the environment
variable ``REMPART_STATUS_FD`` names. ``kinds/DESIGN.md`` describes it for those who write one.
"""

from dataclasses import dataclass

import msgspec

from rempart.domain.models import Facts

LINE_BYTES_MAX = 64 * 1024
"""A longer line is thrown away up to its end, and counted as malformed."""


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="progress"):
    """How far loading has come.

    Args:
        ratio: 0 to 1; None while it cannot be told.
        what: for people.
    """

    ratio: float | None = None
    what: str = ""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="ready"):
    """It serves; what it knows of its model."""

    facts: Facts = Facts()


class Slots(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="slots"):
    """How many of its slots are taken."""

    total: int
    busy: int


class End(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="end"):
    """A request has left its slot, whatever its client still does.

    Args:
        grant: what came with it in ``interface.GRANT_HEADER``; empty if nothing did.
        cancelled: its client was gone before it was finished.
    """

    grant: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cancelled: bool = False


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="failed"):
    """It cannot go on and is about to exit; ``reason`` is for people."""

    reason: str


StatusEvent = Progress | Ready | Slots | End | Failed

_DECODER: msgspec.json.Decoder[StatusEvent] = msgspec.json.Decoder(StatusEvent)


@dataclass(frozen=True)
class Malformed:
    """A line that is none of the events; ``line`` is cut to what fits a log."""

    line: str
    reason: str


class StatusLines:
    """Cuts what comes from the pipe into events."""

    def __init__(self) -> None:
        self._partial = b""
        self._is_skipping = False
        self.malformed_count = 0

    def feed(self, data: bytes) -> list[StatusEvent | Malformed]:
        """The events that are whole now, in order; what cannot be read comes as ``Malformed``."""
        *whole, self._partial = (self._partial + data).split(b"\n")
        events: list[StatusEvent | Malformed] = []
        for line in whole:
            if self._is_skipping:
                self._is_skipping = False
            elif line.strip():
                events.append(self._read(line))
        if len(self._partial) > LINE_BYTES_MAX:
            if not self._is_skipping:
                events.append(self._malformed(self._partial, "the line is too long"))
            self._partial, self._is_skipping = b"", True
        return events

    def _read(self, line: bytes) -> StatusEvent | Malformed:
        if len(line) > LINE_BYTES_MAX:
            return self._malformed(line, "the line is too long")
        try:
            return _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return self._malformed(line, str(error))

    def _malformed(self, line: bytes, reason: str) -> Malformed:
        self.malformed_count += 1
        return Malformed(line[:200].decode("utf-8", "replace"), reason)
