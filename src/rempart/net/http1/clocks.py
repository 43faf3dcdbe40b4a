"""A connection's clocks: one timer that is seldom moved, and the two rates that are watched."""

import asyncio
import math
from collections.abc import Callable

from rempart.net.http1.limits import ServerLimits


class Alarm:
    """Calls at a moment that may be moved cheaply.

    A timer per request would cost more than reading the clock: here the event loop's timer is only
    moved to be earlier; one that fires too early looks at the moment again.
    """

    __slots__ = ("_at", "_call", "_handle", "_handle_at", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[float], None]) -> None:
        self._loop = loop
        self._call = call
        self._at = math.inf
        self._handle: asyncio.TimerHandle | None = None
        self._handle_at = math.inf

    def set(self, at: float) -> None:
        """Calls at ``at`` (the loop's time) and no more at the moment set before."""
        self._at = at
        if at < self._handle_at:
            if self._handle is not None:
                self._handle.cancel()
            self._handle_at = at
            self._handle = self._loop.call_at(at, self._fire)

    def off(self) -> None:
        """Calls no more, until it is set again."""
        self._at = math.inf

    def close(self) -> None:
        """Calls no more and holds nothing."""
        self._at = math.inf
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        self._handle_at = math.inf
        at = self._at
        if at == math.inf:
            return
        now = self._loop.time()
        if now >= at:
            self._at = math.inf
            self._call(now)
        else:
            self.set(at)


class BodyRate:
    """Whether a body that somebody waits for comes fast enough."""

    __slots__ = ("_bytes", "_limits", "_read_at", "_since")

    def __init__(self, limits: ServerLimits, now: float, received_bytes: int) -> None:
        self._limits = limits
        self._read_at = now
        self._since = now
        self._bytes = received_bytes

    def read(self, now: float) -> None:
        """Something came."""
        self._read_at = now

    def verdict(self, now: float, received_bytes: int) -> str | None:
        """What it missed, None while it is fast enough."""
        limits = self._limits
        if now - self._read_at >= limits.body_read_s:
            return f"nothing came for {limits.body_read_s:g} s"
        elapsed = now - self._since
        if elapsed >= limits.rate_window_s:
            if received_bytes - self._bytes < limits.body_bytes_per_s_min * elapsed:
                return f"less than {limits.body_bytes_per_s_min} bytes per second came"
            self._since = now
            self._bytes = received_bytes
        return None

    def next_look_at(self) -> float:
        """When to ask for the verdict again."""
        return min(
            self._read_at + self._limits.body_read_s, self._since + self._limits.rate_window_s
        )


class WriteStall:
    """Notices a client that is behind and takes no byte for too long.

    Args:
        flushed_bytes: how much it has taken so far; may look like less while more is written.
        on_stalled: called once it is over.
    """

    __slots__ = ("_alarm", "_flushed_bytes", "_on_stalled", "_seen_bytes", "_since", "_stall_s")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        stall_s: float,
        *,
        flushed_bytes: Callable[[], int],
        on_stalled: Callable[[], None],
    ) -> None:
        self._stall_s = stall_s
        self._flushed_bytes = flushed_bytes
        self._on_stalled = on_stalled
        self._alarm = Alarm(loop, self._look)
        self._since = 0.0
        self._seen_bytes = 0

    def begin(self, now: float) -> None:
        """The client has fallen behind."""
        self._since = now
        self._seen_bytes = self._flushed_bytes()
        self._alarm.set(now + self._stall_s / 4)

    def end(self) -> None:
        """It has caught up."""
        self._alarm.off()

    def close(self) -> None:
        """Looks no more and holds nothing."""
        self._alarm.close()

    def _look(self, now: float) -> None:
        flushed = self._flushed_bytes()
        if flushed > self._seen_bytes:
            self._seen_bytes = flushed
            self._since = now
        elif now - self._since >= self._stall_s:
            self._on_stalled()
            return
        self._alarm.set(now + self._stall_s / 4)
