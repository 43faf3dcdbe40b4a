"""Runners as a worker sees them: states as main last published them, and slots asked of main.

The worker's side of ``interface.py``. Single-threaded; all methods are called in the event loop.
"""

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from rempart.domain.models import ModelStatus
from rempart.runners.interface import (
    EnsureReady,
    SlotGranted,
    SlotLeft,
    SlotPlace,
    SlotRefused,
    SlotReleased,
    SlotWanted,
)


class SlotTicket:
    """One request for a slot.

    Args:
        answer: becomes a grant or a refusal.
        place: where it stands in the queue, as far as main told; 0 while not known.
    """

    __slots__ = ("_number", "_runners", "answer", "place", "predicted_wait_s")

    def __init__(
        self,
        runners: "RemoteRunners",
        number: int,
        answer: asyncio.Future[SlotGranted | SlotRefused],
    ) -> None:
        self._runners = runners
        self._number = number
        self.answer = answer
        self.place = 0
        self.predicted_wait_s = 0.0

    def give_back(self, *, cancelled: bool, settle_s: float) -> None:
        """End the ticket, whatever came of it: leave the queue, or release the slot.

        Args:
            cancelled: the runner was hung up on and may still be at it.
        """
        self._runners.give_back(self._number, self, cancelled=cancelled, settle_s=settle_s)


class RemoteRunners:
    """The states of all models and the way to their slots."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send
        self._numbers = count(1)
        self._tickets: dict[int, SlotTicket] = {}
        self._statuses: dict[str, ModelStatus] = {}
        self._generation = -1
        self.is_accepting = True
        self.has_statuses = asyncio.Event()

    @property
    def statuses(self) -> Mapping[str, ModelStatus]:
        """By name, in the configuration's order."""
        return self._statuses

    @property
    def waiting_count(self) -> int:
        """Tickets without an answer."""
        return sum(not ticket.answer.done() for ticket in self._tickets.values())

    def published(self, generation: int, accepting: bool, statuses: list[ModelStatus]) -> None:
        """Main has new states."""
        if generation < self._generation:
            return
        self._generation = generation
        self.is_accepting = accepting
        self._statuses = {status.name: status for status in statuses}
        self.has_statuses.set()

    def want(self, model: str, deadline_s: float) -> SlotTicket:
        """Ask for a slot of ``model``; starts the model if it is stopped.

        Args:
            deadline_s: monotonic seconds after which a grant is of no use.
        """
        number = next(self._numbers)
        ticket = SlotTicket(self, number, asyncio.get_running_loop().create_future())
        self._tickets[number] = ticket
        self._send(SlotWanted(ticket=number, model=model, deadline_s=deadline_s))
        return ticket

    def ensure_ready(self, model: str) -> None:
        """Have the model started if it is stopped."""
        self._send(EnsureReady(model=model))

    def give_back(
        self, number: int, ticket: SlotTicket, *, cancelled: bool, settle_s: float
    ) -> None:
        """See ``SlotTicket.give_back``."""
        if self._tickets.pop(number, None) is None:
            return
        answer = ticket.answer
        if not answer.done() or answer.cancelled():
            answer.cancel()
            self._send(SlotLeft(ticket=number))
        elif isinstance(answer.result(), SlotGranted):
            self._send(SlotReleased(ticket=number, cancelled=cancelled, settle_s=settle_s))

    def receive(self, message: SlotGranted | SlotRefused | SlotPlace) -> None:
        """Main answered. An answer for a ticket that has left is dropped: main gives a crossed grant back itself."""
        ticket = self._tickets.get(message.ticket)
        if ticket is None:
            return
        if isinstance(message, SlotPlace):
            ticket.place = message.place
            ticket.predicted_wait_s = message.predicted_wait_s
        elif not ticket.answer.done():
            ticket.answer.set_result(message)
