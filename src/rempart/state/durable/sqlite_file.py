"""The durable store in one SQLite file, by the standard library: the smallest thing that keeps every promise of it.

One connection, used by one thread, one act after the other. A change and its audit entry are one transaction,
written through to the disk (WAL, ``synchronous = FULL``) before it is answered. Rows hold what the interface
speaks as JSON, beside the columns that are searched by.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from rempart.base.clock import Clock, iso_utc
from rempart.domain.errors import InvalidRequest, StateUnavailable
from rempart.state.durable.chain import START_HASH, entry_hash
from rempart.state.durable.interface import Act, AuditRow, KeyRow, NameTaken, Page, ProjectRow

BUSY_S = 5.0
"""How long a write waits for a command that has the file open too."""
RETRY_S = 1.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, project TEXT NOT NULL,
    last_used_at TEXT, row BLOB NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS keys_project ON keys (project, number);
CREATE TABLE IF NOT EXISTS projects (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE,
    row BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS audit_log (
    sequence INTEGER PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, address TEXT NOT NULL,
    action TEXT NOT NULL, target TEXT NOT NULL, before TEXT, after TEXT,
    previous_hash BLOB NOT NULL, hash BLOB NOT NULL) STRICT;
"""
_T = TypeVar("_T")
_Work = Callable[[sqlite3.Connection], _T]
_encode = msgspec.json.encode
_key_of = msgspec.json.Decoder(KeyRow).decode
_project_of = msgspec.json.Decoder(ProjectRow).decode


