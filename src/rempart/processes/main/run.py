"""The life of main: sockets, children, runners, signals, and the orderly end.

Exit codes: 0 after an orderly end, 1 when it could not start or a part of main failed.
"""

import asyncio
import fcntl
import os
import random
import shutil
import signal
import socket
import sys
import uuid
from pathlib import Path
from typing import Any

import msgspec

from rempart.base.clock import Clock, SystemClock
from rempart.base.secret import Secret
from rempart.domain.errors import StateUnavailable
from rempart.domain.models import ModelStatus, RunnerState
from rempart.domain.peppers import Peppers
from rempart.processes import messages
from rempart.processes.main import banner, reload, sockets
from rempart.processes.main.child import Child
from rempart.processes.main.children import Children
from rempart.processes.main.control_requests import ControlRequests
from rempart.processes.main.notify import ServiceManager
from rempart.processes.main.shared_state import SharedState
from rempart.runners import interface
from rempart.runners.shim_sweep import become_subreaper, sweep_orphans
from rempart.runners.supervisor import Supervisor
from rempart.settings.model import Settings
from rempart.state import bootstrap
from rempart.state.peppers import load_peppers
from rempart.telemetry import logs
from rempart.telemetry.cells import Cells
from rempart.telemetry.logs import Level, Log
from rempart.telemetry.metrics import Metrics

UPKEEP_S = 1.0
WORKERS_READY_S = 60.0
AFTER_GRACE_S = 5.0
"""What workers get beyond the grace period to write their last error events."""
RUNNERS_STOP_S = 15.0
CONTROL_STOP_S = 3.0
CONTROL_READY_S = 30.0
"""Longer than this nobody waits for control to publish the keys; what was published before is used."""


class StartError(Exception):
    """The server cannot start; the message is for the operator."""


