"""The owner of one model: of its runner's phase, its slots and its log. Nobody else changes them.

Everything here is called in main's event loop and returns at once. What happens becomes an ``Event``;
the table in ``lifecycle.py`` says what that means; the effects are carried out here, in order, and
those that take time report back as further events.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rempart.base.clock import Clock
from rempart.domain.models import Facts, ModelStatus
from rempart.runners.broker import Outlets, SlotBroker
from rempart.runners.interface import MainToWorker
from rempart.runners.kinds.interface import Launch, LaunchError, RunnerKind
from rempart.runners.lifecycle import Effect, Event, Phase, move
from rempart.runners.log_ring import LogFile, LogRing
from rempart.runners.places import Places, file_name
from rempart.runners.restarts import CrashHistory, GiveUp
from rempart.runners.running import Ears, Running
from rempart.runners.slots import SlotQueue, Ticket
from rempart.runners.status import (
    End,
    Failed,
    Malformed,
    Progress,
    Ready,
    Slots,
    StatusLines,
)
from rempart.settings.model import Model, Settings

MALFORMED_TOLD_MAX = 5
"""Lines of a start's status pipe that are logged; further ones are only counted."""

FAILED_RETRY_S = 30.0
"""A model that was given up waits for a person; sooner than this nobody will have come."""

FIELDS_OF_THE_QUEUE = frozenset({"queue_max", "deadline", "extra_fields", "preload", "pin"})
"""Settings that change without touching the runner."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What all owners share: time, chance, places, and whom they tell.

    Args:
        spawn: runs what takes time, under a name.
        start_gate: see ``Running``.
        environment: ours.
        deliver: a message to a worker.
        forget: this ticket is done with.
        changed: something about this owner that others must know.
        event: for the log.
        ended: a request has left its slot: model, grant, tokens, whether cancelled.
    """

    clock: Clock
    random: random.Random
    places: Places
    environment: dict[str, str]
    log_dir: Path
    start_gate: asyncio.Lock
    spawn: Callable[[Coroutine[Any, Any, None], str], None]
    deliver: Callable[[int, MainToWorker], None]
    forget: Callable[[Ticket], None]
    changed: Callable[["Owner"], None]
    event: Callable[[str, dict[str, Any]], None]
    ended: Callable[[str, str, int, int, bool], None]


