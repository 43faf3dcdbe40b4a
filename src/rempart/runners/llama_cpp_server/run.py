"""The runner's process from its first line to its exit code."""

import asyncio
import contextlib
import faulthandler
import os
import signal
import socket
import sys
from pathlib import Path

import msgspec
import uvloop

from rempart.base.clock import SystemClock
from rempart.net.http1.server import Headers, Refusal, Server, ServerLimits
from rempart.runners.llama_cpp_server.app import JSON_HEADERS, App
from rempart.runners.llama_cpp_server.config import ConfigError, RunnerConfig, take_config
from rempart.runners.llama_cpp_server.load import DOOR_ENDING, Loaded, LoadFailure, load
from rempart.runners.llama_cpp_server.refusals import Refused
from rempart.runners.llama_cpp_server.slots import SlotTable
from rempart.runners.llama_cpp_server.status_pipe import StatusPipe
from rempart.runners.status import Failed, Progress, Ready, Slots

LIMITS = ServerLimits(idle_s=600.0)
"""Its only client is the gateway, which closes what it does not need."""
BACKLOG = 256
END_S_MAX = 2.0
"""From SIGTERM: how long the engine's threads may take to let go. Their clients have their errors by
then, and this process's memory is given back whatever they do."""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2


def main(arguments: list[str]) -> int:
    """Serve the model that the configuration names until SIGTERM; the exit code.

    While the model loads, SIGTERM ends the process as any other would.
    """
    if len(arguments) != 1:
        print("usage: python -m rempart.runners.llama_cpp_server CONFIG.json", file=sys.stderr)
        return EXIT_USAGE
    try:
        config = take_config(Path(arguments[0]))
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        return EXIT_USAGE
    os.umask(0o077)  # the library makes a socket too
    # A crash inside the library, or SIGUSR1, leaves every thread's stack in the runner's log.
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    status = StatusPipe(config.status_fd)
    try:
        listening = _listen(config.address)
        loaded = load(
            config, clock=SystemClock(), report=lambda line: status.send(Progress(what=line))
        )
    except (LoadFailure, OSError, ValueError) as exc:
        print(exc, file=sys.stderr)
        status.send(Failed(reason=str(exc)))
        return EXIT_FAILED
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, loaded, listening, status))
    _remove_sockets(config)
    return EXIT_DONE


def _listen(address: str) -> socket.socket:
    """A bound socket that does not listen yet: until the model is loaded, connecting is refused.

    Raises:
        OSError: the address cannot be had.
        ValueError: it is none.
    """
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        Path(path).unlink(missing_ok=True)
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        found.bind(path)
        return found
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError(f"address must be unix:/path or host:port, found {address!r}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind((host.strip("[]"), int(port)))
    return found


def _address_of(listening: socket.socket) -> str:
    name = listening.getsockname()
    return f"unix:{name}" if isinstance(name, str) else f"{name[0]}:{name[1]}"


async def _serve(
    config: RunnerConfig, loaded: Loaded, listening: socket.socket, status: StatusPipe
) -> None:
    loop = asyncio.get_running_loop()
    status.use_loop(loop)
    told_to_end = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told_to_end.set)
    loop.add_signal_handler(signal.SIGINT, told_to_end.set)
    slots = SlotTable(config.slots, status)
    app = App(
        engine=loaded.engine,
        door=loaded.door,
        facts=loaded.facts,
        alias=config.alias,
        api_key=config.api_key,
        slots=slots,
    )
    server = Server(app.handle, limits=LIMITS, refusal_answer=_refusal_answer)
    listening.listen(BACKLOG)
    address = _address_of(listening)
    await server.serve([listening])
    facts = msgspec.structs.replace(loaded.facts, more=loaded.facts.more | {"address": address})
    status.send(Ready(facts=facts))
    status.send(Slots(total=slots.total, busy=0))
    await told_to_end.wait()
    # From here on a second signal ends the process at once, by the system's own default.
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
    server.stop_accepting()
    app.end()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_S_MAX):
            await app.wait_idle()
    await server.close()
    print("counters at the end:", msgspec.json.encode(slots.counters).decode(), flush=True)
    status.close()


def _refusal_answer(refusal: Refusal) -> tuple[Headers, bytes]:
    kind = "invalid_request_error" if refusal.status < 500 else "server_error"
    return JSON_HEADERS, Refused(refusal.status, kind, "invalid_request", refusal.reason).body()


def _remove_sockets(config: RunnerConfig) -> None:
    if config.address.startswith("unix:"):
        path = config.address.removeprefix("unix:")
        for name in (path, path + DOOR_ENDING):
            with contextlib.suppress(OSError):
                os.unlink(name)
