"""A worker's side of the slots: each ticket is answered once, ended once, and leaves nothing behind."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.domain.models import ModelStatus, Replica, RunnerState
from rempart.runners.interface import (
    EnsureReady,
    SlotGranted,
    SlotLeft,
    SlotPlace,
    SlotRefused,
    SlotReleased,
    SlotWanted,
)
from rempart.runners.remote import RemoteRunners, SlotTicket

REPLICA = Replica(id="r", url="http://h")


def granted(ticket: int) -> SlotGranted:
    return SlotGranted(ticket=ticket, replica=REPLICA, grant=f"g{ticket}", slot_wait_s=0.0)


def refused(ticket: int) -> SlotRefused:
    return SlotRefused(ticket=ticket, code="overloaded")


def status(name: str, state: RunnerState = RunnerState.READY) -> ModelStatus:
    return ModelStatus(name=name, kind="llama_cpp", state=state)


def run(body: Callable[[RemoteRunners, list[Any]], Awaitable[None]]) -> None:
    async def scenario() -> None:
        sent: list[Any] = []
        await body(RemoteRunners(sent.append), sent)

    asyncio.run(scenario())


def test_a_ticket_is_asked_for_and_answered() -> None:
    async def body(runners: RemoteRunners, sent: list[Any]) -> None:
        first, second = runners.want("near", 12.5), runners.want("far", 13.5)
        assert sent == [
            SlotWanted(ticket=1, model="near", deadline_s=12.5),
            SlotWanted(ticket=2, model="far", deadline_s=13.5),
        ]
        assert runners.waiting_count == 2
        runners.receive(refused(2))
        runners.receive(granted(1))
        assert await first.answer == granted(1)
        assert await second.answer == refused(2)
        assert runners.waiting_count == 0

    run(body)


def test_where_it_stands_is_told_as_far_as_main_told() -> None:
    async def body(runners: RemoteRunners, sent: list[Any]) -> None:
        ticket = runners.want("near", 1.0)
        assert (ticket.place, ticket.predicted_wait_s) == (0, 0.0)
        runners.receive(SlotPlace(ticket=1, place=3, predicted_wait_s=2.5))
        assert (ticket.place, ticket.predicted_wait_s) == (3, 2.5)
        assert not ticket.answer.done()

    run(body)


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_slot_that_was_granted_is_released_once(cancelled: bool) -> None:
    async def body(runners: RemoteRunners, sent: list[Any]) -> None:
        ticket = runners.want("near", 1.0)
        runners.receive(granted(1))
        ticket.give_back(cancelled=cancelled, settle_s=0.5)
        ticket.give_back(cancelled=cancelled, settle_s=0.5)
        assert sent[1:] == [SlotReleased(ticket=1, cancelled=cancelled, settle_s=0.5)]

    run(body)


def test_who_leaves_the_queue_says_so_and_a_grant_that_crossed_it_is_main_s() -> None:
    async def body(runners: RemoteRunners, sent: list[Any]) -> None:
        ticket = runners.want("near", 1.0)
        ticket.give_back(cancelled=False, settle_s=0.0)
        runners.receive(granted(1))
        runners.receive(SlotPlace(ticket=1, place=1, predicted_wait_s=0.0))
        assert sent[1:] == [SlotLeft(ticket=1)]
        assert ticket.answer.cancelled()
        assert runners._tickets == {}

    run(body)


def test_a_waiting_task_that_is_cancelled_leaves_the_queue() -> None:
    async def body(runners: RemoteRunners, sent: list[Any]) -> None:
        ticket = runners.want("near", 1.0)

        async def wait() -> None:
            try:
                await ticket.answer
            except asyncio.CancelledError:
                ticket.give_back(cancelled=False, settle_s=0.0)
                raise

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert sent[1:] == [SlotLeft(ticket=1)]

    run(body)


def test_a_grant_in_the_very_tick_of_the_cancellation_is_released() -> None:
    async def body(runners: RemoteRunners, sent: list[Any]) -> None:
        ticket = runners.want("near", 1.0)

        async def wait() -> None:
            try:
                await ticket.answer
            except asyncio.CancelledError:
                ticket.give_back(cancelled=False, settle_s=0.0)
                raise

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        runners.receive(granted(1))
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert sent[1:] == [SlotReleased(ticket=1, cancelled=False, settle_s=0.0)]

    run(body)


def test_a_refused_ticket_needs_no_word_back() -> None:
    async def body(runners: RemoteRunners, sent: list[Any]) -> None:
        ticket = runners.want("near", 1.0)
        runners.receive(refused(1))
        ticket.give_back(cancelled=False, settle_s=0.0)
        assert len(sent) == 1
        assert runners._tickets == {}

    run(body)


def test_only_the_first_answer_counts() -> None:
    async def body(runners: RemoteRunners, sent: list[Any]) -> None:
        ticket = runners.want("near", 1.0)
        runners.receive(granted(1))
        runners.receive(refused(1))
        assert ticket.answer.result() == granted(1)
        runners.receive(granted(77))  # of nobody

    run(body)


@given(
    st.lists(
        st.tuples(st.sampled_from(["want", "grant", "refuse", "back"]), st.integers(0, 4)),
        max_size=40,
    )
)
def test_main_can_balance_its_books_whatever_happens(acts: list[tuple[str, int]]) -> None:
    """Every grant that a worker learnt of is released exactly once; every other ticket left or was refused."""

    async def scenario() -> None:
        sent: list[Any] = []
        runners = RemoteRunners(sent.append)
        tickets: list[SlotTicket] = []
        learnt: set[int] = set()
        for act, which in acts:
            if act == "want":
                tickets.append(runners.want("near", 1.0))
                continue
            if not tickets:
                continue
            number = which % len(tickets) + 1
            ticket = tickets[number - 1]
            is_open = number in runners._tickets
            match act:
                case "grant":
                    if is_open and not ticket.answer.done():
                        learnt.add(number)
                    runners.receive(granted(number))
                case "refuse":
                    runners.receive(refused(number))
                case "back":
                    ticket.give_back(cancelled=False, settle_s=0.0)
        for ticket in tickets:
            ticket.give_back(cancelled=False, settle_s=0.0)
        released = [one.ticket for one in sent if isinstance(one, SlotReleased)]
        left = [one.ticket for one in sent if isinstance(one, SlotLeft)]
        assert sorted(released) == sorted(learnt)
        assert len(set(left)) == len(left)
        assert not set(left) & set(released)
        assert runners._tickets == {}
        assert runners.waiting_count == 0

    asyncio.run(scenario())


def test_the_newest_states_replace_the_older_ones_and_never_the_other_way_round() -> None:
    async def body(runners: RemoteRunners, sent: list[Any]) -> None:
        assert dict(runners.statuses) == {}
        assert runners.is_accepting
        assert not runners.has_statuses.is_set()
        runners.published(5, True, [status("b"), status("a")])
        assert list(runners.statuses) == ["b", "a"], "in the configuration's order"
        assert runners.has_statuses.is_set()
        runners.published(6, False, [status("a", RunnerState.FAILED)])
        runners.published(5, True, [status("b")])
        assert list(runners.statuses) == ["a"]
        assert runners.statuses["a"].state is RunnerState.FAILED
        assert not runners.is_accepting

    run(body)


def test_a_model_can_be_asked_for_without_a_slot() -> None:
    async def body(runners: RemoteRunners, sent: list[Any]) -> None:
        runners.ensure_ready("near")
        assert sent == [EnsureReady(model="near")]

    run(body)
