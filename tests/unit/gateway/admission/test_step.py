"""A slot is waited for, held and given back by one block, in whatever way that ends."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from lab.exchanges import call_of, exchange_of
from lab.sim_loop import simulate
from rempart.domain import errors
from rempart.domain.errors import RempartError
from rempart.domain.models import Abilities, HangUp, ModelStatus, Replica, RunnerState
from rempart.gateway.admission.step import Admission
from rempart.gateway.exchange import Exchange
from rempart.runners.interface import SlotGranted, SlotLeft, SlotRefused, SlotReleased, SlotWanted
from rempart.runners.remote import RemoteRunners

ABILITIES = Abilities(
    endpoints={"/v1/chat/completions": HangUp(decode=True, prefill=False, settle_s=2.5)},
    reports_slots=True,
)


def replicas(count: int) -> list[Replica]:
    return [Replica(id=f"r-{number}", url="http://h") for number in range(count)]


def status(*, slots: int = 0, count: int = 2, **more: Any) -> ModelStatus:
    return ModelStatus(
        name="near",
        kind="llama_cpp",
        state=RunnerState.READY,
        slots=slots,
        replicas=replicas(count),
        **more,
    )


class Deadline:
    """Tells until when a slot is of use."""

    queue_until_s = 1030.0


class Admitting:
    """The step over one model's status, with main's part played by hand."""

    def __init__(self, found: ModelStatus | None) -> None:
        self.sent: list[Any] = []
        self.runners = RemoteRunners(self.sent.append)
        self.runners.published(1, True, [found] if found is not None else [])
        self.admission = Admission(self.runners)

    def exchange(self, **call: Any) -> Exchange:
        found, _ = exchange_of()
        found.call = call_of(**call)
        found.deadline = Deadline()  # type: ignore[assignment]
        return found

    def grant(self, ticket: int) -> None:
        self.runners.receive(
            SlotGranted(ticket=ticket, replica=replicas(1)[0], grant="g7", slot_wait_s=0.0)
        )


def test_a_slot_of_a_bounded_model_is_asked_of_main_and_waited_for() -> None:
    async def body() -> None:
        one = Admitting(status(slots=2, abilities=ABILITIES))
        exchange = one.exchange()
        asyncio.get_running_loop().call_later(3.0, one.grant, 1)
        scope = one.admission.slot(exchange)
        entering = asyncio.ensure_future(scope.__aenter__())
        await asyncio.sleep(1)
        assert exchange.is_queued
        assert exchange.ticket is not None
        assert one.sent == [SlotWanted(ticket=1, model="near", deadline_s=1030.0)]
        replica = await entering
        assert (replica.id, exchange.replica, exchange.grant) == ("r-0", replica, "g7")
        assert not exchange.is_queued
        assert exchange.queue_s == 3.0
        assert exchange.reports_slots
        assert len(one.sent) == 1
        await scope.__aexit__(None, None, None)
        assert one.sent[1:] == [SlotReleased(ticket=1, cancelled=False, settle_s=2.5)]

    simulate(body())


@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize("end", ["well", "error", "cancelled"])
def test_what_was_granted_is_given_back_and_says_whether_the_runner_may_be_at_it(
    end: str, runs: bool
) -> None:
    async def body() -> None:
        one = Admitting(status(slots=2, abilities=ABILITIES))
        exchange = one.exchange()

        async def hold() -> None:
            async with one.admission.slot(exchange):
                exchange.runner_may_run = runs
                if end == "error":
                    raise errors.RunnerError(reason="it died")
                if end == "cancelled":
                    await asyncio.get_running_loop().create_future()

        asyncio.get_running_loop().call_later(1.0, one.grant, 1)
        task = asyncio.ensure_future(hold())
        await asyncio.sleep(2)
        task.cancel()
        await asyncio.wait([task])
        if end == "error":
            assert isinstance(task.exception(), errors.RunnerError)
        assert one.sent[1:] == [SlotReleased(ticket=1, cancelled=runs, settle_s=2.5)]
        assert not exchange.runner_may_run

    simulate(body())


@pytest.mark.parametrize("moment", ["waiting", "granted in the same tick"])
def test_who_goes_away_while_waiting_leaves_nothing(moment: str) -> None:
    async def body() -> None:
        one = Admitting(status(slots=2, abilities=ABILITIES))
        exchange = one.exchange()

        async def hold() -> None:
            async with one.admission.slot(exchange):
                pytest.fail("it was let in")

        task = asyncio.ensure_future(hold())
        await asyncio.sleep(1)
        if moment != "waiting":
            one.grant(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        wanted: Any = SlotLeft(ticket=1)
        if moment != "waiting":
            wanted = SlotReleased(ticket=1, cancelled=False, settle_s=2.5)
        assert one.sent[1:] == [wanted]
        assert not exchange.is_queued
        assert exchange.queue_s == 1.0
        assert one.runners._tickets == {}

    simulate(body())


def test_waits_of_several_attempts_add_up() -> None:
    async def body() -> None:
        one = Admitting(status(slots=2))
        exchange = one.exchange()
        for number in (1, 2):
            asyncio.get_running_loop().call_later(2.0, one.grant, number)
            async with one.admission.slot(exchange):
                await asyncio.sleep(10)
        assert exchange.queue_s == 4.0

    simulate(body())


def no(code: str, **more: Any) -> SlotRefused:
    return SlotRefused(ticket=1, code=code, retry_after_s=more.pop("retry_after_s", 3.5), **more)


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (no("overloaded", waiting=4, waiting_max=5), errors.Overloaded, "4 of 5"),
        (no("model_loading"), errors.ModelLoading, "'near'"),
        (no("model_loading", retry_after_s=0.0), errors.ModelLoading, "'near'"),
        (no("model_not_found"), errors.ModelNotFound, "'near'"),
        (no("shutting_down"), errors.ShuttingDown, "shutting down"),
        (no("timeout"), errors.TimedOut, "queue clock of 30 s"),
        (no("model_unavailable", reason="it crashed"), errors.ModelUnavailable, "it crashed"),
        (no("something_new", reason="because"), errors.ModelUnavailable, "because"),
    ],
    ids=lambda value: getattr(value, "code", ""),
)
def test_main_s_refusal_becomes_the_error_of_its_name(
    answer: SlotRefused, error: type[RempartError], says: str
) -> None:
    async def body() -> None:
        one = Admitting(status(slots=2))
        asyncio.get_running_loop().call_later(1.0, one.runners.receive, answer)
        with pytest.raises(error, match=says) as caught:
            async with one.admission.slot(one.exchange()):
                pytest.fail("it was let in")
        if error.status == 503:
            assert caught.value.retry_after_s == (answer.retry_after_s or 1.0)
        assert len(one.sent) == 1, "a refused ticket needs no word back"
        assert one.runners._tickets == {}

    simulate(body())


def test_a_model_that_has_no_replica_is_asked_for_of_main_who_starts_it() -> None:
    async def body() -> None:
        one = Admitting(status(slots=0, count=0))
        asyncio.get_running_loop().call_later(1.0, one.grant, 1)
        async with one.admission.slot(one.exchange()) as replica:
            assert replica.id == "r-0"
        assert isinstance(one.sent[0], SlotWanted)

    simulate(body())


def test_a_model_that_is_gone_meanwhile_and_a_server_that_stops_are_told_apart() -> None:
    async def body() -> None:
        gone = Admitting(None)
        with pytest.raises(errors.ModelNotFound):
            gone.admission.slot(gone.exchange())
        stopping = Admitting(status(slots=2))
        stopping.runners.published(2, False, [status(slots=2)])
        with pytest.raises(errors.ShuttingDown):
            stopping.admission.slot(stopping.exchange())
        assert gone.sent == stopping.sent == []

    simulate(body())


def test_an_endpoint_whose_hang_up_nobody_knows_has_no_settling_time() -> None:
    async def body() -> None:
        one = Admitting(status(slots=2, abilities=ABILITIES))
        asyncio.get_running_loop().call_later(1.0, one.grant, 1)
        async with one.admission.slot(one.exchange(endpoint="/generate")):
            pass
        assert one.sent[1].settle_s == 0.0

    simulate(body())


# Models without a bound.


def test_the_replica_with_the_fewest_requests_is_taken_and_counted() -> None:
    async def body() -> None:
        one = Admitting(status(count=3))
        scopes = [one.admission.slot(one.exchange()) for _ in range(7)]
        taken = [(await scope.__aenter__()).id for scope in scopes]
        assert taken == ["r-0", "r-1", "r-2", "r-0", "r-1", "r-2", "r-0"]
        await scopes[1].__aexit__(None, None, None)
        again = one.admission.slot(one.exchange())
        assert (await again.__aenter__()).id == "r-1"
        for scope in [again, *scopes[:1], *scopes[2:]]:
            await scope.__aexit__(None, None, None)
        assert one.admission.outstanding == {}
        assert one.sent == [], "main is not asked"

    simulate(body())


@pytest.mark.parametrize(
    ("count", "failed", "taken", "others"),
    [
        (3, [], "r-0", 2),
        (3, ["r-0"], "r-1", 1),
        (3, ["r-0", "r-1"], "r-2", 0),
        (3, ["r-0", "r-1", "r-2"], "r-0", 0),
        (1, [], "r-0", 0),
        (1, ["r-0"], "r-0", 0),
        (2, ["gone"], "r-0", 1),
    ],
)
def test_what_has_failed_is_tried_last(
    count: int, failed: list[str], taken: str, others: int
) -> None:
    """Where all have failed once, better again than not at all."""

    async def body() -> None:
        one = Admitting(status(count=count))
        exchange = one.exchange()
        exchange.failed_replicas = failed
        async with one.admission.slot(exchange) as replica:
            assert replica.id == taken
            assert exchange.replica is replica
            assert exchange.other_replicas == others
            assert exchange.queue_s == 0.0

    simulate(body())


def fails(_: Any) -> None:
    raise errors.UpstreamError(reason="it died")


@pytest.mark.parametrize("acts", [lambda _: None, fails])
def test_whatever_its_end_the_count_is_given_back(acts: Callable[[Any], None]) -> None:
    async def body() -> None:
        one = Admitting(status())
        try:
            async with one.admission.slot(one.exchange()):
                assert sum(one.admission.outstanding.values()) == 1
                acts(None)
        except errors.UpstreamError:
            pass
        assert one.admission.outstanding == {}

    simulate(body())


def test_replicas_that_are_gone_meanwhile_are_given_back_all_the_same() -> None:
    async def body() -> None:
        one = Admitting(status(count=1))
        async with one.admission.slot(one.exchange()):
            one.runners.published(2, True, [])
        assert one.admission.outstanding == {}

    simulate(body())
