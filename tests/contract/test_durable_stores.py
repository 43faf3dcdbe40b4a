"""What the durable store promises, on SQLite and on PostgreSQL."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from lab.durable_stores import AT, Place, act, key, project
from lab.postgres import Postgres, postgres_server
from rempart.base.clock import SystemClock
from rempart.domain.errors import InvalidRequest, StateUnavailable
from rempart.state.durable import dialect
from rempart.state.durable.chain import Chain
from rempart.state.durable.interface import DurableStore, NameTaken
from rempart.state.durable.schema import HEAD, metadata
from rempart.state.durable.store import SqlStore


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return Place("sqlite", tmp_path)
    return Place(request.getfixturevalue("postgres").new_database(), tmp_path)


def test_what_was_put_is_there_for_the_next_process(place: Place) -> None:
    row = key("a", limits={"tokens_per_day": None}, networks=("10.0.0.0/8",), expires_s=1.5)
    law = project("p", "law")

    async def put(store: DurableStore) -> None:
        await store.put_key(row, act(after={"é": [1, None]}))
        await store.put_project(law, act("project:p"))

    async def look(store: DurableStore) -> None:
        assert await store.key("a") == row
        assert await store.key("b") is None
        assert await store.all_keys() == [row]
        assert await store.project("law") == await store.project("p") == law
        assert await store.all_projects() == [law]
        entries = (await store.audit(limit=10, newest_first=False)).items
        assert [entry.act.target for entry in entries] == ["key:a", "project:p"]
        assert entries[0].act.after == {"é": [1, None]}
        assert entries[0].act.before is None

    place.use(put)
    place.use(look)


def test_a_change_that_fails_leaves_no_entry_and_an_entry_that_fails_no_change(
    place: Place,
) -> None:
    async def body(store: DurableStore) -> None:
        await store.put_project(project("p", "law"), act())
        with pytest.raises(NameTaken):
            await store.put_project(project("q", "law"), act())
        await store.put_project(project("p", "law2"), act())
        await store.put_project(project("q", "law"), act())
        assert len((await store.audit(limit=10)).items) == 3
        with pytest.raises(TypeError):
            await store.put_key(key("a"), act(after={"x": object()}))
        assert await store.key("a") is None

    place.use(body)


def test_of_a_project_s_id_and_another_s_name_the_id_is_meant(place: Place) -> None:
    async def body(store: DurableStore) -> None:
        await store.put_project(project("a", "b"), act())
        await store.put_project(project("b", "c"), act())
        found = await store.project("b")
        assert found is not None
        assert found.id == "b"

    place.use(body)


def test_two_processes_append_at_once_without_a_gap_or_a_fork(place: Place) -> None:
    async def body(one: DurableStore) -> None:
        other = await place.open()
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(30):
                    tasks.create_task(one.append(act(f"key:{number}")))
                    tasks.create_task(other.put_key(key(f"k{number}"), act(f"key:k{number}")))
        finally:
            await other.close()
        chain = Chain()
        chain.follow((await one.audit(limit=100, newest_first=False)).items)
        assert (chain.fault, chain.count) == ("", 60)
        assert len(await one.all_keys()) == 30

    place.use(body)


def test_processes_that_open_a_new_database_at_once_make_its_tables_once(place: Place) -> None:
    async def scenario() -> None:
        stores = await asyncio.gather(*(place.open() for _ in range(3)))
        for store in stores:
            await store.append(act())
            await store.close()

    asyncio.run(scenario())
    assert place.sql("SELECT version_num FROM alembic_version") == [[(HEAD,)]]


def test_an_act_that_is_cancelled_is_done_whole_or_not_at_all(place: Place) -> None:
    async def body(store: DurableStore) -> None:
        for turns in range(0, 24, 3):
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(store.put_key(key(f"k{turns}"), act(f"key:k{turns}")))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
        await store.append(act("key:last"))
        entries = (await store.audit(limit=100, newest_first=False)).items
        stored = {f"key:{row.stored.id}" for row in await store.all_keys()}
        assert {entry.act.target for entry in entries} == stored | {"key:last"}

    place.use(body)


def test_listings_go_on_after_their_cursor_newest_first(place: Place) -> None:
    async def body(store: DurableStore) -> None:
        for number in range(5):
            await store.put_key(key(f"k{number}", project="p" if number % 2 else ""), act())
        found, cursor = [], ""
        while True:
            page = await store.keys(limit=2, cursor=cursor)
            found += [row.stored.id for row in page.items]
            # What comes and changes meanwhile moves nothing.
            await store.put_key(key(f"new{len(found)}"), act())
            await store.put_key(key("k1", project="p"), act())
            cursor = page.next_cursor
            if not cursor:
                break
        assert found == ["k4", "k3", "k2", "k1", "k0"]
        of_p = (await store.keys(limit=9, project="p")).items
        assert [row.stored.id for row in of_p] == ["k3", "k1"]
        for wrong in ("x", "-1", "٣", "9" * 40):
            with pytest.raises(InvalidRequest):
                await store.keys(limit=1, cursor=wrong)

    place.use(body)


def test_last_use_only_moves_forward_and_a_later_put_does_not_take_it_back(place: Place) -> None:
    async def body(store: DurableStore) -> None:
        await store.put_key(key("a"), act())
        later = AT + timedelta(seconds=5)
        await store.note_used({})
        await store.note_used({"a": later, "gone": later})
        await store.note_used({"a": AT})
        await store.put_key(key("a", name="new"), act())
        row = await store.key("a")
        assert row is not None
        assert (row.last_used_at, row.stored.name) == (later, "new")

    place.use(body)


def test_a_digest_is_made_anew_and_the_rest_stays(place: Place) -> None:
    async def body(store: DurableStore) -> None:
        await store.put_key(key("a", name="n"), act())
        await store.rehash({"a": (b"\x01" * 32, "p2"), "gone": (b"", "")})
        row = await store.key("a")
        assert row is not None
        stored = row.stored
        assert (stored.digest, stored.pepper_id, stored.name) == (b"\x01" * 32, "p2", "n")

    place.use(body)


def test_all_keys_are_read_in_batches_each_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rempart.state.durable.store.BATCH", 2)

    async def body(store: DurableStore) -> None:
        for number in range(4):
            await store.put_key(key(f"k{number}"), act())
        assert [row.stored.id for row in await store.all_keys()] == ["k0", "k1", "k2", "k3"]

    place.use(body)


def test_the_migrated_schema_is_the_one_that_the_code_speaks_of(place: Place) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from rempart.state.durable.migrate import FOLDER

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async def scenario() -> None:
        await (await place.open()).close()
        engine = engine_of(place)
        async with engine.connect() as connection:
            assert await connection.run_sync(differences) == []
        await engine.dispose()

    asyncio.run(scenario())
    assert ScriptDirectory(str(FOLDER)).get_heads() == [HEAD]


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(place: Place) -> None:
    async def scenario() -> None:
        await (await place.open()).close()

    asyncio.run(scenario())
    place.sql("UPDATE alembic_version SET version_num = 'post_9999'")
    with pytest.raises(StateUnavailable, match=r"post_9999.*newer version"):
        asyncio.run(scenario())
    assert place.sql("SELECT version_num FROM alembic_version") == [[("post_9999",)]]


def test_a_failure_tells_nothing_of_what_was_written(place: Place) -> None:
    async def body(store: DurableStore) -> None:
        await drop_audit_log(place)
        with pytest.raises(StateUnavailable) as caught:
            await store.put_key(key("a", name="hunter2"), act(after={"name": "hunter2"}))
        assert "hunter2" not in str(caught.value)
        assert "audit_log" in str(caught.value)
        assert await store.key("a") is None

    place.use(body)


def test_a_store_heals_when_postgresql_is_back(postgres: Postgres, tmp_path: Path) -> None:
    place = Place(postgres.new_database(), tmp_path)

    async def body(store: DurableStore) -> None:
        await store.put_key(key("a"), act())
        await asyncio.to_thread(postgres.stop)
        try:
            with pytest.raises(StateUnavailable):
                await store.append(act("key:lost"))
            with pytest.raises(StateUnavailable):
                await store.key("a")
        finally:
            await asyncio.to_thread(postgres.start)
        assert await store.key("a") == key("a")
        assert (await store.append(act())).sequence == 2

    place.use(body)


def test_the_sqlite_file_is_private_and_one_moved_away_is_not_made_anew(tmp_path: Path) -> None:
    place = Place("sqlite", tmp_path)

    async def body(store: DurableStore) -> None:
        await store.append(act())

    place.use(body)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("rempart.db*")} == {0o600}

    async def without_file() -> None:
        engine = dialect.sqlite_engine(tmp_path / "rempart.db")
        (tmp_path / "rempart.db").rename(tmp_path / "away")
        with pytest.raises(StateUnavailable):
            await SqlStore.open(engine, SystemClock())
        for thread in threading.enumerate():
            if "_connection_worker_thread" in thread.name:
                await asyncio.to_thread(thread.join)

    asyncio.run(without_file())
    assert not (tmp_path / "rempart.db").exists()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "rempart.db").write_text("something else, long enough to be looked at" * 40)
    with pytest.raises(StateUnavailable, match="not a database"):
        asyncio.run(Place("sqlite", tmp_path).open())


def test_a_url_that_names_no_database_is_refused_without_its_password(tmp_path: Path) -> None:
    for url in ("mysql://u:hunter2@h/x", "postgresql://u:hunter2@h:port/x"):
        with pytest.raises(StateUnavailable, match="postgresql://USER") as caught:
            asyncio.run(Place(url, tmp_path).open())
        assert "hunter2" not in str(caught.value)


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    url = f"postgresql://u:hunter2@/x?host={tmp_path}"
    with pytest.raises(StateUnavailable) as caught:
        asyncio.run(Place(url, tmp_path).open())
    assert "hunter2" not in str(caught.value)


def engine_of(place: Place) -> AsyncEngine:
    if place.url == "sqlite":
        return dialect.sqlite_engine(place.folder / "rempart.db")
    return dialect.postgresql_engine(place.url)


async def drop_audit_log(place: Place) -> None:
    engine = engine_of(place)
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE audit_log"))
    await engine.dispose()


def test_a_missing_driver_is_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StateUnavailable, match=r"pip install 'rempart\[postgres\]'"):
        asyncio.run(Place("postgresql://u@h/x", tmp_path).open())
    Place("sqlite", tmp_path).use(append_one)


async def append_one(store: DurableStore) -> None:
    await store.append(act())


@pytest.mark.parametrize("process", ["worker", "main"])
def test_workers_and_main_never_import_the_database(process: str) -> None:
    names = "{name.partition('.')[0] for name in sys.modules}"
    code = f"import sys, rempart.processes.{process}.run; print({names} & {{'sqlalchemy', 'alembic', 'asyncpg'}})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
