"""The control API without a server: this process holds the data folder's lock and works on the state itself."""

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from rempart import __version__
from rempart.base.clock import SystemClock
from rempart.cli.configuration import option, resolved
from rempart.cli.connection import content_of
from rempart.cli.failure import CommandFailed
from rempart.cli.serve import make_data_folder, take_lock
from rempart.cli.serve_file import read_again
from rempart.control.access import PEER_UID
from rempart.control.answers import App
from rempart.control.app import build_app
from rempart.domain.errors import InvalidApiKey, StateUnavailable
from rempart.domain.keys import Principal
from rempart.domain.models import ModelStatus
from rempart.domain.peppers import Peppers
from rempart.processes.control.state import OpenState, open_state
from rempart.settings.model import Settings
from rempart.state.peppers import load_peppers
from rempart.state.private_files import BootstrapError
from rempart.state.shared.environment import StateFileRefused


class FolderBusy(Exception):
    """Another process holds the lock of the data folder; the message says so."""


class NoModels:
    """What there is to say of models where none is served (``control.link.Link``)."""

    started_at = 0.0
    version = __version__

    def statuses(self) -> list[ModelStatus]:
        """None."""
        return []

    async def log_lines(self, model: str, n: int) -> list[str]:
        """Nothing."""
        return []

    async def load(self, model: str) -> None:
        """Nothing is done: there is no model to name."""

    unload = restart = load


class OfflineState:
    """Answers what commands ask; a context manager that lets go of the state and its lock.

    Args:
        lock: descriptor of ``DATA/lock``.
    """

    def __init__(self, settings: Settings, lock: int) -> None:
        self._settings = settings
        self._lock = lock
        self._runner = asyncio.Runner()

    def __enter__(self) -> "OfflineState":
        try:
            self._opened, self._app = self._runner.run(self._open())
        except (StateUnavailable, StateFileRefused, BootstrapError) as error:
            self._let_go()
            raise CommandFailed(str(error)) from error
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._runner.run(self._opened.close())
        finally:
            self._let_go()

    def ask(self, method: str, path: str, *, body: Any = None) -> Any:
        """See ``reach.Asked``."""
        status, content = self._runner.run(_call(self._app, method, path, body))
        return content_of(status, content)

    async def _open(self) -> tuple[OpenState, App]:
        clock, secrets = SystemClock(), self._settings.secrets

        def ring() -> Peppers:
            data_dir = Path(self._settings.data_dir)
            return load_peppers(data_dir, secrets.master_key, secrets.previous_master_key)

        async def renew() -> Peppers:
            return ring()

        opened = open_state(
            self._settings, clock=clock, peppers=ring(), renew=renew, on_fault=_not_signed
        )
        try:
            await opened.control.registry.keep()
        except BaseException:
            await opened.close()
            raise
        app = build_app(
            link=NoModels(),
            state=opened.control,
            settings=self._settings,
            authenticate=_no_key,
            clock=clock,
        )
        return opened, app

    def _let_go(self) -> None:
        self._runner.close()
        os.close(self._lock)


def work_on(data_dir: Path) -> OfflineState:
    """The state in this folder, configured as the server that used it last.

    Raises:
        FolderBusy: another process works on it.
        CommandFailed: the configuration has errors, or the folder cannot be used.
    """
    make_data_folder(data_dir)
    try:
        lock = take_lock(data_dir)
    except CommandFailed as error:
        raise FolderBusy(
            f"another process uses the data folder {data_dir} and does not answer on its control.sock. "
            "If it is a server that is starting or ending, try again after a moment."
        ) from error
    try:
        served = data_dir / "run" / "serve.json"
        settings = (
            read_again(served).resolve(with_files=False)
            if served.exists()
            else resolved(None, option("data_dir", "--data-dir", data_dir))
        )
    except BaseException:
        os.close(lock)
        raise
    # What was asked for then names the folder as it was called then; it may have been moved.
    return OfflineState(replace(settings, data_dir=str(data_dir)), lock)


async def _call(app: App, method: str, path: str, body: Any) -> tuple[int, bytes]:
    """One request to the application, as if by its Unix socket."""
    sent = json.dumps(body).encode() if body is not None else b""
    target, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": _unquoted(target),
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"content-type", b"application/json")] if body is not None else [],
        "client": None,
        "server": None,
        "state": {PEER_UID: os.geteuid()},
    }
    status, parts = 0, [b""]
    waiting = [{"type": "http.request", "body": sent, "more_body": False}]

    async def receive() -> Any:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, b"".join(parts)


def _unquoted(target: str) -> str:
    from urllib.parse import unquote

    return unquote(target)


def _not_signed(fault: str) -> None:
    print(f"The audit log was not signed: {fault}. See `rempart audit verify`.", file=sys.stderr)


def _no_key(headers: dict[str, str], is_local: bool, address: str) -> Principal:
    raise InvalidApiKey
