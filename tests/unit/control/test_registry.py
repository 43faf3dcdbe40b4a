"""From the database to what workers read: at start, after a change, after trouble."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from lab.registry import PEPPER, DictStore, registry_of
from rempart.control.actions import keys
from rempart.control.actions.fields import NewKey
from rempart.control.actions.operator import Operator
from rempart.control.registry import ORIGIN, Registry
from rempart.domain.errors import StateUnavailable
from rempart.domain.keys import ALL_SCOPES, StoredKey
from rempart.domain.peppers import Peppers
from rempart.state.durable.interface import Act, KeyRow, ProjectRow
from rempart.state.shared.keys.interface import KeyUse
from rempart.state.shared.keys.memory import MemoryPublishedKeys

AT = datetime(2026, 11, 25, tzinfo=UTC)
ACT = Act(actor="x", address="", action="key.create", target="key:other")
LOCAL = Operator.local(0)
OLD, NEW = b"o" * 32, PEPPER


def bootstrap(secret: str, pepper: bytes = PEPPER) -> StoredKey:
    digest, pepper_id = Peppers.of([pepper]).digest(secret)
    return StoredKey(
        id="bootstrapkey", digest=digest, pepper_id=pepper_id, scopes=ALL_SCOPES, is_unlimited=True
    )


def stored(id_: str, **more: Any) -> StoredKey:
    return StoredKey(id=id_, digest=b"d" * 32, scopes=frozenset({"inference"}), **more)


class FullKeys(MemoryPublishedKeys):
    """Published keys that cannot be written while ``is_full``."""

    is_full = False

    def publish(self, **what: Any) -> int:
        if self.is_full:
            raise StateUnavailable(reason="the shared file is full")
        return super().publish(**what)


def test_what_the_database_holds_is_published_at_the_start() -> None:
    store, published = DictStore(), MemoryPublishedKeys()
    store.key_rows["abcdefghijkl"] = KeyRow(stored=stored("abcdefghijkl"), created_at=AT)
    store.project_rows["p"] = ProjectRow(
        id="p", name="law", limits={"tokens_per_day": 1}, created_at=AT
    )
    asyncio.run(registry_of(store, published=published).keep())
    assert published.key("abcdefghijkl") == store.key_rows["abcdefghijkl"].stored
    project = published.project("p")
    assert project is not None
    assert project.limits == {"tokens_per_day": 1}


def test_until_the_database_is_open_everything_is_refused_by_name_and_then_heals() -> None:
    store, published = DictStore(), MemoryPublishedKeys()
    store.is_away = True
    registry = registry_of(store, published=published)
    with pytest.raises(StateUnavailable, match="not open"):
        _ = registry.store
    with pytest.raises(StateUnavailable):
        asyncio.run(registry.keep())
    assert "away" in registry.away
    store.is_away = False
    assert asyncio.run(registry.keep())
    assert registry.away == ""
    assert published.snapshot().revision > 0


def test_while_the_database_is_away_nothing_is_confirmed() -> None:
    store, published = DictStore(), MemoryPublishedKeys()
    registry = registry_of(store, published=published)
    asyncio.run(registry.keep())
    before = published.snapshot()
    store.is_away = True
    with pytest.raises(StateUnavailable):
        asyncio.run(registry.keep())
    assert published.snapshot() == before
    assert registry.away


def test_the_bootstrap_key_is_imported_once_with_an_audit_entry() -> None:
    store = DictStore()
    for _ in range(2):
        registry = registry_of(store, bootstrap=[bootstrap("s" * 40)])
        asyncio.run(registry.keep())
    assert store.actions == ["key.import"]
    assert store.key_rows["bootstrapkey"].stored.is_unlimited


def test_a_bootstrap_key_that_was_changed_where_it_came_from_replaces_the_old_one() -> None:
    store = DictStore()
    for secret in ("s" * 40, "t" * 40):
        asyncio.run(registry_of(store, bootstrap=[bootstrap(secret)]).keep())
    assert store.actions == ["key.import", "key.import"]
    assert store.key_rows["bootstrapkey"].stored.digest == bootstrap("t" * 40).digest


@pytest.mark.parametrize("act", ["rotate", "revoke"])
def test_one_that_operators_rotated_or_revoked_does_not_come_back(act: str) -> None:
    store = DictStore()
    first = registry_of(store, bootstrap=[bootstrap("s" * 40)])
    asyncio.run(first.keep())
    if act == "rotate":
        asyncio.run(keys.rotate(first, LOCAL, "bootstrapkey", grace_s=0))
    else:
        asyncio.run(keys.revoke(first, LOCAL, "bootstrapkey"))
    before = store.key_rows["bootstrapkey"]
    again = registry_of(store, bootstrap=[bootstrap("t" * 40)])
    asyncio.run(again.keep())
    assert store.key_rows["bootstrapkey"] == before
    assert again.ignored == {"bootstrapkey"}


def test_a_change_that_workers_could_not_be_told_of_is_told_later() -> None:
    store, published = DictStore(), FullKeys()
    registry = registry_of(store, published=published)
    asyncio.run(registry.keep())
    published.is_full = True
    with pytest.raises(StateUnavailable, match="stored"):
        asyncio.run(keys.create(registry, LOCAL, NewKey(name="a")))
    (id_,) = store.key_rows
    assert published.key(id_) is None
    published.is_full = False
    asyncio.run(registry.keep())
    assert published.key(id_) is not None


def test_a_change_that_another_instance_made_is_followed() -> None:
    store, published = DictStore(), MemoryPublishedKeys()
    registry = registry_of(store, published=published)
    asyncio.run(registry.keep())
    row = KeyRow(stored=stored("other"), created_at=AT)
    asyncio.run(store.put_key(row, ACT))
    assert published.key("other") is None
    assert asyncio.run(registry.keep())
    assert published.key("other") == row.stored
    assert not asyncio.run(registry.keep())


def test_more_changes_than_are_looked_through_publish_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rempart.control.registry.NEWS_MAX", 2)
    store, published = DictStore(), MemoryPublishedKeys()
    registry = registry_of(store, published=published)
    asyncio.run(registry.keep())
    for name in "xyz":
        asyncio.run(store.put_key(KeyRow(stored=stored(name), created_at=AT), ACT))
    asyncio.run(registry.keep())
    assert all(published.key(name) for name in "xyz")


def _with_old_pepper(published: MemoryPublishedKeys) -> tuple[DictStore, Registry]:
    store = DictStore()
    digest, pepper_id = Peppers.of([OLD]).digest("secret")
    row = KeyRow(
        stored=StoredKey(id="abcdefghijkl", digest=digest, pepper_id=pepper_id, scopes=frozenset()),
        created_at=AT,
    )
    store.key_rows["abcdefghijkl"] = row
    registry = registry_of(store, published=published)
    registry.peppers = Peppers.of([NEW, OLD])
    asyncio.run(registry.keep())
    return store, registry


def _use(secret: str, at_ms: int = 1000) -> KeyUse:
    digest, pepper_id = Peppers.of([NEW]).digest(secret)
    return KeyUse(key_id="abcdefghijkl", at_ms=at_ms, digest=digest, pepper_id=pepper_id)


def test_uses_move_last_used_and_make_digests_anew() -> None:
    published = MemoryPublishedKeys()
    store, registry = _with_old_pepper(published)
    published.note_uses([_use("secret")])
    assert asyncio.run(registry.note_uses()) == 1
    row = store.key_rows["abcdefghijkl"]
    assert row.last_used_at == datetime.fromtimestamp(1, UTC)
    assert row.stored.digest == _use("secret").digest
    assert published.key("abcdefghijkl") == row.stored


def test_a_use_from_before_a_rotation_does_not_bring_the_old_secret_back() -> None:
    published = MemoryPublishedKeys()
    store, registry = _with_old_pepper(published)
    published.note_uses([_use("secret")])
    asyncio.run(keys.rotate(registry, LOCAL, "abcdefghijkl", grace_s=0))
    rotated = store.key_rows["abcdefghijkl"].stored
    asyncio.run(registry.note_uses())
    assert store.key_rows["abcdefghijkl"].stored == rotated


def test_uses_wait_while_the_database_is_away() -> None:
    published = MemoryPublishedKeys()
    store, registry = _with_old_pepper(published)
    published.note_uses([_use("secret")])
    store.is_away = True
    with pytest.raises(StateUnavailable):
        asyncio.run(registry.note_uses())
    store.is_away = False
    assert asyncio.run(registry.note_uses()) == 1
    assert store.key_rows["abcdefghijkl"].last_used_at is not None


def test_the_mark_of_an_imported_key_is_no_label_of_operators() -> None:
    store = DictStore()
    registry = registry_of(store, bootstrap=[bootstrap("s" * 40)])
    asyncio.run(registry.keep())
    assert ORIGIN in store.key_rows["bootstrapkey"].labels
