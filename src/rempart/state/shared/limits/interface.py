"""What a store of limit counters promises, whatever keeps them.

*At most ``amount_max`` in any window, for any interleaving, in all processes together.* One decision
over several limits is atomic: if one refuses, none is charged. What is taken is charged at the moment
it is taken; settling changes that very entry, never gives credit at a later moment.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from rempart.domain.limits import Unit


class Demand(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one limit is asked for.

    Args:
        subject: whose limit, such as ``key:ab12``, ``project:p1``, ``model:droit``, ``server``. Demands of one
            subject and unit share one log of what was taken.
        name: of ``domain.limits.KINDS``.
        unit: what is counted.
        window_s: 0 for what is counted at one time.
        amount: what this request takes (1 for requests and at-a-time; tokens; micros).
        amount_max: the limit.
    """

    subject: str
    name: str
    unit: Unit
    window_s: int
    amount: int
    amount_max: int


class Standing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a limit stands after a decision.

    Args:
        remaining: what may be taken at this moment beyond what has been.
        full_ms: milliseconds until all of the limit is there again if nothing more is taken.
        wait_ms: milliseconds after which this demand's amount fits if nothing more is taken; 0: it fits (or
            was taken); None: it never fits, being above ``amount_max``. Of what is counted at one time nobody
            knows when a place is given back: there both are a second, a guess.
    """

    demand: Demand
    remaining: int
    full_ms: int
    wait_ms: int | None


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All demands taken, or none.

    Args:
        standings: of each demand, in the order given.
        refused: the positions of those that do not fit; empty: all were taken.
    """

    standings: tuple[Standing, ...]
    refused: tuple[int, ...] = ()

    @property
    def is_taken(self) -> bool:
        """Whether everything was taken."""
        return not self.refused


class LimitStore(Protocol):
    """The counters. All times are wall-clock milliseconds of the deployment's one clock; a clock that
    steps back never makes room (each log keeps the latest it has seen).

    What was taken stands in the store at once, at its estimate. To correct it is up to the process that took it:
    its object remembers what each reservation holds, so that a process that is killed leaves its estimates
    behind, and its places at a time to ``forget_owner``.

    Raises (everything): ``StateUnavailable`` when the store cannot be read or written; then nothing was taken.
    """

    def look(self, demands: Sequence[Demand], now_ms: int) -> Decision:
        """What ``take`` would answer, without taking or writing anything."""
        ...

    def take(
        self, demands: Sequence[Demand], *, reservation: str, owner: str, now_ms: int
    ) -> Decision:
        """Take all demands or none, in one atomic step.

        Args:
            reservation: this request's own unique id; ``settle`` names it. One that takes again holds both.
            owner: the process that holds it, unique to its start; ``forget_owner`` ends what a dead one leaves.
        """
        ...

    def settle(self, reservation: str, used: dict[Unit, int] | None, now_ms: int) -> None:
        """End a reservation: correct its entries to what was used and give its places at a time back.

        ``used`` None keeps the estimates (usage is not known). A unit that ``used`` does not name keeps its
        estimate. More than was reserved is charged too. An unknown or settled reservation does nothing. When it
        raises, the reservation stays, to be settled again.
        """
        ...

    def forget_owner(self, owner: str, now_ms: int) -> int:
        """End all reservations of a process that is gone: what it took stays taken, its places at a time
        are free; gives the number of places. Nothing of it can be settled any more."""
        ...

    def owners(self) -> list[str]:
        """Processes that hold places at a time."""
        ...

    def standings(self, demands: Sequence[Demand], now_ms: int) -> tuple[Standing, ...]:
        """How limits stand, for pages and commands; ``amount`` is not looked at but for ``wait_ms``."""
        ...

    def drop_idle(self, now_ms: int, *, entries_max: int) -> int:
        """Forget logs that lie outside of all their windows, and leases beyond their longest life; gives their number.

        Args:
            entries_max: how many are looked at; the next call goes on where this one ended.
        """
        ...
