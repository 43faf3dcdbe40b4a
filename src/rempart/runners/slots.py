"""Who gets which slot of a model: first come, first served over all workers, bounded. Pure.

May be told the time, never asks for it; returns what must be done (``Effect``), never does it.
What always holds (tests/unit/runners/test_slots.py checks it against a slow model):

- no replica has more grants than its capacity, nor all together more than ``slots_max``;
- nobody waits while a slot is free, and nobody overtakes;
- a grant is counted until its ticket is released (or the runner says it has ended, or its replica
  goes down), and then no more.

After a hang-up the slot is still taken: the runner has only been *asked* to stop. A kind that
reports its slots says when it is free; for others a settling time passes. A request that was hung up
on while it was still on its way never reached the runner, and nothing will ever be said of it: such a
slot is found by the runner reporting fewer requests than it has grants.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import NamedTuple

HOLDS_REMEMBERED = 64
"""Lengths of slots held, over which the drain rate is averaged."""
HOLD_S_UNKNOWN = 1.0
"""Taken as a hold's length before any has ended."""
INTERVAL_S_MIN = 0.01
"""So that appointments differ though slots are held for no time at all."""
CHECK_S = 1.0
"""After a hang-up, how often it is looked whether the request ever reached the runner."""
RETRY_AFTER_S_MAX = 60.0
"""Longer waits are of no use: official clients ignore them."""


class Ticket(NamedTuple):
    """One request of one worker that wants a slot."""

    worker: int
    number: int


class Granted(NamedTuple):
    """The ticket has a slot."""

    ticket: Ticket
    replica: str
    grant: str
    wait_s: float


class Waiting(NamedTuple):
    """The ticket stands in the queue; place 1 is next."""

    ticket: Ticket
    place: int
    predicted_wait_s: float


class Refused(NamedTuple):
    """The ticket gets no slot; ``code`` is one of ``domain.errors``."""

    ticket: Ticket
    code: str
    reason: str
    retry_after_s: float
    waiting: int


class Recycle(NamedTuple):
    """The replica has not freed a slot long after a hang-up: end and restart its runner.

    It gets no more grants; ``Drained`` follows when its other requests have ended.
    """

    replica: str


class Drained(NamedTuple):
    """A closed replica serves nobody any more."""

    replica: str


Effect = Granted | Refused | Recycle | Drained


@dataclass(frozen=True)
class SlotStatistics:
    """A queue at a glance.

    Args:
        slots: room of all replicas that are up, 0 for no bound.
        busy: slots taken, settling ones included.
        hold_s_mean: how long slots were held of late; 0 where not known.
    """

    slots: int
    busy: int
    settling: int
    waiting: int
    granted_count: int
    refused_count: int
    left_count: int
    recycled_count: int
    hold_s_mean: float


@dataclass(slots=True)
class _Waiter:
    since: float
    deadline: float


@dataclass(slots=True)
class _Grant:
    ticket: Ticket
    replica: str
    since: float
    free_at: float | None = None
    """None while the request runs; then the moment at which waiting for the slot ends."""
    check_at: float = 0.0
    """Once ``free_at`` is set: the next moment to look at it."""


@dataclass(slots=True)
class _Room:
    capacity: int | None
    taken: int = 0
    held: int = 0
    """Those of ``taken`` that are not settling."""
    is_open: bool = True
    is_drained: bool = False
    reported: int | None = None
    """How many requests the runner says it has."""


