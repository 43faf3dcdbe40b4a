"""The slot queue: first come first served, bounded, nothing leaks; checked against a slow model."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from rempart.runners.slots import (
    RETRY_AFTER_S_MAX,
    Drained,
    Effect,
    Granted,
    Recycle,
    Refused,
    SlotQueue,
    Ticket,
    Waiting,
)

LATE = 1e9


def ticket(number: int, worker: int = 0) -> Ticket:
    return Ticket(worker, number)


def queue(
    slots: int = 2, *, queue_max: int = 8, reports_slots: bool = False, settle_s: float = 10.0
) -> SlotQueue:
    made = SlotQueue(queue_max=queue_max, reports_slots=reports_slots, settle_s=settle_s)
    made.replica_up("r1", slots, 0.0)
    return made


@pytest.mark.requirement("problem-concurrency")
def test_free_slots_are_granted_at_once_and_the_rest_waits_in_order() -> None:
    slots = queue(2)
    assert isinstance(slots.want(ticket(1), 0, LATE), Granted)
    assert isinstance(slots.want(ticket(2), 0, LATE), Granted)
    third, fourth = slots.want(ticket(3), 0, LATE), slots.want(ticket(4), 0, LATE)
    assert isinstance(third, Waiting)
    assert isinstance(fourth, Waiting)
    assert (third.place, fourth.place) == (1, 2)
    (effect,) = slots.release(ticket(1), cancelled=False, now=3.0)
    assert isinstance(effect, Granted)
    assert (effect.ticket, effect.wait_s) == (ticket(3), 3.0)
    assert slots.place(ticket(4)) == 1


@pytest.mark.requirement("problem-rate-limit", "rate-limit-answer")
def test_a_full_queue_refuses_with_appointments_that_do_not_coincide() -> None:
    """Each refused client is told another moment, at the pace at which slots came free of late."""
    slots = queue(1, queue_max=1)
    slots.want(ticket(0), 0, LATE)
    slots.release(ticket(0), cancelled=False, now=4.0)
    slots.want(ticket(1), 4, LATE)
    slots.want(ticket(2), 4, LATE)
    refusals = [slots.want(ticket(n), 4, LATE) for n in range(3, 6)]
    assert [one.code for one in refusals if isinstance(one, Refused)] == ["overloaded"] * 3
    assert [one.retry_after_s for one in refusals if isinstance(one, Refused)] == [4, 8, 12]
    for number in range(100, 200):
        last = slots.want(ticket(number), 4, LATE)
    assert isinstance(last, Refused)
    assert last.retry_after_s == RETRY_AFTER_S_MAX


def test_while_no_replica_is_up_requests_wait_and_beyond_the_bound_hear_that_it_is_loading() -> (
    None
):
    slots = SlotQueue(queue_max=1, reports_slots=False, settle_s=1)
    assert isinstance(slots.want(ticket(1), 0, LATE), Waiting)
    refused = slots.want(ticket(2), 0, LATE)
    assert isinstance(refused, Refused)
    assert refused.code == "model_loading"
    (effect,) = slots.replica_up("r", 4, 2.5)
    assert isinstance(effect, Granted)
    assert effect.wait_s == 2.5


def test_who_has_waited_past_its_deadline_is_refused_instead_of_granted() -> None:
    slots = queue(1)
    slots.want(ticket(1), 0, LATE)
    slots.want(ticket(2), 0, 5.0)
    slots.want(ticket(3), 0, LATE)
    late, granted = slots.release(ticket(1), cancelled=False, now=5.0)
    assert isinstance(late, Refused)
    assert (late.ticket, late.code) == (ticket(2), "timeout")
    assert isinstance(granted, Granted)
    assert granted.ticket == ticket(3)


def test_a_hang_up_where_the_runner_reports_holds_the_slot_until_it_says_so() -> None:
    slots = queue(1, reports_slots=True)
    first = slots.want(ticket(1), 0, LATE)
    assert isinstance(first, Granted)
    slots.want(ticket(2), 0, LATE)
    assert slots.release(ticket(1), cancelled=True, now=1.0) == []
    assert slots.due(10.9) == []
    (effect,) = slots.ended(first.grant, 10.9)
    assert isinstance(effect, Granted)
    assert effect.ticket == ticket(2)
    assert slots.ended(first.grant, 11.0) == []


def test_a_runner_that_never_reports_the_slot_is_recycled_once_its_other_requests_have_ended() -> (
    None
):
    slots = queue(2, reports_slots=True, settle_s=10)
    slots.want(ticket(1), 0, LATE)
    slots.want(ticket(2), 0, LATE)
    slots.want(ticket(3), 0, LATE)
    slots.release(ticket(1), cancelled=True, now=1.0)
    assert slots.next_due() == 2.0
    assert slots.due(10.9) == []
    assert slots.due(11.0) == [Recycle("r1")]
    assert slots.due(12.0) == []
    assert slots.release(ticket(2), cancelled=False, now=13.0) == [Drained("r1")]
    assert slots.replica_down("r1", 14.0) == []
    (effect,) = slots.replica_up("r2", 2, 20.0)
    assert isinstance(effect, Granted)
    assert effect.ticket == ticket(3)
    assert slots.statistics().busy == 1


def test_a_request_that_never_reached_the_runner_gives_its_slot_back_after_a_moment() -> None:
    """It was hung up on while it was still on its way: the runner will never say a word of it."""
    slots = queue(2, reports_slots=True)
    slots.want(ticket(1), 0, LATE)
    slots.want(ticket(2), 0, LATE)
    slots.reported("r1", 2)
    slots.reported("r1", 1)
    slots.want(ticket(3), 4, LATE)
    slots.release(ticket(1), cancelled=True, now=5.0)
    assert slots.next_due() == 6.0
    (effect,) = slots.due(6.0)
    assert isinstance(effect, Granted)
    assert effect.ticket == ticket(3)


def test_while_another_request_is_on_its_way_nothing_is_concluded_from_the_report() -> None:
    slots = queue(2, reports_slots=True)
    slots.want(ticket(1), 0, LATE)
    slots.reported("r1", 1)
    slots.release(ticket(1), cancelled=True, now=1.0)
    slots.want(ticket(2), 1.9, LATE)
    assert slots.due(2.0) == []
    assert slots.busy() == 2
    slots.reported("r1", 2)
    assert slots.due(3.0) == []
    assert slots.busy() == 2
    slots.reported("r1", 1)
    assert slots.due(4.0) == []
    assert slots.busy() == 1


def test_a_request_hung_up_on_a_moment_ago_may_be_on_its_way_too() -> None:
    slots = queue(2, reports_slots=True)
    slots.want(ticket(1), 0, LATE)
    slots.reported("r1", 1)
    slots.release(ticket(1), cancelled=True, now=1.0)
    slots.want(ticket(2), 1.9, LATE)
    slots.release(ticket(2), cancelled=True, now=1.95)
    slots.due(2.0)
    assert slots.busy() == 2


def test_appointments_differ_though_slots_were_held_for_no_time_at_all() -> None:
    slots = queue(1, queue_max=0)
    for _ in range(3):
        slots.want(ticket(0), 1.0, LATE)
        slots.release(ticket(0), cancelled=False, now=1.0)
    slots.want(ticket(0), 1.0, LATE)
    first, second = (slots.want(ticket(number), 1.0, LATE) for number in (1, 2))
    assert isinstance(first, Refused)
    assert isinstance(second, Refused)
    assert 0 < first.retry_after_s < second.retry_after_s


def test_waiters_move_to_another_queue_in_their_order_and_with_their_time() -> None:
    slots, successor = queue(1), queue(1)
    for number in range(3):
        slots.want(ticket(number), number, LATE)
    moved = slots.take_waiters()
    assert slots.waiting() == 0
    for one, since, deadline in moved:
        answer = successor.want(one, 5.0, deadline, since=since)
    assert isinstance(answer, Waiting)
    (effect,) = successor.release(ticket(1), cancelled=False, now=9.0)
    assert isinstance(effect, Granted)
    assert (effect.ticket, effect.wait_s) == (ticket(2), 7.0)


def test_a_smaller_bound_refuses_new_ones_and_leaves_those_who_wait() -> None:
    slots = queue(1)
    for number in range(4):
        slots.want(ticket(number), 0, LATE)
    slots.resize(1)
    assert isinstance(slots.want(ticket(9), 0, LATE), Refused)
    assert slots.waiting() == 3


def test_a_hang_up_where_the_runner_does_not_report_settles_for_the_endpoints_time() -> None:
    slots = queue(1)
    slots.want(ticket(1), 0, LATE)
    slots.want(ticket(2), 0, LATE)
    assert slots.release(ticket(1), cancelled=True, now=1.0, settle_s=2.0) == []
    assert slots.due(2.9) == []
    (effect,) = slots.due(3.0)
    assert isinstance(effect, Granted)
    assert slots.next_due() is None


def test_the_runners_word_frees_a_slot_before_its_worker_does() -> None:
    """A slow client may still be reading an answer that the runner has long finished."""
    slots = queue(1, reports_slots=True)
    first = slots.want(ticket(1), 0, LATE)
    assert isinstance(first, Granted)
    slots.want(ticket(2), 0, LATE)
    (effect,) = slots.ended(first.grant, 1.0)
    assert isinstance(effect, Granted)
    assert slots.release(ticket(1), cancelled=True, now=2.0) == []
    assert slots.busy() == 1


def test_a_grant_that_crosses_a_leave_is_given_to_the_next() -> None:
    slots = queue(1, reports_slots=True)
    slots.want(ticket(1), 0, LATE)
    slots.want(ticket(2), 0, LATE)
    (effect,) = slots.leave(ticket(1), 1.0)
    assert isinstance(effect, Granted)
    assert slots.leave(ticket(2), 1.0) == []
    assert slots.busy() == 0


def test_a_dead_workers_tickets_leave_the_queue_and_its_slots_settle() -> None:
    slots = queue(2, reports_slots=True)
    mine = slots.want(ticket(1, worker=1), 0, LATE)
    slots.want(ticket(1, worker=2), 0, LATE)
    slots.want(ticket(2, worker=1), 0, LATE)
    slots.want(ticket(2, worker=2), 0, LATE)
    assert slots.worker_gone(1, 1.0) == []
    assert isinstance(mine, Granted)
    assert slots.waiting() == 1
    (effect,) = slots.ended(mine.grant, 2.0)
    assert isinstance(effect, Granted)
    assert effect.ticket == ticket(2, worker=2)


def test_the_replica_with_the_fewest_requests_is_chosen() -> None:
    slots = queue(4)
    slots.replica_up("r2", 4, 0.0)
    granted = [slots.want(ticket(n), 0, LATE) for n in range(4)]
    assert [one.replica for one in granted if isinstance(one, Granted)] == ["r1", "r2", "r1", "r2"]


def test_a_bound_over_all_replicas_holds_beside_each_ones_own() -> None:
    slots = SlotQueue(queue_max=8, reports_slots=False, settle_s=1, slots_max=3)
    slots.replica_up("a", None, 0.0)
    slots.replica_up("b", None, 0.0)
    made = [slots.want(ticket(n), 0, LATE) for n in range(4)]
    assert [type(one) for one in made] == [Granted, Granted, Granted, Waiting]
    assert slots.statistics().slots == 3


def test_a_closed_replica_finishes_what_it_has_and_gets_no_more() -> None:
    slots = queue(2)
    slots.want(ticket(1), 0, LATE)
    assert slots.replica_closed("r1") == []
    assert isinstance(slots.want(ticket(2), 0, LATE), Waiting)
    assert slots.release(ticket(1), cancelled=False, now=1.0) == [Drained("r1")]
    assert slots.replica_closed("r1") == []


def test_a_replica_is_drained_once_though_its_slots_still_settle() -> None:
    slots = queue(1, reports_slots=True)
    first = slots.want(ticket(1), 0, LATE)
    assert isinstance(first, Granted)
    slots.release(ticket(1), cancelled=True, now=1.0)
    assert slots.replica_closed("r1") == [Drained("r1")]
    assert slots.ended(first.grant, 2.0) == []


def test_a_replica_that_goes_down_takes_its_grants_and_leaves_the_waiters() -> None:
    slots = queue(1)
    slots.want(ticket(1), 0, LATE)
    slots.want(ticket(2), 0, LATE)
    assert slots.replica_down("r1", 1.0) == []
    assert slots.busy() == 0
    assert slots.release(ticket(1), cancelled=True, now=2.0) == []
    (effect,) = slots.replica_up("r1b", 1, 3.0)
    assert isinstance(effect, Granted)
    assert effect.ticket == ticket(2)


def test_everyone_who_waits_is_refused_when_the_model_is_given_up() -> None:
    slots = SlotQueue(queue_max=8, reports_slots=False, settle_s=1)
    slots.want(ticket(1), 0, LATE)
    slots.want(ticket(2), 0, LATE)
    effects = slots.refuse_all("model_unavailable", "it crashed 5 times", 30.0)
    assert [one.ticket for one in effects if isinstance(one, Refused)] == [ticket(1), ticket(2)]
    assert slots.waiting() == 0


def test_a_ticket_cannot_be_used_twice_at_a_time() -> None:
    slots = queue(1)
    slots.want(ticket(1), 0, LATE)
    with pytest.raises(ValueError, match="already waits"):
        slots.want(ticket(1), 0, LATE)


def test_places_tell_those_who_have_waited_long_enough() -> None:
    slots = queue(1)
    slots.want(ticket(1), 0, LATE)
    slots.release(ticket(1), cancelled=False, now=2.0)
    slots.want(ticket(2), 2, LATE)
    slots.want(ticket(3), 2, LATE)
    slots.want(ticket(4), 6, LATE)
    told = slots.places(7.0, 4.0)
    assert told == [Waiting(ticket(3), 1, 2.0)]


class AgainstASlowModel(RuleBasedStateMachine):
    """Any sequence of events, beside a model that keeps plain lists and looks through all of them.

    The model holds: who waits, in order; who holds a slot where; who settles until when.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reports = False
        self.now = 0.0
        self.number = 0
        self.made = SlotQueue(
            queue_max=4, reports_slots=False, settle_s=3.0, hang_up_settle_s=1.0, slots_max=5
        )
        self.waiting: list[tuple[Ticket, float]] = []
        self.held: dict[str, tuple[Ticket, str]] = {}
        self.settling: dict[str, tuple[Ticket, str, float]] = {}
        self.check_at: dict[str, float] = {}
        self.since: dict[str, float] = {}
        self.reported_busy: dict[str, int] = {}
        self.stuck: dict[str, tuple[Ticket, str]] = {}
        self.up: dict[str, int | None] = {}
        self.closed: set[str] = set()
        self.replica_number = 0

    # The model.

    def taken(self, replica: str) -> int:
        every = [*self.held.values(), *self.settling.values(), *self.stuck.values()]
        return sum(one[1] == replica for one in every)

    def has_room(self) -> bool:
        every = len(self.held) + len(self.settling) + len(self.stuck)
        return every < 5 and any(
            capacity is None or self.taken(name) < capacity
            for name, capacity in self.up.items()
            if name not in self.closed
        )

    def expect(self, effects: list[Effect]) -> None:
        """Grants come in the order of waiting, exactly while there is room."""
        for effect in effects:
            self.apply(effect)
        assert not self.waiting or not self.has_room()

    def apply(self, effect: Effect) -> None:
        if isinstance(effect, Granted):
            assert self.has_room()
            assert self.waiting[0][0] == effect.ticket
            assert self.waiting.pop(0)[1] > self.now
            self.take(effect)
        elif isinstance(effect, Refused):
            assert effect.code == "timeout"
            first, deadline = self.waiting.pop(0)
            assert first == effect.ticket
            assert deadline <= self.now
        else:
            assert isinstance(effect, Drained)
            assert effect.replica in self.closed
            assert all(one[1] != effect.replica for one in self.held.values())

    def take(self, effect: Granted) -> None:
        open_ones = [
            (self.taken(name), name)
            for name, capacity in self.up.items()
            if name not in self.closed and (capacity is None or self.taken(name) < capacity)
        ]
        assert self.taken(effect.replica) == min(open_ones)[0]
        assert effect.grant not in {*self.held, *self.settling, *self.stuck}
        self.held[effect.grant] = (effect.ticket, effect.replica)
        self.since[effect.grant] = self.now

    # The events.

    @rule(worker=st.integers(0, 2), patience=st.sampled_from([0.5, 5.0, 1e9]))
    def want(self, worker: int, patience: float) -> None:
        self.number += 1
        one = Ticket(worker, self.number)
        had_room, waiting = self.has_room(), len(self.waiting)
        answer = self.made.want(one, self.now, self.now + patience)
        if isinstance(answer, Granted):
            assert had_room
            assert not waiting
            self.take(answer)
        elif isinstance(answer, Waiting):
            assert not had_room
            self.waiting.append((one, self.now + patience))
            assert answer.place == len(self.waiting)
        else:
            assert waiting == 4
            assert answer.code == ("overloaded" if self.up else "model_loading")
            assert 0 < answer.retry_after_s <= RETRY_AFTER_S_MAX

    @rule(data=st.data(), cancelled=st.booleans(), settle_s=st.sampled_from([None, 0.0, 2.0]))
    def release(self, data: st.DataObject, cancelled: bool, settle_s: float | None) -> None:
        if not self.held:
            return
        grant = data.draw(st.sampled_from(sorted(self.held)))
        one, replica = self.held.pop(grant)
        self.let_go(grant, one, replica, cancelled, settle_s)
        self.expect(self.made.release(one, cancelled=cancelled, now=self.now, settle_s=settle_s))

    def let_go(
        self, grant: str, one: Ticket, replica: str, cancelled: bool, settle_s: float | None
    ) -> None:
        wait_s = 3.0 if self.reports else 1.0 if settle_s is None else settle_s
        if cancelled and wait_s:
            self.settling[grant] = (one, replica, self.now + wait_s)
            self.check_at[grant] = self.now + min(wait_s, 1.0 if self.reports else wait_s)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        every = [one for one, _ in self.waiting] + [one[0] for one in self.held.values()]
        if not every:
            return
        one = data.draw(st.sampled_from(sorted(every)))
        self.waiting = [other for other in self.waiting if other[0] != one]
        self.held = {name: other for name, other in self.held.items() if other[0] != one}
        self.expect(self.made.leave(one, self.now))

    @rule(data=st.data())
    def ended(self, data: st.DataObject) -> None:
        every = [*self.held, *self.settling, *self.stuck, "unknown"]
        grant = data.draw(st.sampled_from(sorted(every)))
        for group in (self.held, self.settling, self.stuck):
            group.pop(grant, None)  # type: ignore[attr-defined]
        self.expect(self.made.ended(grant, self.now))

    @rule(worker=st.integers(0, 2))
    def worker_gone(self, worker: int) -> None:
        self.waiting = [other for other in self.waiting if other[0].worker != worker]
        for grant in [name for name, one in self.held.items() if one[0].worker == worker]:
            one, replica = self.held.pop(grant)
            self.let_go(grant, one, replica, True, None)
        self.expect(self.made.worker_gone(worker, self.now))

    @rule(capacity=st.sampled_from([1, 2, 3, None]))
    def replica_up(self, capacity: int | None) -> None:
        if len(self.up) < 3:
            self.replica_number += 1
            name = f"r{self.replica_number}"
            self.up[name] = capacity
            self.expect(self.made.replica_up(name, capacity, self.now))

    @rule(data=st.data())
    def replica_down(self, data: st.DataObject) -> None:
        if self.up:
            name = data.draw(st.sampled_from(sorted(self.up)))
            del self.up[name]
            self.closed.discard(name)
            self.reported_busy.pop(name, None)
            self.held = {key: one for key, one in self.held.items() if one[1] != name}
            self.settling = {key: one for key, one in self.settling.items() if one[1] != name}
            self.stuck = {key: one for key, one in self.stuck.items() if one[1] != name}
            self.expect(self.made.replica_down(name, self.now))

    @rule(data=st.data())
    def replica_closed(self, data: st.DataObject) -> None:
        if self.up:
            name = data.draw(st.sampled_from(sorted(self.up)))
            self.closed.add(name)
            self.expect(self.made.replica_closed(name))

    @rule(step=st.sampled_from([0.1, 1.0, 2.0, 5.0]))
    def time_passes(self, step: float) -> None:
        self.now += step
        effects = list(self.made.due(self.now))
        for grant in list(self.settling):
            if self.check_at[grant] <= self.now:
                self.look_at(grant, effects)
        assert effects == []
        following = self.made.next_due()
        assert following is None or following > self.now

    def look_at(self, grant: str, effects: list[Effect]) -> None:
        """One settling slot whose moment has come, with the first of the effects."""
        one, replica, until = self.settling[grant]
        if not self.reports or self.may_be_free(replica):
            del self.settling[grant]
            while self.waiting and self.has_room():
                self.apply(effects.pop(0))
        elif until > self.now:
            self.check_at[grant] = min(self.now + 1.0, until)
        else:
            del self.settling[grant]
            self.stuck[grant] = (one, replica)
            if replica not in self.closed:
                assert effects.pop(0) == Recycle(replica)
                self.closed.add(replica)
                if all(other[1] != replica for other in self.held.values()):
                    assert effects.pop(0) == Drained(replica)

    def may_be_free(self, replica: str) -> bool:
        reported = self.reported_busy.get(replica)
        young = any(
            one[1] == replica and self.since[grant] > self.now - 1.0
            for grant, one in [*self.held.items(), *self.settling.items(), *self.stuck.items()]
        )
        return reported is not None and reported < self.taken(replica) and not young

    @rule(data=st.data(), busy=st.integers(0, 3))
    def reported(self, data: st.DataObject, busy: int) -> None:
        if self.up and self.reports:
            name = data.draw(st.sampled_from(sorted(self.up)))
            self.reported_busy[name] = busy
            self.made.reported(name, busy)

    @invariant()
    def nothing_leaks(self) -> None:
        figures = self.made.statistics()
        assert figures.waiting == len(self.waiting) <= 4
        assert figures.busy == len(self.held) + len(self.settling) + len(self.stuck) <= 5
        assert figures.settling == len(self.settling)
        for name, capacity in self.up.items():
            assert capacity is None or self.taken(name) <= capacity
            assert self.made.holds(name) == sum(one[1] == name for one in self.held.values())
        assert [self.made.place(one) for one, _ in self.waiting] == list(
            range(1, len(self.waiting) + 1)
        )


class AgainstASlowModelReporting(AgainstASlowModel):
    """The same where the runner reports its slots, so that one that is silent is recycled."""

    def __init__(self) -> None:
        super().__init__()
        self.reports = True
        self.made = SlotQueue(queue_max=4, reports_slots=True, settle_s=3.0, slots_max=5)


@pytest.mark.parametrize("machine", [AgainstASlowModel, AgainstASlowModelReporting])
def test_any_sequence_of_events_agrees_with_a_slow_model(
    machine: type[RuleBasedStateMachine],
) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=80, stateful_step_count=40, deadline=None)
    )


@given(st.lists(st.integers(0, 30), max_size=60))
@settings(deadline=None)
def test_grants_come_in_the_order_of_the_wishes(order: list[int]) -> None:
    """Whoever releases or leaves when, those who are granted are granted in the order they came."""
    slots = queue(2, queue_max=100)
    granted: list[int] = []
    for number in range(20):
        answer = slots.want(ticket(number), 0, LATE)
        if isinstance(answer, Granted):
            granted.append(number)
    for number in order:
        for effect in slots.leave(ticket(number), 1.0):
            assert isinstance(effect, Granted)
            granted.append(effect.ticket.number)
    assert granted == sorted(granted)
