"""Failed attempts on their way to the audit log: added up here, so that a flood writes a few entries.

The worker hands them to shared state every second (``processes/worker/upkeep.py``); control writes them.
"""

from rempart.base.clock import Clock
from rempart.state.shared.lockout.interface import OTHER_ADDRESSES, FailedAttempts

KINDS_MAX = 1024
"""Addresses (with code and key) told apart between two flushes; further ones count together."""


class Failures:
    """Counts by address, code and key."""

    __slots__ = ("_clock", "_counts")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[tuple[str, str, str], list[int]] = {}

    def note(self, who: str, code: str, key_id: str) -> None:
        """One attempt from this address was refused with this code."""
        now_ms = int(self._clock.wall().timestamp() * 1000)
        kind = (who, code, key_id)
        found = self._counts.get(kind)
        if found is None:
            if len(self._counts) >= KINDS_MAX:
                kind = (OTHER_ADDRESSES, code, "")
            found = self._counts.setdefault(kind, [0, now_ms, now_ms])
        found[0] += 1
        found[2] = now_ms

    def take(self) -> list[FailedAttempts]:
        """What was counted since this was last asked."""
        counts, self._counts = self._counts, {}
        return [
            FailedAttempts(
                address=who, code=code, key_id=key_id, count=count, first_ms=first, last_ms=last
            )
            for (who, code, key_id), (count, first, last) in counts.items()
        ]
