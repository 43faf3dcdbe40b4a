"""Limit counters in LMDB: one write transaction for a decision, nothing awaited in it.

Two databases: ``limits`` holds the logs by subject and unit, ``leases`` what is held at one time, a log for
each subject and process. What a reservation holds is remembered in the process alone: its estimate stands
in the logs, so that a killed process leaves nothing to settle but its leases.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import lmdb

from rempart.domain.errors import StateUnavailable
from rempart.domain.limits import Unit
from rempart.state.shared.environment import RETRY_S, Environment, unavailable
from rempart.state.shared.limits import decide
from rempart.state.shared.limits.interface import Decision, Demand, Standing
from rempart.state.shared.limits.reservations import Reservations

LOOKED_AT_ONCE = 512
"""Logs that one transaction of ``drop_idle`` writes at most: about a millisecond."""


class LmdbLimits:
    """See ``LimitStore``. One thread at a time.

    Args:
        monotonic_s: the clock by which waiting for the lock is added to the moment of what is taken.
        lease_s: longest life of a place at a time; every process has the same.
        on_waited: told how many seconds a decision waited for the lock.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        monotonic_s: Callable[[], float],
        lease_s: float,
        on_waited: Callable[[float], None] | None = None,
    ) -> None:
        self._environment = environment
        self._begin = environment.begin
        self._logs = environment.database(b"limits")
        self._leases = environment.database(b"leases")
        self._reservations = Reservations()
        self._monotonic_s = monotonic_s
        self._lease_ms = int(lease_s * 1000)
        self._on_waited = on_waited
        self._owner_keys: dict[str, bytes] = {}
        self._idle_after = b""
        """The log after which ``drop_idle`` goes on."""

    def look(self, demands: Sequence[Demand], now_ms: int) -> Decision:
        """See ``LimitStore``."""
        try:
            with self._begin(write=False) as transaction:
                return self._decide(transaction, demands, b"", now_ms).decision
        except lmdb.Error as error:
            raise unavailable(error) from error
        except ValueError as error:
            raise _unreadable(error) from error

    def take(
        self, demands: Sequence[Demand], *, reservation: str, owner: str, now_ms: int
    ) -> Decision:
        """See ``LimitStore``."""
        self._reservations.check_room()
        owner_key = self._owner_key(owner)
        began_s = self._monotonic_s()
        try:
            with self._begin(write=True) as transaction:
                waited_s = self._monotonic_s() - began_s
                # What is taken counts from the moment it is taken, not from the one it was asked for.
                taken = self._decide(transaction, demands, owner_key, now_ms + int(waited_s * 1000))
                for key, raw in taken.logs:
                    transaction.put(key, raw, db=self._logs)
                for key, raw in taken.leases:
                    transaction.put(key, raw, db=self._leases)
        except lmdb.Error as error:
            raise unavailable(error) from error
        except ValueError as error:
            raise _unreadable(error) from error
        if taken.parts:
            self._reservations.add(reservation, owner, taken.parts)
        if self._on_waited is not None:
            self._on_waited(waited_s)
        return taken.decision

    def settle(self, reservation: str, used: dict[Unit, int] | None, now_ms: int) -> None:
        """See ``LimitStore``."""
        changes = decide.changes(self._reservations.parts(reservation), used)
        if changes:
            try:
                with self._begin(write=True) as transaction:
                    for part, change in changes:
                        self._change(transaction, part, change)
            except lmdb.Error as error:
                raise unavailable(error) from error
            except ValueError as error:
                raise _unreadable(error) from error
        self._reservations.end(reservation)

    def forget_owner(self, owner: str, now_ms: int) -> int:
        """See ``LimitStore``."""
        count = 0
        for key in self._lease_keys(decide.owner_key(owner)):
            with self._environment.transaction(write=True) as transaction:
                raw = transaction.pop(key, db=self._leases)
                count += 0 if raw is None else decide.lease_count(raw, self._lease_ms)
        self._reservations.forget_owner(owner)
        self._owner_keys.pop(owner, None)
        return count

    def owners(self) -> list[str]:
        """See ``LimitStore``."""
        return sorted({decide.owner_of(key).decode() for key in self._lease_keys()})

    def standings(self, demands: Sequence[Demand], now_ms: int) -> tuple[Standing, ...]:
        """See ``LimitStore``."""
        return self.look(demands, now_ms).standings

    def drop_idle(self, now_ms: int, *, entries_max: int) -> int:
        """See ``LimitStore``. Looks without the lock, and takes it only for what seems idle."""
        idle = self._idle_logs(now_ms, entries_max)
        count = 0
        for start in range(0, len(idle), LOOKED_AT_ONCE):
            with self._environment.transaction(write=True) as transaction:
                for key in idle[start : start + LOOKED_AT_ONCE]:
                    raw = transaction.get(key, db=self._logs)
                    if raw is not None and decide.is_idle(raw, now_ms):
                        count += transaction.delete(key, db=self._logs)
        lease = (self._lease_ms,)
        with self._environment.transaction(write=False) as transaction:
            expired = [
                key
                for key, raw in transaction.cursor(db=self._leases)
                if decide.is_idle(raw, now_ms, lease)
            ]
        if expired:
            with self._environment.transaction(write=True) as transaction:
                for key in expired[:LOOKED_AT_ONCE]:
                    raw = transaction.get(key, db=self._leases)
                    if raw is not None and decide.is_idle(raw, now_ms, lease):
                        count += transaction.delete(key, db=self._leases)
        return count

    def _decide(
        self, transaction: Any, demands: Sequence[Demand], owner: bytes, now_ms: int
    ) -> decide.Taken:
        read = _Reading(transaction, self._logs, self._leases)
        return decide.decide(demands, read, owner=owner, now_ms=now_ms, lease_ms=self._lease_ms)

    def _change(self, transaction: Any, part: decide.Part, change: int) -> None:
        if part.unit is Unit.AT_A_TIME:
            raw = transaction.get(part.key, db=self._leases)
            if raw is None:
                return
            left = decide.give_back(raw, part, self._lease_ms)
            if left is None:
                transaction.delete(part.key, db=self._leases)
            else:
                transaction.put(part.key, left, db=self._leases)
            return
        raw = transaction.get(part.key, db=self._logs)
        if raw is not None and (changed := decide.correct(raw, part, change)) is not None:
            transaction.put(part.key, changed, db=self._logs)

    def _owner_key(self, owner: str) -> bytes:
        key = self._owner_keys.get(owner)
        if key is None:
            if len(self._owner_keys) >= 64:  # a process is one owner; tests are a few
                self._owner_keys.clear()
            key = self._owner_keys[owner] = decide.owner_key(owner)
        return key

    def _lease_keys(self, owner: bytes | None = None) -> list[bytes]:
        with self._environment.transaction(write=False) as transaction:
            keys = transaction.cursor(db=self._leases).iternext(values=False)
            return [key for key in keys if owner is None or decide.owner_of(key) == owner]

    def _idle_logs(self, now_ms: int, entries_max: int) -> list[bytes]:
        idle: list[bytes] = []
        with self._environment.transaction(write=False) as transaction:
            cursor = transaction.cursor(db=self._logs)
            if not cursor.set_range(self._idle_after + b"\0") and not cursor.first():
                return idle
            for looked_count, (key, raw) in enumerate(cursor, start=1):
                if decide.is_idle(raw, now_ms):
                    idle.append(key)
                if looked_count >= entries_max:
                    self._idle_after = key
                    break
            else:
                self._idle_after = b""
        return idle


class _Reading:
    """A transaction as ``decide`` reads it."""

    __slots__ = ("_leases", "_logs", "_transaction")

    def __init__(self, transaction: Any, logs: Any, leases: Any) -> None:
        self._transaction = transaction
        self._logs = logs
        self._leases = leases

    def log(self, key: bytes) -> bytes | None:
        raw: bytes | None = self._transaction.get(key, db=self._logs)
        return raw

    def leases(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        cursor = self._transaction.cursor(db=self._leases)
        if not cursor.set_range(prefix):
            return
        for key, raw in cursor:
            if not key.startswith(prefix):
                return
            yield key, raw


def _unreadable(error: ValueError) -> StateUnavailable:
    return StateUnavailable(reason=f"a log cannot be read ({error})", retry_after_s=RETRY_S)
