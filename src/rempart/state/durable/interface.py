"""What the durable store promises, whatever database keeps it.

Every change and its audit entry are one transaction: neither is ever there without the other.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from rempart.domain.keys import StoredKey
from rempart.domain.limits import Amounts


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key with what only operators need of it. Moments are aware UTC."""

    stored: StoredKey
    labels: dict[str, str] = {}
    created_at: datetime
    last_used_at: datetime | None = None


class ProjectRow(msgspec.Struct, frozen=True, kw_only=True):
    """A project: keys that share limits."""

    id: str
    name: str
    limits: Amounts = {}
    labels: dict[str, str] = {}
    created_at: datetime


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be written to the audit log, beside the change it tells of.

    Args:
        actor: key id, ``local:UID``, ``jwt:SUBJECT`` or ``rempart`` for the server itself.
        address: where it came from; empty: the machine itself.
        action: such as ``key.create``, ``key.revoke``, ``authentication.failed``.
        target: what it was done to, such as ``key:ab12``.
        before, after: what changed, never a secret or a digest.
    """

    actor: str
    address: str
    action: str
    target: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the audit log as it is kept.

    Args:
        sequence: 1, 2, 3 … without a gap.
        previous_hash, hash: 32 bytes; ``hash`` is over the previous one, the sequence and the canonical entry.
    """

    sequence: int
    at: datetime
    act: Act
    previous_hash: bytes
    hash: bytes


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a listing: ``next_cursor`` is empty at its end."""

    items: Sequence[Any]
    next_cursor: str = ""


class DurableStore(Protocol):
    """Keys, projects and the audit log.

    Raises (everything): ``StateUnavailable`` when the database cannot be reached; then nothing has changed, unless
    the connection was lost during the commit itself: then the change and its entry are there, or neither is.
    """

    async def keys(self, *, limit: int, cursor: str = "", project: str = "") -> Page:
        """Keys, newest first."""
        ...

    async def all_keys(self) -> list[KeyRow]:
        """Every key, to be published; read in batches."""
        ...

    async def key(self, id_: str) -> KeyRow | None:
        """One key."""
        ...

    async def put_key(self, row: KeyRow, act: Act) -> None:
        """Insert a key, or replace the one of this id."""
        ...

    async def note_used(self, last_used: Mapping[str, datetime]) -> None:
        """Move keys' last use forward, by id. No audit entry."""
        ...

    async def rehash(self, digests: Mapping[str, tuple[bytes, str]]) -> None:
        """Replace digests by those under a newer pepper: key id → (digest, pepper id). No audit entry."""
        ...

    async def projects(self, *, limit: int, cursor: str = "") -> Page:
        """Projects, newest first."""
        ...

    async def all_projects(self) -> list[ProjectRow]:
        """Every project."""
        ...

    async def project(self, id_or_name: str) -> ProjectRow | None:
        """One project, by id or name."""
        ...

    async def put_project(self, row: ProjectRow, act: Act) -> None:
        """Insert a project, or replace the one of this id.

        Raises:
            NameTaken: another project has this name.
        """
        ...

    async def append(self, act: Act) -> AuditRow:
        """Write an audit entry that belongs to no change of the tables here."""
        ...

    async def audit(self, *, limit: int, cursor: str = "", newest_first: bool = True) -> Page:
        """Audit entries."""
        ...

    async def close(self) -> None:
        """Let go of the database."""
        ...


class NameTaken(Exception):
    """A name that must be unique is in use; the message is the name."""
