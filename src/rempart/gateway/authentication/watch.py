"""Ends what is under way for a key that has been revoked, has expired, or whose old secret's grace is over.

A look at the revision, five times a second, costs a single read; exchanges are gone through only when some
key changed, and for those that end at a known moment every time.
"""

from collections.abc import Iterable

from rempart.base.clock import Clock
from rempart.domain.errors import ExpiredApiKey, RempartError, RevokedApiKey
from rempart.gateway.exchange import Exchange
from rempart.state.shared.keys.interface import PublishedKeys
from rempart.state.shared.keys.verify import Verifier

INTERVAL_S = 0.2


class KeyWatch:
    """Looks at the published keys, and trips the deadlines of exchanges that may not go on.

    Args:
        exchanges: those under way; bounded by the connections.
    """

    __slots__ = ("_clock", "_exchanges", "_keys", "_revision", "_verifier")

    def __init__(
        self,
        *,
        keys: PublishedKeys,
        verifier: Verifier,
        clock: Clock,
        exchanges: Iterable[Exchange],
    ) -> None:
        self._keys = keys
        self._verifier = verifier
        self._clock = clock
        self._exchanges = exchanges
        self._revision = 0

    def look(self) -> int:
        """End what has to end; gives the number.

        Raises:
            StateUnavailable: the keys cannot be read; what is under way goes on, and the next look makes it good.
        """
        revision = self._keys.snapshot().revision
        changed: frozenset[str] | None = frozenset()
        if revision != self._revision:
            found = self._keys.changed_since(self._revision)
            changed = None if found is None else frozenset(found)
        now_s = self._clock.wall().timestamp()
        ended = 0
        for exchange in list(self._exchanges):
            error = self._end_of(exchange, changed, now_s)
            if error is not None and exchange.deadline is not None:
                exchange.deadline.trip(error)
                ended += 1
        self._revision = revision
        return ended

    def _end_of(
        self, exchange: Exchange, changed: frozenset[str] | None, now_s: float
    ) -> RempartError | None:
        principal, credential = exchange.principal, exchange.credential
        if credential is not None:
            if changed is None or principal.id in changed:
                try:
                    credential = exchange.credential = self._verifier.renewed(credential)
                except (RevokedApiKey, ExpiredApiKey) as error:
                    return error
            principal = credential.principal  # its end may have moved, as by a rotation
        return ExpiredApiKey() if 0 < principal.expires_s <= now_s else None
