"""Twenty minutes of traffic, hang-ups, errors, reloads and killed parts: memory, descriptors, processes stay flat."""

import asyncio
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from lab.http_client import Connection, request
from lab.server import ADMIN_KEY, RempartServer, process_tree, running_server, until

SOAK_S = float(os.environ.get("SOAK_S", "1200"))
CONFIG = """
[logs]
console = "off"
[[models]]
name = "demo"
kind = "llama_cpp"
source = "{model}"
slots = 2
context = 1024
batch = 64
preload = true
"""


def footprint(server: RempartServer) -> dict[str, float]:
    """Memory (private, MiB), descriptors and number of all processes, by role."""
    found: dict[str, float] = {"processes": 0, "descriptors": 0}
    for pid in process_tree(server.pid):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            continue
        private = sum(
            int(line.split()[1])
            for line in lines
            if line.startswith(("Private_Dirty", "Private_Clean"))
        )
        role = next(
            (word for word in ("worker", "control", "llama_cpp_server", "shim") if word in command),
            "main",
        )
        found[role] = found.get(role, 0.0) + private / 1024
        found["processes"] += 1
        found["descriptors"] += descriptors
    return found


def body(chance: random.Random) -> dict[str, Any]:
    words = " ".join(
        chance.choice(("le", "contrat", "de", "travail", "est", "rompu"))
        for _ in range(chance.randint(1, 60))
    )
    return {
        "model": "demo", "messages": [{"role": "user", "content": words}], "stream": chance.random() < 0.7,
        "max_tokens": chance.randint(1, 40),
    }  # fmt: skip


async def client(
    server: RempartServer, chance: random.Random, end_s: float, seen: dict[str, int]
) -> None:
    while time.monotonic() < end_s:
        kind = chance.choice(["whole", "whole", "hang_up", "wrong", "stranger"])
        seen[kind] = seen.get(kind, 0) + 1
        try:
            if kind == "whole":
                await request(
                    server.port, "POST", "/v1/chat/completions", key=ADMIN_KEY, body=body(chance)
                )
            elif kind == "wrong":
                await request(
                    server.port,
                    "POST",
                    "/v1/chat/completions",
                    key=ADMIN_KEY,
                    body={"model": "none"},
                )
            elif kind == "stranger":
                await request(server.port, "GET", "/v1/models", key=str(chance.random()))
            else:
                connection = await Connection.open(server.port)
                await connection.send(
                    "POST", "/v1/chat/completions", key=ADMIN_KEY, body=body(chance)
                )
                await asyncio.sleep(chance.uniform(0, 0.5))
                connection.abort()
        except (ConnectionError, asyncio.IncompleteReadError):
            seen["cut"] = seen.get("cut", 0) + 1


@pytest.mark.requirement("memory-stable")
@pytest.mark.soak
@pytest.mark.timeout(int(SOAK_S) + 300)
def test_nothing_grows(demo_model: Path, tmp_path: Path) -> None:
    with running_server(tmp_path, CONFIG.format(model=demo_model)) as server:
        server.until_ready()
        seen: dict[str, int] = {}
        samples: list[dict[str, float]] = []

        async def watch(end_s: float) -> None:
            started_s = time.monotonic()
            disturbed = 0
            while time.monotonic() < end_s:
                await asyncio.sleep(SOAK_S / 40)
                samples.append(footprint(server))
                third = int(3 * (time.monotonic() - started_s) / SOAK_S)
                if third > disturbed:  # twice: a reload, and a runner killed
                    disturbed = third
                    server.signal(signal.SIGHUP)
                    for pid in server.pids("llama_cpp_server"):
                        if "shim" not in Path(f"/proc/{pid}/cmdline").read_text():
                            os.kill(pid, signal.SIGKILL)

        async def scenario() -> None:
            end_s = time.monotonic() + SOAK_S
            async with asyncio.TaskGroup() as tasks:
                for number in range(6):
                    tasks.create_task(client(server, random.Random(number), end_s, seen))
                tasks.create_task(watch(end_s))

        asyncio.run(scenario())
        until(lambda: server.health()["models"][0]["slots"]["busy"] == 0, 30, "all slots free")
        last = footprint(server)
        print(f"seen {seen}\nfirst {samples[4]}\nlast {last}")
        early = samples[4]
        assert last["processes"] == early["processes"]
        assert last["descriptors"] <= early["descriptors"] + 10
        for role in ("main", "worker", "control"):
            assert last[role] <= early[role] * 1.1 + 4, (
                f"MiB of {role}: {early[role]:.1f} → {last[role]:.1f}"
            )
        # The runner's heap may settle; its weights and caches are bounded by its settings.
        assert last["llama_cpp_server"] <= early["llama_cpp_server"] * 1.15 + 20
        recorded = sum(line["event"] == "request" for line in server.log())
        assert recorded > sum(seen.values()) / 4
