"""The processes of a real server: how it starts, reloads, loses parts of itself, and ends."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.fake_upstream import FakeUpstream
from lab.http_client import Connection, request
from lab.server import ADMIN_KEY, RempartServer, is_alive, process_tree, running_server, until
from lab.upstream_server import chat, config_for, upstream

MESSAGES = [{"role": "user", "content": "Bonjour"}]


async def open_stream(server: RempartServer, script: str) -> Connection:
    """A stream whose first chunk has come."""
    connection = await Connection.open(server.port)
    await connection.send("POST", "/v1/chat/completions", key=ADMIN_KEY, body=chat(script))
    assert await connection.head() == 200
    await connection.chunk()
    return connection


async def rest(connection: Connection) -> list[str]:
    """The data of the events until the end of the stream."""
    return (await connection.answer()).events


@contextmanager
def served(
    folder: Path, more: str = "", **options: Any
) -> Iterator[tuple[RempartServer, FakeUpstream]]:
    with (
        upstream() as fake,
        running_server(folder, config_for(fake, more=more), **options) as server,
    ):
        yield server.until_ready(), fake


@pytest.mark.requirement("shutdown")
def test_a_stream_in_flight_finishes_and_the_server_ends_with_0(tmp_path: Path) -> None:
    with served(tmp_path) as (server, _):

        async def scenario() -> None:
            connection = await open_stream(server, "chunks=60 interval_ms=20")
            server.signal(signal.SIGTERM)
            async with asyncio.timeout(5):
                while (await request(server.port, "GET", "/readyz")).status != 503:
                    await asyncio.sleep(0.01)
            refused = await request(
                server.port, "POST", "/v1/chat/completions", key=ADMIN_KEY, body=chat()
            )
            assert refused.status == 503
            assert refused.json["error"]["code"] == "shutting_down"
            assert "retry-after" in refused.headers
            assert (await rest(connection))[-1] == "[DONE]"
            await connection.close()

        asyncio.run(scenario())
        assert server.wait() == 0
        assert [line["event"] for line in server.log()][-1] == "stopped"


@pytest.mark.requirement("shutdown")
def test_what_outlasts_the_grace_period_ends_with_an_error_event(tmp_path: Path) -> None:
    with upstream() as fake:
        config = config_for(fake).replace("grace_s = 5", "grace_s = 0.5")
        with running_server(tmp_path, config) as server:
            server.until_ready()

            async def scenario() -> None:
                connection = await open_stream(server, "chunks=2 then=stall")
                server.signal(signal.SIGTERM)
                events = await rest(connection)
                assert json.loads(events[-1])["error"]["code"] == "shutting_down"
                assert "[DONE]" not in events
                await connection.close()

            asyncio.run(scenario())
            assert server.wait() == 0


@pytest.mark.requirement("shutdown")
def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    with served(tmp_path, "") as (server, _):

        async def scenario() -> None:
            connection = await open_stream(server, "chunks=2 then=stall")
            tree = process_tree(server.pid)
            server.signal(signal.SIGTERM)
            await asyncio.to_thread(until, lambda: server.get("/readyz")[0] == 503, 5, "stopping")
            server.signal(signal.SIGTERM)
            await asyncio.to_thread(server.wait, 3)
            assert not [pid for pid in tree if is_alive(pid)]
            connection.abort()

        asyncio.run(scenario())


@pytest.mark.requirement("processes")
def test_requests_do_not_notice_that_control_was_killed(tmp_path: Path) -> None:
    with served(tmp_path) as (server, _):
        until(
            lambda: server.control_pids and server.get("/livez", control=True)[0] == 200,
            20,
            "control serves",
        )
        victim = server.control_pids[0]

        async def scenario() -> None:
            connection = await open_stream(server, "chunks=100 interval_ms=10")
            os.kill(victim, signal.SIGKILL)
            answer = await request(
                server.port, "POST", "/v1/chat/completions", key=ADMIN_KEY, body=chat(stream=False)
            )
            assert answer.status == 200
            assert (await rest(connection))[-1] == "[DONE]"
            await connection.close()

        asyncio.run(scenario())
        until(lambda: set(server.control_pids) - {victim}, 10, "a new control")
        until(lambda: server.get("/livez", control=True)[0] == 200, 20, "the new control serves")
        assert server.metric("rempart_worker_restarts_total") == 1


@pytest.mark.requirement("processes", "concurrency-monitoring")
def test_a_killed_worker_is_replaced_and_no_counter_falls(tmp_path: Path) -> None:
    with served(tmp_path) as (server, _):

        def ask() -> int:
            async def once() -> int:
                answer = await request(
                    server.port,
                    "POST",
                    "/v1/chat/completions",
                    key=ADMIN_KEY,
                    body=chat(stream=False),
                )
                return answer.status

            return asyncio.run(once())

        assert [ask() for _ in range(5)] == [200] * 5
        before = server.metric("rempart_requests_total")
        victim = server.worker_pids[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: set(server.worker_pids) - {victim}, 10, "a new worker")
        until(lambda: server.get("/readyz")[0] == 200, 10, "it serves")
        assert server.metric("rempart_requests_total") >= before
        assert ask() == 200
        until(lambda: server.health()["api"]["total_requests"] == 6, 5, "all six are counted")


@pytest.mark.requirement("processes", "memory-unload")
def test_after_kill_9_of_main_nothing_is_left_and_open_streams_end_with_an_error(
    tmp_path: Path,
) -> None:
    with served(tmp_path) as (server, _):
        tree = process_tree(server.pid)

        async def scenario() -> None:
            connection = await open_stream(server, "chunks=2 then=stall")
            server.signal(signal.SIGKILL)
            async with asyncio.timeout(5):
                events = await rest(connection)
            assert json.loads(events[-1])["error"]["code"] == "shutting_down"
            await connection.close()

        asyncio.run(scenario())
        server.wait()
        until(lambda: not [pid for pid in tree if is_alive(pid)], 5, "all processes gone")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", server.port))


@pytest.mark.requirement("processes", "error-rates")
def test_a_reload_under_load_loses_no_request(tmp_path: Path) -> None:
    with upstream() as fake, running_server(tmp_path, config_for(fake)) as server:
        server.until_ready()
        statuses: list[int] = []
        failures: list[str] = []

        async def client(stop: asyncio.Event) -> None:
            connection = await Connection.open(server.port)
            while not stop.is_set():
                try:
                    await connection.send(
                        "POST", "/v1/chat/completions", key=ADMIN_KEY, body=chat("chunks=2")
                    )
                    answer = await connection.answer()
                except (ConnectionError, asyncio.IncompleteReadError) as error:
                    failures.append(repr(error))
                    return
                statuses.append(answer.status)
                if answer.headers.get("connection") == "close":
                    await connection.close()
                    connection = await Connection.open(server.port)
            await connection.close()

        async def scenario() -> None:
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(8):
                    tasks.create_task(client(stop))
                for number in range(2):
                    victims = server.worker_pids
                    (tmp_path / "rempart.toml").write_text(
                        config_for(fake, name=f"far{number}")
                        + config_for(fake).partition("[[models]]")[2].join(["[[models]]", ""])
                    )
                    server.signal(signal.SIGHUP)
                    async with asyncio.timeout(30):
                        while set(victims) & set(server.worker_pids):
                            await asyncio.sleep(0.05)
                stop.set()

        asyncio.run(scenario())
        assert not failures
        assert set(statuses) == {200}
        assert len(statuses) > 50
        names = [
            model["id"] for model in json.loads(server.get("/v1/models", key=ADMIN_KEY)[1])["data"]
        ]
        assert names == ["far1", "far"]


@pytest.mark.requirement("configuration")
@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda text: text + "\n[nonsense]\nx = 1\n", "nonsense"),
        (lambda text: "not toml at all [", "line 1"),
        (lambda text: text + '\n[server]\nhost = "127.0.0.2"\n', "server.host"),
    ],
)
def test_a_reload_that_cannot_be_is_refused_and_the_old_configuration_stays(
    tmp_path: Path, change: Callable[[str], str], word: str
) -> None:
    with served(tmp_path) as (server, _):
        workers = server.worker_pids
        path = tmp_path / "rempart.toml"
        path.write_text(change(path.read_text()))
        server.signal(signal.SIGHUP)
        line = until(
            lambda: next((one for one in server.log() if one["event"] == "reload_refused"), None),
            20,
            "refused",
        )
        assert word in line["reason"]
        assert server.worker_pids == workers
        assert server.get("/readyz")[0] == 200


@pytest.mark.requirement("serve")
def test_a_second_server_on_the_same_folder_or_port_says_what_to_do(tmp_path: Path) -> None:
    with served(tmp_path) as (server, _):
        command = [
            sys.executable,
            "-m",
            "rempart",
            "serve",
            "--config",
            str(tmp_path / "rempart.toml"),
        ]
        environment = {**os.environ, "REMPART_ADMIN_KEY": ADMIN_KEY}

        def try_with(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*command, *arguments],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=30,
            )

        same_folder = try_with(
            "--port", "0", "--control-port", "0", "--data-dir", str(server.data_dir)
        )
        assert same_folder.returncode == 1
        assert "another server" in same_folder.stderr
        assert "--data-dir" in same_folder.stderr
        other = str(tmp_path / "other")
        same_port = try_with("--port", str(server.port), "--control-port", "0", "--data-dir", other)
        assert same_port.returncode == 1
        assert f":{server.port}" in same_port.stderr
        assert "choose another" in same_port.stderr


@pytest.mark.requirement(
    "health-api",
    "metrics-requests",
    "metrics-errors",
    "metrics-times",
    "monitoring",
    "concurrency-monitoring",
    "performance-metrics",
)
def test_figures_are_for_all_workers_together(tmp_path: Path) -> None:
    with served(tmp_path, arguments=("--workers", "2")) as (server, _):
        until(lambda: len(server.worker_pids) == 2, 20, "two workers")

        async def round_of_40() -> None:
            wanted = [
                request(
                    server.port,
                    "POST",
                    "/v1/chat/completions",
                    key=ADMIN_KEY,
                    body=chat(stream=False),
                )
                for _ in range(40)
            ]
            assert {answer.status for answer in await asyncio.gather(*wanted)} == {200}

        # Which worker takes a connection is the kernel's choice, and a busy machine's mood.
        sent, writers = 0, set()
        while len(writers) < 2 and sent < 1000:
            asyncio.run(round_of_40())
            sent += 40
            writers = {line["process"] for line in server.log() if line["event"] == "request"}
        assert len(writers) == 2, "both workers accepted"
        until(
            lambda: server.health()["api"]["total_requests"] == sent,
            5,
            "all of both are counted",
        )


@pytest.mark.requirement(
    "health-status",
    "health-timestamp",
    "health-model",
    "health-memory",
    "health-disk",
    "health-cpu",
    "health-api",
    "monitoring-system",
    "memory-health",
)
def test_health_has_the_fields_of_the_seed_and_ours(tmp_path: Path) -> None:
    with served(tmp_path) as (server, _):
        document = server.health()
        assert document["status"] == "healthy"
        assert set(document) == {
            "status", "timestamp", "model", "system", "api", "reasons", "version", "models", "gpus",
        }  # fmt: skip
        assert document["model"] == {"loaded": True, "name": "far"}
        assert set(document["system"]["memory"]) == {"total_gb", "used_gb", "percent_used"}
        assert set(document["api"]) == {
            "uptime_seconds", "total_requests", "error_count", "error_rate_percent", "avg_response_time_seconds",
            "requests_per_second",
        }  # fmt: skip


@pytest.mark.requirement("logs")
def test_the_log_is_rotated_and_no_line_lost(tmp_path: Path) -> None:
    with served(tmp_path, '[logs]\nrotate_bytes = 65536\nconsole = "off"\n') as (server, _):

        async def scenario() -> None:
            for _ in range(8):
                wanted = [
                    request(
                        server.port,
                        "POST",
                        "/v1/chat/completions",
                        key=ADMIN_KEY,
                        body=chat(stream=False),
                    )
                    for _ in range(50)
                ]
                await asyncio.gather(*wanted)

        asyncio.run(scenario())
        folder = tmp_path / "logs"
        until(lambda: (folder / "api.log.1").exists(), 10, "a rotated file")
        lines = [
            json.loads(line)
            for path in folder.glob("api.log*")
            for line in path.read_text().splitlines()
        ]
        assert sum(line["event"] == "request" for line in lines) == 400
        assert len({line["id"] for line in lines if line["event"] == "request"}) == 400


def test_secrets_stand_nowhere(tmp_path: Path) -> None:
    """Neither in arguments nor in environments of children, nor in logs, nor on the console."""
    with upstream() as fake:
        secret = "upstream-secret-that-must-not-show"
        config = config_for(fake) + f'api_key = "{secret}"\n'
        with running_server(tmp_path, config) as server:
            server.until_ready()

            async def scenario() -> None:
                await request(
                    server.port,
                    "POST",
                    "/v1/chat/completions",
                    key=ADMIN_KEY,
                    body=chat(stream=False),
                )
                await request(server.port, "GET", "/v1/models", key="wrong-" + ADMIN_KEY)

            asyncio.run(scenario())
            assert fake.requests[0]["headers"]["authorization"] == f"Bearer {secret}"
            for pid in process_tree(server.pid):
                seen = Path(f"/proc/{pid}/cmdline").read_bytes()
                if pid != server.pid:
                    seen += Path(f"/proc/{pid}/environ").read_bytes()
                assert ADMIN_KEY.encode() not in seen, pid
                assert secret.encode() not in seen, pid
            text = server.console() + (tmp_path / "logs" / "api.log").read_text()
            assert ADMIN_KEY not in text
            assert secret not in text
