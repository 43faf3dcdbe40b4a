"""What an operator can do with keys.

Each act writes the audit log in the same transaction and is published to the workers before it is
answered. An operator's key may neither make, change, rotate nor revoke a key that has a scope which
it lacks itself; on the machine itself (the control socket) everything may be done, so that nobody is
locked out by revoking the last admin key.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from rempart.base.clock import iso_utc
from rempart.base.secret import Secret
from rempart.control.actions import fields
from rempart.control.actions.fields import KeyChanges, NewKey, wrong, wrong_fields
from rempart.control.actions.operator import Operator
from rempart.control.registry import Registry, without_origin
from rempart.domain.errors import InvalidRequest, NotFound
from rempart.domain.key_format import ID_CHARACTERS, random_base62
from rempart.domain.keys import Content, StoredKey
from rempart.state.durable.interface import KeyRow


class NewSecret(NamedTuple):
    """A key whose secret is shown now and never again."""

    row: KeyRow
    secret: Secret


async def page(
    registry: Registry, *, limit: int, cursor: str = "", project: str = ""
) -> tuple[list[KeyRow], str | None]:
    """Keys, newest first, and the cursor after which they go on.

    Args:
        project: only those of this project, by id or name.
    Raises:
        InvalidRequest: there is no such project, or the cursor is none that was given out.
    """
    found = await registry.store.keys(
        limit=limit, cursor=cursor, project=await _project_id(registry, project)
    )
    return list(found.items), found.next_cursor or None


async def find(registry: Registry, id_: str) -> KeyRow:
    """One key.

    Raises:
        NotFound: there is none of this id.
    """
    row = await registry.store.key(id_)
    if row is None:
        raise NotFound(
            message="There is no key with this id. `rempart keys list` or GET /api/keys shows those there are."
        )
    return row


async def create(registry: Registry, operator: Operator, wanted: NewKey) -> NewSecret:
    """Make a key.

    Raises:
        InsufficientScope: it would have a scope that the operator lacks.
        InvalidRequest: a field is wrong.
    """
    operator.must_hold(wanted.scopes)
    now = registry.clock.wall()
    expires_at = fields.expiry(wanted, now)
    id_ = random_base62(ID_CHARACTERS, registry.random)
    async with registry.changing:
        issued = registry.issue(id_)
        stored = StoredKey(
            id=id_,
            digest=issued.digest,
            pepper_id=issued.pepper_id,
            scopes=frozenset(wanted.scopes),
            name=wanted.name,
            models=tuple(wanted.models),
            networks=tuple(wanted.networks),
            limits=fields.amounts_of(wanted.limits),
            project=await _project_id(registry, wanted.project),
            content=Content(wanted.content),
            expires_s=_seconds(expires_at),
        )
        row = KeyRow(stored=stored, labels=wanted.labels, created_at=now)
        act = operator.act("key.create", _target(id_), after=_told(row))
        await registry.store.put_key(row, act)
        registry.publish(keys=[row.stored])
    return NewSecret(row, issued.secret)


async def update(registry: Registry, operator: Operator, id_: str, changes: KeyChanges) -> KeyRow:
    """Change what a key may do; what is not given stays.

    Raises:
        NotFound, InsufficientScope, InvalidRequest: also when the key is revoked.
    """
    async with registry.changing:
        before = await find(registry, id_)
        operator.must_hold(before.stored.scopes)
        operator.must_hold(changes.scopes or ())
        _must_live(before)
        after = await _changed(registry, before, changes)
        old, new = fields.differences(_told(before), _told(after))
        if new or old:
            act = operator.act("key.update", _target(id_), before=old, after=new)
            await registry.store.put_key(after, act)
        registry.publish(keys=[after.stored])
    return after


async def rotate(registry: Registry, operator: Operator, id_: str, *, grace_s: float) -> NewSecret:
    """Give a key a new secret; the old one goes on for ``grace_s`` seconds, one before it ends at once.

    Raises:
        NotFound, InsufficientScope, InvalidRequest: also when the key is revoked or expired.
    """
    async with registry.changing:
        before = await find(registry, id_)
        stored = before.stored
        operator.must_hold(stored.scopes)
        _must_live(before)
        now = registry.clock.wall()
        if stored.expires_s and stored.expires_s <= now.timestamp():
            raise InvalidRequest(
                reason="This key has expired; a new secret would not work. Give it a later expires_at first."
            )
        old_until_s = now.timestamp() + grace_s if grace_s else 0.0
        issued = registry.issue(id_)
        after = msgspec.structs.replace(
            before,
            labels=without_origin(before.labels),
            stored=msgspec.structs.replace(
                stored,
                digest=issued.digest,
                pepper_id=issued.pepper_id,
                old_digest=stored.digest if grace_s else b"",
                old_pepper_id=stored.pepper_id if grace_s else "",
                old_until_s=old_until_s,
            ),
        )
        act = operator.act(
            "key.rotate",
            _target(id_),
            after={"grace_s": grace_s, "old_secret_until": _moment(old_until_s)},
        )
        await registry.store.put_key(after, act)
        registry.publish(keys=[after.stored])
        registry.retired(id_)
    return NewSecret(after, issued.secret)


async def revoke(registry: Registry, operator: Operator, id_: str) -> KeyRow:
    """End a key for good, with its streams in flight; one that is revoked stays as it is.

    Raises:
        NotFound, InsufficientScope.
    """
    async with registry.changing:
        row = await find(registry, id_)
        operator.must_hold(row.stored.scopes)
        if not row.stored.revoked_s:
            now_s = registry.clock.wall().timestamp()
            stored = msgspec.structs.replace(
                row.stored,
                revoked_s=now_s,
                old_digest=b"",
                old_pepper_id="",
                old_until_s=0.0,
            )
            row = msgspec.structs.replace(row, stored=stored)
            act = operator.act("key.revoke", _target(id_), after={"revoked_at": _moment(now_s)})
            await registry.store.put_key(row, act)
        registry.publish(keys=[row.stored])
        registry.retired(id_)
    return row


def document(row: KeyRow, now: datetime) -> dict[str, Any]:
    """A key as operators read it; nothing in it is secret."""
    stored = row.stored
    return {
        "id": stored.id,
        "name": stored.name,
        "state": state(row, now),
        "scopes": sorted(stored.scopes),
        "models": list(stored.models),
        "networks": list(stored.networks),
        "limits": fields.shown_amounts(stored.limits),
        "is_unlimited": stored.is_unlimited,
        "project": stored.project or None,
        "content": stored.content.value,
        "labels": row.labels,
        "created_at": iso_utc(row.created_at),
        "last_used_at": iso_utc(row.last_used_at) if row.last_used_at else None,
        "expires_at": _moment(stored.expires_s),
        "revoked_at": _moment(stored.revoked_s),
        "old_secret_until": _moment(stored.old_until_s)
        if stored.old_until_s > now.timestamp()
        else None,
    }


def state(row: KeyRow, now: datetime) -> str:
    """``active``, ``expired`` or ``revoked``."""
    if row.stored.revoked_s:
        return "revoked"
    if row.stored.expires_s and row.stored.expires_s <= now.timestamp():
        return "expired"
    return "active"


async def _changed(registry: Registry, row: KeyRow, changes: KeyChanges) -> KeyRow:
    given = changes.model_fields_set
    stored = row.stored
    replaced: dict[str, Any] = {}
    if changes.name is not None:
        replaced["name"] = changes.name
    if changes.scopes is not None:
        replaced["scopes"] = frozenset(changes.scopes)
    if changes.models is not None:
        replaced["models"] = tuple(changes.models)
    if changes.networks is not None:
        replaced["networks"] = tuple(changes.networks)
    if changes.content is not None:
        replaced["content"] = Content(changes.content)
    if changes.limits is not None:
        replaced["limits"] = fields.changed_amounts(stored.limits, changes.limits)
    if changes.project is not None:
        replaced["project"] = await _project_id(registry, changes.project)
    if given & {"expires_at", "expires_in_s"}:
        replaced["expires_s"] = _seconds(fields.expiry(changes, registry.clock.wall()))
    labels = row.labels
    if changes.labels is not None:
        labels = fields.changed_labels(labels, changes.labels)
    return msgspec.structs.replace(
        row, stored=msgspec.structs.replace(stored, **replaced), labels=labels
    )


async def _project_id(registry: Registry, id_or_name: str) -> str:
    if not id_or_name:
        return ""
    found = await registry.store.project(id_or_name)
    if found is None:
        problem = "must be the id or name of a project; `rempart projects list` shows them"
        raise wrong_fields([wrong("project", problem, id_or_name)])
    return found.id


def _must_live(row: KeyRow) -> None:
    if row.stored.revoked_s:
        raise InvalidRequest(
            reason="This key is revoked and stays so; nothing about it can change. Create another one."
        )


def _told(row: KeyRow) -> dict[str, Any]:
    """What the audit log tells of a key: what operators decide, without what is at its default."""
    shown = document(row, row.created_at)
    left_out = {"id", "state", "created_at", "last_used_at", "revoked_at", "old_secret_until"}
    return {name: value for name, value in shown.items() if name not in left_out and value}


def _target(id_: str) -> str:
    return f"key:{id_}"


def _seconds(moment: datetime | None) -> float:
    return moment.timestamp() if moment is not None else 0.0


def _moment(seconds: float) -> str | None:
    return iso_utc(datetime.fromtimestamp(seconds, UTC)) if seconds else None
