"""The durable store in one SQLite file: a change and its audit entry are one, and both outlive the process."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rempart.base.clock import SystemClock
from rempart.domain.errors import InvalidRequest, StateUnavailable
from rempart.domain.keys import StoredKey
from rempart.state.durable.chain import entry_hash
from rempart.state.durable.interface import Act, KeyRow, NameTaken, ProjectRow
from rempart.state.durable.sqlite_file import SqliteFile

AT = datetime(2026, 11, 25, tzinfo=UTC)


def act(target: str = "key:a", **more: Any) -> Act:
    return Act(actor="x", address="", action="key.create", target=target, **more)


def key(id_: str, **more: Any) -> KeyRow:
    stored = StoredKey(id=id_, digest=b"\xff" * 32, scopes=frozenset({"inference"}), **more)
    return KeyRow(stored=stored, labels={"a": "b"}, created_at=AT)


def with_store(folder: Path, body: Callable[[SqliteFile], Awaitable[None]]) -> None:
    async def scenario() -> None:
        store = await SqliteFile.open(folder / "x.db", SystemClock())
        try:
            await body(store)
        finally:
            await store.close()

    asyncio.run(scenario())


def test_what_was_put_is_there_for_the_next_process(tmp_path: Path) -> None:
    row = key("a", limits={"tokens_per_day": None}, networks=("10.0.0.0/8",), expires_s=1.5)
    project = ProjectRow(id="p", name="law", created_at=AT)

    async def put(store: SqliteFile) -> None:
        await store.put_key(row, act(after={"é": [1, None]}))
        await store.put_project(project, act("project:p"))

    async def look(store: SqliteFile) -> None:
        assert await store.key("a") == row
        assert await store.all_keys() == [row]
        assert await store.project("law") == await store.project("p") == project
        entries = (await store.audit(limit=10, newest_first=False)).items
        assert [entry.act.target for entry in entries] == ["key:a", "project:p"]
        assert entries[0].act.after == {"é": [1, None]}

    with_store(tmp_path, put)
    with_store(tmp_path, look)
    assert (tmp_path / "x.db").stat().st_mode & 0o777 == 0o600


def test_a_change_that_fails_leaves_no_entry_and_an_entry_that_fails_no_change(
    tmp_path: Path,
) -> None:
    async def body(store: SqliteFile) -> None:
        await store.put_project(ProjectRow(id="p", name="law", created_at=AT), act())
        with pytest.raises(NameTaken):
            await store.put_project(ProjectRow(id="q", name="law", created_at=AT), act())
        assert len((await store.audit(limit=10)).items) == 1
        with pytest.raises(TypeError):
            await store.put_key(key("a"), act(after={"x": object()}))
        assert await store.key("a") is None

    with_store(tmp_path, body)


def test_entries_are_chained(tmp_path: Path) -> None:
    async def body(store: SqliteFile) -> None:
        await asyncio.gather(*(store.append(act(f"key:{number}")) for number in range(20)))

    with_store(tmp_path, body)
    connection = sqlite3.connect(tmp_path / "x.db")
    previous = bytes(32)
    rows = connection.execute("SELECT * FROM audit_log ORDER BY sequence").fetchall()
    connection.close()
    for sequence, row in enumerate(rows, 1):
        assert (row[0], row[8]) == (sequence, previous)
        previous = row[9]
        assert previous == entry_hash(row[8], sequence, row[1], act(row[5]))


def test_listings_go_on_after_their_cursor_newest_first(tmp_path: Path) -> None:
    async def body(store: SqliteFile) -> None:
        for number in range(5):
            await store.put_key(key(f"k{number}", project="p" if number % 2 else ""), act())
        found, cursor = [], ""
        while True:
            page = await store.keys(limit=2, cursor=cursor)
            found += [row.stored.id for row in page.items]
            cursor = page.next_cursor
            if not cursor:
                break
        assert found == ["k4", "k3", "k2", "k1", "k0"]
        assert [row.stored.id for row in (await store.keys(limit=9, project="p")).items] == [
            "k3",
            "k1",
        ]
        for wrong in ("x", "-1", "٣", "9" * 40):
            with pytest.raises(InvalidRequest):
                await store.keys(limit=1, cursor=wrong)

    with_store(tmp_path, body)


def test_last_use_only_moves_forward_and_a_later_put_does_not_take_it_back(tmp_path: Path) -> None:
    async def body(store: SqliteFile) -> None:
        await store.put_key(key("a"), act())
        later = AT + timedelta(seconds=5)
        await store.note_used({"a": later, "gone": later})
        await store.note_used({"a": AT})
        await store.put_key(key("a", name="new"), act())
        row = await store.key("a")
        assert row is not None
        assert (row.last_used_at, row.stored.name) == (later, "new")

    with_store(tmp_path, body)


def test_a_digest_is_made_anew_and_the_rest_stays(tmp_path: Path) -> None:
    async def body(store: SqliteFile) -> None:
        await store.put_key(key("a", name="n"), act())
        await store.rehash({"a": (b"\x01" * 32, "p2"), "gone": (b"", "")})
        row = await store.key("a")
        assert row is not None
        assert (row.stored.digest, row.stored.pepper_id, row.stored.name) == (
            b"\x01" * 32, "p2", "n",
        )  # fmt: skip

    with_store(tmp_path, body)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("something else, long enough to be looked at" * 40)
    with pytest.raises(StateUnavailable, match="not a database"):
        with_store(tmp_path, None)  # type: ignore[arg-type]  # it is not reached
