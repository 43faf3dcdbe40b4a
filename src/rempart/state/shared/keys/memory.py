"""Published keys in this process's memory: for tests, and the plainest statement of what the interface means."""

from collections.abc import Iterable, Sequence

from rempart.domain.keys import StoredKey
from rempart.state.shared.keys.interface import Found, KeyUse, PublishedProject, Snapshot

CHANGES_MAX = 512
"""Revisions of which the changed ids are remembered."""


class MemoryPublishedKeys:
    """See ``PublishedKeys``."""

    def __init__(self) -> None:
        self._keys: dict[str, StoredKey] = {}
        self._projects: dict[str, PublishedProject] = {}
        self._snapshot = Snapshot(revision=0, published_ms=0)
        self._changes: dict[int, tuple[str, ...]] = {}
        self._oldest_told = 0
        """Changes after this revision are all in ``_changes``."""
        self._uses: dict[str, KeyUse] = {}

    def snapshot(self) -> Snapshot:
        """See ``PublishedKeys``."""
        return self._snapshot

    def key(self, id_: str) -> StoredKey | None:
        """See ``PublishedKeys``."""
        return self._keys.get(id_)

    def look(self, id_: str) -> Found:
        """See ``PublishedKeys``."""
        return Found(self._snapshot, self._keys.get(id_))

    def project(self, id_: str) -> PublishedProject | None:
        """See ``PublishedKeys``."""
        return self._projects.get(id_)

    def changed_since(self, revision: int) -> Sequence[str] | None:
        """See ``PublishedKeys``."""
        if revision < self._oldest_told or revision > self._snapshot.revision:
            return None
        return [id_ for at, ids in self._changes.items() if at > revision for id_ in ids]

    def publish(
        self, *, keys: Iterable[StoredKey], projects: Iterable[PublishedProject], now_ms: int
    ) -> int:
        """See ``PublishedKeys``."""
        changed = {key.id: key for key in keys}
        self._keys |= changed
        self._projects |= {project.id: project for project in projects}
        revision = self._next(now_ms)
        self._changes[revision] = tuple(changed)
        while len(self._changes) > CHANGES_MAX:
            self._oldest_told = next(iter(self._changes))
            del self._changes[self._oldest_told]
        return revision

    def publish_all(
        self, *, keys: Iterable[StoredKey], projects: Iterable[PublishedProject], now_ms: int
    ) -> int:
        """See ``PublishedKeys``."""
        self._keys = {key.id: key for key in keys}
        self._projects = {project.id: project for project in projects}
        self._changes.clear()
        self._oldest_told = self._next(now_ms)
        return self._oldest_told

    def _next(self, now_ms: int) -> int:
        revision = self._snapshot.revision + 1
        self._snapshot = Snapshot(revision=revision, published_ms=now_ms)
        return revision

    def confirm(self, now_ms: int) -> None:
        """See ``PublishedKeys``."""
        self._snapshot = Snapshot(revision=self._snapshot.revision, published_ms=now_ms)

    def note_uses(self, uses: Iterable[KeyUse]) -> None:
        """See ``PublishedKeys``."""
        self._uses |= {use.key_id: use for use in uses}

    def collect_uses(self, uses_max: int) -> list[KeyUse]:
        """See ``PublishedKeys``."""
        taken = list(self._uses)[:uses_max]
        return [self._uses.pop(id_) for id_ in taken]
