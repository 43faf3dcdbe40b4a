"""One decision over several limits, without I/O: what is read, whether all fits, and what is then written.

Every back end that keeps its logs as bytes calls these functions inside of its own atomic step, so that they
decide alike. What is counted at one time is a log too, one for each subject and process: its entries are
leases, given back by setting their weight to zero, and its window is the longest life of a lease.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from typing import NamedTuple, Protocol

from rempart.domain.limits import Unit
from rempart.state.shared.limits.interface import Decision, Demand, Standing
from rempart.state.shared.limits.window_log import WindowLog

LEASE_WAIT_MS = 1000
"""Nobody knows when a place at a time is given back; this is what a client is told to wait."""
SUBJECT_BYTES_MAX = 96
KEYS_MAX = 4096
"""Keys of logs at hand; one more is made anew, a microsecond."""
_SEPARATOR = b"\0"
_UNIT_CODES = {Unit.REQUESTS: b"r", Unit.TOKENS: b"t", Unit.COST: b"c", Unit.AT_A_TIME: b"a"}
_AT_A_TIME = Unit.AT_A_TIME


class Logs(Protocol):
    """What is read of the store within one atomic step."""

    def log(self, key: bytes) -> bytes | None:
        """The log under this key."""
        ...

    def leases(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The lease logs whose keys start so, by key."""
        ...


class Part(NamedTuple):
    """One entry that a reservation holds: in which log, at which moment, how much."""

    key: bytes
    unit: Unit
    at_ms: int
    amount: int


class Taken(NamedTuple):
    """A decision, and what it changes: new bytes by key, in logs and in lease logs; empty when it was refused."""

    decision: Decision
    parts: tuple[Part, ...]
    logs: list[tuple[bytes, bytes]]
    leases: list[tuple[bytes, bytes]]


class _Group:
    """The log that demands of one subject and unit share."""

    __slots__ = ("amount", "held", "key", "log", "own", "subject", "unit")

    def __init__(self, subject: str, unit: Unit) -> None:
        self.subject = subject
        self.unit = unit
        self.key = log_key(subject, unit)
        self.amount = 0
        self.log: WindowLog | None = None
        """None: nothing was taken yet, or these are leases."""
        self.held = 0
        """Leases of all processes."""
        self.own: bytes | None = None
        """The lease log of the process that asks."""


@lru_cache(maxsize=KEYS_MAX)
def log_key(subject: str, unit: Unit) -> bytes:
    """The key of a log: readable while the subject is short, a digest of 16 bytes when it is long."""
    raw = subject.encode("utf-8", "surrogatepass")
    if len(raw) > SUBJECT_BYTES_MAX or _SEPARATOR in raw:
        raw = b"#" + hashlib.blake2b(raw, digest_size=16).hexdigest().encode()
    return raw + _SEPARATOR + _UNIT_CODES[unit]


def owner_key(owner: str) -> bytes:
    """How an owner stands at the end of the keys of its leases.

    Raises:
        ValueError: an owner's name has 1 to 128 bytes and no zero.
    """
    raw = owner.encode()
    if not 0 < len(raw) <= 128 or _SEPARATOR in raw:
        raise ValueError(f"an owner's name must have 1 to 128 bytes and no zero, found {owner!r}")
    return raw


def lease_key(key: bytes, owner: bytes) -> bytes:
    """The key of an owner's leases of what ``log_key`` gave."""
    return key + _SEPARATOR + owner


def owner_of(key: bytes) -> bytes:
    """The owner in a lease log's key."""
    return key.rpartition(_SEPARATOR)[2]


