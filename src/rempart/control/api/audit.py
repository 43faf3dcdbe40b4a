"""``/api/audit``."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from rempart.control.actions import audit
from rempart.control.api.key_shapes import AuditEntries, AuditEntry, AuditVerdict
from rempart.control.api.keys import Cursor, Limit
from rempart.control.registry import Registry
from rempart.state.durable.checkpoints import Checkpoints

Order = Annotated[Literal["newest", "oldest"], Query(description="Which entries come first.")]


def router(registry: Registry, checkpoints: Checkpoints | None = None) -> APIRouter:
    """The routes of this noun."""
    routes = APIRouter(prefix="/api/audit", tags=["audit"])

    @routes.get("", summary="List what operators did, and what failed to authenticate")
    async def list_entries(
        limit: Limit = 100, cursor: Cursor = "", order: Order = "newest"
    ) -> AuditEntries:
        rows, following = await audit.page(
            registry, limit=limit, cursor=cursor, newest_first=order == "newest"
        )
        return AuditEntries(
            items=[AuditEntry(**audit.document(row)) for row in rows], next=following
        )

    @routes.get(
        "/verify", summary="Follow the chain of hashes, and compare it with the signed checkpoints"
    )
    async def verify() -> AuditVerdict:
        chain, compared = await audit.verify(registry, checkpoints)
        return AuditVerdict(
            is_whole=not chain.fault,
            entries=chain.count,
            head=chain.head.hex(),
            fault=chain.fault,
            checkpoints=compared,
        )

    return routes