class SlotQueue:
    """The slots of one model and those who wait for them.

    Args:
        queue_max: how many may wait; one more is refused with ``overloaded``.
        reports_slots: whether the runner itself tells when a slot is free (``ended``).
        settle_s: with ``reports_slots``: time after a hang-up until the runner is recycled.
        hang_up_settle_s: without: how long a vanished worker's slots count as taken.
        slots_max: bound over all replicas together, None for none beyond each one's own.
    """

    def __init__(
        self,
        *,
        queue_max: int,
        reports_slots: bool,
        settle_s: float,
        hang_up_settle_s: float = 0.0,
        slots_max: int | None = None,
    ) -> None:
        self._queue_max = queue_max
        self._reports_slots = reports_slots
        self._settle_s = settle_s
        self._hang_up_settle_s = hang_up_settle_s
        self._slots_max = slots_max
        self._waiters: OrderedDict[Ticket, _Waiter] = OrderedDict()  # bounded by queue_max
        self._grants: dict[str, _Grant] = {}  # bounded by the capacity of the replicas
        self._grant_of: dict[Ticket, str] = {}
        self._settling: dict[str, None] = {}  # in the order of the hang-ups
        self._rooms: dict[str, _Room] = {}
        self._holds: deque[float] = deque(maxlen=HOLDS_REMEMBERED)
        self._next_grant = 0
        self._appointment = 0.0
        self._granted_count = self._refused_count = self._left_count = self._recycled_count = 0

    # What workers ask for.

    def want(
        self, ticket: Ticket, now: float, deadline: float, *, since: float | None = None
    ) -> Granted | Waiting | Refused:
        """A slot if one is free, else a place in the queue, else a refusal.

        Args:
            deadline: who is still waiting then is refused with ``timeout`` when its turn comes.
            since: when it began to wait, if that was in another queue.

        Raises:
            ValueError: this ticket already waits or has a slot.
        """
        if ticket in self._waiters or ticket in self._grant_of:
            raise ValueError(f"{ticket} already waits or has a slot")
        # Whoever waits, waits because there is no room, so that nobody is overtaken here.
        if (replica := self._least_outstanding()) is not None:
            return self._grant(ticket, replica, now, 0.0 if since is None else now - since)
        if len(self._waiters) >= self._queue_max:
            return self._refuse_for_room(ticket, now)
        self._waiters[ticket] = _Waiter(now if since is None else since, deadline)
        place = len(self._waiters)
        return Waiting(ticket, place, self.predicted_wait_s(place))

    def leave(self, ticket: Ticket, now: float) -> list[Effect]:
        """The ticket does not wait any more; a grant that it has not learnt of is given back."""
        if self._waiters.pop(ticket, None) is not None:
            self._left_count += 1
            return []
        # The grant crossed this message: no byte went to the runner, so there is nothing to settle.
        return self.release(ticket, cancelled=False, now=now)

    def release(
        self, ticket: Ticket, *, cancelled: bool, now: float, settle_s: float | None = None
    ) -> list[Effect]:
        """The ticket's request has ended, or was hung up on. Unknown tickets change nothing.

        Args:
            settle_s: how long a cancelled one's slot counts as taken, unless the runner reports it.
        """
        name = self._grant_of.get(ticket)
        if name is None or self._grants[name].free_at is not None:
            return []
        if not cancelled:
            return self._free(name, now)
        wait_s = self._hang_up_settle_s if settle_s is None else settle_s
        if self._reports_slots:
            wait_s = self._settle_s
        if wait_s <= 0:
            return self._free(name, now)
        grant = self._grants[name]
        grant.free_at = now + wait_s
        grant.check_at = min(now + CHECK_S, grant.free_at) if self._reports_slots else grant.free_at
        self._settling[name] = None
        room = self._rooms[grant.replica]
        room.held -= 1
        return self._drained(grant.replica)

    def worker_gone(self, worker: int, now: float) -> list[Effect]:
        """All that a dead worker's tickets hold or wait for is given back, as after a hang-up."""
        for ticket in [one for one in self._waiters if one.worker == worker]:
            del self._waiters[ticket]
            self._left_count += 1
        effects: list[Effect] = []
        for ticket in [one for one in self._grant_of if one.worker == worker]:
            effects += self.release(ticket, cancelled=True, now=now)
        return effects

    # What runners tell.

    def ended(self, grant: str, now: float) -> list[Effect]:
        """The runner says that this request is over: its slot is free, whatever its worker does."""
        return self._free(grant, now) if grant in self._grants else []

    def reported(self, replica: str, busy: int) -> None:
        """The runner says how many requests it has."""
        if (room := self._rooms.get(replica)) is not None:
            room.reported = busy

    def replica_up(self, replica: str, capacity: int | None, now: float) -> list[Effect]:
        """A replica takes requests, ``capacity`` at a time (None: no bound)."""
        if replica in self._rooms:
            raise ValueError(f"replica {replica} is already up")
        self._rooms[replica] = _Room(capacity)
        return self._assign(now)

    def replica_closed(self, replica: str) -> list[Effect]:
        """The replica gets no more grants; ``Drained`` comes once when its requests have ended."""
        if (room := self._rooms.get(replica)) is None or not room.is_open:
            return []
        room.is_open = False
        return self._drained(replica)

    def replica_down(self, replica: str, now: float) -> list[Effect]:
        """The replica is gone, and with it its grants; who waits goes on waiting."""
        if self._rooms.pop(replica, None) is None:
            return []
        for name in [one for one, grant in self._grants.items() if grant.replica == replica]:
            self._forget(name)
        return self._assign(now)

    def refuse_all(self, code: str, reason: str, retry_after_s: float = 0.0) -> list[Effect]:
        """Everyone who waits is refused."""
        waiting = len(self._waiters)
        self._refused_count += waiting
        effects: list[Effect] = [
            Refused(ticket, code, reason, retry_after_s, waiting) for ticket in self._waiters
        ]
        self._waiters.clear()
        return effects

    def take_waiters(self) -> list[tuple[Ticket, float, float]]:
        """Empty the queue, for another that takes over: tickets with ``since`` and ``deadline``."""
        taken = [(one, waiter.since, waiter.deadline) for one, waiter in self._waiters.items()]
        self._waiters.clear()
        return taken

    def resize(self, queue_max: int) -> None:
        """Another bound on the waiters; those who wait already stay."""
        self._queue_max = queue_max

    # Time.

    def due(self, now: float) -> list[Effect]:
        """What has become due: settled slots are free, replicas that did not settle recycled."""
        effects: list[Effect] = []
        for name in [one for one in self._settling if self._grants[one].check_at <= now]:
            grant = self._grants[name]
            if not self._reports_slots or self._never_arrived(grant.replica, now):
                effects += self._free(name, now)
                continue
            if grant.free_at is not None and grant.free_at > now:
                grant.check_at = min(now + CHECK_S, grant.free_at)
                continue
            # The slot stays taken until the replica goes down; only the waiting for it ends.
            self._settling.pop(name, None)
            if self._rooms[grant.replica].is_open:
                self._recycled_count += 1
                effects.append(Recycle(grant.replica))
                effects += self.replica_closed(grant.replica)
        return effects

    def next_due(self) -> float | None:
        """The moment at which ``due`` has something to do, None while nothing settles."""
        return min((self._grants[name].check_at for name in self._settling), default=None)

    # Figures.

    def place(self, ticket: Ticket) -> int | None:
        """1 for the next one, None for a ticket that does not wait."""
        return next((at for at, one in enumerate(self._waiters, 1) if one == ticket), None)

    def places(self, now: float, waited_s_min: float) -> list[Waiting]:
        """Where those stand who have waited so long already."""
        return [
            Waiting(ticket, at, self.predicted_wait_s(at))
            for at, (ticket, waiter) in enumerate(self._waiters.items(), 1)
            if now - waiter.since >= waited_s_min
        ]

    def predicted_wait_s(self, place: int) -> float:
        """How long a place will take at the drain rate of late; 0 where that is not known."""
        return place * self._interval_s() if self._holds else 0.0

    def holds(self, replica: str) -> int:
        """How many requests run on the replica, settling ones left out."""
        room = self._rooms.get(replica)
        return room.held if room else 0

    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    def busy(self) -> int:
        """How many slots are taken."""
        return len(self._grants)

    def statistics(self) -> SlotStatistics:
        """All figures at once."""
        return SlotStatistics(
            slots=self._slots(),
            busy=len(self._grants),
            settling=len(self._settling),
            waiting=len(self._waiters),
            granted_count=self._granted_count,
            refused_count=self._refused_count,
            left_count=self._left_count,
            recycled_count=self._recycled_count,
            hold_s_mean=sum(self._holds) / len(self._holds) if self._holds else 0.0,
        )

    # Inside.

    def _least_outstanding(self) -> str | None:
        """The open replica with room that has the fewest requests; the first one up wins a tie."""
        if self._slots_max is not None and len(self._grants) >= self._slots_max:
            return None
        best: str | None = None
        for name, room in self._rooms.items():
            if not room.is_open or (room.capacity is not None and room.taken >= room.capacity):
                continue
            if best is None or room.taken < self._rooms[best].taken:
                best = name
        return best

    def _never_arrived(self, replica: str, now: float) -> bool:
        """Whether the runner has fewer requests than grants, and none is still on its way to it."""
        room = self._rooms[replica]
        if room.reported is None or room.reported >= room.taken:
            return False
        return not any(
            grant.replica == replica and grant.since > now - CHECK_S
            for grant in self._grants.values()
        )

    def _assign(self, now: float) -> list[Effect]:
        """Free slots go to the longest waiters; the late ones are refused on the way."""
        effects: list[Effect] = []
        while self._waiters and (replica := self._least_outstanding()) is not None:
            ticket, waiter = self._waiters.popitem(last=False)
            if waiter.deadline <= now:
                effects.append(self._refuse_late(ticket))
            else:
                effects.append(self._grant(ticket, replica, now, now - waiter.since))
        return effects

    def _grant(self, ticket: Ticket, replica: str, now: float, wait_s: float) -> Granted:
        name = f"g{self._next_grant}"
        self._next_grant += 1
        self._grants[name] = _Grant(ticket, replica, now)
        self._grant_of[ticket] = name
        room = self._rooms[replica]
        room.taken += 1
        room.held += 1
        self._granted_count += 1
        return Granted(ticket, replica, name, wait_s)

    def _free(self, name: str, now: float) -> list[Effect]:
        grant = self._grants[name]
        self._holds.append(now - grant.since)
        self._forget(name)
        return self._drained(grant.replica) + self._assign(now)

    def _forget(self, name: str) -> None:
        grant = self._grants.pop(name)
        self._settling.pop(name, None)
        del self._grant_of[grant.ticket]
        if (room := self._rooms.get(grant.replica)) is not None:
            room.taken -= 1
            room.held -= grant.free_at is None

    def _drained(self, replica: str) -> list[Effect]:
        room = self._rooms[replica]
        if room.is_open or room.held or room.is_drained:
            return []
        room.is_drained = True
        return [Drained(replica)]

    def _refuse_for_room(self, ticket: Ticket, now: float) -> Refused:
        self._refused_count += 1
        # Telling a hundred clients the same second makes it a lie for ninety-nine: each refusal
        # takes the next moment at which a slot should come free.
        latest = now + RETRY_AFTER_S_MAX
        self._appointment = min(max(self._appointment, now) + self._interval_s(), latest)
        retry_after_s = self._appointment - now
        waiting = len(self._waiters)
        if not self._rooms:
            reason = "its runner is starting"
            return Refused(ticket, "model_loading", reason, retry_after_s, waiting)
        return Refused(ticket, "overloaded", "the queue is full", retry_after_s, waiting)

    def _refuse_late(self, ticket: Ticket) -> Refused:
        self._refused_count += 1
        reason = "its deadline passed before a slot was free"
        return Refused(ticket, "timeout", reason, 0.0, len(self._waiters))

    def _interval_s(self) -> float:
        """Mean time between two slots coming free while all are taken."""
        hold_s = sum(self._holds) / len(self._holds) if self._holds else HOLD_S_UNKNOWN
        return max(hold_s / max(self._slots(), 1), INTERVAL_S_MIN)

    def _slots(self) -> int:
        total = 0
        for room in self._rooms.values():
            if room.capacity is None:
                return self._slots_max or 0
            total += room.capacity
        return total if self._slots_max is None else min(total, self._slots_max)
