"""What a worker does for keys beside its requests: it watches for those that end, and leaves word for control."""

import asyncio
from collections.abc import Callable

from rempart.base.clock import Clock
from rempart.domain.errors import StateUnavailable
from rempart.gateway.authentication.failures import Failures
from rempart.gateway.authentication.watch import INTERVAL_S, KeyWatch
from rempart.state.shared.keys.interface import PublishedKeys
from rempart.state.shared.keys.verify import Verifier
from rempart.state.shared.lockout.interface import FailedAttempts, LockoutStore
from rempart.telemetry.logs import Log

REPORT_S = 1.0
"""How often uses of keys and failed attempts are handed on."""


class Upkeep:
    """Runs as a task of the worker. Shared state that is away is told of once, and tried again.

    Args:
        settle_waiting: settles what requests left while it was away.
    """

    def __init__(
        self,
        *,
        keys: PublishedKeys,
        lockout: LockoutStore,
        verifier: Verifier,
        failures: Failures,
        watch: KeyWatch,
        settle_waiting: Callable[[], None],
        clock: Clock,
        log: Log,
    ) -> None:
        self._keys = keys
        self._lockout = lockout
        self._verifier = verifier
        self._failures = failures
        self._watch = watch
        self._settle_waiting = settle_waiting
        self._clock = clock
        self._log = log
        self._is_away = False
        self._unreported: list[FailedAttempts] = []

    async def run(self) -> None:
        """Until cancelled; what waits to be handed on then is handed on."""
        next_report_s = 0.0
        try:
            while True:
                await asyncio.sleep(INTERVAL_S)
                self.look()
                if self._clock.now() >= next_report_s:
                    next_report_s = self._clock.now() + REPORT_S
                    self.report()
        finally:
            self.report()

    def look(self) -> None:
        """End exchanges whose key has ended."""
        try:
            ended = self._watch.look()
        except StateUnavailable as error:
            self._away(error)
            return
        self._is_away = False
        if ended:
            self._log.info(
                "exchanges_ended", count=ended, reason="their key was revoked or expired"
            )

    def report(self) -> None:
        """Hand on which keys were used and which attempts failed; what cannot be is kept for the next time."""
        self._settle_waiting()
        try:
            uses = self._verifier.take_uses()
            if uses:
                self._keys.note_uses(uses)
            # Bounded by what is told apart between two flushes: while they are kept, no more are taken.
            self._unreported = self._unreported or self._failures.take()
            if self._unreported:
                self._lockout.report(self._unreported)
                self._unreported = []
        except StateUnavailable as error:
            self._away(error)

    def _away(self, error: StateUnavailable) -> None:
        if not self._is_away:
            self._is_away = True
            self._log.error("state_unavailable", reason=error.message)
