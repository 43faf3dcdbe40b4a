"""The one owner of all runners: which models there are, and who asked for what.

Lives in main's event loop. Every method returns at once unless it is ``async``; what takes time runs in
the task group of ``run``. One ``Owner`` per model does the rest.
"""

import asyncio
import os
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from rempart.base.clock import Clock
from rempart.domain.errors import ModelNotFound, ModelUnavailable, ShuttingDown
from rempart.domain.models import ModelStatus
from rempart.runners.interface import MainToWorker, SlotRefused
from rempart.runners.kinds.interface import RunnerKind
from rempart.runners.kinds.registry import KINDS
from rempart.runners.lifecycle import HAS_PROCESS, Event, Phase
from rempart.runners.owner import Owner, World, touches_runner
from rempart.runners.places import Places
from rempart.runners.shim_sweep import sweep_leftovers
from rempart.runners.slots import Ticket
from rempart.settings.model import Model, Settings

REFRESH_S = 1.0
"""How often figures (queue, memory) are looked at; states are published as they change."""
PLACES_S = 5.0
"""How often those who wait are told where they stand."""
KILL_S = 5.0
"""After force was used, how long the end may take before it is given up."""

_SETTLED = frozenset({Phase.READY, Phase.FAILED, Phase.STOPPED})
_GONE = frozenset({Phase.STOPPED, Phase.FAILED, Phase.BACKOFF})


