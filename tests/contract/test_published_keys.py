"""What every store of published keys promises, on each of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import lmdb
import pytest

from rempart.domain.errors import StateUnavailable
from rempart.domain.keys import Content, StoredKey
from rempart.state.shared.keys.interface import KeyUse, PublishedKeys, PublishedProject
from rempart.state.shared.keys.lmdb import LmdbPublishedKeys
from rempart.state.shared.keys.memory import MemoryPublishedKeys

Open = Callable[[], PublishedKeys]
"""Another process's view of the same keys."""


@pytest.fixture(params=["memory", "lmdb"])
def open_keys(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    if request.param == "memory":
        one = MemoryPublishedKeys()
        yield lambda: one
        return
    environment = lmdb.open(str(tmp_path / "shared"), map_size=2**26, max_dbs=32, sync=False)
    yield lambda: LmdbPublishedKeys(environment)
    environment.close()


def key(id_: str, **fields: object) -> StoredKey:
    return StoredKey(id=id_, digest=b"d" * 32, scopes=frozenset({"inference"}), **fields)  # type: ignore[arg-type]


FULL = StoredKey(
    id="CmZaBOdxHqBP",
    digest=b"\0" * 32,
    scopes=frozenset({"inference", "metrics"}),
    name="clé",
    pepper_id="abcd1234",
    old_digest=b"\xff" * 32,
    old_pepper_id="00000000",
    old_until_s=1.5,
    expires_s=2.5,
    revoked_s=3.5,
    models=("a", "b"),
    networks=("192.0.2.0/24",),
    limits={"requests_per_minute": 5, "tokens_per_day": None},
    is_unlimited=True,
    project="p1",
    content=Content.HASHED,
)


def test_nothing_was_published_at_first(open_keys: Open) -> None:
    keys = open_keys()
    assert keys.snapshot().revision == 0
    assert keys.look("a").key is None
    assert keys.key("a") is None
    assert keys.project("p") is None
    keys.confirm(5)
    assert keys.snapshot().revision == 0
    assert keys.collect_uses(10) == []


def test_a_key_comes_back_as_it_was_published_whoever_reads(open_keys: Open) -> None:
    writer, reader = open_keys(), open_keys()
    project = PublishedProject(id="p1", limits={"requests_per_hour": 7})
    revision = writer.publish(keys=[FULL], projects=[project], now_ms=1000)
    assert reader.key(FULL.id) == FULL
    found = reader.look(FULL.id)
    assert found.key == FULL
    assert (found.snapshot.revision, found.snapshot.published_ms) == (revision, 1000)
    assert reader.project("p1") == project


def test_a_change_is_seen_at_once_and_an_unchanged_key_stays_the_same_object(
    open_keys: Open,
) -> None:
    writer, reader = open_keys(), open_keys()
    writer.publish(keys=[key("a"), key("b")], projects=[], now_ms=1)
    before = reader.key("a")
    assert reader.key("a") is before
    writer.publish(keys=[key("b", revoked_s=9.0)], projects=[], now_ms=2)
    assert reader.key("a") is before
    changed = reader.key("b")
    assert changed is not None
    assert changed.revoked_s == 9.0


@pytest.mark.parametrize("odd", ["", "x" * 600, "é" * 300, "\0", "head"])
def test_an_odd_id_is_an_unknown_one(open_keys: Open, odd: str) -> None:
    keys = open_keys()
    keys.publish(keys=[key("a")], projects=[], now_ms=1)
    assert keys.look(odd).key is None
    assert keys.project(odd) is None


def test_the_revision_rises_with_every_change_and_tells_which_keys_changed(
    open_keys: Open,
) -> None:
    keys = open_keys()
    first = keys.publish(keys=[key("a"), key("b")], projects=[], now_ms=1)
    second = keys.publish(keys=[key("c")], projects=[], now_ms=2)
    third = keys.publish(keys=[], projects=[PublishedProject(id="p")], now_ms=3)
    assert 0 < first < second < third == keys.snapshot().revision
    assert list(keys.changed_since(first) or ()) == ["c"]
    assert sorted(keys.changed_since(0) or ()) == ["a", "b", "c"]
    assert list(keys.changed_since(third) or ()) == []
    assert keys.changed_since(third + 1) is None


def test_changes_too_long_ago_are_told_as_everything(open_keys: Open) -> None:
    keys = open_keys()
    revisions = [keys.publish(keys=[key(f"k{n}")], projects=[], now_ms=n) for n in range(600)]
    assert keys.changed_since(revisions[0]) is None
    assert list(keys.changed_since(revisions[-2]) or ()) == ["k599"]
    assert len(keys.changed_since(revisions[-500]) or ()) == 499


def test_publishing_all_leaves_exactly_these(open_keys: Open) -> None:
    writer, reader = open_keys(), open_keys()
    writer.publish(keys=[key("a"), key("b")], projects=[PublishedProject(id="p")], now_ms=1)
    assert reader.key("a") is not None
    for turn in range(3):
        before = reader.snapshot().revision
        names = [f"k{turn}-{n}" for n in range(1200)]
        revision = writer.publish_all(keys=map(key, names), projects=[], now_ms=5 + turn)
        assert revision > before
        assert reader.snapshot().revision == revision
        assert reader.snapshot().published_ms == 5 + turn
        assert all(reader.key(name) is not None for name in names)
        assert reader.key("a") is None
        assert reader.key(f"k{turn - 1}-5") is None
        assert reader.project("p") is None
        assert reader.changed_since(before) is None
        later = writer.publish(keys=[key("late")], projects=[], now_ms=6 + turn)
        assert list(reader.changed_since(revision) or ()) == ["late"]
        assert later == revision + 1


def test_readers_see_the_old_keys_until_all_new_ones_are_there(open_keys: Open) -> None:
    writer, reader = open_keys(), open_keys()
    writer.publish(keys=[key("old")], projects=[], now_ms=1)
    seen = []

    def slowly() -> Iterator[StoredKey]:
        for n in range(1500):
            seen.append((reader.key("old") is not None, reader.key("new-0") is None))
            yield key(f"new-{n}")

    writer.publish_all(keys=slowly(), projects=[], now_ms=2)
    assert set(seen) == {(True, True)}
    assert reader.key("old") is None
    assert reader.key("new-1499") is not None


def test_more_keys_than_go_into_one_step_are_all_published(open_keys: Open) -> None:
    writer, reader = open_keys(), open_keys()
    first = writer.publish(keys=[key("x")], projects=[], now_ms=1)
    last = writer.publish(keys=(key(f"k{n}") for n in range(1201)), projects=[], now_ms=2)
    assert reader.snapshot().revision == last
    assert len(reader.changed_since(first) or ()) == 1201
    assert reader.key("k1200") is not None


def test_a_confirmation_moves_the_time_and_not_the_revision(open_keys: Open) -> None:
    writer, reader = open_keys(), open_keys()
    revision = writer.publish(keys=[key("a")], projects=[], now_ms=1)
    writer.confirm(77)
    assert reader.snapshot().revision == revision
    assert reader.snapshot().published_ms == 77


def test_uses_are_collected_once_and_the_latest_of_a_key_counts(open_keys: Open) -> None:
    worker, control = open_keys(), open_keys()
    worker.note_uses([KeyUse(key_id=f"k{n}", at_ms=n) for n in range(600)])
    worker.note_uses([KeyUse(key_id="k5", at_ms=1000, digest=b"n" * 32, pepper_id="p")])
    first = control.collect_uses(500)
    rest = control.collect_uses(500)
    assert (len(first), len(rest)) == (500, 100)
    by_id = {use.key_id: use for use in [*first, *rest]}
    assert len(by_id) == 600
    assert by_id["k5"] == KeyUse(key_id="k5", at_ms=1000, digest=b"n" * 32, pepper_id="p")
    assert control.collect_uses(500) == []


def test_a_full_store_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    """LMDB alone has an end."""
    environment = lmdb.open(str(tmp_path / "small"), map_size=2**17, max_dbs=32, sync=False)
    keys = LmdbPublishedKeys(environment)
    keys.publish(keys=[key("a")], projects=[], now_ms=1)
    with pytest.raises(StateUnavailable):
        keys.publish_all(
            keys=(key(f"k{n}", name="n" * 200) for n in range(5000)), projects=[], now_ms=2
        )
    assert keys.key("a") is not None
    assert keys.snapshot().published_ms == 1
    environment.close()
