"""Whatever somebody does to the audit log's table, ``verify`` finds it, on SQLite and on PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.durable_stores import Place, act
from lab.postgres import Postgres, postgres_server
from rempart.base.clock import SystemClock, iso_utc
from rempart.control.actions.audit import Verdict, verify
from rempart.state.durable.chain import START_HASH, entry_hash
from rempart.state.durable.checkpoints import AuditLogChanged, Checkpoints
from rempart.state.durable.interface import AuditRow, DurableStore

ENTRIES = 12
SIGNED = 10


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A database with a log, of which the first ten entries are signed (at the 5th and the 10th)."""
    url = "sqlite"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").new_database()
    place = Place(url, tmp_path)

    async def fill(store: DurableStore) -> None:
        checkpoints = checkpoints_of(place)
        for number in range(1, ENTRIES + 1):
            await store.append(act(f"key:{number}", after={"n": number}))
            if number in (5, SIGNED):
                assert await checkpoints.advance(store, is_last=True)

    place.use(fill)
    return place


def checkpoints_of(place: Place) -> Checkpoints:
    return Checkpoints(place.folder, SystemClock())


def verdict(place: Place) -> Verdict:
    found: list[Verdict] = []

    async def body(store: DurableStore) -> None:
        registry: Any = SimpleNamespace(store=store)
        found.append(await verify(registry, checkpoints_of(place)))

    place.use(body)
    return found[0]


def sign(place: Place) -> str:
    notes: list[str] = []

    async def body(store: DurableStore) -> None:
        notes.append(await checkpoints_of(place).advance(store, is_last=True))

    place.use(body)
    return notes[0]


def rows_of(place: Place) -> list[AuditRow]:
    rows: list[AuditRow] = []

    async def body(store: DurableStore) -> None:
        rows.extend((await store.audit(limit=100, newest_first=False)).items)

    place.use(body)
    return rows


def rewritten(place: Place, first: int) -> None:
    """Another history from this entry on, as a forger with the code would write it: its chain is whole."""
    previous = START_HASH
    statements = []
    for row in rows_of(place):
        changed = act(row.act.target, after={"n": 0}) if row.sequence >= first else row.act
        hash_ = entry_hash(previous, row.sequence, iso_utc(row.at), changed)
        after = f'{{"n":{0 if row.sequence >= first else row.sequence}}}'
        values = f"after = '{after}', previous_hash = {blob(place, previous)}, hash = {blob(place, hash_)}"
        statements.append(f"UPDATE audit_log SET {values} WHERE sequence = {row.sequence}")
        previous = hash_
    place.sql(*statements)


def blob(place: Place, value: bytes) -> str:
    return f"x'{value.hex()}'" if place.url == "sqlite" else f"'\\x{value.hex()}'::bytea"


def test_a_log_that_nobody_touched_is_whole(place: Place) -> None:
    chain, compared = verdict(place)
    assert (chain.fault, chain.count, compared) == ("", ENTRIES, 2)
    assert sign(place)
    assert not sign(place)
    assert verdict(place).checkpoints == 3


def edited(place: Place) -> None:
    place.sql("UPDATE audit_log SET actor = 'somebody else' WHERE sequence = 3")


def removed(place: Place) -> None:
    place.sql("DELETE FROM audit_log WHERE sequence = 3")


def removed_at_the_beginning(place: Place) -> None:
    place.sql("DELETE FROM audit_log WHERE sequence <= 3")


def reordered(place: Place) -> None:
    place.sql(
        "UPDATE audit_log SET sequence = 100 WHERE sequence = 3",
        "UPDATE audit_log SET sequence = 3 WHERE sequence = 4",
        "UPDATE audit_log SET sequence = 4 WHERE sequence = 100",
    )


def truncated(place: Place) -> None:
    place.sql("DELETE FROM audit_log WHERE sequence >= 10")


def emptied(place: Place) -> None:
    place.sql("DELETE FROM audit_log")


def forked(place: Place) -> None:
    rewritten(place, 8)


def wholly_rewritten(place: Place) -> None:
    rewritten(place, 1)


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (edited, "entry 3 was changed"),
        (removed, "entry 3 is missing"),
        (removed_at_the_beginning, "entry 1 is missing"),
        (reordered, "entry 3 does not follow"),
        (truncated, "it ends at entry 9, but 10 entries were signed"),
        (emptied, "it ends at entry 0, but 10 entries were signed"),
        (forked, "entry 10 is not the one that was signed"),
        (wholly_rewritten, "entry 5 is not the one that was signed"),
    ],
)
def test_a_log_that_was_changed_is_found(
    place: Place, tamper: Callable[[Place], None], fault: str
) -> None:
    tamper(place)
    assert fault in verdict(place).chain.fault


@pytest.mark.parametrize("tamper", [truncated, emptied, forked, wholly_rewritten])
def test_a_log_that_does_not_go_on_from_what_was_signed_is_not_signed(
    place: Place, tamper: Callable[[Place], None]
) -> None:
    tamper(place)
    before = (place.folder / "audit.checkpoints").read_bytes()
    with pytest.raises(AuditLogChanged):
        sign(place)
    assert (place.folder / "audit.checkpoints").read_bytes() == before


def test_a_log_cut_off_and_grown_again_is_found(place: Place) -> None:
    truncated(place)

    async def grow(store: DurableStore) -> None:
        for number in range(5):
            await store.append(act(f"key:{number}"))

    place.use(grow)
    assert "entry 10 is not the one" in verdict(place).chain.fault
    with pytest.raises(AuditLogChanged):
        sign(place)


def test_all_at_once_are_signed_after_256_entries_or_a_minute(tmp_path: Path) -> None:
    clock = SimpleNamespace(s=0.0, now=lambda: clock.s, wall=SystemClock().wall)

    async def body(store: DurableStore) -> None:
        checkpoints = Checkpoints(tmp_path, clock)
        assert not await checkpoints.advance(store)
        await store.append(act())
        assert not await checkpoints.advance(store)
        clock.s = 59.9
        assert not await checkpoints.advance(store)
        clock.s = 60.0
        assert "\n1\n" in await checkpoints.advance(store)
        for _ in range(255):
            await store.append(act())
        assert not await checkpoints.advance(store)
        await store.append(act())
        assert "\n257\n" in await checkpoints.advance(store)
        assert [found.entries for found in await checkpoints.read()] == [1, 257]

    Place("sqlite", tmp_path).use(body)
