"""The real control API on a Unix socket and a port, over a stand-in for the running server."""

import asyncio
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from lab.registry import DictStore, kept, registry_of
from rempart.base.clock import SystemClock
from rempart.control.actions.secrets import PepperFile
from rempart.control.app import ControlState, build_app
from rempart.control.server import uvicorn_config
from rempart.domain.errors import InvalidApiKey, MissingApiKey
from rempart.domain.keys import ALL_SCOPES, Principal
from rempart.domain.models import Facts, ModelStatus, RunnerState
from rempart.domain.peppers import Peppers
from rempart.settings.model import Model, Secrets, Settings
from rempart.state.peppers import load_peppers
from rempart.state.shared.limits.memory import MemoryLimits

KEYS = {
    "all-scopes": Principal(id="all", scopes=ALL_SCOPES),
    "reads-only": Principal(id="reader", scopes=frozenset({"admin:read"})),
    "infers-only": Principal(id="client", scopes=frozenset({"inference"})),
}
SETTINGS = Settings(
    secrets=Secrets(master_key="hunter2"), models=[Model(name="demo", source="demo")]
)


@dataclass
class FakeLink:
    """A server with models whose states the acts change; ``failure`` is raised instead."""

    models: list[ModelStatus] = field(
        default_factory=lambda: [
            ModelStatus(
                name="demo",
                kind="llama_cpp",
                state=RunnerState.READY,
                slots=4,
                slots_busy=1,
                memory_bytes=2**20,
                facts=Facts(context_length=2048),
            ),
            ModelStatus(name="org/far", kind="upstream", state=RunnerState.STOPPED),
        ]
    )
    lines: list[str] = field(default_factory=lambda: ["one", "two", "three"])
    failure: Exception | None = None
    acts: list[tuple[str, str]] = field(default_factory=list)
    acted: threading.Event = field(default_factory=threading.Event)
    started_at: float = 0.0
    version: str = "0.0.0-test"

    def statuses(self) -> list[ModelStatus]:
        return self.models

    async def log_lines(self, model: str, n: int) -> list[str]:
        if self.failure:
            raise self.failure
        return self.lines[-n:]

    async def load(self, model: str) -> None:
        self._act("load", model, RunnerState.READY)

    async def unload(self, model: str) -> None:
        self._act("unload", model, RunnerState.STOPPED)

    async def restart(self, model: str) -> None:
        self._act("restart", model, RunnerState.READY)

    def _act(self, act: str, model: str, state: RunnerState) -> None:
        self.acts.append((act, model))
        self.acted.set()
        if self.failure:
            raise self.failure
        for status in self.models:
            if status.name == model:
                status.state = state


def authenticate(headers: dict[str, str], is_local: bool, address: str) -> Principal:
    """The keys above."""
    secret = headers.get("authorization", "").removeprefix("Bearer ")
    if not secret:
        raise MissingApiKey
    if secret not in KEYS:
        raise InvalidApiKey
    return KEYS[secret]


@dataclass
class ControlServer:
    """A running one."""

    link: FakeLink
    socket_path: Path
    port: int
    bugs: queue.Queue[tuple[Exception, str]]
    store: DictStore
    limits: MemoryLimits

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def control_server(data_dir: Path) -> Iterator[ControlServer]:
    """Serve in a thread of its own until the block ends."""
    link = FakeLink()
    bugs: queue.Queue[tuple[Exception, str]] = queue.Queue(maxsize=100)
    store, limits = DictStore(), MemoryLimits()
    registry = kept(registry_of(store))

    async def renew() -> Peppers:
        return load_peppers(data_dir)

    peppers = PepperFile(data_dir, is_configured=False, renew=renew)
    app = build_app(
        link=link,
        state=ControlState(registry, limits, peppers),
        settings=SETTINGS,
        authenticate=authenticate,
        clock=SystemClock(),
        report=lambda bug, request_id: bugs.put_nowait((bug, request_id)),
    )
    path = data_dir / "control.sock"
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(path))
    unix.listen()
    tcp = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn_config(app))
    running = threading.Thread(
        target=asyncio.run, args=(server.serve(sockets=[unix, tcp]),), name="control"
    )
    running.start()
    try:
        yield ControlServer(link, path, tcp.getsockname()[1], bugs, store, limits)
    finally:
        server.should_exit = True
        running.join()
        unix.close()
        tcp.close()
        path.unlink()
