"""The tables, as every database holds them; ``migrations/`` makes them and every later change of them.

A row holds what the interface speaks as JSON, beside the columns that are searched by: a new field of a key needs
no migration. Moments are text as ``iso_utc`` writes it, so that the audit log's hashes are the same everywhere.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

HEAD = "post_0001"
"""The revision that this version works on: the newest one of ``migrations/versions``."""

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ix": "%(table_name)s_%(column_0_name)s",
    }
)
# SQLite makes numbers by itself only for a column whose type is INTEGER; there it has 64 bits.
_number = BigInteger().with_variant(Integer(), "sqlite")

keys = Table(
    "keys",
    metadata,
    Column("number", _number, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("project", Text, nullable=False),
    Column("last_used_at", Text),
    Column("row", LargeBinary, nullable=False),
)
Index("keys_project", keys.c.project, keys.c.number)

projects = Table(
    "projects",
    metadata,
    Column("number", _number, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False, unique=True),
    Column("row", LargeBinary, nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("sequence", _number, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
