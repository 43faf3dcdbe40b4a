"""Signs of life for a streaming client that waits: its headers after 10 s, then a comment every 15 s.

Every idle limit on the way (nginx and ALB 60 s, HAProxy 50 s) is longer. A comment is one line with one
newline, between events only: a blank line after it would make some clients see an empty event. Comments
never count as progress.
"""

import asyncio

from rempart.gateway.exchange import Exchange

FIRST_S = 10.0
"""Until then a refusal can still be a real 429 or 503; afterwards the status is 200."""
EVERY_S = 15.0


class KeepAlive:
    """A timer of one exchange; ``stop`` before the answer ends."""

    __slots__ = ("_exchange", "_handle", "_loop")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        call = self._exchange.call
        if call is not None and call.stream and call.shape is not None:
            self._handle = self._loop.call_later(FIRST_S, self._fire)

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _fire(self) -> None:
        exchange = self._exchange
        idle_s = exchange.clock.now() - exchange.last_write_s
        if exchange.reply.is_started and idle_s < EVERY_S:
            self._handle = self._loop.call_later(EVERY_S - idle_s, self._fire)
            return
        if not exchange.reply.is_started:
            exchange.start_stream()
        exchange.reply.write(self._comment())
        exchange.last_write_s = exchange.clock.now()
        self._handle = self._loop.call_later(EVERY_S, self._fire)

    def _comment(self) -> bytes:
        exchange = self._exchange
        if exchange.is_queued and exchange.ticket is not None and exchange.ticket.place:
            return b": queued, place %d\n" % exchange.ticket.place
        return b": queued\n" if exchange.is_queued else b": working\n"
