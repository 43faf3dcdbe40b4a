"""The broker: what the slot queue decides is delivered, and what becomes due is done by itself."""

import asyncio
from typing import Any

from lab.runner_processes import until_async
from rempart.base.clock import SystemClock
from rempart.domain.models import Replica
from rempart.runners.broker import Outlets, SlotBroker
from rempart.runners.interface import SlotGranted, SlotPlace, SlotRefused
from rempart.runners.slots import SlotQueue, Ticket

FOREVER = 1e12
ONE = Replica(id="r1", url="http://127.0.0.1:1", api_key="k")


class Told:
    def __init__(self, *, reports_slots: bool = False, settle_s: float = 10.0) -> None:
        self.messages: list[tuple[int, Any]] = []
        self.forgotten: list[Ticket] = []
        self.recycled = 0
        self.drained = 0
        self.broker = SlotBroker(
            SlotQueue(queue_max=2, reports_slots=reports_slots, settle_s=settle_s),
            capacity=1,
            queue_max=2,
            clock=SystemClock(),
            out=Outlets(
                deliver=lambda worker, message: self.messages.append((worker, message)),
                forget=self.forgotten.append,
                recycle=self.on_recycle,
                drained=self.on_drained,
            ),
        )

    def on_recycle(self) -> None:
        self.recycled += 1

    def on_drained(self) -> None:
        self.drained += 1

    def last(self) -> Any:
        return self.messages[-1][1]


def test_a_grant_goes_to_its_worker_with_the_whole_replica() -> None:
    async def run() -> None:
        told = Told()
        told.broker.open([ONE])
        told.broker.want(Ticket(7, 3), FOREVER)
        worker, message = told.messages[0]
        assert worker == 7
        assert isinstance(message, SlotGranted)
        assert (message.ticket, message.replica) == (3, ONE)
        assert told.broker.busy == told.broker.slots == 1

    asyncio.run(run())


def test_who_waits_is_told_its_place_at_once_and_when_asked() -> None:
    async def run() -> None:
        told = Told()
        told.broker.open([ONE])
        for number in range(3):
            told.broker.want(Ticket(1, number), FOREVER)
        assert told.last() == SlotPlace(ticket=2, place=2, predicted_wait_s=0.0)
        told.broker.release(Ticket(1, 0), cancelled=False, settle_s=0)
        told.broker.tell_places(0.0)
        assert isinstance(told.last(), SlotPlace)
        assert (told.last().ticket, told.last().place) == (2, 1)
        count = len(told.messages)
        told.broker.tell_places(100.0)
        assert len(told.messages) == count
        assert told.broker.predicted_wait_s > 0

    asyncio.run(run())


def test_a_refusal_forgets_the_ticket_and_tells_the_bound() -> None:
    async def run() -> None:
        told = Told()
        told.broker.open([ONE])
        for number in range(4):
            told.broker.want(Ticket(1, number), FOREVER)
        refused = told.last()
        assert isinstance(refused, SlotRefused)
        assert (refused.code, refused.waiting, refused.waiting_max) == ("overloaded", 2, 2)
        assert told.forgotten == [Ticket(1, 3)]
        told.broker.resize(9)
        told.broker.refuse(Ticket(1, 8), "model_unavailable", "it crashed", 30.0)
        assert told.last() == SlotRefused(
            ticket=8,
            code="model_unavailable",
            reason="it crashed",
            retry_after_s=30.0,
            waiting=2,
            waiting_max=9,
        )

    asyncio.run(run())


def test_a_settled_slot_is_given_out_by_itself() -> None:
    async def run() -> None:
        told = Told()
        told.broker.open([ONE])
        told.broker.want(Ticket(1, 1), FOREVER)
        told.broker.want(Ticket(1, 2), FOREVER)
        told.broker.release(Ticket(1, 1), cancelled=True, settle_s=0.05)
        assert isinstance(told.last(), SlotPlace)
        await until_async(lambda: isinstance(told.last(), SlotGranted), "the slot has settled")

    asyncio.run(run())


def test_a_slot_that_stays_taken_asks_for_recycling_by_itself() -> None:
    async def run() -> None:
        told = Told(reports_slots=True, settle_s=0.05)
        told.broker.open([ONE])
        told.broker.want(Ticket(1, 1), FOREVER)
        told.broker.reported(1)
        told.broker.release(Ticket(1, 1), cancelled=True, settle_s=0)
        await until_async(lambda: told.recycled == 1, "recycling is asked for")
        assert told.drained == 1

    asyncio.run(run())


def test_drained_comes_when_the_last_replica_serves_nobody() -> None:
    async def run() -> None:
        told = Told()
        told.broker.open([ONE, Replica(id="r2", url="http://127.0.0.1:2")])
        told.broker.want(Ticket(1, 1), FOREVER)
        told.broker.want(Ticket(1, 2), FOREVER)
        told.broker.close()
        told.broker.release(Ticket(1, 1), cancelled=False, settle_s=0)
        assert told.drained == 0
        told.broker.release(Ticket(1, 2), cancelled=False, settle_s=0)
        assert told.drained == 1
        told.broker.take_down()
        assert told.broker.replicas == []

    asyncio.run(run())


def test_stopped_it_has_no_timer_left() -> None:
    async def run() -> None:
        told = Told()
        told.broker.open([ONE])
        told.broker.want(Ticket(1, 1), FOREVER)
        told.broker.want(Ticket(1, 2), FOREVER)
        told.broker.release(Ticket(1, 1), cancelled=True, settle_s=0.01)
        told.broker.stop()
        await asyncio.sleep(0.05)
        assert isinstance(told.last(), SlotPlace)

    asyncio.run(run())
