"""Wrong keys cost time: an address that presents several is slowed, then blocked for a while.

Only what was presented and is none of our keys counts; a request without a key, or with one that has
expired, is a mistake, no guess. A key that verifies is let in from a blocked address too: a thousand
people may share one, guessing 196 random bits is hopeless anyway, and nobody can lock others out.
What is blocked is told 429 and how long it lasts, whatever it presents.
"""

import asyncio

from rempart.base.clock import Clock
from rempart.domain.addresses import customer_of
from rempart.domain.errors import InvalidApiKey, RateLimitExceeded, RempartError, StateUnavailable
from rempart.gateway.authentication.failures import Failures
from rempart.settings.protection import Lockout as LockoutSettings
from rempart.state.shared.lockout.decide import Rules
from rempart.state.shared.lockout.interface import LockoutStore

LIMIT_NAME = "failed_authentications"
FREE_FAILURES = 2
"""Typing errors of a person: answered at once."""
DELAY_S = 0.1
"""Per failure beyond those."""
DELAY_S_MAX = 1.0
BLOCKED = (
    "Too many wrong API keys came from this network address. Wait before you try again, "
    "and check the key for typing errors; a valid one is let in meanwhile."
)
WAITING_MAX = 256
"""Answers that are held back at a time, per worker; further ones go out at once."""


def rules_of(settings: LockoutSettings) -> Rules:
    """The settings in whole milliseconds."""
    return Rules(settings.failures, round(settings.window_s * 1000), round(settings.block_s * 1000))


class Lockout:
    """Counts failures, in the store that all workers share."""

    __slots__ = ("_clock", "_failures", "_rules", "_settings", "_store", "_waiting")

    def __init__(
        self,
        *,
        store: LockoutStore,
        settings: LockoutSettings,
        clock: Clock,
        failures: Failures,
    ) -> None:
        self._store = store
        self._settings = settings
        self._rules = rules_of(settings)
        self._clock = clock
        self._failures = failures
        self._waiting = 0

    async def failed(self, address: str, error: RempartError, key_id: str = "") -> None:
        """An attempt failed with this error; returns when its answer may go out.

        Raises:
            RateLimitExceeded: instead of the error, if the address is blocked by now.
        """
        who = customer_of(address)
        self._failures.note(who, error.code, key_id)
        if not self._settings.enabled or not isinstance(error, InvalidApiKey):
            return
        try:
            standing = self._store.failed(
                who, int(self._clock.wall().timestamp() * 1000), self._rules
            )
        except StateUnavailable:
            return  # the answer is a refusal all the same; the store's owner tells that it is away
        if standing.blocked_ms:
            raise RateLimitExceeded(
                message=BLOCKED,
                limit_name=LIMIT_NAME,
                limit=self._settings.failures,
                window_seconds=self._settings.window_s,
                retry_after_s=standing.blocked_ms / 1000,
            ) from error
        delay_s = min(DELAY_S * (standing.failures - FREE_FAILURES), DELAY_S_MAX)
        if delay_s > 0 and self._waiting < WAITING_MAX:
            self._waiting += 1
            try:
                await asyncio.sleep(delay_s)
            finally:
                self._waiting -= 1
