"""The real runner is killed before, in and after a stream: a named error, and it serves again by itself."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

from lab.http_client import Connection, request
from lab.server import ADMIN_KEY, RempartServer, command_line, running_server, until

CONFIG = """
[restarts]
first_s = 0.1
[[models]]
name = "demo"
kind = "llama_cpp"
source = "{model}"
slots = 1
context = 1024
batch = 64
preload = true
"""


def body(*, stream: bool = True, tokens: int = 900) -> dict[str, Any]:
    return {
        "model": "demo", "messages": [{"role": "user", "content": "Count."}], "stream": stream, "max_tokens": tokens,
        "ignore_eos": True,
    }  # fmt: skip


def runner_pid(server: RempartServer) -> int:
    """The runner itself, not the shim around it."""
    found = [pid for pid in server.pids("llama_cpp_server") if "shim.py" not in command_line(pid)]
    return found[0] if found else 0


def kill_runner(server: RempartServer) -> int:
    pid = runner_pid(server)
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_killed_runner_is_a_named_error_and_comes_back(demo_model: Path, tmp_path: Path) -> None:
    with running_server(tmp_path, CONFIG.format(model=demo_model)) as server:
        server.until_ready()

        async def in_mid_stream_with_one_waiting() -> None:
            connection = await Connection.open(server.port)
            await connection.send("POST", "/v1/chat/completions", key=ADMIN_KEY, body=body())
            await connection.head()
            await connection.chunk()
            waiting = asyncio.ensure_future(
                request(
                    server.port,
                    "POST",
                    "/v1/chat/completions",
                    key=ADMIN_KEY,
                    body=body(stream=False, tokens=3),
                )
            )
            await asyncio.to_thread(
                until,
                lambda: server.health()["models"][0]["queue"]["waiting"] == 1,
                10,
                "one waits",
            )
            victim = kill_runner(server)
            events = (await connection.answer()).events
            error = json.loads(events[-1])["error"]
            assert error["code"] == "runner_error"
            assert "[DONE]" not in events
            await connection.close()
            answer = await waiting
            assert answer.status == 200, "who waited is served by the new runner"
            assert runner_pid(server) != victim

        async def after_a_stream() -> None:
            answer = await request(
                server.port, "POST", "/v1/chat/completions", key=ADMIN_KEY, body=body(tokens=2)
            )
            assert answer.events[-1] == "[DONE]"
            kill_runner(server)
            again = await request(
                server.port, "POST", "/v1/chat/completions", key=ADMIN_KEY, body=body(tokens=2)
            )
            assert again.status == 200, (
                "asked right after the death: waits, or is sent to the new one"
            )
            assert again.events[-1] == "[DONE]"

        asyncio.run(in_mid_stream_with_one_waiting())
        asyncio.run(after_a_stream())
        exits = [line for line in server.log() if line["event"] == "runner_exited"]
        assert len(exits) == 2
        assert all("SIGKILL" in line["reason"] for line in exits)
        assert server.metric("rempart_runner_restarts_total") == 2
        until(lambda: server.health()["models"][0]["slots"]["busy"] == 0, 5, "no slot stays taken")


def test_a_runner_that_keeps_dying_is_given_up_with_its_reason(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 4096)
    more = CONFIG.format(model=broken).replace("first_s = 0.1", "first_s = 0.1\ncrashes_max = 2")
    with running_server(tmp_path, more) as server:
        server.until_listening()
        until(lambda: server.get("/v1/models", key=ADMIN_KEY)[0] == 200, 30, "keys are published")
        until(lambda: server.health()["models"][0]["state"] == "failed", 60, "it is given up")
        health = server.health()
        assert health["status"] == "unhealthy"
        assert "failed" in health["reasons"][0]
        assert server.get("/readyz")[0] == 503

        async def ask() -> None:
            answer = await request(
                server.port, "POST", "/v1/chat/completions", key=ADMIN_KEY, body=body()
            )
            assert answer.status == 503
            assert answer.json["error"]["code"] == "model_unavailable"

        asyncio.run(ask())
