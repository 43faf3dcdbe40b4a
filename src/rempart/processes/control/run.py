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
from rempart.control.app import build_app
from rempart.control.authentication import Authentication
from rempart.control.server import ControlServer, uvicorn_config
from rempart.domain.peppers import Peppers
from rempart.processes import messages
from rempart.processes.arguments import Inherited, Link
from rempart.processes.certificates import keep_certificate, open_certificate
from rempart.processes.control.operator_link import OperatorLink
from rempart.settings.model import Settings
from rempart.state.open import open_shared
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
                verifier.replace_peppers(Peppers(peppers))
            case messages.Stop():
                ended.set()

    link.listen(heard, ended.set)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, lambda: None)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    state = open_shared(settings, Path(settings.data_dir), clock=clock)
    verifier = Verifier(
        keys=state.keys,
        peppers=Peppers(welcome.peppers),
        clock=clock,
        age_s_max=settings.shared.keys_age_s_max,
    )
    if welcome.admin_key is not None:
        now_ms = int(clock.wall().timestamp() * 1000)
        state.keys.publish(keys=[welcome.admin_key], projects=[], now_ms=now_ms)
    app = build_app(
        link=operators,
        state=None,
        settings=settings,
        authenticate=Authentication(
            verifier=verifier, lockout=state.lockout, settings=settings.lockout, clock=clock
        ),
        clock=clock,
        report=lambda bug, request_id: log.error(
            "bug", request_id=request_id, traceback=_trace(bug)
        ),
    )
    certificate = await open_certificate(settings, log)
    server = _Server(uvicorn_config(app), certificate.context if certificate is not None else None)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.serve(sockets=inherited.listeners), name="http")
        sampling = tasks.create_task(_sample(settings, Path(welcome.run_dir), log), name="samples")
        fresh = tasks.create_task(keep_certificate(certificate, log), name="tls")
        link.send(messages.Ready())
        await ended.wait()
        sampling.cancel()
        fresh.cancel()
        server.should_exit = True
        try:
            async with asyncio.timeout(GRACE_S):
                await asyncio.wait([serving])
        except TimeoutError:
            serving.cancel()
    state.close()
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
