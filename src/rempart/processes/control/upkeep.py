"""What control does with keys and the audit log by itself, on a timer.

It opens the database and publishes what it holds, follows what others changed, writes down which keys
were used and which attempts to get in failed, and signs the audit log. While the database is away it
tries again; what is waiting stays where it waits.
"""

import asyncio
from collections.abc import Awaitable, Callable

from rempart.control.registry import Registry
from rempart.domain.errors import StateUnavailable
from rempart.telemetry.logs import Log

KEEP_S = 0.5
"""A change made through another instance holds here after this and its publishing: within the second
that revocation may take."""
USES_S = 5.0

Chore = tuple[float, Callable[[], Awaitable[object]]]
"""Something that the database is needed for, and every how many seconds."""


class Upkeep:
    """Runs as a task of control.

    Args:
        chores: done after the registry was kept, each at its own pace; they raise StateUnavailable.
        on_first: called once, when the database was reached for the first time or could not be.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        log: Log,
        chores: tuple[Chore, ...] = (),
        on_first: Callable[[], None] = lambda: None,
    ) -> None:
        self._registry = registry
        self._log = log
        self._chores = ((USES_S, registry.note_uses), *chores)
        self._due_s = [0.0] * len(self._chores)
        self._on_first = on_first
        self._is_away = False
        self._ignored: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Until cancelled."""
        await self.once()
        self._on_first()
        while True:
            await asyncio.sleep(KEEP_S)
            await self.once()

    async def once(self) -> None:
        """One round."""
        try:
            await self._registry.keep()
            await self._do_chores()
        except StateUnavailable as error:
            if not self._is_away:
                self._is_away = True
                self._log.error(
                    "state_unavailable",
                    reason=error.message,
                    meanwhile="requests go on with the keys as published; changes are refused",
                )
            return
        if self._is_away:
            self._is_away = False
            self._log.info("state_available")
        self._tell_ignored()

    async def _do_chores(self) -> None:
        now_s = self._registry.clock.now()
        for number, (every_s, chore) in enumerate(self._chores):
            if now_s >= self._due_s[number]:
                await chore()
                self._due_s[number] = now_s + every_s

    def _tell_ignored(self) -> None:
        ignored = frozenset(self._registry.ignored)
        if ignored == self._ignored:
            return
        self._ignored = ignored
        for id_ in sorted(ignored):
            self._log.warning(
                "admin_key_ignored",
                key_id=id_,
                reason="operators rotated or revoked it; the text in REMPART_ADMIN_KEY no longer works",
            )
