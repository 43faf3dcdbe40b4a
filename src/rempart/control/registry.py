"""Keys, projects and the audit log, and their way from the database into what the workers read.

The database holds the truth; workers read what was published and never ask it. Whoever changes
something here publishes it before answering. What was not published (control died in between, the
shared file was full, another instance made the change) is found by ``Registry.keep`` and made good.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from rempart.base.clock import Clock
from rempart.base.secret import Secret
from rempart.domain.errors import StateUnavailable
from rempart.domain.key_format import SECRET_CHARACTERS, make_key, random_base62
from rempart.domain.keys import StoredKey
from rempart.domain.peppers import Peppers
from rempart.state.durable.interface import Act, AuditRow, DurableStore, KeyRow, ProjectRow
from rempart.state.shared.keys.interface import KeyUse, PublishedKeys, PublishedProject

NOT_OPEN = "the database is not open yet"
AWAY_S = 1.0
"""What a refused write tells its client to wait."""
DATABASE_S = 15.0
"""No look at the database of this module's own takes longer."""
USES_MAX = 10_000
"""Uses of keys that are written at once."""
RESERVED = "rempart/"
"""Labels that begin so are ours; operators cannot set them."""
ORIGIN = "rempart/origin"
"""The label of a key that came from the environment or ``admin.key``, as long as it has that secret."""
NEWS_MAX = 200
"""Audit entries looked through for changes; when there are more, everything is published anew."""


class Issued(NamedTuple):
    """A new secret for a key, and what is stored of it."""

    secret: Secret
    digest: bytes
    pepper_id: str


