"""What a store of published keys promises: written by control alone, read by every worker.

A reader sees a key's change at once; ``revision`` rises with every change, so that a reader can keep
what it has read as long as the revision stays.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from rempart.domain.keys import StoredKey
from rempart.domain.limits import Amounts


class PublishedProject(msgspec.Struct, frozen=True, kw_only=True):
    """What workers need of a project: the limits that its keys share."""

    id: str
    limits: Amounts = {}


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """How current the published keys are.

    Args:
        revision: rises with each change; 0: nothing was ever published.
        published_ms: wall-clock ms at which control last said that they are what the database holds.
    """

    revision: int
    published_ms: int


class Found(msgspec.Struct, frozen=True):
    """A look-up's answer: the key, and how current the published keys were in that very moment."""

    snapshot: Snapshot
    key: StoredKey | None


class KeyUse(msgspec.Struct, frozen=True, kw_only=True):
    """A key was used; with a digest under the newest pepper where it was stored under an older one."""

    key_id: str
    at_ms: int
    digest: bytes = b""
    pepper_id: str = ""


class PublishedKeys(Protocol):
    """The published keys and projects.

    Raises (everything): ``StateUnavailable`` when the store cannot be read or written.
    """

    def snapshot(self) -> Snapshot:
        """How current they are; costs a single read."""
        ...

    def key(self, id_: str) -> StoredKey | None:
        """The key with this public id; the same object as before while it stays the same, if it is still at hand."""
        ...

    def look(self, id_: str) -> Found:
        """``snapshot`` and ``key`` in one step, at the same cost for every id: what each request does."""
        ...

    def project(self, id_: str) -> PublishedProject | None:
        """The project with this id."""
        ...

    def changed_since(self, revision: int) -> Sequence[str] | None:
        """Ids of keys changed after this revision; None: too long ago to tell, take all as changed."""
        ...

    def publish(
        self, *, keys: Iterable[StoredKey], projects: Iterable[PublishedProject], now_ms: int
    ) -> int:
        """Put or replace these; gives the new revision. Revoked and expired keys stay, so that they are told apart."""
        ...

    def publish_all(
        self, *, keys: Iterable[StoredKey], projects: Iterable[PublishedProject], now_ms: int
    ) -> int:
        """Make the published keys exactly these, in one step for readers."""
        ...

    def confirm(self, now_ms: int) -> None:
        """Say that they still are what the database holds."""
        ...

    def note_uses(self, uses: Iterable[KeyUse]) -> None:
        """Leave word of uses for control; the latest of a key replaces the ones before."""
        ...

    def collect_uses(self, uses_max: int) -> list[KeyUse]:
        """Take the uses that were left, at most so many."""
        ...
