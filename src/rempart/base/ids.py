"""Ids that sort by time: UUID version 7 (RFC 9562, section 5.7)."""

import os
from collections.abc import Callable

from rempart.base.clock import Clock


class Ids:
    """Makes ids from a clock and a source of random bytes.

    Random bytes are drawn in blocks, since one system call per request for 10 bytes costs more
    than the id itself.
    """

    __slots__ = ("_clock", "_position", "_random", "_stock")

    def __init__(self, clock: Clock, random: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._random = random
        self._stock = b""
        self._position = 0

    def uuid7(self) -> str:
        """A new UUIDv7 in its usual text form; ids of one process made in different ms sort by time."""
        milliseconds = int(self._clock.wall().timestamp() * 1000)
        if self._position + 10 > len(self._stock):
            self._stock, self._position = self._random(1280), 0
        tail = self._stock[self._position : self._position + 10]
        self._position += 10
        high = (milliseconds & 0xFFFFFFFFFFFF).to_bytes(6, "big").hex()
        text = tail.hex()
        variant = "89ab"[tail[2] & 3]
        return f"{high[:8]}-{high[8:]}-7{text[:3]}-{variant}{text[3:6]}-{text[6:18]}"
