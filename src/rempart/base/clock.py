"""Time as an object that can be replaced: production's clock, and the protocol that a test's clock meets."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where every part of Rempart asks for the time."""

    def now(self) -> float:
        """Monotonic seconds, from the same origin as the event loop's own time."""
        ...

    def wall(self) -> datetime:
        """The moment on the calendar, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clocks.

    ``time.monotonic`` and the clocks of asyncio's and uvloop's event loops count from the same
    origin on Linux, so that ``now()`` fits ``loop.call_at``.
    """

    __slots__ = ()

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def wall(self) -> datetime:
        """The moment in UTC."""
        return datetime.now(UTC)


def iso_utc(moment: datetime) -> str:
    """An aware moment as ``2026-11-24T16:00:00.000Z`` (RFC 3339, milliseconds)."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"
