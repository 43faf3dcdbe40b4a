"""A registry of keys over plain dictionaries, for tests of what stands on it."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from rempart.base.clock import Clock, SystemClock, iso_utc
from rempart.control.registry import Registry
from rempart.domain.errors import InvalidRequest, StateUnavailable
from rempart.domain.keys import StoredKey
from rempart.domain.peppers import Peppers
from rempart.state.durable.chain import START_HASH, entry_hash
from rempart.state.durable.interface import Act, AuditRow, KeyRow, NameTaken, Page, ProjectRow
from rempart.state.shared.keys.memory import MemoryPublishedKeys

PEPPER = b"p" * 32


class DictStore:
    """A durable store that lasts as long as the test; ``is_away`` makes it unreachable."""

    def __init__(self) -> None:
        self.key_rows: dict[str, KeyRow] = {}
        self.project_rows: dict[str, ProjectRow] = {}
        self.entries: list[AuditRow] = []
        self.is_away = False
        self.is_closed = False

    def _reach(self) -> None:
        if self.is_away:
            raise StateUnavailable(reason="the database is away", retry_after_s=1.0)

    async def keys(self, *, limit: int, cursor: str = "", project: str = "") -> Page:
        self._reach()
        rows = [
            row
            for row in reversed(self.key_rows.values())
            if not project or row.stored.project == project
        ]
        return _page(rows, limit, cursor)

    async def all_keys(self) -> list[KeyRow]:
        self._reach()
        return list(self.key_rows.values())

    async def key(self, id_: str) -> KeyRow | None:
        self._reach()
        return self.key_rows.get(id_)

    async def put_key(self, row: KeyRow, act: Act) -> None:
        self._reach()
        self.key_rows[row.stored.id] = row
        await self.append(act)

    async def note_used(self, last_used: Mapping[str, datetime]) -> None:
        self._reach()
        for id_, at in last_used.items():
            if id_ in self.key_rows:
                self.key_rows[id_] = msgspec.structs.replace(self.key_rows[id_], last_used_at=at)

    async def rehash(self, digests: Mapping[str, tuple[bytes, str]]) -> None:
        self._reach()
        for id_, (digest, pepper_id) in digests.items():
            row = self.key_rows[id_]
            stored = msgspec.structs.replace(row.stored, digest=digest, pepper_id=pepper_id)
            self.key_rows[id_] = msgspec.structs.replace(row, stored=stored)

    async def projects(self, *, limit: int, cursor: str = "") -> Page:
        self._reach()
        return _page(list(reversed(self.project_rows.values())), limit, cursor)

    async def all_projects(self) -> list[ProjectRow]:
        self._reach()
        return list(self.project_rows.values())

    async def project(self, id_or_name: str) -> ProjectRow | None:
        self._reach()
        for row in self.project_rows.values():
            if id_or_name in (row.id, row.name):
                return row
        return None

    async def put_project(self, row: ProjectRow, act: Act) -> None:
        self._reach()
        taken = await self.project(row.name)
        if taken is not None and taken.id != row.id:
            raise NameTaken(row.name)
        self.project_rows[row.id] = row
        await self.append(act)

    async def append(self, act: Act) -> AuditRow:
        self._reach()
        previous = self.entries[-1].hash if self.entries else START_HASH
        sequence, at = len(self.entries) + 1, datetime(2026, 11, 25, tzinfo=UTC)
        entry = AuditRow(
            sequence=sequence,
            at=at,
            act=act,
            previous_hash=previous,
            hash=entry_hash(previous, sequence, iso_utc(at), act),
        )
        self.entries.append(entry)
        return entry

    async def audit(self, *, limit: int, cursor: str = "", newest_first: bool = True) -> Page:
        self._reach()
        return _page(self.entries[::-1] if newest_first else self.entries, limit, cursor)

    async def close(self) -> None:
        self.is_closed = True

    @property
    def actions(self) -> list[str]:
        """What was done, in order."""
        return [entry.act.action for entry in self.entries]


def _page(rows: Sequence[Any], limit: int, cursor: str) -> Page:
    if cursor and not cursor.isdecimal():
        raise InvalidRequest(param="cursor", reason="cursor must be the next of a page before.")
    start = int(cursor or 0)
    end = start + limit
    return Page(items=rows[start:end], next_cursor=str(end) if end < len(rows) else "")


def registry_of(
    store: DictStore,
    *,
    clock: Clock | None = None,
    bootstrap: Sequence[StoredKey] = (),
    published: MemoryPublishedKeys | None = None,
    **more: Any,
) -> Registry:
    """A registry over these, open and published."""

    async def open_store() -> DictStore:
        store._reach()
        return store

    return Registry(
        open_store=open_store,
        published=published or MemoryPublishedKeys(),
        peppers=Peppers.of([PEPPER]),
        clock=clock or SystemClock(),
        bootstrap=bootstrap,
        **more,
    )


def kept(registry: Registry) -> Registry:
    """The same, after its first upkeep."""
    asyncio.run(registry.keep())
    return registry
