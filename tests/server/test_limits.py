"""Limits as clients meet them: four real workers, counted from the upstream's own log."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.command import rempart
from lab.http_client import Answer, Connection, request
from lab.server import RempartServer, running_server, until
from lab.upstream_process import Far, upstream_process
from lab.upstream_server import chat, config_for

FOUR_WORKERS = """
[server]
workers = 4
"""
PATH = "/v1/chat/completions"


@pytest.fixture(scope="module")
def fake() -> Iterator[Far]:
    with upstream_process() as one:
        yield one


@pytest.fixture(scope="module")
def server(fake: Far, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RempartServer]:
    folder: Path = tmp_path_factory.mktemp("limits")
    with running_server(folder, config_for(fake, more=FOUR_WORKERS)) as one:
        yield one.until_ready()


def new_key(server: RempartServer, *limits: str, project: str = "") -> str:
    options = [word for limit in limits for word in ("--limit", limit)]
    options += ["--project", project] if project else []
    command = ["keys", "create", "--name", "t", *options, "--json"]
    ran = rempart(*command, "--data-dir", str(server.data_dir), cwd=server.folder)
    assert ran.code == 0, ran.err
    return str(json.loads(ran.out)["key"])


def hammer(server: RempartServer, key: str, count: int, body: Any) -> list[Answer]:
    """So many requests at once, each on a connection of its own."""

    async def scenario() -> list[Answer]:
        return await asyncio.gather(
            *(request(server.port, "POST", PATH, key=key, body=body) for _ in range(count))
        )

    return asyncio.run(scenario())


def statuses(answers: list[Answer]) -> dict[int, int]:
    return {
        status: sum(one.status == status for one in answers)
        for status in {one.status for one in answers}
    }


@pytest.mark.requirement(
    "problem-rate-limit", "rate-limit-default", "rate-limit-per-client", "rate-limit-answer"
)
def test_sixty_requests_a_minute_are_let_in_by_all_workers_together(
    server: RempartServer, fake: Far
) -> None:
    key = new_key(server)
    before = fake.request_count
    answers = hammer(server, key, 150, chat(stream=False))
    assert statuses(answers) == {200: 60, 429: 90}
    assert fake.request_count - before == 60
    refused = next(one for one in answers if one.status == 429)
    error = refused.json["error"]
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    assert error["details"]["limit_name"] == "requests_per_minute"
    assert (error["details"]["limit"], error["details"]["window_seconds"]) == (60, 60)
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-policy"] == '"rpm";q=60;w=60, "rph";q=1000;w=3600'
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert server.metric("rempart_limit_refusals_total") >= 90


def test_a_project_is_one_purse_for_its_keys(server: RempartServer, fake: Far) -> None:
    made = rempart(
        *("projects", "create", "--name", "team", "--limit", "requests_per_minute=7"),
        *("--data-dir", str(server.data_dir)),
        cwd=server.folder,
    )
    assert made.code == 0, made.err
    keys = [new_key(server, project="team") for _ in range(2)]
    found = [hammer(server, key, 10, chat(stream=False)) for key in keys]
    assert sum(statuses(answers).get(200, 0) for answers in found) == 7


def test_tokens_are_reserved_before_and_settled_after(server: RempartServer, fake: Far) -> None:
    key = new_key(server, "tokens_per_minute=1000")
    body = chat("chunks=3", stream=False) | {"max_tokens": 300}
    (first,) = hammer(server, key, 1, body)
    assert first.status == 200, first.body
    used = first.json["usage"]["total_tokens"]
    (second,) = hammer(server, key, 1, body)
    left = int(second.headers["x-ratelimit-remaining-tokens"])
    reserved = 1000 - left - used
    assert 300 < reserved < 600, "the second one's worst case, beside what the first used"
    too_much = chat(stream=False) | {"max_tokens": 2000}
    (refused,) = hammer(server, key, 1, too_much)
    assert refused.json["error"]["code"] == "token_rate_limit_exceeded"
    assert refused.headers["x-should-retry"] == "false", "it never fits"
    open_ended = chat("chunks=1", stream=False)
    (third,) = hammer(server, key, 1, open_ended)
    assert third.status == 200, third.body
    assert fake.seen("/requests")[-1]["body"]["max_tokens"] == 250, (
        "a quarter of the limit, and told to the upstream"
    )


def test_places_at_a_time_come_back_even_from_a_worker_that_was_killed(
    server: RempartServer, fake: Far
) -> None:
    key = new_key(server, "concurrent_requests=3")
    slow = chat("chunks=1000 interval_ms=50")

    async def open_streams(count: int, opened: list[Connection]) -> list[int]:
        """Their statuses."""
        found = []
        for _ in range(count):
            connection = await Connection.open(server.port)
            opened.append(connection)
            await connection.send("POST", PATH, key=key, body=slow)
            found.append(await connection.head())
        return found

    async def close_all(opened: list[Connection]) -> None:
        while opened:
            await opened.pop().close()

    async def one() -> Answer:
        return await request(server.port, "POST", PATH, key=key, body=chat(stream=False))

    async def all_three_again() -> None:
        again: list[Connection] = []
        async with asyncio.timeout(20):
            while True:
                try:
                    if await open_streams(3, again) == [200, 200, 200]:
                        return
                except (ConnectionError, asyncio.IncompleteReadError):
                    pass
                finally:
                    await close_all(again)
                await asyncio.sleep(0.2)

    async def scenario() -> None:
        streams: list[Connection] = []
        assert await open_streams(3, streams) == [200, 200, 200]
        refused = await one()
        assert refused.json["error"]["code"] == "concurrency_limit_exceeded"
        await streams.pop().close()
        async with asyncio.timeout(5):
            while (await one()).status != 200:
                await asyncio.sleep(0.05)
        for pid in server.worker_pids:
            os.kill(pid, signal.SIGKILL)
        await close_all(streams)
        await all_three_again()

    asyncio.run(scenario())
    until(lambda: server.health()["status"] == "healthy", 20, "all workers are back")


def test_a_restart_forgets_nothing(fake: Far, tmp_path: Path) -> None:
    with running_server(tmp_path, config_for(fake)) as first:
        first.until_ready()
        key = new_key(first, "requests_per_minute=5")
        assert statuses(hammer(first, key, 4, chat(stream=False))) == {200: 4}
        first.stop()
    with running_server(tmp_path, config_for(fake)) as second:
        second.until_ready()
        assert statuses(hammer(second, key, 4, chat(stream=False))) == {200: 1, 429: 3}
