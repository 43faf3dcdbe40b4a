"""Durable stores for tests: each database, rows in few words, and a way past the store, as a forger would go."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rempart.base.clock import SystemClock
from rempart.domain.keys import StoredKey
from rempart.settings.model import Settings
from rempart.settings.protection import Database
from rempart.state.durable.interface import Act, DurableStore, KeyRow, ProjectRow
from rempart.state.open import open_durable

AT = datetime(2026, 11, 25, tzinfo=UTC)


@dataclass(frozen=True)
class Place:
    """Where a test's database is."""

    url: str
    folder: Path

    async def open(self) -> DurableStore:
        """A store on it, as the product opens it."""
        settings = Settings(database=Database(url=self.url))
        return await open_durable(settings, self.folder, clock=SystemClock())

    def use(self, body: Callable[[Any], Awaitable[None]]) -> None:
        """Run ``body`` with a store on it."""

        async def scenario() -> None:
            store = await self.open()
            try:
                await body(store)
            finally:
                await store.close()

        asyncio.run(scenario())

    def sql(self, *statements: str) -> list[list[Any]]:
        """The rows that each statement gives; past the store, in one transaction."""
        if self.url == "sqlite":
            import sqlite3

            with closing(sqlite3.connect(self.folder / "rempart.db")) as connection, connection:
                return [connection.execute(statement).fetchall() for statement in statements]

        import asyncpg

        async def run() -> list[list[Any]]:
            connection = await asyncpg.connect(self.url)
            try:
                async with connection.transaction():
                    found = [await connection.fetch(statement) for statement in statements]
                return [[tuple(row) for row in rows] for rows in found]
            finally:
                await connection.close()

        return asyncio.run(run())


def act(target: str = "key:a", **more: Any) -> Act:
    """An act on ``target``."""
    return Act(actor="x", address="", action="key.create", target=target, **more)


def key(id_: str, **more: Any) -> KeyRow:
    """A key with a digest that is no text."""
    stored = StoredKey(id=id_, digest=b"\xff" * 32, scopes=frozenset({"inference"}), **more)
    return KeyRow(stored=stored, labels={"a": "b"}, created_at=AT)


def project(id_: str, name: str) -> ProjectRow:
    """A project."""
    return ProjectRow(id=id_, name=name, created_at=AT)
