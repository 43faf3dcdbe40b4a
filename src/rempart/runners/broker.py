"""The slots of one model in action: the queue decides, this delivers what it decided, in time."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rempart.base.clock import Clock
from rempart.domain.models import Replica
from rempart.runners.interface import MainToWorker, SlotGranted, SlotPlace, SlotRefused
from rempart.runners.slots import (
    Drained,
    Effect,
    Granted,
    Recycle,
    Refused,
    SlotQueue,
    Ticket,
    Waiting,
)


@dataclass(frozen=True, kw_only=True)
class Outlets:
    """Whom the broker tells.

    Args:
        deliver: a message to a worker.
        forget: this ticket is done with.
        recycle: the runner has not freed a slot.
        drained: no request runs on any replica.
    """

    deliver: Callable[[int, MainToWorker], None]
    forget: Callable[[Ticket], None]
    recycle: Callable[[], None]
    drained: Callable[[], None]


class SlotBroker:
    """A ``SlotQueue`` with its timer and its messages.

    Args:
        capacity: slots of each replica, None for no bound.
        queue: the decisions.
    """

    def __init__(
        self, queue: SlotQueue, *, capacity: int | None, queue_max: int, clock: Clock, out: Outlets
    ) -> None:
        self._queue = queue
        self._capacity = capacity
        self._queue_max = queue_max
        self._clock = clock
        self._out = out
        self._up: dict[str, Replica] = {}
        self._drained: set[str] = set()
        self._due: asyncio.TimerHandle | None = None

    # Workers.

    def want(self, ticket: Ticket, deadline_s: float, since_s: float | None = None) -> None:
        """A request wants a slot; the answer is delivered, at once or later."""
        answer = self._queue.want(ticket, self._clock.now(), deadline_s, since=since_s)
        if isinstance(answer, Waiting):
            self._deliver_place(answer)
        else:
            self._carry_out([answer])

    def leave(self, ticket: Ticket) -> None:
        """The ticket does not want a slot any more."""
        self._carry_out(self._queue.leave(ticket, self._clock.now()))

    def release(self, ticket: Ticket, *, cancelled: bool, settle_s: float) -> None:
        """The ticket's request has ended, or was hung up on."""
        now = self._clock.now()
        effects = self._queue.release(ticket, cancelled=cancelled, now=now, settle_s=settle_s)
        self._carry_out(effects)

    def worker_gone(self, worker: int) -> None:
        """A worker has died with all it held."""
        self._carry_out(self._queue.worker_gone(worker, self._clock.now()))

    def refuse(self, ticket: Ticket, code: str, reason: str, retry_after_s: float) -> None:
        """Refuse one that was never in the queue."""
        self._refuse(Refused(ticket, code, reason, retry_after_s, self._queue.waiting()))

    def refuse_all(self, code: str, reason: str, retry_after_s: float = 1.0) -> None:
        """Refuse everyone who waits."""
        self._carry_out(self._queue.refuse_all(code, reason, retry_after_s))

    def take_waiters(self) -> list[tuple[Ticket, float, float]]:
        """See ``SlotQueue``."""
        return self._queue.take_waiters()

    def tell_places(self, waited_s_min: float) -> None:
        """Tell those who have waited for so long where they stand."""
        for place in self._queue.places(self._clock.now(), waited_s_min):
            self._deliver_place(place)

    def resize(self, queue_max: int) -> None:
        """Another bound on the waiters."""
        self._queue_max = queue_max
        self._queue.resize(queue_max)

    # The runner.

    def open(self, replicas: Iterable[Replica]) -> None:
        """Give out the slots of these replicas."""
        now = self._clock.now()
        self._drained.clear()
        self._up = {replica.id: replica for replica in replicas}
        for name in self._up:
            self._carry_out(self._queue.replica_up(name, self._capacity, now))

    def close(self) -> None:
        """Give out no more of them; ``drained`` follows."""
        for name in self._up:
            self._carry_out(self._queue.replica_closed(name))

    def take_down(self) -> None:
        """The replicas are gone, and with them the requests on them."""
        now = self._clock.now()
        for name in list(self._up):
            self._carry_out(self._queue.replica_down(name, now))
        self._up = {}

    def ended(self, grant: str) -> None:
        """The runner says that this request has left its slot."""
        self._carry_out(self._queue.ended(grant, self._clock.now()))

    def reported(self, busy: int) -> None:
        """The runner says how many requests it has."""
        for name in self._up:
            self._queue.reported(name, busy)

    def stop(self) -> None:
        """Cancel what is timed."""
        if self._due is not None:
            self._due.cancel()
            self._due = None

    # Figures.

    @property
    def replicas(self) -> list[Replica]:
        """Those that are up."""
        return list(self._up.values())

    @property
    def slots(self) -> int:
        """Room of all replicas that are up; 0 for no bound, or none up."""
        return self._queue.statistics().slots

    @property
    def busy(self) -> int:
        """Slots that are taken."""
        return self._queue.busy()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._queue.waiting()

    @property
    def predicted_wait_s(self) -> float:
        """How long one that came now would wait."""
        slots = self.slots
        if not slots or self.busy < slots:
            return 0.0
        return self._queue.predicted_wait_s(self.waiting + 1)

    # Inside.

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Granted(ticket, replica, grant, wait_s):
                    message = SlotGranted(
                        ticket=ticket.number,
                        replica=self._up[replica],
                        grant=grant,
                        slot_wait_s=wait_s,
                    )
                    self._out.deliver(ticket.worker, message)
                case Refused():
                    self._refuse(effect)
                case Recycle():
                    self._out.recycle()
                case Drained(replica):
                    self._drained.add(replica)
                    if self._drained.issuperset(self._up):
                        self._out.drained()
        self._schedule_due()

    def _refuse(self, refused: Refused) -> None:
        self._out.forget(refused.ticket)
        message = SlotRefused(
            ticket=refused.ticket.number,
            code=refused.code,
            reason=refused.reason,
            retry_after_s=refused.retry_after_s,
            waiting=refused.waiting,
            waiting_max=self._queue_max,
        )
        self._out.deliver(refused.ticket.worker, message)

    def _deliver_place(self, place: Waiting) -> None:
        message = SlotPlace(
            ticket=place.ticket.number, place=place.place, predicted_wait_s=place.predicted_wait_s
        )
        self._out.deliver(place.ticket.worker, message)

    def _schedule_due(self) -> None:
        self.stop()
        moment = self._queue.next_due()
        if moment is not None:
            delay_s = max(0.0, moment - self._clock.now())
            self._due = asyncio.get_running_loop().call_later(delay_s, self._on_due)

    def _on_due(self) -> None:
        self._due = None
        self._carry_out(self._queue.due(self._clock.now()))
