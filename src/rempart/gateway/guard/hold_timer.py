"""Lets go, after a while, of held text that looks like nothing: a reader should not wait for a word's end."""

import asyncio

from rempart.gateway.exchange import Exchange
from rempart.gateway.guard.masked_stream import MaskedStream


class HoldTimer:
    """A timer of one exchange; does nothing at all unless its answer is streamed and masked."""

    __slots__ = ("_exchange", "_handle", "_hold_s", "_loop")

    def __init__(self, exchange: Exchange, hold_s: float) -> None:
        self._exchange = exchange
        self._hold_s = hold_s
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        call = self._exchange.call
        if call is not None and isinstance(call.shape, MaskedStream):
            self._handle = self._loop.call_later(self._hold_s, self._fire)

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _fire(self) -> None:
        exchange = self._exchange
        shape = exchange.call.shape if exchange.call is not None else None
        if not isinstance(shape, MaskedStream):
            return
        now_s = exchange.clock.now()
        since_s = shape.held_since_s
        wait_s = self._hold_s
        if since_s is not None and not exchange.reply.is_gone:
            if since_s + self._hold_s <= now_s:
                out = shape.release_weak(now_s - self._hold_s)
                if out:
                    if not exchange.reply.is_started:
                        exchange.start_stream(shape.content_type)
                    exchange.reply.write(out)
                    exchange.last_write_s = now_s
            else:
                wait_s = since_s + self._hold_s - now_s
        self._handle = self._loop.call_later(wait_s, self._fire)
