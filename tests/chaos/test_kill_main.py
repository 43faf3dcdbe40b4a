"""``kill -9`` of main at random moments, with the real runner: nothing survives it, and the port is free."""

import asyncio
import os
import random
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from lab.http_client import Connection
from lab.server import (
    ADMIN_KEY,
    RempartServer,
    command_line,
    is_alive,
    process_tree,
    running_server,
)

CONFIG = """
[[models]]
name = "demo"
kind = "llama_cpp"
source = "{model}"
slots = 2
context = 2048
batch = 64
preload = true
"""
FREE_S = 2.0
BODY: dict[str, Any] = {
    "model": "demo", "messages": [{"role": "user", "content": "Hi"}], "stream": True, "max_tokens": 400,
    "ignore_eos": True,
}  # fmt: skip


def kill_once(folder: Path, model: Path, chance: random.Random) -> None:
    """Start, let it come to some point of its life, kill main, and look for what is left."""
    with running_server(folder, CONFIG.format(model=model)) as server:
        stage = chance.choice(["starting", "loading", "ready", "streaming"])
        if stage == "starting":
            time.sleep(chance.uniform(0.05, 0.6))
        else:
            server.until_listening()
        if stage == "loading":
            time.sleep(chance.uniform(0.0, 1.0))
        if stage in ("ready", "streaming"):
            server.until_ready()
        tree = process_tree(server.pid)
        if stage == "streaming":
            asyncio.run(_kill_while_streaming(server))
        else:
            os.kill(server.pid, signal.SIGKILL)
        server.wait()
        survivors = until_gone(tree)
        assert not survivors, f"killed while {stage}"
        assert not strays(folder), f"after {stage}"
        if server.port:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", server.port))


def until_gone(tree: set[int]) -> list[str]:
    """What is left of these processes after the time they have."""
    deadline = time.monotonic() + FREE_S + 3
    while left := [pid for pid in tree if is_alive(pid)]:
        if time.monotonic() > deadline:
            return [f"{pid}: {command_line(pid)}" for pid in left]
        time.sleep(0.02)
    return []


async def _kill_while_streaming(server: RempartServer) -> None:
    connection = await Connection.open(server.port)
    await connection.send("POST", "/v1/chat/completions", key=ADMIN_KEY, body=BODY)
    await connection.head()
    await connection.chunk()
    os.kill(server.pid, signal.SIGKILL)
    try:
        async with asyncio.timeout(FREE_S + 3):
            answer = await connection.answer()
        assert "shutting_down" in answer.events[-1] or "runner_error" in answer.events[-1]
    finally:
        connection.abort()


def strays(folder: Path) -> list[str]:
    """Processes that still name this server's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in text and is_alive(int(entry.name)):
            found.append(text.decode(errors="replace")[:300])
    return found


@pytest.mark.requirement("processes", "memory-unload")
@pytest.mark.timeout(400)
def test_25_kills_leave_no_orphan(demo_model: Path, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for number in range(25):
        folder = tmp_path / str(number)
        folder.mkdir()
        kill_once(folder, demo_model, chance)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_500_kills_leave_no_orphan(demo_model: Path, tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for number in range(500):
        folder = tmp_path / str(number)
        folder.mkdir()
        kill_once(folder, demo_model, chance)
