"""What a store of failed attempts promises: all processes count together, and a flood grows nothing."""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from rempart.state.shared.lockout.decide import Rules, Standing

ADDRESSES_MAX = 100_000
"""At the bound another entry makes way for a new one: whoever fills the table only shortens blocks."""
REPORTS_MAX = 10_000
"""Kinds of failures waiting to be collected; at the bound further ones count for the address ``*``."""
OTHER_ADDRESSES = "*"


class FailedAttempts(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts to get in that failed the same way, for the audit log.

    Args:
        address: of the client, IPv6 as its /64; ``*`` for many that found no room of their own.
        code: of the error they were answered with.
        key_id: of the key whose right secret was presented (expired, revoked, from a wrong network); else empty.
        first_ms, last_ms: wall-clock ms.
    """

    address: str
    code: str
    key_id: str = ""
    count: int
    first_ms: int
    last_ms: int


class LockoutStore(Protocol):
    """Failed attempts.

    Raises (everything): ``StateUnavailable`` when the store cannot be read or written.
    """

    def standing(self, who: str, now_ms: int, rules: Rules) -> Standing:
        """How an address stands, without counting anything."""
        ...

    def failed(self, who: str, now_ms: int, rules: Rules) -> Standing:
        """Count one failure, in one atomic step; of a blocked address nothing is written."""
        ...

    def drop_idle(self, now_ms: int, rules: Rules, *, entries_max: int) -> int:
        """Look at so many entries and forget those of which nothing counts any more; gives their number."""
        ...

    def report(self, attempts: Iterable[FailedAttempts]) -> None:
        """Leave word of failures for control; those of one address, code and key are added up."""
        ...

    def collect(self, reports_max: int) -> list[FailedAttempts]:
        """Take what was left, at most so many."""
        ...


def merged(one: FailedAttempts, other: FailedAttempts) -> FailedAttempts:
    """Two reports of the same kind as one."""
    return msgspec.structs.replace(
        one,
        count=one.count + other.count,
        first_ms=min(one.first_ms, other.first_ms),
        last_ms=max(one.last_ms, other.last_ms),
    )
