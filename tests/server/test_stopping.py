"""A generation really stops: shown by the runner's own slots and counters, with the real model."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from lab.http_client import Connection, request
from lab.server import ADMIN_KEY, RempartServer, running_server, until

CONFIG = """
[[models]]
name = "demo"
kind = "llama_cpp"
source = "{model}"
slots = 2
context = 4096
batch = 64
preload = true
"""
LONG = "Write a very long story about a cat. " * 3


def wanted(stream: bool, *, prompt: str = LONG) -> dict[str, Any]:
    return {
        "model": "demo", "messages": [{"role": "user", "content": prompt}], "stream": stream, "max_tokens": 1500,
        "ignore_eos": True,
    }  # fmt: skip


def busy(server: RempartServer) -> int:
    return int(server.health()["models"][0]["slots"]["busy"])


async def start(server: RempartServer, stream: bool, prompt: str = LONG) -> Connection:
    connection = await Connection.open(server.port)
    await connection.send(
        "POST", "/v1/chat/completions", key=ADMIN_KEY, body=wanted(stream, prompt=prompt)
    )
    return connection


@pytest.mark.requirement("timeout-cancels")
def test_hang_ups_free_slots_in_every_stage_and_wasted_tokens_are_counted(
    demo_model: Path, tmp_path: Path
) -> None:
    with running_server(tmp_path, CONFIG.format(model=demo_model)) as server:
        server.until_ready()

        async def hang_up(stream: bool, stage: str) -> None:
            prompt = LONG * 12 if stage == "prefill" else LONG
            connection = await start(server, stream, prompt)
            if stage == "decode" and stream:
                await connection.head()
                for _ in range(5):
                    await connection.chunk()
            else:
                await asyncio.to_thread(until, lambda: busy(server) > 0, 10, "a busy slot")
                if stage == "decode":
                    await asyncio.sleep(
                        0.5
                    )  # tokens are being made; an unstreamed answer shows none
            connection.abort()
            await asyncio.to_thread(
                until, lambda: busy(server) == 0, 10, f"a free slot after {stage}"
            )

        async def scenario() -> None:
            for stage in ("decode", "prefill"):
                for stream in (True, False):
                    await hang_up(stream, stage)
            for _ in range(10):
                await hang_up(True, "decode")
            # Queued: two take the slots, a third waits and leaves.
            first, second, third = [await start(server, True) for _ in range(3)]
            await asyncio.to_thread(
                until,
                lambda: server.health()["models"][0]["queue"]["waiting"] == 1,
                10,
                "one waits",
            )
            third.abort()
            await asyncio.to_thread(
                until,
                lambda: server.health()["models"][0]["queue"]["waiting"] == 0,
                10,
                "none waits",
            )
            first.abort()
            second.abort()
            await asyncio.to_thread(until, lambda: busy(server) == 0, 10, "free slots")

        asyncio.run(scenario())
        counted = until(
            lambda: server.metric("rempart_wasted_tokens_total"), 5, "wasted tokens are counted"
        )
        status, _ = server.post("/api/models/demo/unload", control=True)
        assert status == 200
        assert server.metric("rempart_wasted_tokens_total") == counted
        assert runner_counters(server)["wasted_tokens"] == counted
        ends = [
            line["end_reason"]
            for line in server.log()
            if line["event"] == "request" and line["operation"] == "chat"
        ]
        assert ends.count("client_closed") == len(ends)


def runner_counters(server: RempartServer) -> dict[str, int]:
    """The runner's own counters, as it writes them when it ends."""
    lines = json.loads(server.get("/api/models/demo/logs?n=200", key=ADMIN_KEY, control=True)[1])[
        "items"
    ]
    found = [str(line) for line in lines if "counters at the end:" in str(line)]
    return dict(json.loads("{" + found[-1].partition("{")[2].rpartition("}")[0] + "}"))


@pytest.mark.requirement("problem-concurrency")
def test_a_queued_stream_is_served_in_its_turn(demo_server: RempartServer) -> None:
    async def scenario() -> None:
        body = {
            "model": "demo",
            "messages": [{"role": "user", "content": "Hi"}],
            "max_tokens": 4,
            "stream": False,
        }
        answers = await asyncio.gather(
            *(
                request(demo_server.port, "POST", "/v1/chat/completions", key=ADMIN_KEY, body=body)
                for _ in range(12)
            )
        )
        assert [answer.status for answer in answers] == [200] * 12
        assert all(json.loads(answer.body)["usage"]["completion_tokens"] <= 4 for answer in answers)

    asyncio.run(scenario())
