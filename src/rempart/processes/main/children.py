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
        await self._start("rempart.processes.control", "control", self._control_listeners)

    async def start_generation(self, count: int) -> None:
        """Start ``count`` workers of a new generation. The old ones go on until ``drain_older``."""
        self.generation += 1
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
        self.generation -= 1

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
            tasks.create_task(self._replace())
            tasks.create_task(self._watch())

    async def _replace(self) -> None:
        while True:
            due_s, role = await self._replacements.get()
            await asyncio.sleep(max(0.0, due_s - self._clock.now()))
            if self.is_stopping:
                continue
            if role == "control":
                await self.start_control()
            elif len(self.workers(self.generation)) < self._wanted_workers:
                await self._start_worker()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s / 4)
            now = self._clock.now()
            for child in self.workers():
                if child.is_ready and now - child.last_sign_s > self._heartbeat_s:
                    self._log.error(
                        "worker_silent", name=child.name, silent_s=round(now - child.last_sign_s, 1)
                    )
                    child.signal(signal.SIGKILL)

    async def _start_worker(self) -> None:
        await self._start("rempart.processes.worker", "", self._data_listeners)

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
        self._started_s[number] = self._clock.now()
        await child.start(listeners, self._welcome(child.name, self.generation), self._clock.now())

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
        role = "control" if child.name == "control" else "worker"
        if role == "worker":
            self._on_worker_gone(child.number)
            cells.fold(self._metrics_dir, child.name, leave_out=GAUGES)
        self._changed.set()
        if self.is_stopping or child.is_draining:
            self._log.info("process_ended", name=child.name, status=status)
            return
        if child.is_asked_to_go:
            self._log.info("process_ended", name=child.name, status=status)
            self._replacements.put_nowait((self._clock.now(), role))
            return
        pause_s = (
            0.0
            if lived_s > STABLE_S
            else min(RESPAWN_LONGEST_S, 2 * self._pause_s.get(role, RESPAWN_FIRST_S / 2))
        )
        self._pause_s[role] = pause_s
        self._metrics.worker_restarts.add(1, role)
        self._log.error("process_died", name=child.name, status=status, replaced_in_s=pause_s)
        try:
            self._replacements.put_nowait((self._clock.now() + pause_s, role))
        except (
            asyncio.QueueFull
        ):  # cannot be: each replacement comes from one death of few children
            self._log.error("process_not_replaced", name=child.name)
