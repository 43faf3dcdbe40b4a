"""What an operator can do with projects: keys that share limits."""

from typing import Any

import msgspec

from rempart.base.clock import iso_utc
from rempart.control.actions import fields
from rempart.control.actions.fields import NewProject, ProjectChanges, wrong, wrong_fields
from rempart.control.actions.operator import Operator
from rempart.control.registry import Registry
from rempart.domain.errors import InvalidRequest, NotFound
from rempart.domain.key_format import ID_CHARACTERS, random_base62
from rempart.state.durable.interface import NameTaken, ProjectRow

ID_PREFIX = "prj_"


async def page(
    registry: Registry, *, limit: int, cursor: str = ""
) -> tuple[list[ProjectRow], str | None]:
    """Projects, newest first, and the cursor after which they go on.

    Raises:
        InvalidRequest: the cursor is none that was given out.
    """
    found = await registry.store.projects(limit=limit, cursor=cursor)
    return list(found.items), found.next_cursor or None


async def find(registry: Registry, id_or_name: str) -> ProjectRow:
    """One project.

    Raises:
        NotFound: there is none of this id or name.
    """
    row = await registry.store.project(id_or_name)
    if row is None:
        raise NotFound(
            message="There is no project of this id or name. "
            "`rempart projects list` or GET /api/projects shows those there are."
        )
    return row


async def create(registry: Registry, operator: Operator, wanted: NewProject) -> ProjectRow:
    """Make a project.

    Raises:
        InsufficientScope.
        InvalidRequest: its name is taken, or looks like an id.
    """
    operator.must_write()
    row = ProjectRow(
        id=ID_PREFIX + random_base62(ID_CHARACTERS, registry.random),
        name=_name(wanted.name),
        limits=fields.amounts_of(wanted.limits),
        labels=wanted.labels,
        created_at=registry.clock.wall(),
    )
    async with registry.changing:
        act = operator.act("project.create", f"project:{row.id}", after=_told(row))
        await _put(registry, row, act)
    return row


async def update(
    registry: Registry, operator: Operator, id_or_name: str, changes: ProjectChanges
) -> ProjectRow:
    """Change a project; what is not given stays.

    Raises:
        NotFound, InsufficientScope, InvalidRequest.
    """
    operator.must_write()
    async with registry.changing:
        before = await find(registry, id_or_name)
        replaced: dict[str, Any] = {}
        if changes.name is not None:
            replaced["name"] = _name(changes.name)
        if changes.limits is not None:
            replaced["limits"] = fields.changed_amounts(before.limits, changes.limits)
        if changes.labels is not None:
            replaced["labels"] = fields.changed_labels(before.labels, changes.labels)
        after = msgspec.structs.replace(before, **replaced)
        old, new = fields.differences(_told(before), _told(after))
        if old:
            act = operator.act("project.update", f"project:{before.id}", before=old, after=new)
            await _put(registry, after, act)
    return after


def document(row: ProjectRow) -> dict[str, Any]:
    """A project as operators read it."""
    return {
        "id": row.id,
        "name": row.name,
        "limits": fields.shown_amounts(row.limits),
        "labels": row.labels,
        "created_at": iso_utc(row.created_at),
    }


async def _put(registry: Registry, row: ProjectRow, act: Any) -> None:
    try:
        await registry.store.put_project(row, act)
    except NameTaken as error:
        raise wrong_fields([wrong("name", "is the name of another project", row.name)]) from error
    registry.publish(projects=[row])


def _name(name: str) -> str:
    if name.startswith(ID_PREFIX):
        raise InvalidRequest(
            param="name", reason=f"name: must not begin with {ID_PREFIX}, as ids do."
        )
    return name


def _told(row: ProjectRow) -> dict[str, Any]:
    shown = document(row)
    return {name: shown[name] for name in ("name", "limits", "labels") if shown[name]}