class Registry:
    """What actions work on.

    Args:
        open_store: opens the database, migrating it first where that is needed.
        published: where workers read keys.
        peppers: under which secrets are stored.
        bootstrap: keys that must exist, such as the first admin key; imported where they are not known.
        on_retired: called with the id of a key whose secret was replaced or revoked.
    """

    def __init__(
        self,
        *,
        open_store: Callable[[], Awaitable[DurableStore]],
        published: PublishedKeys,
        peppers: Peppers,
        clock: Clock,
        random: Callable[[int], bytes] = os.urandom,
        bootstrap: Iterable[StoredKey] = (),
        on_retired: Callable[[str], None] = lambda id_: None,
    ) -> None:
        self._open_store = open_store
        self._published = published
        self._on_retired = on_retired
        self._bootstrap = tuple(bootstrap)
        self._store: DurableStore | None = None
        self._is_current = False
        self._seen = 0
        self.clock = clock
        self.random = random
        self.peppers = peppers
        self.ignored: set[str] = set()
        """Bootstrap keys that are not what the database holds: operators rotated or revoked them."""
        self.away = NOT_OPEN
        """Why the database cannot be used; empty while it can."""
        # From reading a row until its change is published: without it an update that has read a key
        # before it was revoked would write it back unrevoked.
        self.changing = asyncio.Lock()

    @property
    def store(self) -> DurableStore:
        """The database.

        Raises:
            StateUnavailable: it is away, or not open yet.
        """
        if self._store is None:
            raise StateUnavailable(reason=self.away or NOT_OPEN, retry_after_s=AWAY_S)
        return self._store

    @property
    def now_ms(self) -> int:
        """Wall-clock milliseconds."""
        return int(self.clock.wall().timestamp() * 1000)

    def issue(self, id_: str) -> Issued:
        """A new secret for the key of this id, stored under the newest pepper."""
        secret = make_key(id_, random_base62(SECRET_CHARACTERS, self.random))
        digest, pepper_id = self.peppers.digest(secret)
        return Issued(Secret(secret), digest, pepper_id)

    def retired(self, id_: str) -> None:
        """A key's secret was replaced or revoked, and that is published."""
        self._on_retired(id_)

    def publish(
        self, *, keys: Iterable[StoredKey] = (), projects: Iterable[ProjectRow] = ()
    ) -> None:
        """Let the workers know of a change that the database holds.

        Raises:
            StateUnavailable: they do not know yet; ``keep`` will tell them.
        """
        try:
            self._published.publish(
                keys=keys, projects=[published_project(row) for row in projects], now_ms=self.now_ms
            )
        except StateUnavailable as error:
            self._is_current = False
            raise StateUnavailable(
                reason=f"the change is stored, but the workers do not know of it yet ({error})",
                retry_after_s=AWAY_S,
            ) from error

    async def keep(self) -> bool:
        """Open the database, import what must exist, publish what is not; whether something was done.

        Raises:
            StateUnavailable: the database or the shared state cannot be used at this moment.
        """
        try:
            async with asyncio.timeout(DATABASE_S), self.changing:
                done = await self._keep()
        except TimeoutError as error:
            self.away = f"the database does not answer within {DATABASE_S:g} s"
            raise StateUnavailable(reason=self.away, retry_after_s=AWAY_S) from error
        except StateUnavailable as error:
            self.away = str(error)
            raise
        self.away = ""
        return done

    async def note_uses(self) -> int:
        """Write down which keys were used, and digests that workers made under a newer pepper; their number.

        Raises:
            StateUnavailable: nothing is lost, it is written later.
        """
        uses = self._published.collect_uses(USES_MAX)
        if not uses:
            return 0
        try:
            async with asyncio.timeout(DATABASE_S), self.changing:
                await self.store.note_used({use.key_id: _moment(use.at_ms) for use in uses})
                await self._rehash([use for use in uses if use.digest])
        except (StateUnavailable, TimeoutError) as error:
            self._published.note_uses(uses)
            if isinstance(error, TimeoutError):
                raise StateUnavailable(reason="the database is slow") from error
            raise
        return len(uses)

    async def _rehash(self, uses: list[KeyUse]) -> None:
        """Digests under the newest pepper in place of older ones.

        Only while the stored digest is an older one: a key that was rotated after the use was noted has a
        digest under the newest pepper already, of another secret.
        """
        newest = self.peppers.newest.id
        digests: dict[str, tuple[bytes, str]] = {}
        changed = []
        for use in uses:
            if use.pepper_id != newest:
                continue
            row = await self.store.key(use.key_id)
            if row is not None and row.stored.pepper_id != newest and not row.stored.revoked_s:
                digests[use.key_id] = (use.digest, newest)
                changed.append(
                    msgspec.structs.replace(row.stored, digest=use.digest, pepper_id=newest)
                )
        if digests:
            await self.store.rehash(digests)
            self.publish(keys=changed)

    async def close(self) -> None:
        """Let go of the database."""
        if self._store is not None:
            with suppress(StateUnavailable):
                await self._store.close()
            self._store = None

    async def _keep(self) -> bool:
        if self._store is None:
            self._store = await self._open_store()
        if not self._is_current:
            await self._import()
            await self._publish_all()
            return True
        return await self._follow()

    async def _import(self) -> None:
        """Bootstrap keys that the database has never seen, or whose secret was changed where it came from.

        A key that operators rotated or revoked is left as they made it: the old secret may still stand in
        an environment, which is often why it was rotated.
        """
        self.ignored.clear()
        for key in self._bootstrap:
            known = await self.store.key(key.id)
            if known is None:
                row = KeyRow(stored=key, labels={ORIGIN: "bootstrap"}, created_at=self.clock.wall())
            elif known.stored.digest == key.digest and not known.stored.revoked_s:
                continue
            elif ORIGIN in known.labels and not known.stored.revoked_s:
                changed = msgspec.structs.replace(
                    known.stored, digest=key.digest, pepper_id=key.pepper_id
                )
                row = msgspec.structs.replace(known, stored=changed)
            else:
                self.ignored.add(key.id)
                self._on_retired(key.id)  # control may have died before it could at the time
                continue
            after = {"name": row.stored.name, "scopes": sorted(row.stored.scopes)}
            act = Act(
                actor="rempart",
                address="",
                action="key.import",
                target=f"key:{key.id}",
                after=after,
            )
            await self.store.put_key(row, act)

    async def _publish_all(self) -> None:
        head = await self._head()
        keys = await self.store.all_keys()
        projects = await self.store.all_projects()
        # In a thread: a million keys take seconds, and the API goes on meanwhile.
        await asyncio.to_thread(
            self._published.publish_all,
            keys=[row.stored for row in keys],
            projects=[published_project(row) for row in projects],
            now_ms=self.now_ms,
        )
        self._seen, self._is_current = head, True

    async def _follow(self) -> bool:
        """Publish what others changed, and say that all is as the database holds it.

        Every change has an audit entry, so the end of the log tells whether there is something new.
        """
        entries: list[AuditRow] = list((await self.store.audit(limit=1)).items)
        head = entries[0].sequence if entries else 0
        news = head - self._seen
        if news < 0 or news > NEWS_MAX:
            await self._publish_all()
            return True
        if news:
            entries = list((await self.store.audit(limit=news)).items)
            await self._publish_targets({entry.act.target for entry in entries})
            self._seen = head
        self._published.confirm(self.now_ms)
        return news > 0

    async def _publish_targets(self, targets: set[str]) -> None:
        keys, projects = [], []
        for target in sorted(targets):
            kind, _, id_ = target.partition(":")
            if kind == "key" and (key := await self.store.key(id_)) is not None:
                keys.append(key.stored)
            elif kind == "project" and (project := await self.store.project(id_)) is not None:
                projects.append(published_project(project))
        if keys or projects:
            self._published.publish(keys=keys, projects=projects, now_ms=self.now_ms)

    async def _head(self) -> int:
        page = await self.store.audit(limit=1)
        return page.items[0].sequence if page.items else 0


def published_project(row: ProjectRow) -> PublishedProject:
    """What workers need of a project."""
    return PublishedProject(id=row.id, limits=row.limits)


def without_origin(labels: dict[str, str]) -> dict[str, str]:
    """The labels of a key that no longer has the secret it was imported with."""
    return {name: text for name, text in labels.items() if name != ORIGIN}


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