class Supervisor:
    """Starts, watches, restarts and ends runners, and gives out their slots.

    Args:
        settings: ``models``, ``restarts``, ``shutdown``, ``deadline``, ``logs`` and ``data_dir`` are used.
        random: spreads restarts.
        run_dir: for sockets; made private.
        publish: gets all statuses when something changed that others must know; changes of one turn
            of the event loop come together.
        deliver: a message for one worker.
        on_event: a line for the log: event, fields.
        on_ended: a request has left its slot: model, grant, prompt tokens, completion tokens,
            whether it was cancelled. Only from runners that report their slots.
        environment: of which runners get a part.
        kinds: by name.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        random: random.Random,
        run_dir: Path,
        publish: Callable[[list[ModelStatus]], None],
        deliver: Callable[[int, MainToWorker], None],
        on_event: Callable[[str, dict[str, Any]], None],
        on_ended: Callable[[str, str, int, int, bool], None],
        environment: dict[str, str] | None = None,
        kinds: dict[str, RunnerKind] | None = None,
    ) -> None:
        self._settings = settings
        self._publish = publish
        self._deliver = deliver
        self._on_event = on_event
        self._kinds = kinds if kinds is not None else KINDS
        self._run_dir = run_dir
        self._tasks: asyncio.TaskGroup | None = None
        self._is_draining = False
        self._is_stopped = asyncio.Event()
        self._is_publishing = False
        self._published: list[ModelStatus] = []
        self._owner_of: dict[Ticket, Owner] = {}  # bounded by queues and slots; see _forget
        self._leaving: list[Owner] = []
        self._successors: dict[str, Owner] = {}
        self._places = Places(run_dir, Path(settings.data_dir))
        self._world = World(
            clock=clock,
            random=random,
            places=self._places,
            environment=dict(os.environ) if environment is None else environment,
            log_dir=Path(settings.data_dir) / "logs",
            start_gate=asyncio.Lock(),
            spawn=self._spawn,
            deliver=deliver,
            forget=self._forget,
            changed=self._changed,
            event=on_event,
            ended=on_ended,
        )
        self._owners = {model.name: self._new_owner(model) for model in settings.models}

    async def run(self) -> None:
        """Serve until ``stop`` has ended every runner; load what is to be loaded at start."""
        for pid in sweep_leftovers(self._places.marker):
            self._on_event("orphan_ended", {"pid": pid, "reason": "left by an earlier server"})
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                refreshing = tasks.create_task(self._refresh(), name="refresh statuses")
                for owner in self._owners.values():
                    self._load_if_asked(owner)
                self._publish_now()
                await self._is_stopped.wait()
                refreshing.cancel()
        finally:
            self._tasks = None
            for owner in self._all():
                owner.close()
            self._places.close()

    # Workers.

    def ensure_ready(self, model: str) -> None:
        """Start the model if it is stopped."""
        if (owner := self._owners.get(model)) is not None and not self._is_draining:
            owner.handle(Event.WANTED)

    def slot_wanted(self, worker: int, ticket: int, model: str, deadline_s: float) -> None:
        """A request wants a slot; the answer is delivered, at once or later.

        Args:
            deadline_s: monotonic seconds.
        """
        whole = Ticket(worker, ticket)
        owner = self._owners.get(model)
        if whole in self._owner_of:
            fields = {"worker": worker, "ticket": ticket, "model": model}
            self._on_event("slot_wanted_twice", fields)
        elif owner is None:
            self._refuse(whole, "model_not_found", f"there is no model {model!r}")
        elif self._is_draining:
            self._refuse(whole, "shutting_down", "the server is shutting down")
        else:
            self._owner_of[whole] = owner
            owner.want(whole, deadline_s)

    def slot_left(self, worker: int, ticket: int) -> None:
        """A ticket does not want a slot any more, whatever it has been answered."""
        whole = Ticket(worker, ticket)
        if (owner := self._owner_of.pop(whole, None)) is not None:
            owner.slots.leave(whole)

    def slot_released(
        self, worker: int, ticket: int, cancelled: bool, settle_s: float = 0.0
    ) -> None:
        """A granted ticket's request has ended, or was hung up on; see ``interface.SlotReleased``."""
        whole = Ticket(worker, ticket)
        if (owner := self._owner_of.pop(whole, None)) is not None:
            owner.slots.release(whole, cancelled=cancelled, settle_s=settle_s)

    def worker_gone(self, worker: int) -> None:
        """A worker has died: all it waited for and held is given back."""
        for whole in [one for one in self._owner_of if one.worker == worker]:
            del self._owner_of[whole]
        for owner in self._all():
            owner.slots.worker_gone(worker)

    # Operators.

    async def load(self, model: str) -> None:
        """Start the model; returns when it is ready.

        Raises:
            ModelNotFound, ShuttingDown: it cannot be started.
            ModelUnavailable: it was given up; the reason is in it.
        """
        await self._act(model, Event.LOAD)

    async def restart(self, model: str) -> None:
        """Start the model anew, after its requests have ended; returns when it is ready.

        Raises: as ``load``.
        """
        await self._act(model, Event.RESTART)

    async def unload(self, model: str) -> None:
        """End the model's runner, after its requests have ended; returns when it is gone.

        Raises:
            ModelNotFound: there is no such model.
        """
        owner = self._find(model)
        owner.handle(Event.UNLOAD)
        await owner.until(_GONE)

    def log_lines(self, model: str, count: int) -> list[str]:
        """The newest lines that the model's runner printed, oldest first; none for an unknown one."""
        owner = self._owners.get(model)
        return owner.log_lines(count) if owner is not None else []

    # Main.

    def statuses(self) -> list[ModelStatus]:
        """All models as they are now, in the configuration's order."""
        return [owner.status() for owner in self._owners.values()]

    def pids(self) -> set[int]:
        """The child processes of main that are looked after here."""
        return {owner.pid for owner in self._all() if owner.pid is not None}

    def replace(self, settings: Settings) -> None:
        """Take another configuration, without losing a request.

        A model whose settings did not change keeps its runner. Where they did, the old runner serves
        until the new one is ready, so that for a while both are in memory; if the new one cannot be
        started, the old one stays. Those who wait for a model that is gone are refused.
        """
        self._settings = settings
        before, self._owners = self._owners, {}
        for name in [one for one in before if one not in {model.name for model in settings.models}]:
            owner = before.pop(name)
            owner.slots.refuse_all("model_not_found", f"there is no model {name!r} any more")
            self._retire(owner)
            self._drop_successor(name)
        for model in settings.models:
            self._owners[model.name] = self._replaced(before.get(model.name), model)
        self._schedule_publish()

    def drain(self) -> None:
        """From now on start nothing and give out no slots; those who wait are refused."""
        self._is_draining = True
        for owner in self._all():
            owner.slots.refuse_all("shutting_down", "the server is shutting down")

    async def stop(self, grace_s: float) -> None:
        """End all runners and ``run``. Requests that still run in them are not waited for.

        Args:
            grace_s: how long they may take to end by themselves; then force is used.
        """
        self.drain()
        for owner in self._all():
            owner.drain_s = 0.0
            owner.handle(Event.UNLOAD)
            owner.handle(Event.DRAINED)
        if not await self._until_gone(grace_s):
            self.kill()
            await self._until_gone(KILL_S)
        self._is_stopped.set()

    def kill(self) -> None:
        """Have all runners ended by force at once; ``stop`` returns the sooner."""
        for owner in self._all():
            owner.kill()

    # Inside.

    def _new_owner(self, model: Model) -> Owner:
        return Owner(model, self._kinds[model.kind], self._settings, self._world)

    def _all(self) -> list[Owner]:
        return [*self._owners.values(), *self._successors.values(), *self._leaving]

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        if self._tasks is None:
            work.close()
            raise RuntimeError("the supervisor does not run")
        self._tasks.create_task(work, name=name)

    def _find(self, model: str) -> Owner:
        owner = self._owners.get(model)
        if owner is None:
            raise ModelNotFound(model=model)
        return owner

    async def _act(self, model: str, event: Event) -> None:
        owner = self._find(model)
        if self._is_draining:
            raise ShuttingDown(retry_after_s=1.0)
        owner.handle(event)
        phase = await owner.until(_SETTLED)
        while (successor := self._owners.get(model, owner)) is not owner:
            owner = successor  # the configuration was replaced meanwhile
            phase = await owner.until(_SETTLED)
        if phase is not Phase.READY:
            reason = owner.reason or "it was unloaded meanwhile"
            raise ModelUnavailable(model=model, reason=reason, retry_after_s=1.0)

    def _refuse(self, ticket: Ticket, code: str, reason: str) -> None:
        self._deliver(ticket.worker, SlotRefused(ticket=ticket.number, code=code, reason=reason))

    def _forget(self, ticket: Ticket) -> None:
        self._owner_of.pop(ticket, None)

    async def _until_gone(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                for owner in self._all():
                    await owner.until(frozenset(Phase) - HAS_PROCESS)
        except TimeoutError:
            return False
        return True

    # Another configuration.

    def _replaced(self, owner: Owner | None, model: Model) -> Owner:
        """The owner that serves the model for now."""
        if owner is None:
            made = self._new_owner(model)
            self._load_if_asked(made)
            return made
        if not touches_runner(owner.model, model):
            self._drop_successor(model.name)
            owner.adjust(model)
            self._load_if_asked(owner)
            return owner
        coming = self._successors.get(model.name)
        if coming is not None and not touches_runner(coming.model, model):
            coming.adjust(model)
            return owner
        self._drop_successor(model.name)
        successor = self._new_owner(model)
        if owner.phase is Phase.READY:
            self._successors[model.name] = successor
            successor.handle(Event.LOAD)
            return owner
        if owner.phase not in (Phase.STOPPED, Phase.FAILED):
            successor.handle(Event.LOAD)
        self._load_if_asked(successor)
        self._hand_over(owner, successor)
        return successor

    def _load_if_asked(self, owner: Owner) -> None:
        if owner.phase is Phase.STOPPED and owner.is_loaded_at_start:
            owner.handle(Event.LOAD)

    def _hand_over(self, owner: Owner, successor: Owner) -> None:
        """Those who wait go over in their order; those who are served finish where they are."""
        for ticket, since_s, deadline_s in owner.slots.take_waiters():
            self._owner_of[ticket] = successor
            successor.want(ticket, deadline_s, since_s)
        self._retire(owner)

    def _retire(self, owner: Owner) -> None:
        owner.drain_s = self._settings.deadline.total_s
        self._leaving.append(owner)
        owner.handle(Event.UNLOAD)
        self._changed(owner)

    def _drop_successor(self, name: str) -> None:
        if (successor := self._successors.pop(name, None)) is not None:
            self._retire(successor)

    def _changed(self, owner: Owner) -> None:
        """An owner has moved, or its figures have."""
        name = owner.model.name
        if owner in self._leaving and owner.phase is Phase.STOPPED:
            self._leaving.remove(owner)
            owner.close()
        elif self._successors.get(name) is owner:
            if owner.phase is Phase.READY:
                del self._successors[name]
                before, self._owners[name] = self._owners[name], owner
                self._hand_over(before, owner)
            elif owner.phase is Phase.FAILED:
                self._on_event("runner_replacement_failed", {"model": name, "reason": owner.reason})
                self._drop_successor(name)
        self._schedule_publish()

    # Publishing.

    async def _refresh(self) -> None:
        turns = 0
        while True:
            await asyncio.sleep(REFRESH_S)
            turns += 1
            if turns % round(PLACES_S / REFRESH_S) == 0:
                for owner in self._all():
                    owner.slots.tell_places(PLACES_S)
            if self.statuses() != self._published:
                self._publish_now()

    def _schedule_publish(self) -> None:
        # Before `run` nobody listens, and its first act is to publish.
        if self._tasks is not None and not self._is_publishing:
            self._is_publishing = True
            asyncio.get_running_loop().call_soon(self._publish_now)

    def _publish_now(self) -> None:
        self._is_publishing = False
        self._published = self.statuses()
        self._publish(self._published)
