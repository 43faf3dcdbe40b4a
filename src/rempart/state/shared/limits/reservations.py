"""What the requests under way in this process hold, so that it can be settled."""

from typing import NamedTuple

from rempart.domain.errors import StateUnavailable
from rempart.state.shared.limits.decide import Part

RESERVATIONS_MAX = 250_000
"""Far above the connections of a worker: reached only when what is taken is never settled."""


class Held(NamedTuple):
    """What one reservation holds, and for which process."""

    owner: str
    parts: tuple[Part, ...]


class Reservations:
    """By id, from ``take`` to ``settle``."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}

    def check_room(self) -> None:
        """Before anything is taken.

        Raises:
            StateUnavailable: there are too many.
        """
        if len(self._held) >= RESERVATIONS_MAX:
            raise StateUnavailable(reason="too many requests under way", retry_after_s=1.0)

    def add(self, reservation: str, owner: str, parts: tuple[Part, ...]) -> None:
        """Remember what was taken, beside what this reservation holds already."""
        before = self._held.get(reservation)
        if before is not None:
            parts = before.parts + parts
        self._held[reservation] = Held(owner, parts)

    def parts(self, reservation: str) -> tuple[Part, ...]:
        """What it holds; nothing when it is unknown or settled."""
        held = self._held.get(reservation)
        return () if held is None else held.parts

    def end(self, reservation: str) -> None:
        """It is settled."""
        self._held.pop(reservation, None)

    def forget_owner(self, owner: str) -> None:
        """Nothing of this process can be settled any more."""
        for reservation in [id_ for id_, held in self._held.items() if held.owner == owner]:
            del self._held[reservation]