def decide(
    demands: Sequence[Demand], read: Logs, *, owner: bytes, now_ms: int, lease_ms: int
) -> Taken:
    """Take all demands or none. Nothing is written here.

    Args:
        owner: empty to look only: nothing is changed then either.
        lease_ms: longest life of a lease.
    """
    groups: list[_Group] = []
    members: list[_Group] = []
    used: list[int] = []
    waits: list[int | None] = []
    refused: list[int] = []
    for position, demand in enumerate(demands):
        subject, unit, amount = demand.subject, demand.unit, demand.amount
        for group in groups:  # a handful at most
            if group.unit is unit and group.subject == subject:
                break
        else:
            group = _Group(subject, unit)
            _read(group, read, owner, now_ms, lease_ms)
            groups.append(group)
        members.append(group)
        if amount > group.amount:
            group.amount = amount
        count = group.held
        if group.log is not None:
            count = group.log.used(demand.window_s * 1000, now_ms)
        used.append(count)
        excess = count + amount - demand.amount_max
        if excess <= 0:
            waits.append(0)
        else:
            waits.append(_wait_ms(group, demand, excess, now_ms))
            refused.append(position)
    if refused or not owner:
        standings = tuple(map(_standing, demands, members, used, waits, repeat(now_ms)))
        return Taken(Decision(standings=standings, refused=tuple(refused)), (), [], [])
    for group, demand in zip(members, demands, strict=True):
        if group.unit is not _AT_A_TIME:
            if group.log is None:
                group.log = WindowLog(now_ms)
            group.log.serve(demand.window_s * 1000)
    parts: list[Part] = []
    logs: list[tuple[bytes, bytes]] = []
    leases: list[tuple[bytes, bytes]] = []
    for group in groups:
        if group.log is None:
            part, raw = _take_lease(group, owner, now_ms, lease_ms)
            leases.append((part.key, raw))
        else:
            part = Part(group.key, group.unit, group.log.take(group.amount, now_ms), group.amount)
            logs.append((group.key, group.log.encode()))
        parts.append(part)
    after = [count + group.amount for count, group in zip(used, members, strict=True)]
    standings = tuple(map(_standing, demands, members, after, waits, repeat(now_ms)))
    return Taken(Decision(standings=standings), tuple(parts), logs, leases)


def changes(parts: Sequence[Part], used: dict[Unit, int] | None) -> list[tuple[Part, int]]:
    """What settling has to change: each part with what is added to its entry."""
    wanted = used or {}
    return [
        (part, change)
        for part in parts
        if (
            change := (0 if part.unit is Unit.AT_A_TIME else wanted.get(part.unit, part.amount))
            - part.amount
        )
    ]


def correct(raw: bytes, part: Part, change: int) -> bytes | None:
    """The log after an entry has changed; None when it stays as it is."""
    log = WindowLog.decode(raw)
    return log.encode() if log.correct(part.at_ms, change) else None


def give_back(raw: bytes, part: Part, lease_ms: int) -> bytes | None:
    """An owner's lease log without this lease; None when nothing is left in it."""
    log = WindowLog.decode(raw, (lease_ms,))
    log.correct(part.at_ms, -part.amount)
    return log.encode() if log.total else None


def lease_count(raw: bytes, lease_ms: int) -> int:
    """What an owner holds of one subject, expired or not."""
    return WindowLog.decode(raw, (lease_ms,)).total


def is_idle(raw: bytes, now_ms: int, windows_ms: tuple[int, ...] = ()) -> bool:
    """Whether a log, or with ``windows_ms`` a lease log, can be forgotten."""
    return WindowLog.decode(raw, windows_ms).is_idle(now_ms)


def _read(group: _Group, read: Logs, owner: bytes, now_ms: int, lease_ms: int) -> None:
    if group.unit is not _AT_A_TIME:
        raw = read.log(group.key)
        if raw is not None:
            group.log = WindowLog.decode(raw)
        return
    for key, raw in read.leases(group.key + _SEPARATOR):
        group.held += WindowLog.decode(raw, (lease_ms,)).used(lease_ms, now_ms)
        if owner_of(key) == owner:
            group.own = raw


def _take_lease(group: _Group, owner: bytes, now_ms: int, lease_ms: int) -> tuple[Part, bytes]:
    windows_ms = (lease_ms,)
    own = group.own
    log = WindowLog(now_ms, windows_ms) if own is None else WindowLog.decode(own, windows_ms)
    at_ms = log.take(group.amount, now_ms)
    return Part(lease_key(group.key, owner), group.unit, at_ms, group.amount), log.encode()


def _wait_ms(group: _Group, demand: Demand, excess: int, now_ms: int) -> int | None:
    if demand.amount > demand.amount_max:
        return None
    if group.log is None:
        return LEASE_WAIT_MS
    return group.log.wait_ms(demand.window_s * 1000, excess, now_ms)


def _standing(
    demand: Demand, group: _Group, used: int, wait_ms: int | None, now_ms: int
) -> Standing:
    full_ms = 0
    if used:
        log = group.log
        full_ms = LEASE_WAIT_MS if log is None else log.full_ms(demand.window_s * 1000, now_ms)
    remaining = demand.amount_max - used
    return Standing(
        demand=demand,
        remaining=remaining if remaining > 0 else 0,
        full_ms=full_ms,
        wait_ms=wait_ms,
    )
