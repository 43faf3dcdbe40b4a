"""What operators do with keys: who may, what is stored, what workers read, what the audit log says."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lab.registry import DictStore, registry_of
from rempart.control.actions import keys
from rempart.control.actions.fields import KeyChanges, NewKey, parse
from rempart.control.actions.operator import Operator
from rempart.control.registry import ORIGIN, Registry
from rempart.domain.errors import InsufficientScope, InvalidRequest, NotFound, StateUnavailable
from rempart.domain.keys import ALL_SCOPES, StoredKey
from rempart.domain.peppers import Peppers
from rempart.state.durable.interface import ProjectRow
from rempart.state.shared.keys.memory import MemoryPublishedKeys
from rempart.state.shared.keys.verify import Verifier

LOCAL = Operator.local(0)
ADMIN = Operator("abc", ALL_SCOPES, "192.0.2.1")
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


class StillClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> float:
        return self.moment.timestamp()

    def wall(self) -> datetime:
        return self.moment


class Desk:
    """A registry with everything that a test looks at."""

    def __init__(self, bootstrap: tuple[StoredKey, ...] = ()) -> None:
        self.store = DictStore()
        self.clock = StillClock()
        self.published = MemoryPublishedKeys()
        self.retired: list[str] = []
        self.registry: Registry = registry_of(
            self.store,
            clock=self.clock,
            published=self.published,
            bootstrap=bootstrap,
            on_retired=self.retired.append,
        )
        asyncio.run(self.registry.keep())

    def verifies(self, secret: str) -> bool:
        verifier = Verifier(
            keys=self.published, peppers=self.registry.peppers, clock=self.clock, age_s_max=1e9
        )
        try:
            verifier.verify(secret, "192.0.2.9")
        except Exception:
            return False
        return True

    def create(self, operator: Operator = LOCAL, **fields: Any) -> keys.NewSecret:
        wanted = parse(NewKey, {"name": "droit", **fields})
        return asyncio.run(keys.create(self.registry, operator, wanted))

    def update(self, id_: str, operator: Operator = LOCAL, **fields: Any) -> dict[str, Any]:
        changes = parse(KeyChanges, fields)
        row = asyncio.run(keys.update(self.registry, operator, id_, changes))
        return keys.document(row, self.clock.moment)

    def rotate(self, id_: str, grace_s: float = 0, operator: Operator = LOCAL) -> keys.NewSecret:
        return asyncio.run(keys.rotate(self.registry, operator, id_, grace_s=grace_s))

    def revoke(self, id_: str, operator: Operator = LOCAL) -> None:
        asyncio.run(keys.revoke(self.registry, operator, id_))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_new_key_lets_in_and_only_its_digest_is_stored(desk: Desk) -> None:
    made = desk.create()
    secret = made.secret.reveal()
    assert desk.verifies(secret)
    assert secret.startswith(f"rmp_{made.row.stored.id}_")
    assert secret not in repr(made)
    assert secret.encode() not in repr(desk.store.key_rows).encode()
    assert desk.store.actions == ["key.create"]
    entry = desk.store.entries[0].act
    assert (entry.actor, entry.target) == ("local:0", f"key:{made.row.stored.id}")
    assert entry.after == {"name": "droit", "scopes": ["inference"], "content": "off"}


def test_what_is_given_is_stored_and_shown(desk: Desk) -> None:
    project = ProjectRow(id="prj_1", name="law", created_at=NOW)
    desk.store.project_rows["prj_1"] = project
    row = desk.create(
        scopes=["inference", "metrics"],
        models=["demo"],
        limits={"requests_per_minute": 5, "cost_per_day": 1.25, "requests_per_hour": None},
        networks=["10.0.0.0/8", "2001:db8::1"],
        project="law",
        content="hashed",
        labels={"team": "a"},
        expires_in_s=60,
    ).row
    assert row.stored.limits == {
        "requests_per_minute": 5,
        "cost_per_day": 1_250_000,
        "requests_per_hour": None,
    }
    shown = keys.document(row, NOW)
    assert shown | {"id": ""} == {
        "id": "",
        "name": "droit",
        "state": "active",
        "scopes": ["inference", "metrics"],
        "models": ["demo"],
        "networks": ["10.0.0.0/8", "2001:db8::1/128"],
        "limits": {"requests_per_minute": 5, "requests_per_hour": None, "cost_per_day": 1.25},
        "is_unlimited": False,
        "project": "prj_1",
        "content": "hashed",
        "labels": {"team": "a"},
        "created_at": "2026-11-25T12:00:00.000Z",
        "last_used_at": None,
        "expires_at": "2026-11-25T12:01:00.000Z",
        "revoked_at": None,
        "old_secret_until": None,
    }


def test_nobody_makes_a_key_with_a_scope_they_lack(desk: Desk) -> None:
    writer = Operator("w", frozenset({"admin:write", "inference"}), "192.0.2.1")
    assert desk.create(writer, scopes=["inference"]).row.stored.scopes == {"inference"}
    with pytest.raises(InsufficientScope, match="admin:read"):
        desk.create(writer, scopes=["inference", "admin:read"])
    reader = Operator("r", frozenset({"admin:read", "inference"}), "192.0.2.1")
    with pytest.raises(InsufficientScope, match="admin:write"):
        desk.create(reader, scopes=["inference"])
    assert len(desk.store.key_rows) == 1


def test_nobody_gets_hold_of_a_stronger_key_by_rotating_or_changing_it(desk: Desk) -> None:
    strong = desk.create(scopes=sorted(ALL_SCOPES)).row.stored.id
    weak = desk.create(scopes=["admin:write"]).row.stored.id
    writer = Operator(weak, frozenset({"admin:write"}), "192.0.2.1")
    for act in (
        lambda: desk.rotate(strong, operator=writer),
        lambda: desk.update(strong, writer, networks=[]),
        lambda: desk.revoke(strong, writer),
        lambda: desk.update(weak, writer, scopes=["admin:write", "inference"]),
    ):
        with pytest.raises(InsufficientScope):
            act()
    assert desk.store.actions == ["key.create", "key.create"]


def test_a_change_is_told_before_and_after(desk: Desk) -> None:
    id_ = desk.create(limits={"requests_per_minute": 5}, labels={"a": "1"}).row.stored.id
    shown = desk.update(
        id_,
        ADMIN,
        name="new",
        limits={"requests_per_minute": "default", "tokens_per_day": 9},
        labels={"a": None, "b": "2"},
        expires_in_s=10,
    )
    assert shown["limits"] == {"tokens_per_day": 9}
    assert shown["labels"] == {"b": "2"}
    entry = desk.store.entries[-1].act
    assert (entry.actor, entry.address, entry.action) == ("abc", "192.0.2.1", "key.update")
    assert entry.before == {
        "expires_at": None,
        "labels": {"a": "1"},
        "limits": {"requests_per_minute": 5},
        "name": "droit",
    }
    assert entry.after is not None
    assert entry.after["expires_at"] == "2026-11-25T12:00:10.000Z"
    published = desk.published.key(id_)
    assert published is not None
    assert published.name == "new"


def test_an_expiry_is_taken_back_by_null_and_left_alone_when_not_given(desk: Desk) -> None:
    id_ = desk.create(expires_in_s=10).row.stored.id
    assert desk.update(id_, name="x")["expires_at"] == "2026-11-25T12:00:10.000Z"
    assert desk.update(id_, expires_at=None)["expires_at"] is None


def test_a_change_that_changes_nothing_writes_no_entry(desk: Desk) -> None:
    id_ = desk.create().row.stored.id
    desk.update(id_, name="droit")
    assert desk.store.actions == ["key.create"]


def test_rotation_keeps_the_old_secret_for_the_grace_and_no_longer(desk: Desk) -> None:
    old = desk.create()
    new = desk.rotate(old.row.stored.id, grace_s=600)
    assert new.row.stored.id == old.row.stored.id
    assert new.secret != old.secret
    assert desk.verifies(new.secret.reveal())
    assert desk.verifies(old.secret.reveal())
    desk.clock.moment += timedelta(seconds=600)
    assert not desk.verifies(old.secret.reveal())
    assert desk.verifies(new.secret.reveal())


def test_without_a_grace_the_old_secret_ends_at_once(desk: Desk) -> None:
    old = desk.create()
    new = desk.rotate(old.row.stored.id)
    assert not desk.verifies(old.secret.reveal())
    assert desk.verifies(new.secret.reveal())


def test_a_revoked_key_stays_revoked(desk: Desk) -> None:
    made = desk.create()
    id_ = made.row.stored.id
    desk.revoke(id_)
    desk.revoke(id_)
    assert desk.store.actions == ["key.create", "key.revoke"]
    assert not desk.verifies(made.secret.reveal())
    for act in (lambda: desk.rotate(id_), lambda: desk.update(id_, name="x")):
        with pytest.raises(InvalidRequest, match="revoked"):
            act()


def test_an_expired_key_is_given_a_later_expiry_before_a_new_secret(desk: Desk) -> None:
    id_ = desk.create(expires_in_s=1).row.stored.id
    desk.clock.moment += timedelta(seconds=1)
    with pytest.raises(InvalidRequest, match="expired"):
        desk.rotate(id_)
    assert desk.update(id_, expires_in_s=60)["state"] == "active"


def test_unknown_keys_and_projects_are_named(desk: Desk) -> None:
    with pytest.raises(NotFound):
        desk.revoke("nobody")
    with pytest.raises(InvalidRequest, match="project") as found:
        desk.create(project="nowhere")
    assert found.value.details["fields"][0]["found"] == "nowhere"


def test_both_ways_to_say_an_expiry_or_a_past_one_are_refused(desk: Desk) -> None:
    with pytest.raises(InvalidRequest, match="expires_in_s"):
        desk.create(expires_in_s=1, expires_at="2027-01-01T00:00:00Z")
    with pytest.raises(InvalidRequest, match="future"):
        desk.create(expires_at="2020-01-01T00:00:00Z")


def test_while_the_database_is_away_nothing_changes(desk: Desk) -> None:
    desk.store.is_away = True
    with pytest.raises(StateUnavailable):
        desk.create()
    desk.store.is_away = False
    assert desk.store.key_rows == {}


def test_a_change_made_between_a_read_and_its_write_is_not_lost(desk: Desk) -> None:
    """A key that is revoked while an update is under way stays revoked."""
    id_ = desk.create().row.stored.id
    registry = desk.registry

    async def scenario() -> None:
        changes = parse(KeyChanges, {"name": "later"})
        results = await asyncio.gather(
            keys.update(registry, LOCAL, id_, changes),
            keys.revoke(registry, LOCAL, id_),
            keys.update(registry, LOCAL, id_, changes),
            return_exceptions=True,
        )
        assert isinstance(results[2], InvalidRequest)

    asyncio.run(scenario())
    assert desk.store.key_rows[id_].stored.revoked_s


def _imported(secret: str, peppers: Peppers) -> StoredKey:
    digest, pepper_id = peppers.digest(secret)
    return StoredKey(id="bootstrapkey", digest=digest, pepper_id=pepper_id, scopes=ALL_SCOPES)


def test_a_rotated_or_revoked_bootstrap_key_is_told_so_that_its_file_goes(desk: Desk) -> None:
    first = desk.create().row.stored.id
    second = desk.create().row.stored.id
    desk.rotate(first)
    desk.revoke(second)
    assert desk.retired == [first, second]


def test_rotating_the_imported_key_takes_its_mark_away() -> None:
    peppers = Peppers.of([b"p" * 32])
    desk = Desk(bootstrap=(_imported("x" * 40, peppers),))
    assert ORIGIN in desk.store.key_rows["bootstrapkey"].labels
    desk.rotate("bootstrapkey")
    assert ORIGIN not in desk.store.key_rows["bootstrapkey"].labels
