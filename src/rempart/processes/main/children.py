"""The children of main and what happens when they die, fall silent or are replaced.

One owner: only methods of this class change the table of children, all in the event loop's thread.
"""

import asyncio
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rempart.base.clock import Clock
from rempart.processes import messages
from rempart.processes.main.child import Child
from rempart.telemetry import cells
from rempart.telemetry.logs import Log
from rempart.telemetry.metrics import GAUGES, Metrics

RESPAWN_FIRST_S = 0.1
RESPAWN_LONGEST_S = 5.0
STABLE_S = 10.0
"""A child that lived this long is respawned at once; earlier deaths double the pause."""
START_S_MAX = 60.0
"""A worker that is not ready after this is replaced: it may hang where it can tell nobody."""
WORKER_MODULE = "rempart.processes.worker"
CONTROL_MODULE = "rempart.processes.control"

WelcomeFor = Callable[[str, int], messages.Welcome]


class Children:
    """Starts, replaces and ends control and the gateway workers.

    Args:
        welcome: makes the welcome of a child from its name and generation.
        on_message: what a child says, but its signs of life, which are handled here.
        on_worker_gone: a worker's number, so that its slots can be taken back.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        log: Log,
        metrics: Metrics,
        metrics_dir: Path,
        data_listeners: list[socket.socket],
        control_listeners: list[socket.socket],
        welcome: WelcomeFor,
        on_message: Callable[[Child, Any], None],
        on_worker_gone: Callable[[int], None],
        heartbeat_s: float,
    ) -> None:
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._metrics_dir = metrics_dir
        self._data_listeners = data_listeners
        self._control_listeners = control_listeners
        self._welcome = welcome
        self._on_message = on_message
        self._on_worker_gone = on_worker_gone
        self._heartbeat_s = heartbeat_s
        self._number = 0
        self._generation_count = 0
        self._before = (0, 0)
        """Generation and wanted workers before the newest generation was started."""
        self._pause_s: dict[str, float] = {}
        self._started_s: dict[int, float] = {}
        self._replacements: asyncio.Queue[tuple[float, str]] = asyncio.Queue(maxsize=256)
        self._wanted_workers = 0
        self.generation = 0
        self.alive: dict[int, Child] = {}
        self.is_stopping = False
        self._changed = asyncio.Event()

    def workers(self, generation: int | None = None) -> list[Child]:
        """The living workers, of one generation or of all."""
        return [
            child
            for child in self.alive.values()
            if child.name != "control" and generation in (None, child.generation)
        ]

    def broadcast(self, message: Any) -> None:
        """Send to all children."""
        for child in self.alive.values():
            child.send(message)

    def pids(self) -> set[int]:
        """Of the living children."""
        return {child.pid for child in self.alive.values()}

    async def start_control(self) -> None:
        """Start the control process; one that is alive is ended first by whoever calls."""
        await self._start(CONTROL_MODULE, "control", self._control_listeners)

    async def start_generation(self, count: int) -> None:
        """Start ``count`` workers of a new generation. The old ones go on until ``drain_older``."""
        self._before = (self.generation, self._wanted_workers)
        self._generation_count += (
            1  # one that was dropped is not given again: its dead may still be counted
        )
        self.generation = self._generation_count
        self._wanted_workers = count
        for _ in range(count):
            await self._start_worker()

    async def until_ready(self, timeout_s: float) -> bool:
        """Wait until all workers of the newest generation serve; False if that took too long."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.newest_is_ready():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def newest_is_ready(self) -> bool:
        """Whether all workers of the newest generation serve."""
        newest = self.workers(self.generation)
        return len(newest) >= self._wanted_workers and all(child.is_ready for child in newest)

    def drain_older(self, grace_s: float) -> None:
        """Tell workers of older generations to finish; those already draining are ended now (at most two live)."""
        for child in self.workers():
            if child.generation >= self.generation:
                continue
            if child.is_draining:
                self._log.warning(
                    "worker_ended", name=child.name, reason="a third generation starts"
                )
                child.signal(signal.SIGKILL)
            child.is_draining = True
            child.send(messages.Drain(grace_s=grace_s))

    def drop_newest(self) -> None:
        """End the newest generation, which did not come up; the one before it stays in charge."""
        for child in self.workers(self.generation):
            child.is_draining = True
            child.signal(signal.SIGKILL)
        self.generation, self._wanted_workers = self._before
        # Who died while the newest one was to take over has not been replaced.
        for _ in range(self._wanted_workers - len(self.workers(self.generation))):
            self._plan("worker", 0.0)

    def restart_control(self) -> None:
        """End control; its death brings a new one, with the newest settings."""
        for child in self.alive.values():
            if child.name == "control":
                child.is_asked_to_go = True
                child.signal(signal.SIGTERM)

    def stop(self, grace_s: float) -> None:
        """The server shuts down: all are told, none is replaced any more."""
        self.is_stopping = True
        self.broadcast(messages.Stop(grace_s=grace_s))

    async def until_gone(self, timeout_s: float, *, workers_only: bool = False) -> bool:
        """Wait until the children have ended; False if some have not."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.workers() if workers_only else self.alive:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def kill(self) -> None:
        """End all at once."""
        self.is_stopping = True
        for child in list(self.alive.values()):
            child.signal(signal.SIGKILL)

    async def run(self) -> None:
        """Replace what died, and kill what fell silent, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch(), name="silent workers")
            while True:
                due_s, role = await self._replacements.get()
                # Each by itself: control's long pause must not keep a worker from coming back.
                tasks.create_task(self._replace(due_s, role), name=f"replace {role}")

    async def _replace(self, due_s: float, role: str) -> None:
        await asyncio.sleep(max(0.0, due_s - self._clock.now()))
        if self.is_stopping:
            return
        if role == "control":
            await self.start_control()
        elif len(self.workers(self.generation)) < self._wanted_workers:
            await self._start_worker()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s / 4)
            now = self._clock.now()
            for child in self.workers():
                silent_s = now - child.last_sign_s
                if silent_s > (self._heartbeat_s if child.is_ready else START_S_MAX):
                    self._log.error("worker_silent", name=child.name, silent_s=round(silent_s, 1))
                    child.signal(signal.SIGKILL)

    async def _start_worker(self) -> None:
        await self._start(WORKER_MODULE, "", self._data_listeners)

    async def _start(self, module: str, name: str, listeners: list[socket.socket]) -> None:
        self._number += 1
        number = self._number
        child = Child(
            module=module,
            name=name or f"worker-{number}",
            number=number,
            generation=self.generation,
            on_message=self._heard,
            on_exit=self._exited,
        )
        self.alive[number] = child
        now = self._started_s[number] = self._clock.now()
        try:
            await child.start(listeners, self._welcome(child.name, self.generation), now)
        except OSError as error:
            self._log.error("process_not_started", name=child.name, reason=str(error))
            del self.alive[number], self._started_s[number]
            self._plan_after_death(child, 0.0)
            return
        if self.is_stopping:  # it came too late to be told
            child.signal(signal.SIGKILL)

    def _heard(self, child: Child, message: Any) -> None:
        child.last_sign_s = self._clock.now()
        match message:
            case messages.Heartbeat(in_flight=in_flight):
                child.in_flight = in_flight
            case messages.Drained():
                return
            case messages.Ready():
                child.is_ready = True
                self._changed.set()
                self._on_message(child, message)
            case _:
                self._on_message(child, message)

    def _exited(self, child: Child, status: int) -> None:
        del self.alive[child.number]
        lived_s = self._clock.now() - self._started_s.pop(child.number)
        if child.name != "control":
            self._on_worker_gone(child.number)
            self._fold(child.name)
        self._changed.set()
        if self.is_stopping or child.is_draining:
            self._log.info("process_ended", name=child.name, status=status)
        elif child.is_asked_to_go:
            self._log.info("process_ended", name=child.name, status=status)
            self._plan(_role(child), 0.0)
        else:
            pause_s = self._plan_after_death(child, lived_s)
            self._metrics.worker_restarts.add(1, _role(child))
            self._log.error("process_died", name=child.name, status=status, replaced_in_s=pause_s)

    def _fold(self, name: str) -> None:
        try:
            cells.fold(self._metrics_dir, name, leave_out=GAUGES)
        except OSError as error:  # its files stay where they are, and count
            self._log.error("counts_not_folded", name=name, reason=str(error))

    def _plan_after_death(self, child: Child, lived_s: float) -> float:
        """Have it replaced after a pause, which is given."""
        role = _role(child)
        pause_s = 0.0
        if lived_s <= STABLE_S:
            before_s = self._pause_s.get(role, 0.0)
            pause_s = min(RESPAWN_LONGEST_S, max(RESPAWN_FIRST_S, 2 * before_s))
        self._pause_s[role] = pause_s
        self._plan(role, pause_s)
        return pause_s

    def _plan(self, role: str, pause_s: float) -> None:
        try:
            self._replacements.put_nowait((self._clock.now() + pause_s, role))
        except asyncio.QueueFull:  # cannot be: each comes from one death of few children
            self._log.error("process_not_replaced", role=role)


def _role(child: Child) -> str:
    return "control" if child.name == "control" else "worker"
