"""Everything that differs between SQLite and PostgreSQL.

SQLite: WAL, written through to the disk at each commit, one connection, whose transactions take the write lock
at their beginning when they write (two that read first and then both want to write would fail).
PostgreSQL: a few connections, checked before each use; writers of the audit log queue on an advisory lock.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Insert, Table, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from rempart.domain.errors import StateUnavailable

BUSY_S = 5.0
"""How long SQLite waits for another process that has the file locked."""
POOL_S = 10.0
"""How long a caller waits for a connection."""
CONNECT_S = 5.0
COMMAND_S = 15.0
CONNECTIONS_MAX = 4
RETRY_S = 1.0
WRITES = "rempart_writes"
AUDIT_LOCK = 0x72656D70_61756474
"""PostgreSQL's advisory lock of whoever changes the schema or appends to the audit log."""


def sqlite_engine(path: Path) -> AsyncEngine:
    """An engine on this file, made with mode 0600 where it is not there; nothing is opened yet.

    Raises:
        StateUnavailable: the file cannot be made or opened.
    """
    place = f"file:{quote(str(path.absolute()))}"
    try:
        path.touch(mode=0o600, exist_ok=True)
        # aiosqlite's thread outlives a failed opening for a moment, which a command that ends then would show.
        sqlite3.connect(f"{place}?mode=rw", uri=True).close()
    except (OSError, sqlite3.Error) as error:
        raise unavailable(error) from error
    # mode=rw: a connection made later never makes an empty database in place of one that was moved away.
    url = URL.create("sqlite+aiosqlite", database=place, query={"mode": "rw", "uri": "true"})
    engine = create_async_engine(
        url,
        hide_parameters=True,
        pool_size=1,
        max_overflow=0,
        pool_timeout=POOL_S,
        connect_args={"timeout": BUSY_S, "isolation_level": None},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection, _record) -> None:  # type: ignore[no-untyped-def]  # of the driver's adapter
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def postgresql_engine(url: str) -> AsyncEngine:
    """An engine on a PostgreSQL server; nothing is opened yet.

    Args:
        url: ``postgresql://USER:PASSWORD@HOST:PORT/NAME``; ``?host=FOLDER`` for a Unix socket, ``?sslmode=…``.
    Raises:
        StateUnavailable: asyncpg is not installed, or the URL cannot be read.
    """
    try:
        import asyncpg  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise StateUnavailable(
            reason="[database] url names PostgreSQL, whose driver is not installed: pip install 'rempart[postgres]'",
            retry_after_s=RETRY_S,
        ) from error
    try:
        parsed = make_url(url).set(drivername="postgresql+asyncpg")
        query = dict(parsed.query)
        if (mode := query.pop("sslmode", None)) is not None:
            query["ssl"] = mode
        return create_async_engine(
            parsed.set(query=query),
            hide_parameters=True,
            pool_size=CONNECTIONS_MAX,
            max_overflow=0,
            pool_timeout=POOL_S,
            pool_pre_ping=True,
            connect_args={
                "timeout": CONNECT_S,
                "command_timeout": COMMAND_S,
                "server_settings": {"application_name": "rempart"},
            },
        )
    except (SQLAlchemyError, ValueError) as error:
        raise StateUnavailable(
            reason="[database] url must be postgresql://USER:PASSWORD@HOST:PORT/NAME; it cannot be read",
            retry_after_s=RETRY_S,
        ) from error


async def queue_up(connection: AsyncConnection) -> None:
    """Wait until nobody else changes the schema or appends; held until the transaction ends."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": AUDIT_LOCK})


def upsert(connection: AsyncConnection, table: Table, values: Mapping[str, Any]) -> Insert:
    """Insert a row, or replace in the one of the same ``id`` the columns given here."""
    # Two classes of one shape: SQLAlchemy gives each database its own.
    insert: Any = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
    changed = {name: insert.excluded[name] for name in values if name != "id"}
    found: Insert = insert.values(values).on_conflict_do_update(index_elements=["id"], set_=changed)
    return found


def unavailable(error: BaseException) -> StateUnavailable:
    """What a failed use of the database is told as; never with the values that were written."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    reason = str(cause).partition("\n")[0] or type(cause).__name__
    return StateUnavailable(reason=f"the database cannot be used ({reason})", retry_after_s=RETRY_S)


def failures() -> tuple[type[BaseException], ...]:
    """What drivers raise when the database is away; asyncpg's own are not wrapped while connecting."""
    found: tuple[type[BaseException], ...] = (SQLAlchemyError, OSError, TimeoutError)
    try:
        import asyncpg
    except ImportError:
        return found
    return (*found, asyncpg.PostgresError, asyncpg.InterfaceError)