class Owner:
    """One model and what serves it.

    Args:
        model: its settings.
        kind: how it is started.
        settings: for restarts, logs, and how long draining may take.
    """

    def __init__(self, model: Model, kind: RunnerKind, settings: Settings, world: World) -> None:
        self.model = model
        self.abilities = kind.abilities(model)
        self.drain_s = settings.shutdown.grace_s
        self.reason = ""
        self._kind = kind
        self._world = world
        self._phase = Phase.STOPPED
        self._since_s = world.clock.now()
        self._ready_s: float | None = None
        self._moved = asyncio.Event()
        self._inbox: deque[tuple[Event, str]] = deque(maxlen=64)  # emptied before `handle` returns
        self._is_handling = False
        self._crashes = CrashHistory(settings.restarts, world.random.uniform)
        self._restarts = 0
        self._launch: Launch | None = None
        self._running: Running | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._drain: asyncio.TimerHandle | None = None
        self._status_lines = StatusLines()
        self._last_words = ""
        self._sick_reason = ""
        self._ring = LogRing()
        self._log = LogFile(
            world.log_dir / f"runner-{file_name(model.name)}.log",
            rotate_bytes=settings.logs.rotate_bytes,
            keep=settings.logs.keep,
            on_failed=lambda error: self._tell("runner_log_failed", reason=str(error)),
        )
        self._slots_configured = model.slots or kind.slots_default or 0
        self.slots = self._broker()

    def _broker(self) -> SlotBroker:
        model, world = self.model, self._world
        settles = [one.settle_s for one in self.abilities.endpoints.values()]
        slots = self._slots_configured or None
        return SlotBroker(
            SlotQueue(
                queue_max=model.queue_max,
                reports_slots=self.abilities.reports_slots,
                settle_s=model.settle_s,
                hang_up_settle_s=max(settles, default=0.0),
                slots_max=slots,
            ),
            # A server that is not ours may have several addresses; the bound is for all together.
            capacity=None if model.kind == "upstream" else slots,
            queue_max=model.queue_max,
            clock=world.clock,
            out=Outlets(
                deliver=world.deliver,
                forget=world.forget,
                recycle=self._recycle,
                drained=lambda: self.handle(Event.DRAINED),
            ),
        )

    # Slots.

    def want(self, ticket: Ticket, deadline_s: float, since_s: float | None = None) -> None:
        """A worker's request wants a slot; starts the model if need be. Answered now or later."""
        self.handle(Event.WANTED)
        if self._phase is Phase.FAILED:
            self.slots.refuse(ticket, "model_unavailable", self.reason, FAILED_RETRY_S)
        else:
            self.slots.want(ticket, deadline_s, since_s)

    # The runner.

    @property
    def phase(self) -> Phase:
        """Where it is; for reporting, not for deciding."""
        return self._phase

    @property
    def pid(self) -> int | None:
        """The shim's process id."""
        return self._running.pid if self._running is not None else None

    @property
    def starts(self) -> int:
        """How often it was restarted after a crash."""
        return self._restarts

    def handle(self, event: Event, reason: str = "") -> None:
        """Something happened. Events that this causes are handled before it returns."""
        self._inbox.append((event, reason))
        if self._is_handling:
            return
        self._is_handling = True
        try:
            while self._inbox:
                self._on(*self._inbox.popleft())
        finally:
            self._is_handling = False

    def kill(self) -> None:
        """End its process by force, at once."""
        if self._running is not None:
            self._running.kill()

    async def until(self, phases: frozenset[Phase]) -> Phase:
        """Wait until it is in one of these phases; gives which."""
        while self._phase not in phases:
            await self._moved.wait()
        return self._phase

    def adjust(self, model: Model) -> None:
        """Take settings that do not touch the runner."""
        self.model = model
        self.slots.resize(model.queue_max)
        self._world.changed(self)

    def close(self) -> None:
        """Cancel what is timed and close the log: it is not used any more."""
        for timer in (self._pause, self._drain):
            if timer is not None:
                timer.cancel()
        self.slots.stop()
        self._log.close()

    # What others see.

    def log_lines(self, count: int) -> list[str]:
        """The newest lines that its runner printed, oldest first."""
        return self._ring.lines(count)

    def status(self) -> ModelStatus:
        """As published."""
        running, slots = self._running, self.slots
        known = running.facts if running is not None else self._known_facts()
        return ModelStatus(
            name=self.model.name,
            kind=self.model.kind,
            state=self._phase.state,
            reason=self.reason,
            since_s=self._since_s,
            slots=self._slots_configured,
            slots_busy=slots.busy,
            waiting=slots.waiting,
            predicted_wait_s=slots.predicted_wait_s,
            memory_bytes=running.memory_bytes if running is not None else 0,
            restarts=self._restarts,
            preload=self.is_loaded_at_start,
            replicas=slots.replicas if self._phase is Phase.READY else [],
            abilities=self.abilities,
            facts=known,
        )

    def _known_facts(self) -> Facts:
        return self._launch.facts if self._launch is not None else Facts()

    @property
    def is_loaded_at_start(self) -> bool:
        """Whether it does not wait until it is asked for; an upstream has no process to save."""
        return self.model.preload or self.model.pin or self.model.kind == "upstream"

    # Moves.

    def _on(self, event: Event, reason: str) -> None:
        before = self._phase
        after, effects = move(before, event)
        if event is Event.SICK and (after, effects) != (before, ()):
            self._sick_reason = reason
            self._tell("runner_unhealthy", reason=reason)
        if event is Event.EXITED:
            reason = self._note_exit(before, reason)
        if event is Event.CANNOT_LAUNCH:
            self._tell("runner_given_up", reason=reason)
        if after is not before:
            self._phase = after
            self._since_s = self._world.clock.now()
            self.reason = reason
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()
        for effect in effects:
            self._perform(effect)
        if after is Phase.READY and before is not after:
            self._tell_ready()
        if after is not before:
            self._world.changed(self)

    def _note_exit(self, before: Phase, reason: str) -> str:
        """The sentence for how the runner ended, from all that is known."""
        self._running = None
        expected = before in (Phase.ENDING_TO_STOP, Phase.ENDING_TO_START)
        why = self._sick_reason or self._last_words
        if why and not expected:
            reason = f"{why} ({reason})" if self._last_words else why
        self._sick_reason = self._last_words = ""
        if self._launch is not None and self._launch.command:
            self._tell("runner_stopped" if expected else "runner_exited", reason=reason)
        return "" if expected else reason

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Effect.START:
                self._start()
            case Effect.OPEN:
                self._open()
            case Effect.CLOSE:
                self._close()
            case Effect.TAKE_DOWN:
                self._take_down()
            case Effect.END:
                self._end()
            case Effect.JUDGE_CRASH:
                self._judge_crash()
            case Effect.CANCEL_PAUSE:
                if self._pause is not None:
                    self._pause.cancel()
            case Effect.FORGIVE:
                self._crashes.forgive()
            case Effect.REFUSE_WAITERS:
                self._refuse_waiters()

    def _refuse_waiters(self) -> None:
        if self._phase is Phase.FAILED:
            self.slots.refuse_all("model_unavailable", self.reason, FAILED_RETRY_S)
        else:
            self.slots.refuse_all("model_unavailable", "it is being unloaded")

    def _start(self) -> None:
        self._ready_s = None
        try:
            place = self._world.places.new(self.model.name)
            launch = self._kind.launch(self.model, place)
        except LaunchError as error:
            self.handle(Event.CANNOT_LAUNCH, str(error))
            return
        except OSError as error:
            self.handle(Event.EXITED, f"it could not be started: {error}")
            return
        self._launch = launch
        if not launch.command:
            self.handle(Event.HEALTHY)
            return
        self._ring.hide(launch.replicas[0].api_key)
        self._status_lines = StatusLines()
        running = Running(
            launch,
            self.model,
            clock=self._world.clock,
            environment=self._world.environment,
            own_environment=dict([self._world.places.marker]) | self.model.env,
            start_gate=self._world.start_gate,
            ears=Ears(
                tell=self.handle,
                output=self._on_output,
                status=self._on_status,
                is_busy=lambda: self.slots.busy > 0,
            ),
        )
        self._running = running
        self._world.spawn(self._run(running), f"runner {place.name}")

    async def _run(self, running: Running) -> None:
        reason = await running.run(lambda pid: self._tell("runner_started", pid=pid))
        self._log.write(self._ring.end())
        self.handle(Event.EXITED, reason)

    def _open(self) -> None:
        self._ready_s = self._world.clock.now()
        if self._launch is not None:
            self.slots.open(self._launch.replicas)

    def _close(self) -> None:
        loop = asyncio.get_running_loop()
        self._drain = loop.call_later(self.drain_s, self.handle, Event.DRAINED)
        self.slots.close()

    def _take_down(self) -> None:
        if self._drain is not None:
            self._drain.cancel()
        self.slots.take_down()

    def _end(self) -> None:
        if self._running is None:
            self.handle(Event.EXITED)
            return
        self._world.spawn(self._running.end(), f"end {self.model.name}")

    def _judge_crash(self) -> None:
        now = self._world.clock.now()
        ready_s = now - self._ready_s if self._ready_s is not None else 0.0
        verdict = self._crashes.crashed(now, ready_s=ready_s, reason=self.reason)
        if isinstance(verdict, GiveUp):
            self._tell("runner_given_up", reason=verdict.reason)
            self.handle(Event.GIVEN_UP, verdict.reason)
            return
        self._restarts += 1
        self._tell("runner_restarting", pause_s=round(verdict.seconds, 3))
        loop = asyncio.get_running_loop()
        self._pause = loop.call_later(verdict.seconds, self.handle, Event.PAUSE_OVER)

    def _tell_ready(self) -> None:
        if self._running is None:
            return
        facts = self._running.facts
        self._tell(
            "runner_ready",
            seconds=facts.load_s,
            memory_bytes=facts.memory_bytes,
            context_length=facts.context_length,
            slots=self._slots_configured,
        )

    def _recycle(self) -> None:
        reason = f"a slot was not free {self.model.settle_s:g} s after its client had gone"
        self._tell("runner_recycled", reason=reason)
        self.handle(Event.RESTART, reason)

    # What the runner says.

    def _on_output(self, data: bytes) -> None:
        self._log.write(self._ring.feed(data))

    def _on_status(self, data: bytes) -> None:
        for said in self._status_lines.feed(data):
            match said:
                case Progress():
                    self._tell("runner_progress", ratio=said.ratio, what=said.what)
                case Ready():
                    if self._running is not None:
                        self._running.said_ready(said.facts)
                case Slots():
                    self.slots.reported(said.busy)
                case End():
                    self._on_ended(said)
                case Failed():
                    self._last_words = said.reason
                case Malformed():
                    if self._status_lines.malformed_count <= MALFORMED_TOLD_MAX:
                        self._tell("runner_status_malformed", line=said.line, reason=said.reason)

    def _on_ended(self, end: End) -> None:
        self.slots.ended(end.grant)
        self._world.ended(
            self.model.name, end.grant, end.prompt_tokens, end.completion_tokens, end.cancelled
        )

    def _tell(self, event: str, **more: Any) -> None:
        self._world.event(event, {"model": self.model.name, **more})


def touches_runner(before: Model, after: Model) -> bool:
    """Whether a change of settings needs another runner."""
    return any(
        getattr(before, field.name) != getattr(after, field.name)
        for field in fields(Model)
        if field.name not in FIELDS_OF_THE_QUEUE
    )
