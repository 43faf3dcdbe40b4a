"""What is measured side by side: each a process tree before the same mock upstream.

To add one: a context manager that gives a ``Target``, and its line in ``beside_rempart``.
"""

import asyncio
import contextlib
import importlib.metadata
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import machine, peers, process_tree
from bench.load import chat_request, mock_document
from bench.mock_upstream import MODEL
from lab.control_client import ask
from lab.server import ADMIN_KEY, running_server

ROOT = Path(__file__).parent.parent
READY_S = 30.0
START_S_MAX = 20.0
LOOK_S = 0.5
BUSY_SHARE = 0.05
CONNECTIONS_MAX = 20_000

NGINX = """
daemon off;
worker_processes 1;
worker_rlimit_nofile {descriptors};
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    upstream mock {{ server {upstream}; keepalive 128; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        client_max_body_size 8m;
        client_body_buffer_size 64k;
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 300s;
        }}
    }}
}}
"""
REMPART = """
[server]
connections_max = {connections_max}
connections_per_address_max = {connections_max}

[[models]]
name = "{model}"
kind = "upstream"
base_urls = ["{upstream}/v1"]
preload = true
"""
LIMITS = {
    "requests_per_minute": 10**7,
    "requests_per_hour": 10**8,
    "tokens_per_minute": 10**11,
    "concurrent_requests": 10**5,
}
"""Far above what is asked for: what a decision costs is measured, not a refusal."""


class TargetFailed(Exception):
    """A target did not start; the text says why."""


@dataclass(frozen=True)
class Target:
    """One of them, and how to reach it; ``pid`` is None for the mock itself, reached directly."""

    name: str
    address: str
    pid: int | None = None
    api_key: str = ""
    version: str = ""

    def request(self, *, shape: str = "", stream: bool = False) -> bytes:
        """A chat request whose answer has this shape (see mock_upstream.py)."""
        document = mock_document(MODEL, shape=shape, stream=stream)
        return chat_request(document, api_key=self.api_key)

    def cpu_s(self) -> float:
        """CPU seconds of its process tree so far."""
        return process_tree.cpu_s(self.pid) if self.pid is not None else 0.0

    def memory_bytes(self) -> int:
        """Memory of its process tree."""
        return process_tree.memory_bytes(self.pid) if self.pid is not None else 0


@contextlib.contextmanager
def mock_upstream(folder: Path) -> Iterator[str]:
    """The mock; gives its address."""
    port = free_port()
    command = [sys.executable, "-m", "bench.mock_upstream", "--port", str(port)]
    log = folder / "mock.log"
    with process_tree.running(command, ROOT, log):
        address = f"http://127.0.0.1:{port}"
        until_ready(f"{address}/health", log)
        yield address


@contextlib.contextmanager
def nginx(folder: Path, upstream: str) -> Iterator[Target]:
    """A plain reverse proxy with one worker and no key check: the floor for any proxy."""
    port, own = free_port(), folder / "nginx"
    own.mkdir()
    text = NGINX.format(
        folder=own,
        port=port,
        upstream=upstream.removeprefix("http://"),
        descriptors=CONNECTIONS_MAX,
    )
    (own / "nginx.conf").write_text(text)
    command = [machine.NGINX, "-c", str(own / "nginx.conf")]
    with _started(command, own, "nginx") as pid:
        address = f"http://127.0.0.1:{port}"
        until_ready(f"{address}/health", own / "output.log")
        yield Target("nginx", address, pid, version=machine.nginx_version())


@contextlib.contextmanager
def minimal(folder: Path, upstream: str) -> Iterator[Target]:
    """Our own HTTP without any step (pass_through.py)."""
    port = free_port()
    command = [sys.executable, "-m", "bench.pass_through"]
    command += ["--port", str(port), "--upstream", upstream]
    log = folder / "minimal.log"
    with process_tree.running(command, ROOT, log) as process:
        address = f"http://127.0.0.1:{port}"
        until_ready(f"{address}/health", log)
        yield Target("minimal handler", address, process.pid)


@contextlib.contextmanager
def rempart(folder: Path, upstream: str) -> Iterator[Target]:
    """All of Rempart as ``rempart serve --config`` starts it, with one model of kind upstream.

    Asked with a key that has four limits, so that every step does its work.
    """
    own = folder / "rempart"
    own.mkdir()
    config = REMPART.format(model=MODEL, upstream=upstream, connections_max=CONNECTIONS_MAX)
    with running_server(own, config) as server:
        try:
            server.until_ready(READY_S)
        except AssertionError as error:
            raise TargetFailed(f"rempart did not become ready: {error}") from error
        made = ask(
            server.control_port,
            "POST",
            "/api/keys",
            ADMIN_KEY,
            json_body={"name": "bench", "limits": LIMITS},
        )
        if made.status not in (200, 201):
            raise TargetFailed(f"no key was made: {made.status}")
        version = importlib.metadata.version("rempart")
        yield Target("rempart", server.url, server.pid, made.json["key"], version)


@contextlib.contextmanager
def peer(folder: Path, upstream: str) -> Iterator[Target]:
    """The fastest LLM gateway that installs from a package index."""
    try:
        installed = peers.ensure()
    except peers.NotInstalled as error:
        raise TargetFailed(str(error)) from error
    port, own = free_port(), folder / installed.name
    own.mkdir()
    command = installed.command(port=port, metrics_port=free_port(), upstream=upstream)
    with _started(command, own, installed.name) as pid:
        address = f"http://127.0.0.1:{port}"
        until_ready(f"{address}{installed.ready_path}", own / "output.log")
        yield Target(installed.name, address, pid, installed.api_key, installed.version)


def beside_rempart(
    stack: ExitStack, folder: Path, upstream: str, *, with_peer: bool = True
) -> tuple[list[Target], dict[str, str]]:
    """Rempart and what stands beside it, started; and why one of the others is missing.

    Raises:
        TargetFailed: Rempart itself, or nginx, the reference of all ratios, did not start.
    """
    running = [stack.enter_context(start(folder, upstream)) for start in (rempart, minimal, nginx)]
    missing: dict[str, str] = {}
    if with_peer:
        try:
            running.append(stack.enter_context(peer(folder, upstream)))
        except TargetFailed as error:
            missing["peer"] = str(error)
    return running, missing


async def until_started(target: Target) -> None:
    """Wait until a process tree has done what it does at its start, which is nobody's request."""
    deadline_s = time.perf_counter() + START_S_MAX
    while time.perf_counter() < deadline_s:
        before_s = target.cpu_s()
        await asyncio.sleep(LOOK_S)
        if target.cpu_s() - before_s < LOOK_S * BUSY_SHARE:
            return


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_ready(url: str, log: Path) -> None:
    """Poll until it answers 200.

    Raises:
        TargetFailed: not within ``READY_S``.
    """
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.HTTPError, OSError):
            time.sleep(0.05)
    tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
    raise TargetFailed(f"{url} was not ready within {READY_S:g} s: {tail}")


@contextlib.contextmanager
def _started(command: list[str], folder: Path, name: str) -> Iterator[int]:
    try:
        with process_tree.running(command, folder, folder / "output.log") as process:
            yield process.pid
    except FileNotFoundError as error:
        raise TargetFailed(f"{name} is not installed: {command[0]} is missing") from error
