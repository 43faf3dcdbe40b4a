"""Limit counters in this process alone, for tests: the same decisions over plain dictionaries."""

from collections.abc import Iterator, Sequence

from rempart.domain.limits import Unit
from rempart.state.shared.limits import decide
from rempart.state.shared.limits.interface import Decision, Demand, Standing
from rempart.state.shared.limits.reservations import Reservations

LEASE_S = 3600.0


class MemoryLimits:
    """See ``LimitStore``. One thread at a time; what it holds grows with the subjects that tests name.

    Args:
        lease_s: longest life of a place at a time.
    """

    def __init__(self, *, lease_s: float = LEASE_S) -> None:
        self._logs: dict[bytes, bytes] = {}
        self._leases: dict[bytes, bytes] = {}
        self._reservations = Reservations()
        self._lease_ms = int(lease_s * 1000)

    def log(self, key: bytes) -> bytes | None:
        """For ``decide``."""
        return self._logs.get(key)

    def leases(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """For ``decide``."""
        return (item for item in sorted(self._leases.items()) if item[0].startswith(prefix))

    def look(self, demands: Sequence[Demand], now_ms: int) -> Decision:
        """See ``LimitStore``."""
        return self._decide(demands, b"", now_ms).decision

    def take(
        self, demands: Sequence[Demand], *, reservation: str, owner: str, now_ms: int
    ) -> Decision:
        """See ``LimitStore``."""
        self._reservations.check_room()
        taken = self._decide(demands, decide.owner_key(owner), now_ms)
        self._logs.update(taken.logs)
        self._leases.update(taken.leases)
        if taken.parts:
            self._reservations.add(reservation, owner, taken.parts)
        return taken.decision

    def settle(self, reservation: str, used: dict[Unit, int] | None, now_ms: int) -> None:
        """See ``LimitStore``."""
        for part, change in decide.changes(self._reservations.parts(reservation), used):
            if part.unit is Unit.AT_A_TIME:
                self._give_back(part)
            elif (raw := self._logs.get(part.key)) is not None:
                changed = decide.correct(raw, part, change)
                if changed is not None:
                    self._logs[part.key] = changed
        self._reservations.end(reservation)

    def forget_owner(self, owner: str, now_ms: int) -> int:
        """See ``LimitStore``."""
        raw_owner = decide.owner_key(owner)
        gone = [key for key in self._leases if decide.owner_of(key) == raw_owner]
        count = sum(decide.lease_count(self._leases.pop(key), self._lease_ms) for key in gone)
        self._reservations.forget_owner(owner)
        return count

    def owners(self) -> list[str]:
        """See ``LimitStore``."""
        return sorted({decide.owner_of(key).decode() for key in self._leases})

    def standings(self, demands: Sequence[Demand], now_ms: int) -> tuple[Standing, ...]:
        """See ``LimitStore``."""
        return self._decide(demands, b"", now_ms).decision.standings

    def drop_idle(self, now_ms: int, *, entries_max: int) -> int:
        """See ``LimitStore``; all are looked at."""
        idle = [key for key, raw in self._logs.items() if decide.is_idle(raw, now_ms)]
        for key in idle:
            del self._logs[key]
        expired = [
            key
            for key, raw in self._leases.items()
            if decide.is_idle(raw, now_ms, (self._lease_ms,))
        ]
        for key in expired:
            del self._leases[key]
        return len(idle) + len(expired)

    def _decide(self, demands: Sequence[Demand], owner: bytes, now_ms: int) -> decide.Taken:
        return decide.decide(demands, self, owner=owner, now_ms=now_ms, lease_ms=self._lease_ms)

    def _give_back(self, part: decide.Part) -> None:
        raw = self._leases.get(part.key)
        if raw is None:
            return
        left = decide.give_back(raw, part, self._lease_ms)
        if left is None:
            del self._leases[part.key]
        else:
            self._leases[part.key] = left
