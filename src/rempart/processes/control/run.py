"""The life of control: serves the operators' API on its inherited sockets, samples the machine, ends with main."""

import asyncio
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from rempart.base.clock import SystemClock
from rempart.control import failures
from rempart.control.app import build_app
from rempart.control.authentication import Authentication
from rempart.control.server import ControlServer, uvicorn_config
from rempart.control.signing import EVERY_S
from rempart.domain.peppers import Peppers
from rempart.processes import messages
from rempart.processes.arguments import Inherited, Link
from rempart.processes.certificates import keep_certificate, open_certificate
from rempart.processes.control.operator_link import OperatorLink
from rempart.processes.control.state import open_state
from rempart.processes.control.upkeep import USES_S, Upkeep
from rempart.settings.model import Settings
from rempart.state.shared.keys.verify import Verifier
from rempart.telemetry import system
from rempart.telemetry.gpu import GpuReader
from rempart.telemetry.logs import Log

GRACE_S = 2.0
TRACE_CHARACTERS_MAX = 8000


async def run(arguments: list[str]) -> int:
    """Serve until main says stop or is gone; gives the exit code."""
    inherited = Inherited(arguments)
    link = Link()
    welcome = await link.open(inherited.channel)
    settings = msgspec.json.decode(welcome.settings, type=Settings)
    clock = SystemClock()
    log = Log(
        clock=clock,
        process="control",
        file=Path(welcome.log_file) if welcome.log_file else None,
        console=settings.logs.console,
        level=settings.logs.level,
    )
    operators = OperatorLink(link, welcome.started_at_s)
    ended = asyncio.Event()

    def heard(message: Any) -> None:
        match message:
            case messages.Published():
                operators.published(message)
            case messages.Answer():
                operators.answered(message)
            case messages.ReopenLog():
                log.reopen()
            case messages.NewPeppers(peppers=peppers):
                registry.peppers = Peppers(peppers)
                verifier.replace_peppers(registry.peppers)
            case messages.Stop():
                ended.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, lambda: None)
    loop.add_signal_handler(signal.SIGTERM, ended.set)

    async def renew() -> Peppers:
        """Main reads them anew and tells every process; this one too, before it answers."""
        await operators.renew_peppers()
        return opened.control.registry.peppers

    opened = open_state(
        settings,
        clock=clock,
        peppers=Peppers(welcome.peppers),
        renew=renew,
        admin_key=welcome.admin_key,
        on_signed=lambda note: log.info("audit_log_signed", checkpoint=note),
        on_fault=lambda fault: log.error("audit_log_not_signed", reason=fault),
    )
    registry, shared = opened.control.registry, opened.shared
    verifier = Verifier(
        keys=shared.keys,
        peppers=registry.peppers,
        clock=clock,
        age_s_max=settings.shared.keys_age_s_max,
    )
    link.listen(heard, ended.set)
    app = build_app(
        link=operators,
        state=opened.control,
        settings=settings,
        authenticate=Authentication(
            verifier=verifier, lockout=shared.lockout, settings=settings.lockout, clock=clock
        ),
        clock=clock,
        report=lambda bug, request_id: log.error(
            "bug", request_id=request_id, traceback=_trace(bug)
        ),
    )

    async def own_uses() -> None:
        shared.keys.note_uses(verifier.take_uses())

    async def write_failures() -> None:
        await failures.write_down(registry, shared.lockout)

    upkeep = Upkeep(
        registry=registry,
        log=log,
        chores=(
            (USES_S, own_uses),
            (failures.EVERY_S, write_failures),
            (EVERY_S, opened.signing.once),
        ),
        on_first=lambda: link.send(messages.Ready()),
    )
    certificate = await open_certificate(settings, log)
    server = _Server(uvicorn_config(app), certificate.context if certificate is not None else None)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.serve(sockets=inherited.listeners), name="http")
        sampling = tasks.create_task(_sample(settings, Path(welcome.run_dir), log), name="samples")
        fresh = tasks.create_task(keep_certificate(certificate, log), name="tls")
        keeping = tasks.create_task(upkeep.run(), name="upkeep")
        await ended.wait()
        keeping.cancel()
        sampling.cancel()
        fresh.cancel()
        server.should_exit = True
        try:
            async with asyncio.timeout(GRACE_S):
                await asyncio.wait([serving])
        except TimeoutError:
            serving.cancel()
    await opened.close()
    link.close()
    return 0


class _Server(ControlServer):
    """uvicorn without its own signal handlers: main's orders come over the channel."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to ``run``."""
        yield


def _trace(bug: Exception) -> str:
    return "".join(traceback.format_exception(bug))[-TRACE_CHARACTERS_MAX:]


async def _sample(settings: Settings, run_dir: Path, log: Log) -> None:
    """Look at the machine every other second, in a thread: a driver that hangs holds up nothing."""
    clock = SystemClock()
    gpus = GpuReader()
    last_error = ""
    while True:
        found, error = await asyncio.to_thread(gpus.read)
        if error != last_error:
            log.warning("gpu_unreadable", reason=error) if error else log.info("gpu_readable")
            last_error = error
        system.write(run_dir, system.sample(Path(settings.data_dir), clock.now(), found, error))
        await asyncio.sleep(system.SAMPLE_S)


def main() -> int:
    """Run control from ``python -m rempart.processes.control``."""
    return asyncio.run(run(sys.argv[1:]))