class Main:
    """Everything main owns, and what it does with it."""

    def __init__(self, run_dir: Path, environment: dict[str, str], clock: Clock) -> None:
        self._clock = clock
        self._run_dir = run_dir
        self._instance = uuid.uuid4().hex
        self._settings_json = (run_dir / "settings.json").read_bytes()
        self._settings = msgspec.json.decode(self._settings_json, type=Settings)
        self._data_dir = Path(self._settings.data_dir)
        self._manager = ServiceManager(environment)
        self._stop_asked = asyncio.Event()
        self._stop_count = 0
        self._reload_asked = asyncio.Event()
        self._generation = 0
        self._statuses: list[ModelStatus] = []
        self._accepting = True
        self._keys_are_told = False
        """Control has been ready once: the published keys are those of this start."""
        self._is_announced = False
        self._is_rotation_stuck = False
        self._resolver_pids: set[int] = set()
        self._lock = self._take_lock()
        descriptor_count = sockets.raise_descriptor_limit()
        metrics_dir = run_dir / "metrics"
        shutil.rmtree(metrics_dir, ignore_errors=True)
        self._metrics = Metrics(Cells(metrics_dir, "main"))
        self._log_path = (
            Path(self._settings.logs.file).absolute() if self._settings.logs.file else None
        )
        if self._log_path is not None:
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
        self._log = Log(
            clock=clock,
            process="main",
            file=self._log_path,
            console=self._settings.logs.console,
            level=self._settings.logs.level,
            on_dropped=lambda: self._metrics.log_lines_dropped.add(1),
        )
        server = self._settings.server
        self._data_listeners = [sockets.listen_tcp(server.host, server.port, "server.port")]
        if server.socket:
            self._data_listeners.append(sockets.listen_unix(Path(server.socket), 0o660))
        self._control_listeners = [
            sockets.listen_tcp(server.control_host, server.control_port, "server.control_port"),
            sockets.listen_unix(self._data_dir / "control.sock"),
        ]
        self._peppers = self._load_peppers(self._settings)
        self._admin = bootstrap.load_admin_key(
            self._data_dir, self._peppers, environment.get(bootstrap.ADMIN_KEY_VARIABLE)
        )
        self._started_at_s = clock.now()
        self._supervisor = Supervisor(
            settings=self._settings,
            clock=clock,
            random=random.Random(),  # noqa: S311 - spreads restarts, guards nothing
            run_dir=run_dir,
            publish=self._publish,
            deliver=self._deliver,
            on_event=self._runner_event,
            on_ended=self._generation_ended,
        )
        self._children = Children(
            clock=clock,
            log=self._log,
            metrics=self._metrics,
            metrics_dir=metrics_dir,
            data_listeners=self._data_listeners,
            control_listeners=self._control_listeners,
            welcome=self._welcome,
            on_message=self._heard,
            on_worker_gone=self._supervisor.worker_gone,
            heartbeat_s=server.heartbeat_s,
        )
        self._shared = SharedState(
            settings=self._settings,
            data_dir=self._data_dir,
            instance=self._instance,
            clock=clock,
            log=self._log,
            living=lambda: list(self._children.alive.values()),
        )
        self._shared.open()
        self._control_requests = ControlRequests(self._supervisor)
        self._descriptor_count = descriptor_count

    async def run(self) -> int:
        """Serve until told to stop; gives the exit code."""
        become_subreaper()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload_asked.set)
        self._log.info(
            "starting",
            pid=os.getpid(),
            address=self._address(self._data_listeners[0]),
            control=self._address(self._control_listeners[0]),
            workers=self._settings.server.workers,
            models=[model.name for model in self._settings.models],
            descriptors_max=self._descriptor_count,
            connections_max=min(
                self._settings.server.connections_max, (self._descriptor_count - 64) // 2
            ),
        )
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._supervisor.run(), name="supervisor"),
                tasks.create_task(self._children.run(), name="children"),
                tasks.create_task(self._control_requests.run(), name="control requests"),
                tasks.create_task(self._upkeep(), name="upkeep"),
                tasks.create_task(self._shared.run(), name="shared state"),
                tasks.create_task(self._reloads(), name="reloads"),
            ]
            await self._children.start_generation(self._settings.server.workers)
            await self._children.start_control()
            await self._stop_asked.wait()
            await self._shut_down()
            for task in running:
                task.cancel()
        self._shared.close()
        self._log.info("stopped")
        self._remove_files()
        return 0

    def _take_lock(self) -> int:
        descriptor = os.open(self._data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise StartError(
                f"another Rempart uses the data folder {self._data_dir}. Stop it, or give this one another --data-dir."
            ) from error
        return descriptor

    def _address(self, listener: socket.socket) -> str:
        return sockets.address_text(listener, "https" if self._settings.tls.cert else "http")

    def _welcome(self, name: str, generation: int) -> messages.Welcome:
        return messages.Welcome(
            settings=self._settings_json,
            name=name,
            generation=generation,
            run_dir=str(self._run_dir),
            log_file=str(self._log_path or ""),
            peppers=list(self._peppers.ring),
            admin_key=self._admin.stored if self._admin and name == "control" else None,
            started_at_s=self._started_at_s,
            instance=self._instance,
            addresses=[
                self._address(listener)
                for listener in (self._data_listeners[0], self._control_listeners[0])
            ],
        )

    # What children say

    def _heard(self, child: Child, message: Any) -> None:
        match message:
            case messages.Ready():
                if child.name == "control" and not self._keys_are_told:
                    self._keys_are_told = True
                    self._children.broadcast(self._published())
                child.send(self._published())
                self._log.debug("process_ready", name=child.name, pid=child.pid)
                self._announce()
            case interface.SlotWanted():
                self._supervisor.slot_wanted(
                    child.number, message.ticket, message.model, message.deadline_s
                )
            case interface.SlotLeft():
                self._supervisor.slot_left(child.number, message.ticket)
            case interface.SlotReleased():
                self._supervisor.slot_released(
                    child.number,
                    message.ticket,
                    cancelled=message.cancelled,
                    settle_s=message.settle_s,
                )
            case interface.EnsureReady():
                self._supervisor.ensure_ready(message.model)
            case messages.Ask(act="peppers", number=number):
                child.send(self._renew_peppers(number))
            case messages.Ask():
                self._control_requests.ask(message, child.send)

    def _load_peppers(self, settings: Settings) -> Peppers:
        own = settings.secrets
        return load_peppers(self._data_dir, own.master_key, own.previous_master_key)

    def _renew_peppers(self, number: int) -> messages.Answer:
        """Read the peppers anew and tell all; control asks for it before it stores anything under a new one."""
        try:
            self._peppers = self._load_peppers(self._settings)
        except bootstrap.BootstrapError as error:
            return messages.Answer(
                number=number, error_code=StateUnavailable.code, reason=str(error)
            )
        self._children.broadcast(messages.NewPeppers(peppers=list(self._peppers.ring)))
        self._log.info("peppers_renewed", peppers=[pepper.id for pepper in self._peppers.ring])
        return messages.Answer(number=number)

    # What the supervisor says

    def _publish(self, statuses: list[ModelStatus]) -> None:
        self._statuses = statuses
        self._generation += 1
        self._children.broadcast(self._published())
        self._announce()

    def _published(self) -> messages.Published:
        return messages.Published(
            generation=self._generation,
            accepting=self._accepting,
            models=self._statuses,
            keys_are_told=self._has_keys(),
        )

    def _has_keys(self) -> bool:
        """Whether workers may say that they are ready; a control that stays away holds them up for a while."""
        return self._keys_are_told or self._clock.now() - self._started_at_s > CONTROL_READY_S

    def _deliver(self, worker: int, message: Any) -> None:
        child = self._children.alive.get(worker)
        if child is not None:
            child.send(message)

    def _runner_event(self, event: str, fields: dict[str, Any]) -> None:
        level = Level.WARNING if event in ("runner_exited", "runner_unhealthy") else Level.INFO
        if event == "runner_given_up":
            level = Level.ERROR
        if event == "runner_exited":
            self._metrics.runner_restarts.add(1, str(fields.get("model", "")))
        self._log.write(level, event, fields)

    def _generation_ended(
        self, model: str, grant: str, prompt_tokens: int, completion_tokens: int, cancelled: bool
    ) -> None:
        if cancelled:
            self._metrics.wasted_tokens.add(completion_tokens, model)

    def _announce(self) -> None:
        """Say once that the server is ready: workers serve, and what is preloaded is loaded."""
        if self._is_announced or not self._children.newest_is_ready() or not self._has_keys():
            return
        waiting = [
            status
            for status in self._statuses
            if status.preload and status.state is not RunnerState.READY
        ]
        if waiting or (not self._statuses and self._settings.models):
            return
        self._is_announced = True
        self._manager.say(f"READY=1\nMAINPID={os.getpid()}\nSTATUS=serving")
        self._log.info("ready", seconds=round(self._clock.now() - self._started_at_s, 2))
        if self._settings.logs.console == "json":
            return  # its reader is a program; the key stands in its file
        names = [model.name for model in self._settings.models]
        for line in banner.ready_lines(
            self._address(self._data_listeners[0]),
            self._address(self._control_listeners[0]),
            names[0] if names else "",
            self._admin,
            self._settings.logs.file,
        ):
            print(line, flush=True)

    # Signals

    def _asked_to_stop(self) -> None:
        self._stop_count += 1
        if self._stop_count > 1:
            self._log.warning("stopping_at_once", reason="a second signal")
            self._children.kill()
            self._supervisor.kill()
        self._stop_asked.set()

    async def _shut_down(self) -> None:
        grace_s = self._settings.shutdown.grace_s
        self._manager.say("STOPPING=1")
        self._log.info("stopping", grace_s=grace_s)
        self._accepting = False
        self._children.broadcast(self._published())
        self._children.stop(grace_s)
        if not await self._children.until_gone(grace_s + AFTER_GRACE_S, workers_only=True):
            self._log.warning("workers_killed", reason="they did not end within the grace period")
            self._children.kill()
        await self._supervisor.stop(RUNNERS_STOP_S if self._stop_count < 2 else 0.0)
        if not await self._children.until_gone(CONTROL_STOP_S):
            self._children.kill()
        await self._children.until_gone(AFTER_GRACE_S)
        sweep_orphans(set())

    async def _reloads(self) -> None:
        while True:
            await self._reload_asked.wait()
            self._reload_asked.clear()
            self._manager.say("RELOADING=1")
            try:
                await self._reload_once()
            except reload.ReloadRefused as refused:
                self._log.error(
                    "reload_refused", reason=str(refused), kept="the configuration as it was"
                )
            self._manager.say("READY=1")

    async def _reload_once(self) -> None:
        settings, document = await reload.resolve(self._run_dir / "serve.json", self._resolver_pids)
        different = reload.unchangeable_differences(self._settings, settings)
        if different:
            raise reload.ReloadRefused(
                f"{', '.join(different)} cannot change while the server runs; restart it"
            )
        before = (self._settings, self._settings_json, self._peppers)
        try:
            self._peppers = self._load_peppers(settings)
        except bootstrap.BootstrapError as error:
            raise reload.ReloadRefused(str(error)) from error
        self._settings, self._settings_json = settings, document
        self._supervisor.replace(settings)
        self._shared.replace(settings)
        await self._children.start_generation(settings.server.workers)
        if not await self._children.until_ready(WORKERS_READY_S):
            self._settings, self._settings_json, self._peppers = before
            self._supervisor.replace(self._settings)
            self._shared.replace(self._settings)
            self._children.drop_newest()
            raise reload.ReloadRefused("the new workers did not become ready; the old ones go on")
        self._children.broadcast(messages.NewPeppers(peppers=list(self._peppers.ring)))
        self._children.drain_older(settings.deadline.total_s)
        self._children.restart_control()
        self._log.info("reloaded", generation=self._children.generation)

    # Upkeep

    async def _upkeep(self) -> None:
        next_sign_s = 0.0
        while True:
            await asyncio.sleep(
                UPKEEP_S
                if self._manager.watchdog_s is None
                else min(UPKEEP_S, self._manager.watchdog_s)
            )
            if self._manager.watchdog_s is not None and self._clock.now() >= next_sign_s:
                next_sign_s = self._clock.now() + self._manager.watchdog_s
                self._manager.say("WATCHDOG=1")
            self._rotate_log()
            statuses = self._supervisor.statuses()
            if statuses != self._statuses or (not self._is_announced and self._has_keys()):
                # Queues and busy slots, which /health tells.
                self._publish(statuses)
            sweep_orphans(self._children.pids() | self._supervisor.pids() | self._resolver_pids)

    def _rotate_log(self) -> None:
        path = self._log_path
        try:
            if path is None or path.stat().st_size < self._settings.logs.rotate_bytes:
                return
            logs.rotate(path, self._settings.logs.keep)
        except FileNotFoundError:
            pass  # someone moved it away: open a new one, as after a rotation of ours
        except OSError as error:
            if not self._is_rotation_stuck:  # tried again each second, told once
                self._log.error("log_not_rotated", reason=str(error))
            self._is_rotation_stuck = True
            return
        self._is_rotation_stuck = False
        self._log.reopen()
        self._children.broadcast(messages.ReopenLog())

    def _remove_files(self) -> None:
        (self._data_dir / "control.sock").unlink(missing_ok=True)
        (self._run_dir / "settings.json").unlink(missing_ok=True)
        if self._settings.server.socket:
            Path(self._settings.server.socket).unlink(missing_ok=True)


def main() -> int:
    """Run main from ``python -m rempart.processes.main RUN_DIR``."""
    environment = dict(os.environ)
    os.environ.pop(bootstrap.ADMIN_KEY_VARIABLE, None)
    environment_secret = Secret(environment.get(bootstrap.ADMIN_KEY_VARIABLE, ""))
    if environment_secret:
        environment[bootstrap.ADMIN_KEY_VARIABLE] = environment_secret.reveal()

    async def body() -> int:
        return await Main(Path(sys.argv[1]), environment, SystemClock()).run()

    try:
        return asyncio.run(body())
    except (StartError, sockets.BindError, bootstrap.BootstrapError) as error:
        print(f"rempart: {error}", file=sys.stderr)
        return 1
