"""Main's children, played by small stand-ins (``lab/stand_in_child.py``)."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rempart.base.clock import SystemClock
from rempart.processes import messages
from rempart.processes.main import children as module
from rempart.processes.main.child import Child
from rempart.processes.main.children import Children
from rempart.telemetry.cells import Cells, total
from rempart.telemetry.logs import Log
from rempart.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[4]
STAND_IN = "lab.stand_in_child"


def welcome_of(folder: Path, name: str, generation: int) -> messages.Welcome:
    return messages.Welcome(
        settings=b"{}",
        name=name,
        generation=generation,
        run_dir=str(folder),
        log_file="",
        peppers=[],
        started_at_s=0.0,
    )


class Family:
    """Children with all that is around them, and what was heard of them."""

    def __init__(self, folder: Path, heartbeat_s: float) -> None:
        self.folder = folder
        self.heard: list[tuple[str, Any]] = []
        self.gone: list[int] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.metrics = Metrics(Cells(folder / "metrics", "main"))
        self.log = Log(
            clock=SystemClock(), process="main", file=folder / "log", console="off", level="debug"
        )
        self.children = Children(
            clock=SystemClock(),
            log=self.log,
            metrics=self.metrics,
            metrics_dir=folder / "metrics",
            data_listeners=[self.listener],
            control_listeners=[],
            welcome=lambda name, generation: welcome_of(folder, name, generation),
            on_message=lambda child, message: self.heard.append((child.name, message)),
            on_worker_gone=self.gone.append,
            heartbeat_s=heartbeat_s,
        )

    @property
    def names(self) -> set[str]:
        """Of the living."""
        return {child.name for child in self.children.alive.values()}

    @property
    def worker(self) -> Child:
        """The only living worker."""
        (worker,) = self.children.workers()
        return worker

    def events(self, event: str) -> list[dict[str, Any]]:
        """Lines of the log."""
        lines = map(json.loads, (self.folder / "log").read_bytes().splitlines())
        return [line for line in lines if line["event"] == event]

    def counted(self, series: str) -> float:
        """A sum over all processes."""
        return total(self.folder / "metrics").get(series, 0.0)

    async def until(self, predicate: Callable[[], Any], timeout_s: float = 15.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not predicate():
                await asyncio.sleep(0.005)

    async def ready(self, workers: int = 1) -> None:
        """A generation that serves."""
        await self.children.start_generation(workers)
        assert await self.children.until_ready(15.0)

    async def answered_by(self) -> str:
        """Which worker takes a connection."""
        reader, writer = await asyncio.open_connection(*self.listener.getsockname())
        name = (await reader.read()).decode()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return name


MakeFamily = Callable[..., AbstractAsyncContextManager[Family]]


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeFamily:
    """Makes a family; afterwards no child lives."""
    monkeypatch.setattr(module, "WORKER_MODULE", STAND_IN)
    monkeypatch.setattr(module, "CONTROL_MODULE", STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    @asynccontextmanager
    async def make(script: str = "", *, heartbeat_s: float = 30.0) -> AsyncIterator[Family]:
        monkeypatch.setenv("STAND_IN", script)
        found = Family(tmp_path, heartbeat_s)
        try:
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(found.children.run())
                yield found
                assert not running.done()
                running.cancel()
        finally:
            found.children.kill()
            assert await found.children.until_gone(10.0)
            found.listener.close()
            found.metrics.cells.close()
            found.log.close()

    return make
