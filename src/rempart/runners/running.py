"""One start of a runner, from its launch to its exit: made ready, watched, ended."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from rempart.base.clock import Clock
from rempart.base.quantities import bytes_text, size_bytes
from rempart.domain.models import Facts
from rempart.runners import probe
from rempart.runners.kinds.interface import Launch
from rempart.runners.lifecycle import Event
from rempart.runners.memory_use import tree_bytes
from rempart.runners.places import write_private
from rempart.runners.process import RunnerProcess, exit_reason
from rempart.settings.model import Model

FIRST_POLL_S = 0.02
LAST_POLL_S = 0.25
"""How often a starting runner is probed, first and later."""
MEMORY_S = 1.0
PROBE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Ears:
    """What a start tells its owner, always from the event loop.

    Args:
        tell: HEALTHY or SICK, with the reason.
        output: what the runner printed.
        status: what came on its status pipe.
        is_busy: asked: whether requests run in it.
    """

    tell: Callable[[Event, str], None]
    output: Callable[[bytes], None]
    status: Callable[[bytes], None]
    is_busy: Callable[[], bool]


class Running:
    """A runner's process and those who watch it; ``run`` is its whole life.

    Args:
        environment: ours, of which the runner gets a part.
        own_environment: what it gets beside that; the launch's own goes before.
        start_gate: held while it starts, for kinds of which one may start at a time.
    """

    def __init__(
        self,
        launch: Launch,
        model: Model,
        *,
        clock: Clock,
        environment: dict[str, str],
        own_environment: dict[str, str],
        start_gate: asyncio.Lock,
        ears: Ears,
    ) -> None:
        self.launch = launch
        self.facts = launch.facts
        self.memory_bytes = 0
        self._model = model
        self._clock = clock
        self._environment = environment
        self._own_environment = own_environment
        self._start_gate = start_gate
        self._ears = ears
        self._process: RunnerProcess | None = None
        self._waiting: asyncio.Task[str] | None = None
        self._is_told_to_end = False
        self._has_gate = False
        self._has_said_ready = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The shim's process id, while there is one."""
        process = self._process
        return process.pid if process is not None and process.is_running else None

    def said_ready(self, facts: Facts) -> None:
        """The runner said on its status pipe that it serves."""
        self.facts = _merged(self.facts, facts)
        self._has_said_ready.set()

    async def run(self, on_started: Callable[[int], None]) -> str:
        """From the start to the end of the process.

        Args:
            on_started: gets the process id.

        Returns:
            How it ended, for people.
        """
        self._waiting = asyncio.current_task()
        try:
            if self.launch.starts_alone:
                await self._start_gate.acquire()
                self._has_gate = True
            return await self._live(on_started)
        except asyncio.CancelledError:
            if not self._is_told_to_end or self._process is not None:
                raise
            return "it was ended before it started"
        finally:
            self._open_gate()

    async def end(self) -> None:
        """End the process gracefully, then by force; ``run`` returns when it is gone."""
        self._is_told_to_end = True
        if self._process is not None:
            await self._process.stop()
        elif self._waiting is not None:
            self._waiting.cancel()

    def kill(self) -> None:
        """End it by force, at once."""
        self._is_told_to_end = True
        if self._process is not None:
            self._process.kill()
        elif self._waiting is not None:
            self._waiting.cancel()

    # Inside.

    async def _live(self, on_started: Callable[[int], None]) -> str:
        launch = self.launch
        started_s = self._clock.now()
        try:
            for path, text in launch.files.items():
                write_private(path, text)
            self._process = process = RunnerProcess.start(
                replace(launch, environment=self._own_environment | launch.environment),
                stop_s=self._model.stop_s,
                environment=self._environment,
                on_output=self._ears.output,
                on_status=self._ears.status,
            )
        except OSError as error:
            self._remove_files()
            return f"it could not be started: {error.strerror or error}"
        try:
            on_started(process.pid)
            async with asyncio.TaskGroup() as watchers:
                watching = (
                    watchers.create_task(self._watch_health(started_s)),
                    watchers.create_task(self._watch_memory(process)),
                )
                status = await process.wait()
                for watcher in watching:
                    watcher.cancel()
            return exit_reason(status)
        finally:
            process.abandon()
            self._remove_files()

    def _open_gate(self) -> None:
        if self._has_gate:
            self._has_gate = False
            self._start_gate.release()

    def _remove_files(self) -> None:
        for path in (*self.launch.files, *self.launch.sockets):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    async def _watch_health(self, started_s: float) -> None:
        replica = self.launch.replicas[0]
        limit_s = self._model.start_s
        try:
            async with asyncio.timeout(limit_s):
                path = await self._until_ready()
        except TimeoutError:
            self._ears.tell(Event.SICK, f"it was not ready within {limit_s:g} s")
            return
        await self._complete_facts(started_s)
        self._open_gate()
        self._ears.tell(Event.HEALTHY, "")
        liveness = self.launch.liveness
        failures = 0
        while True:
            await asyncio.sleep(liveness.every_s)
            trouble = await self._trouble(replica.url, path, replica.api_key)
            failures = failures + 1 if trouble is not None else 0
            is_busy = self._ears.is_busy()
            if trouble is not None and failures >= (
                liveness.failures_busy if is_busy and trouble.is_silence else liveness.failures
            ):
                self._ears.tell(Event.SICK, f"{failures} probes in a row failed; {trouble}")
                return

    async def _until_ready(self) -> str:
        """Waits until it serves; gives the path that shows it."""
        replica = self.launch.replicas[0]
        if self.launch.says_ready:
            await self._has_said_ready.wait()
        pause_s = FIRST_POLL_S
        while True:
            path = await probe.is_ready(replica.url, key=replica.api_key, timeout_s=PROBE_S)
            if path is not None:
                return path
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.3, LAST_POLL_S)

    async def _trouble(self, url: str, path: str, key: str) -> probe.ProbeError | None:
        """What is wrong with it now. A 503 may come from a server that is busy, like silence."""
        try:
            answer = await probe.get(url, path, key=key, timeout_s=self.launch.liveness.every_s)
        except probe.ProbeError as error:
            return error
        if answer.status == 200:
            return None
        text = f"{path} answered {answer.status}"
        return probe.ProbeError(text, is_silence=answer.status == 503)

    async def _complete_facts(self, started_s: float) -> None:
        replica = self.launch.replicas[0]
        length = self.facts.context_length
        if length is None:
            with contextlib.suppress(probe.ProbeError):
                answer = await probe.get(
                    replica.url, "/v1/models", key=replica.api_key, timeout_s=PROBE_S
                )
                length = probe.context_length(answer.body) if answer.status == 200 else None
        self._measure_memory()
        self.facts = msgspec.structs.replace(
            self.facts,
            context_length=length,
            memory_bytes=self.memory_bytes,
            load_s=round(self._clock.now() - started_s, 3),
        )

    async def _watch_memory(self, process: RunnerProcess) -> None:
        text = self._model.memory_max
        most = size_bytes(text) if text else None
        while process.is_running:
            await asyncio.sleep(MEMORY_S)
            self._measure_memory()
            if most is not None and self.memory_bytes > most:
                used = bytes_text(self.memory_bytes)
                self._ears.tell(Event.SICK, f"it used {used}, above memory_max of {text}")
                return

    def _measure_memory(self) -> None:
        if self._process is not None:
            self.memory_bytes = tree_bytes(self._process.pid)


def _merged(known: Facts, said: Facts) -> Facts:
    """What the runner said, and what was known before where it said nothing."""
    told = msgspec.structs.asdict(said)
    default = msgspec.structs.asdict(Facts())
    return msgspec.structs.replace(
        known, **{name: value for name, value in told.items() if value != default[name]}
    )
