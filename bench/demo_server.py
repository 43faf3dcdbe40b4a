"""``rempart serve demo`` under measure, with a way past it: straight to the same runner's own door.

The runner's key is random and never leaves its two owners. It stands in the runner's configuration file
from the moment main writes it until the runner has read and removed it, some 100 ms later; whoever started
the server may read it there.
"""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.targets import ROOT, TargetFailed
from lab.server import ADMIN_KEY, RempartServer, running_server
from rempart.net.http1.client import Headers, Pool
from rempart.runners.files.demo_model import DEMO_FILE, ensure_demo_model

MODEL = "demo"
SLOTS = 4
"""What the runner takes by default."""
READY_S = 120.0
KEY_S_MAX = 60.0
LOOK_S = 0.002
KEPT_MODELS = (ROOT / "rempart-data" / "models", ROOT / ".cache" / "models")


@dataclass(frozen=True)
class DemoServer:
    """A server with the demo model, ready, and the runner behind it."""

    server: RempartServer
    runner_address: str
    runner_key: str

    @property
    def address(self) -> str:
        """Rempart's."""
        return self.server.url

    @property
    def key(self) -> str:
        """Rempart's."""
        return ADMIN_KEY


class RunnerDoor:
    """Asks the runner itself, past Rempart; to be closed in the event loop that used it."""

    def __init__(self, server: DemoServer) -> None:
        self._pool = Pool(server.runner_address)
        self._headers: Headers = [(b"authorization", b"Bearer " + server.runner_key.encode())]

    async def slots(self) -> list[dict[str, Any]]:
        """Its slots at this moment."""
        return list(await self._get(b"/slots"))

    async def busy_count(self) -> int:
        """How many of them are taken."""
        return sum(slot["busy"] for slot in await self.slots())

    async def counters(self) -> dict[str, int]:
        """What it has counted since its start."""
        return dict(await self._get(b"/counters"))

    async def close(self) -> None:
        """Close its connections."""
        await self._pool.close()

    async def _get(self, path: bytes) -> Any:
        status, _, body = await self._pool.fetch(b"GET", path, self._headers, b"", 1 << 20, 10.0)
        if status != 200:
            raise TargetFailed(f"the runner answered {status} to {path.decode()}")
        return json.loads(body)


def model_file() -> Path:
    """The demo model's file; fetched where it is not there yet."""
    for folder in KEPT_MODELS:
        if (folder / DEMO_FILE).exists():
            return folder / DEMO_FILE
    return ensure_demo_model(KEPT_MODELS[-1], lambda line: print(line, file=sys.stderr))


def place_model(folder: Path) -> None:
    """Make a data folder below ``folder`` that has the demo model, so that nothing is fetched."""
    models = folder / "data" / "models"
    models.mkdir(parents=True)
    (models / DEMO_FILE).symlink_to(model_file())


@contextlib.contextmanager
def demo_server(folder: Path) -> Iterator[DemoServer]:
    """``rempart serve demo`` in a folder of its own, ready.

    Args:
        folder: with a short path: where a socket's would be too long, main takes another folder for it.

    Raises:
        TargetFailed: it did not become ready.
    """
    place_model(folder)
    with running_server(folder, arguments=("demo",)) as server:
        try:
            config = catch_runner_config(folder / "data" / "run")
            server.until_ready(READY_S)
        except AssertionError as error:
            raise TargetFailed(f"rempart serve demo: {error}") from error
        yield DemoServer(server, config["address"], config["api_key"])


def catch_runner_config(run_dir: Path) -> dict[str, Any]:
    """What main tells the runner, in the moment in which it stands in a file.

    Raises:
        TargetFailed: none was seen.
    """
    deadline = time.monotonic() + KEY_S_MAX
    while time.monotonic() < deadline:
        for path in run_dir.glob(f"{MODEL}-*.json"):
            try:
                config = json.loads(path.read_bytes())
            except (OSError, ValueError):
                continue  # gone again, or not written to its end
            if "api_key" in config and "address" in config:
                return dict(config)
        time.sleep(LOOK_S)
    raise TargetFailed(f"no runner was started within {KEY_S_MAX:g} s")
