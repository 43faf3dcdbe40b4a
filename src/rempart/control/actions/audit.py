"""What an operator can do with the audit log: read it, verify it, take it elsewhere."""

from typing import Any, NamedTuple

from rempart.base.clock import iso_utc
from rempart.control.registry import Registry
from rempart.state.durable.chain import Chain
from rempart.state.durable.checkpoints import AuditLogChanged, Checkpoints
from rempart.state.durable.interface import AuditRow

BATCH = 1000
"""Entries looked at between two turns of the event loop."""


async def page(
    registry: Registry, *, limit: int, cursor: str = "", newest_first: bool = True
) -> tuple[list[AuditRow], str | None]:
    """Entries, and the cursor after which they go on.

    Raises:
        InvalidRequest: the cursor is none that was given out.
    """
    found = await registry.store.audit(limit=limit, cursor=cursor, newest_first=newest_first)
    return list(found.items), found.next_cursor or None


class Verdict(NamedTuple):
    """What was found: the chain as far as it is whole, and how many checkpoints it was compared with."""

    chain: Chain
    checkpoints: int


async def verify(registry: Registry, checkpoints: Checkpoints | None = None) -> Verdict:
    """The log followed from its first entry to its last, or to the first fault."""
    signed: dict[int, bytes] = {}
    if checkpoints is not None:
        try:
            signed = dict(await checkpoints.read())
        except AuditLogChanged as error:
            chain = Chain()
            chain.fault = str(error)
            return Verdict(chain, 0)
    chain, cursor = Chain(signed=signed), ""
    while True:
        found = await registry.store.audit(limit=BATCH, cursor=cursor, newest_first=False)
        chain.follow(found.items)
        cursor = found.next_cursor
        if not cursor or chain.fault:
            chain.end()
            return Verdict(chain, len(signed))


def document(row: AuditRow) -> dict[str, Any]:
    """An entry as operators read it."""
    act = row.act
    return {
        "sequence": row.sequence,
        "at": iso_utc(row.at),
        "actor": act.actor,
        "address": act.address,
        "action": act.action,
        "target": act.target,
        "before": act.before,
        "after": act.after,
        "previous_hash": row.previous_hash.hex(),
        "hash": row.hash.hex(),
    }
