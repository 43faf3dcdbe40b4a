"""Failed attempts in this process's memory: for tests."""

from collections.abc import Iterable

import msgspec

from rempart.state.shared.lockout import decide
from rempart.state.shared.lockout.decide import Entry, Rules, Standing
from rempart.state.shared.lockout.interface import (
    ADDRESSES_MAX,
    OTHER_ADDRESSES,
    REPORTS_MAX,
    FailedAttempts,
    merged,
)


class MemoryLockout:
    """See ``LockoutStore``."""

    def __init__(
        self, *, addresses_max: int = ADDRESSES_MAX, reports_max: int = REPORTS_MAX
    ) -> None:
        self._addresses_max = addresses_max
        self._reports_max = reports_max
        self._entries: dict[str, Entry] = {}
        self._reports: dict[tuple[str, str, str], FailedAttempts] = {}

    def standing(self, who: str, now_ms: int, rules: Rules) -> Standing:
        """See ``LockoutStore``."""
        return decide.standing(self._entries.get(who), now_ms, rules)

    def failed(self, who: str, now_ms: int, rules: Rules) -> Standing:
        """See ``LockoutStore``."""
        if who not in self._entries and len(self._entries) >= self._addresses_max:
            del self._entries[next(iter(self._entries))]
        entry = self._entries[who] = decide.after_failure(self._entries.get(who), now_ms, rules)
        return decide.standing(entry, now_ms, rules)

    def drop_idle(self, now_ms: int, rules: Rules, *, entries_max: int) -> int:
        """See ``LockoutStore``."""
        looked_at = list(self._entries.items())[:entries_max]
        idle = [who for who, entry in looked_at if decide.is_over(entry, now_ms, rules)]
        for who in idle:
            del self._entries[who]
        return len(idle)

    def report(self, attempts: Iterable[FailedAttempts]) -> None:
        """See ``LockoutStore``."""
        for one in attempts:
            place = (one.address, one.code, one.key_id)
            if place not in self._reports and len(self._reports) >= self._reports_max:
                one = msgspec.structs.replace(one, address=OTHER_ADDRESSES, key_id="")
                place = (one.address, one.code, one.key_id)
            known = self._reports.get(place)
            self._reports[place] = one if known is None else merged(known, one)

    def collect(self, reports_max: int) -> list[FailedAttempts]:
        """See ``LockoutStore``."""
        return [self._reports.pop(place) for place in list(self._reports)[:reports_max]]