class SqliteFile:
    """See ``DurableStore``; opened by ``open``."""

    def __init__(
        self, connection: sqlite3.Connection, thread: ThreadPoolExecutor, clock: Clock
    ) -> None:
        self._connection = connection
        # What was begun there goes on when its caller is cancelled, and what comes next waits for it.
        self._thread = thread
        self._clock = clock

    @classmethod
    async def open(cls, path: Path, clock: Clock) -> "SqliteFile":
        """The store in this file, made where it is not there.

        Raises:
            StateUnavailable: it cannot be opened.
        """

        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")

        def connect() -> sqlite3.Connection:
            path.touch(mode=0o600, exist_ok=True)
            connection = sqlite3.connect(
                path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(SCHEMA)
            return connection

        try:
            connection = await asyncio.get_running_loop().run_in_executor(thread, connect)
        except (sqlite3.Error, OSError) as error:
            thread.shutdown(wait=False)
            raise _unavailable(error) from error
        return cls(connection, thread, clock)

    async def keys(self, *, limit: int, cursor: str = "", project: str = "") -> Page:
        """See ``DurableStore``."""
        where = "number < ? AND (? = '' OR project = ?)"
        sql = (
            f"SELECT number, row, last_used_at FROM keys WHERE {where} ORDER BY number DESC LIMIT ?"  # noqa: S608 - no input is in it
        )
        values = (_place(cursor, 2**62), project, project, limit + 1)
        rows = await self._read(sql, values)
        return _page([(number, _used(row, at)) for number, row, at in rows], limit)

    async def all_keys(self) -> list[KeyRow]:
        """See ``DurableStore``."""
        rows = await self._read("SELECT row, last_used_at FROM keys ORDER BY number", ())
        return [_used(row, at) for row, at in rows]

    async def key(self, id_: str) -> KeyRow | None:
        """See ``DurableStore``."""
        rows = await self._read("SELECT row, last_used_at FROM keys WHERE id = ?", (id_,))
        return _used(*rows[0]) if rows else None

    async def put_key(self, row: KeyRow, act: Act) -> None:
        """See ``DurableStore``."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO keys (id, project, row) VALUES (?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET project = excluded.project, row = excluded.row",
                (row.stored.id, row.stored.project, _encode(row)),
            )
            self._append(connection, act)

        await self._write(work)

    async def note_used(self, last_used: Mapping[str, datetime]) -> None:
        """See ``DurableStore``."""
        values = [(iso_utc(at), id_, iso_utc(at)) for id_, at in last_used.items()]
        forward = "(last_used_at IS NULL OR last_used_at < ?)"
        sql = f"UPDATE keys SET last_used_at = ? WHERE id = ? AND {forward}"  # noqa: S608 - no input is in it
        await self._write(lambda connection: connection.executemany(sql, values))

    async def rehash(self, digests: Mapping[str, tuple[bytes, str]]) -> None:
        """See ``DurableStore``."""

        def work(connection: sqlite3.Connection) -> None:
            for id_, (digest, pepper_id) in digests.items():
                found = connection.execute("SELECT row FROM keys WHERE id = ?", (id_,)).fetchone()
                if found is None:
                    continue
                row = _key_of(found[0])
                stored = msgspec.structs.replace(row.stored, digest=digest, pepper_id=pepper_id)
                changed = _encode(msgspec.structs.replace(row, stored=stored))
                connection.execute("UPDATE keys SET row = ? WHERE id = ?", (changed, id_))

        await self._write(work)

    async def projects(self, *, limit: int, cursor: str = "") -> Page:
        """See ``DurableStore``."""
        sql = "SELECT number, row FROM projects WHERE number < ? ORDER BY number DESC LIMIT ?"
        rows = await self._read(sql, (_place(cursor, 2**62), limit + 1))
        return _page([(number, _project_of(row)) for number, row in rows], limit)

    async def all_projects(self) -> list[ProjectRow]:
        """See ``DurableStore``."""
        rows = await self._read("SELECT row FROM projects ORDER BY number", ())
        return [_project_of(row) for (row,) in rows]

    async def project(self, id_or_name: str) -> ProjectRow | None:
        """See ``DurableStore``."""
        sql = "SELECT row FROM projects WHERE id = ? OR name = ?"
        rows = await self._read(sql, (id_or_name, id_or_name))
        return _project_of(rows[0][0]) if rows else None

    async def put_project(self, row: ProjectRow, act: Act) -> None:
        """See ``DurableStore``."""

        def work(connection: sqlite3.Connection) -> None:
            try:
                connection.execute(
                    "INSERT INTO projects (id, name, row) VALUES (?, ?, ?) "
                    "ON CONFLICT (id) DO UPDATE SET name = excluded.name, row = excluded.row",
                    (row.id, row.name, _encode(row)),
                )
            except sqlite3.IntegrityError as error:
                raise NameTaken(row.name) from error
            self._append(connection, act)

        await self._write(work)

    async def append(self, act: Act) -> AuditRow:
        """See ``DurableStore``."""
        return await self._write(lambda connection: self._append(connection, act))

    async def audit(self, *, limit: int, cursor: str = "", newest_first: bool = True) -> Page:
        """See ``DurableStore``."""
        order = "sequence < ? ORDER BY sequence DESC" if newest_first else "sequence > ? ORDER BY sequence"  # fmt: skip
        sql = f"SELECT * FROM audit_log WHERE {order} LIMIT ?"  # noqa: S608 - no input is in it
        start = _place(cursor, 2**62 if newest_first else 0)
        rows = [_audit_row(values) for values in await self._read(sql, (start, limit + 1))]
        return _page([(row.sequence, row) for row in rows], limit)

    async def close(self) -> None:
        """See ``DurableStore``."""
        await self._do(self._connection.close)
        self._thread.shutdown()

    def _append(self, connection: sqlite3.Connection, act: Act) -> AuditRow:
        last = connection.execute(
            "SELECT sequence, hash FROM audit_log ORDER BY sequence DESC LIMIT 1"
        ).fetchone()
        sequence, previous = (last[0] + 1, last[1]) if last else (1, START_HASH)
        at = iso_utc(self._clock.wall())
        row = AuditRow(
            sequence=sequence,
            at=datetime.fromisoformat(at),
            act=act,
            previous_hash=previous,
            hash=entry_hash(previous, sequence, at, act),
        )
        values = (
            *(sequence, at, act.actor, act.address, act.action, act.target),
            *(None if part is None else _encode(part).decode() for part in (act.before, act.after)),
            *(previous, row.hash),
        )
        connection.execute("INSERT INTO audit_log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        return row

    async def _read(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        return await self._do(lambda: self._connection.execute(sql, values).fetchall())

    async def _write(self, work: "_Work[_T]") -> _T:
        def transaction() -> _T:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(self._connection)
                self._connection.execute("COMMIT")
                return result
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

        return await self._do(transaction)

    async def _do(self, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise _unavailable(error) from error


def _used(row: bytes, last_used_at: str | None) -> KeyRow:
    found = _key_of(row)
    at = datetime.fromisoformat(last_used_at) if last_used_at else None
    return msgspec.structs.replace(found, last_used_at=at)


def _audit_row(values: Any) -> AuditRow:
    sequence, at, actor, address, action, target, before, after, previous, hash_ = values
    act = Act(
        actor=actor,
        address=address,
        action=action,
        target=target,
        before=None if before is None else msgspec.json.decode(before),
        after=None if after is None else msgspec.json.decode(after),
    )
    moment = datetime.fromisoformat(at).astimezone(UTC)
    return AuditRow(sequence=sequence, at=moment, act=act, previous_hash=previous, hash=hash_)


def _place(cursor: str, without: int) -> int:
    """The number after which a listing goes on."""
    if not cursor:
        return without
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        reason = "cursor must be the `next` of a page before. Begin anew without it."
        raise InvalidRequest(param="cursor", reason=reason)
    return int(cursor)


def _page(rows: list[tuple[int, Any]], limit: int) -> Page:
    """The rows, of which one more than ``limit`` was asked for."""
    is_more = len(rows) > limit
    chosen = rows[:limit]
    return Page(items=[row for _, row in chosen], next_cursor=str(chosen[-1][0]) if is_more else "")


def _unavailable(error: Exception) -> StateUnavailable:
    return StateUnavailable(reason=f"the database cannot be used ({error})", retry_after_s=RETRY_S)
