"""Step 9, second half: another replica when one fails before the client has had a byte.

A 4xx is an answer, not a failure, and is never tried elsewhere. A 5xx is, where there is another replica.
A connection that broke (a runner died) is tried again also where there is one only. A route that stayed
silent until a clock fired is not tried again: the clock ends the whole exchange.
"""

from collections.abc import Iterator
from types import TracebackType

from rempart.gateway.exchange import Exchange, ReplicaFailed

ATTEMPTS_MAX = 3


class Attempt:
    """One try; swallows a replica's failure while another try is allowed."""

    __slots__ = ("_exchange", "_is_last", "has_failed")

    def __init__(self, exchange: Exchange, *, is_last: bool) -> None:
        self._exchange = exchange
        self._is_last = is_last
        self.has_failed = False

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, ReplicaFailed):
            return False
        exchange = self._exchange
        if exchange.replica is not None:
            exchange.failed_replicas.append(exchange.replica.id)
        is_hopeless = error.has_answered and not exchange.other_replicas
        self.has_failed = not (self._is_last or is_hopeless or exchange.reply.bytes_sent)
        return self.has_failed


def attempts(exchange: Exchange) -> Iterator[Attempt]:
    """Attempts until one has not failed; at most ``ATTEMPTS_MAX``, one for calls that cannot be repeated."""
    call = exchange.call
    most = ATTEMPTS_MAX if call is not None and call.shape is not None else 1
    for number in range(1, most + 1):
        attempt = Attempt(exchange, is_last=number == most)
        yield attempt
        if not attempt.has_failed:
            return
