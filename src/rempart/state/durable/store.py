"""The durable store on SQLAlchemy: one code for SQLite and PostgreSQL.

A change and its audit entry are one transaction. Whoever appends to the log waits for whoever did before, in
whatever process, so that its numbers have no gap and its chain no fork. A connection that is lost is replaced at
the next use; when it is lost during a commit, nobody can say whether the change was made.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Row, Table, bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from rempart.base.clock import Clock, iso_utc
from rempart.domain.errors import InvalidRequest
from rempart.state.durable import dialect
from rempart.state.durable.chain import START_HASH, entry_hash
from rempart.state.durable.interface import Act, AuditRow, KeyRow, NameTaken, Page, ProjectRow
from rempart.state.durable.migrate import migrate
from rempart.state.durable.schema import audit_log, keys, projects

BATCH = 5000
"""Rows of a whole table that are read at once."""
LAST = 2**62
_encode = msgspec.json.encode
_key_of = msgspec.json.Decoder(KeyRow).decode
_project_of = msgspec.json.Decoder(ProjectRow).decode


class SqlStore:
    """See ``DurableStore``; opened by ``open``."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._writing = engine.execution_options(**{dialect.WRITES: True})
        self._clock = clock
        self._failures = dialect.failures()

    @classmethod
    async def open(cls, engine: AsyncEngine, clock: Clock) -> "SqlStore":
        """The store behind this engine, its schema made or brought up to date first.

        Raises:
            StateUnavailable: it cannot be reached, or a newer version's schema is in it.
        """
        store = cls(engine, clock)
        try:
            async with store._write() as connection:
                await migrate(connection)
        except BaseException:
            await engine.dispose()
            raise
        return store

    async def keys(self, *, limit: int, cursor: str = "", project: str = "") -> Page:
        """See ``DurableStore``."""
        query = select(keys).where(keys.c.number < _place(cursor, LAST))
        if project:
            query = query.where(keys.c.project == project)
        rows = await self._read(query.order_by(keys.c.number.desc()).limit(limit + 1))
        return _page([(row.number, _key_row(row)) for row in rows], limit)

    async def all_keys(self) -> list[KeyRow]:
        """See ``DurableStore``."""
        return [_key_row(row) for row in await self._all(keys)]

    async def key(self, id_: str) -> KeyRow | None:
        """See ``DurableStore``."""
        rows = await self._read(select(keys).where(keys.c.id == id_))
        return _key_row(rows[0]) if rows else None

    async def put_key(self, row: KeyRow, act: Act) -> None:
        """See ``DurableStore``."""
        values = {"id": row.stored.id, "project": row.stored.project, "row": _encode(row)}
        async with self._write() as connection:
            await connection.execute(dialect.upsert(connection, keys, values))
            await self._append(connection, act)

    async def note_used(self, last_used: Mapping[str, datetime]) -> None:
        """See ``DurableStore``."""
        if not last_used:
            return
        is_older = or_(keys.c.last_used_at.is_(None), keys.c.last_used_at < bindparam("at"))
        change = update(keys).where(keys.c.id == bindparam("key_id"), is_older)
        values = [{"key_id": id_, "at": iso_utc(at)} for id_, at in sorted(last_used.items())]
        async with self._write() as connection:
            await connection.execute(change.values(last_used_at=bindparam("at")), values)

    async def rehash(self, digests: Mapping[str, tuple[bytes, str]]) -> None:
        """See ``DurableStore``."""
        async with self._write() as connection:
            for id_, (digest, pepper_id) in sorted(digests.items()):
                query = select(keys.c.row).where(keys.c.id == id_).with_for_update()
                found = (await connection.execute(query)).first()
                if found is None:
                    continue
                row = _key_of(found.row)
                stored = msgspec.structs.replace(row.stored, digest=digest, pepper_id=pepper_id)
                changed = _encode(msgspec.structs.replace(row, stored=stored))
                await connection.execute(update(keys).where(keys.c.id == id_).values(row=changed))

    async def projects(self, *, limit: int, cursor: str = "") -> Page:
        """See ``DurableStore``."""
        query = select(projects).where(projects.c.number < _place(cursor, LAST))
        rows = await self._read(query.order_by(projects.c.number.desc()).limit(limit + 1))
        return _page([(row.number, _project_of(row.row)) for row in rows], limit)

    async def all_projects(self) -> list[ProjectRow]:
        """See ``DurableStore``."""
        return [_project_of(row.row) for row in await self._all(projects)]

    async def project(self, id_or_name: str) -> ProjectRow | None:
        """See ``DurableStore``."""
        is_it = or_(projects.c.id == id_or_name, projects.c.name == id_or_name)
        # A project may be named like another one's id; the id goes first.
        order = (projects.c.id == id_or_name).desc()
        rows = await self._read(select(projects).where(is_it).order_by(order).limit(1))
        return _project_of(rows[0].row) if rows else None

    async def put_project(self, row: ProjectRow, act: Act) -> None:
        """See ``DurableStore``."""
        values = {"id": row.id, "name": row.name, "row": _encode(row)}
        async with self._write() as connection:
            try:
                await connection.execute(dialect.upsert(connection, projects, values))
            except IntegrityError as error:
                raise NameTaken(row.name) from error
            await self._append(connection, act)

    async def append(self, act: Act) -> AuditRow:
        """See ``DurableStore``."""
        async with self._write() as connection:
            return await self._append(connection, act)

    async def audit(self, *, limit: int, cursor: str = "", newest_first: bool = True) -> Page:
        """See ``DurableStore``."""
        number = audit_log.c.sequence
        if newest_first:
            query = select(audit_log).where(number < _place(cursor, LAST)).order_by(number.desc())
        else:
            query = select(audit_log).where(number > _place(cursor, 0)).order_by(number)
        rows = await self._read(query.limit(limit + 1))
        return _page([(row.sequence, _audit_row(row)) for row in rows], limit)

    async def close(self) -> None:
        """See ``DurableStore``."""
        try:
            await self._engine.dispose()
        except self._failures as error:
            raise dialect.unavailable(error) from error

    async def _append(self, connection: AsyncConnection, act: Act) -> AuditRow:
        await dialect.queue_up(connection)
        query = select(audit_log.c.sequence, audit_log.c.hash)
        query = query.order_by(audit_log.c.sequence.desc()).limit(1)
        last = (await connection.execute(query)).first()
        sequence, previous = (last.sequence + 1, last.hash) if last else (1, START_HASH)
        at = iso_utc(self._clock.wall())
        row = AuditRow(
            sequence=sequence,
            at=datetime.fromisoformat(at),
            act=act,
            previous_hash=previous,
            hash=entry_hash(previous, sequence, at, act),
        )
        values = {
            "sequence": sequence,
            "at": at,
            "actor": act.actor,
            "address": act.address,
            "action": act.action,
            "target": act.target,
            "before": _text(act.before),
            "after": _text(act.after),
            "previous_hash": previous,
            "hash": row.hash,
        }
        await connection.execute(insert(audit_log).values(values))
        return row

    async def _all(self, table: Table) -> list[Row[Any]]:
        found: list[Row[Any]] = []
        query = select(table).order_by(table.c.number).limit(BATCH)
        while True:
            last = found[-1].number if found else 0
            rows = await self._read(query.where(table.c.number > last))
            found += rows
            if len(rows) < BATCH:
                return found

    async def _read(self, query: Any) -> list[Row[Any]]:
        try:
            async with self._engine.connect() as connection:
                return list((await connection.execute(query)).all())
        except self._failures as error:
            raise dialect.unavailable(error) from error

    @asynccontextmanager
    async def _write(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._writing.begin() as connection:
                yield connection
        except self._failures as error:
            raise dialect.unavailable(error) from error


def _text(part: Mapping[str, Any] | None) -> str | None:
    return None if part is None else _encode(part).decode()


def _key_row(row: Row[Any]) -> KeyRow:
    at = datetime.fromisoformat(row.last_used_at) if row.last_used_at else None
    return msgspec.structs.replace(_key_of(row.row), last_used_at=at)


def _audit_row(row: Row[Any]) -> AuditRow:
    act = Act(
        actor=row.actor,
        address=row.address,
        action=row.action,
        target=row.target,
        before=None if row.before is None else msgspec.json.decode(row.before),
        after=None if row.after is None else msgspec.json.decode(row.after),
    )
    return AuditRow(
        sequence=row.sequence,
        at=datetime.fromisoformat(row.at).astimezone(UTC),
        act=act,
        previous_hash=row.previous_hash,
        hash=row.hash,
    )


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
