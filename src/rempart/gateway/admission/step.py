"""Steps 8 and 9: wait for a slot, which names the replica; a model without bound has one at once.

Slots of a bounded model are granted by main, first come first served over all workers
(docs/decisions/0003). A model without a bound (an upstream) is not queued: the replica with the fewest
of this worker's requests is taken.
"""

import asyncio
from types import TracebackType
from typing import Protocol

from rempart.domain import errors
from rempart.domain.errors import RempartError
from rempart.domain.models import HangUp, ModelStatus, Replica
from rempart.gateway.exchange import Exchange, Models
from rempart.runners.interface import SlotRefused
from rempart.runners.remote import SlotTicket

NO_HANG_UP = HangUp(decode=False, prefill=False)


class Slots(Models, Protocol):
    """What admission asks of ``runners.remote``."""

    def want(self, model: str, deadline_s: float) -> SlotTicket:
        """Ask for a slot."""
        ...


class Admission:
    """Hands out slots; one object per worker."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.outstanding: dict[str, int] = {}
        """Requests under way per replica, for models without a bound."""

    def slot(self, exchange: Exchange) -> "_Granted | _Unbounded":
        """A scope that holds a slot; entering it waits, and gives the replica."""
        assert exchange.call is not None  # noqa: S101 - the path admits calls only
        status = self._slots.statuses.get(exchange.call.model)
        if status is None:
            raise errors.ModelNotFound(model=exchange.call.model)
        if not self._slots.is_accepting:
            raise errors.ShuttingDown
        exchange.reports_slots = status.abilities.reports_slots
        if (
            status.slots or not status.replicas
        ):  # main starts what is stopped, and knows why it cannot
            return _Granted(self._slots, exchange, status)
        return _Unbounded(self, exchange, status)


class _Unbounded:
    __slots__ = ("_admission", "_exchange", "_replica", "_status")

    def __init__(self, admission: Admission, exchange: Exchange, status: ModelStatus) -> None:
        self._admission = admission
        self._exchange = exchange
        self._status = status
        self._replica: Replica | None = None

    async def __aenter__(self) -> Replica:
        outstanding = self._admission.outstanding
        failed = self._exchange.failed_replicas
        replicas = self._status.replicas
        # Where all have failed once, the fault may have been a moment's: better again than not at all.
        open_replicas = replicas
        if failed:
            open_replicas = [one for one in replicas if one.id not in failed] or replicas
        replica = open_replicas[0]
        if len(open_replicas) > 1:
            replica = min(open_replicas, key=lambda one: outstanding.get(one.id, 0))
        outstanding[replica.id] = outstanding.get(replica.id, 0) + 1
        self._replica = replica
        self._exchange.replica = replica
        self._exchange.other_replicas = 0
        if len(replicas) > 1:
            untried = sum(one.id not in failed for one in replicas)
            self._exchange.other_replicas = max(0, untried - 1)
        self._exchange.queue_s = self._exchange.queue_s or 0.0
        return replica

    async def __aexit__(self, *_: object) -> None:
        if self._replica is None:
            return
        outstanding = self._admission.outstanding
        left = outstanding[self._replica.id] - 1
        if left:
            outstanding[self._replica.id] = left
        else:
            del outstanding[self._replica.id]  # so that replicas that are gone leave nothing behind


class _Granted:
    __slots__ = ("_exchange", "_slots", "_status", "_ticket")

    def __init__(self, slots: Slots, exchange: Exchange, status: ModelStatus) -> None:
        self._slots = slots
        self._exchange = exchange
        self._status = status
        self._ticket: SlotTicket | None = None

    async def __aenter__(self) -> Replica:
        exchange = self._exchange
        began_s = exchange.clock.now()
        deadline_s = exchange.deadline.queue_until_s if exchange.deadline is not None else began_s
        ticket = self._ticket = self._slots.want(self._status.name, deadline_s)
        exchange.is_queued = True
        exchange.ticket = ticket
        try:
            answer = await ticket.answer
        except asyncio.CancelledError:
            self._give_back()
            raise
        finally:
            exchange.is_queued = False
            exchange.queue_s = (exchange.queue_s or 0.0) + exchange.clock.now() - began_s
        if isinstance(answer, SlotRefused):
            self._give_back()
            raise refusal(answer, self._status.name, exchange)
        exchange.replica = answer.replica
        exchange.grant = answer.grant
        return answer.replica

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._give_back()

    def _give_back(self) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is None:
            return
        exchange = self._exchange
        call = exchange.call
        path = f"/v1{call.endpoint}" if call is not None else ""
        settle_s = self._status.abilities.endpoints.get(path, NO_HANG_UP).settle_s
        ticket.give_back(cancelled=exchange.runner_may_run, settle_s=settle_s)
        exchange.runner_may_run = False


def refusal(answer: SlotRefused, model: str, exchange: Exchange) -> RempartError:
    """Main's refusal as an error of ours."""
    retry_after_s = answer.retry_after_s or 1.0
    match answer.code:
        case "overloaded":
            return errors.Overloaded(
                waiting=answer.waiting, waiting_max=answer.waiting_max, retry_after_s=retry_after_s
            )
        case "model_loading":
            return errors.ModelLoading(model=model, retry_after_s=retry_after_s)
        case "model_not_found":
            return errors.ModelNotFound(model=model)
        case "shutting_down":
            return errors.ShuttingDown(retry_after_s=retry_after_s)
        case "timeout":
            deadline = exchange.deadline
            limit_s = deadline.queue_until_s - exchange.started_s if deadline is not None else 0.0
            return errors.TimedOut(clock="queue", limit_s=round(limit_s, 3))
        case _:
            return errors.ModelUnavailable(
                model=model, reason=answer.reason, retry_after_s=retry_after_s
            )
