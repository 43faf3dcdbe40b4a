"""``/api/keys``."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from rempart.control.actions import keys
from rempart.control.actions.fields import KeyChanges, NewKey, Rotation
from rempart.control.actions.keys import NewSecret
from rempart.control.api.key_shapes import Key, Keys, NewKeyAnswer
from rempart.control.api.who import Who
from rempart.control.registry import Registry
from rempart.state.durable.interface import KeyRow

Limit = Annotated[int, Query(ge=1, le=1000, description="Entries at most.")]
Cursor = Annotated[str, Query(max_length=512, description="`next` of the page before.")]
Id = Annotated[str, Path(max_length=64, description="The key's id.")]


def router(registry: Registry) -> APIRouter:
    """The routes of this noun."""
    routes = APIRouter(prefix="/api/keys", tags=["keys"])

    def shown(row: KeyRow) -> Key:
        return Key(**keys.document(row, registry.clock.wall()))

    def shown_once(made: NewSecret) -> NewKeyAnswer:
        document = keys.document(made.row, registry.clock.wall())
        return NewKeyAnswer(**document, key=made.secret.reveal())

    @routes.get("", summary="List keys, newest first")
    async def list_keys(
        limit: Limit = 100,
        cursor: Cursor = "",
        project: Annotated[
            str, Query(max_length=128, description="Only keys of this project, by id or name.")
        ] = "",
    ) -> Keys:
        rows, following = await keys.page(registry, limit=limit, cursor=cursor, project=project)
        return Keys(items=[shown(row) for row in rows], next=following)

    @routes.post("", summary="Make a key; its secret is in this answer only", status_code=201)
    async def create(wanted: NewKey, who: Who) -> NewKeyAnswer:
        return shown_once(await keys.create(registry, who, wanted))

    @routes.get("/{id}", summary="Show a key")
    async def show(id: Id) -> Key:
        return shown(await keys.find(registry, id))

    @routes.patch("/{id}", summary="Change a key; what is not given stays")
    async def update(id: Id, changes: KeyChanges, who: Who) -> Key:
        return shown(await keys.update(registry, who, id, changes))

    @routes.post("/{id}/rotate", summary="Give a key a new secret; it is in this answer only")
    async def rotate(id: Id, who: Who, rotation: Rotation | None = None) -> NewKeyAnswer:
        grace_s = rotation.grace_s if rotation is not None else 0.0
        return shown_once(await keys.rotate(registry, who, id, grace_s=grace_s))

    @routes.post("/{id}/revoke", summary="End a key for good, with its streams in flight")
    async def revoke(id: Id, who: Who) -> Key:
        return shown(await keys.revoke(registry, who, id))

    return routes
