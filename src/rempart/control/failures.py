"""Failed attempts to get in, from where workers leave word of them into the audit log.

Under a flood they are added up: so many entries at most in one round, those of known keys first, then
by number; what is left over becomes one entry per kind of failure, for all addresses.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from rempart.base.clock import iso_utc
from rempart.control.registry import Registry
from rempart.domain.errors import StateUnavailable
from rempart.state.durable.interface import Act
from rempart.state.shared.lockout.interface import (
    OTHER_ADDRESSES,
    REPORTS_MAX,
    FailedAttempts,
    LockoutStore,
    merged,
)

ENTRIES_MAX = 20
"""Per round and beside those for all addresses: a flood of a day stays below 200,000 entries."""
EVERY_S = 10.0
ANONYMOUS = "anonymous"


async def write_down(registry: Registry, store: LockoutStore) -> int:
    """Move what was reported into the audit log; gives the number of entries.

    Raises:
        StateUnavailable: what is not written yet was left where it was.
    """
    registry.store  # noqa: B018 - raises while the database is away: nothing is taken then
    waiting = gathered(store.collect(REPORTS_MAX), ENTRIES_MAX)
    written = 0
    try:
        for attempts in waiting:
            await registry.store.append(act_of(attempts))
            written += 1
    except BaseException:
        _put_back(store, waiting[written:])
        raise
    return written


def gathered(found: Iterable[FailedAttempts], entries_max: int) -> list[FailedAttempts]:
    """At most so many as they are, the rest added up by code."""
    ordered = sorted(found, key=lambda one: (not one.key_id, -one.count, one.address, one.code))
    together: dict[str, FailedAttempts] = {}
    for one in ordered[entries_max:]:
        other = FailedAttempts(
            address=OTHER_ADDRESSES,
            code=one.code,
            count=one.count,
            first_ms=one.first_ms,
            last_ms=one.last_ms,
        )
        known = together.get(one.code)
        together[one.code] = merged(known, other) if known is not None else other
    return [*ordered[:entries_max], *together.values()]


def act_of(attempts: FailedAttempts) -> Act:
    """The entry."""
    return Act(
        actor=attempts.key_id or ANONYMOUS,
        address=attempts.address,
        action="authentication.failed",
        target=f"key:{attempts.key_id}" if attempts.key_id else "authentication",
        after={
            "code": attempts.code,
            "count": attempts.count,
            "first_at": _moment(attempts.first_ms),
            "last_at": _moment(attempts.last_ms),
        },
    )


def _put_back(store: LockoutStore, attempts: list[FailedAttempts]) -> None:
    try:
        store.report(attempts)
    except StateUnavailable:
        return  # the shared file cannot be written either; its own loss is logged by whoever meets it


def _moment(at_ms: int) -> str:
    return iso_utc(datetime.fromtimestamp(at_ms / 1000, UTC))
