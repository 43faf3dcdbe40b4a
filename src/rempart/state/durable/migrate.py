"""Brings a database's schema to what this version works on, by Alembic, in the process that opens it.

One process at a time does it, in one transaction: it is done whole or not at all.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from rempart.domain.errors import StateUnavailable
from rempart.state.durable import dialect
from rempart.state.durable.schema import HEAD

FOLDER = Path(__file__).with_name("migrations")
RETRY_S = 60.0


async def migrate(connection: AsyncConnection) -> None:
    """Make the tables, or bring them up to date, within the connection's transaction.

    Raises:
        StateUnavailable: a version of Rempart that this one does not know has changed them.
    """
    await dialect.queue_up(connection)
    await connection.run_sync(_migrate)


def revision_of(connection: Connection) -> str | None:
    """The revision that a database is at; None: there is none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _migrate(connection: Connection) -> None:
    current = revision_of(connection)
    if current == HEAD:
        return
    # Alembic is read only where there is something to do.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        raise StateUnavailable(
            reason=f"the database is at schema {current!r}, which this version of Rempart does not know "
            f"(its own is {HEAD!r}): a newer version has used it. Run that version, or restore a backup from before",
            retry_after_s=RETRY_S,
        )
    command.upgrade(config, "head")
