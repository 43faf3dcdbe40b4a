"""Slow clients of every kind against a real server: each is ended by its own bound, while another is served."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from lab.http_client import Connection, request
from lab.server import ADMIN_KEY, RempartServer, running_server, until
from lab.upstream_process import Far, upstream_process
from lab.upstream_server import chat, config_for

pytestmark = pytest.mark.requirement("slow-clients")
CHAT = "/v1/chat/completions"
HEADER_READ_S, BODY_READ_S, WRITE_STALL_S, IDLE_S = 1.0, 2.0, 1.5, 1.5
CONNECTIONS = 40
LATEST_S = 20.0
"""Far above every bound: whoever is still there then was not ended by it."""
HEAD = (
    f"POST {CHAT} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    f"authorization: Bearer {ADMIN_KEY}\r\n"
).encode()
CONFIG = f"""
[server]
header_read_s = {HEADER_READ_S}
body_read_s = {BODY_READ_S}
body_bytes_per_s_min = 100
write_stall_s = {WRITE_STALL_S}
idle_s = {IDLE_S}
connections_per_address_max = {CONNECTIONS}
"""


@pytest.fixture(scope="module")
def far() -> Iterator[Far]:
    with upstream_process() as one:
        yield one


@pytest.fixture(scope="module")
def server(far: Far, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RempartServer]:
    folder = tmp_path_factory.mktemp("slow")
    with running_server(folder, config_for(far, more=CONFIG)) as one:
        yield one.until_ready()


def beside_a_good_one(
    server: RempartServer, slow: Callable[[Connection], Awaitable[Any]], count: int = 10
) -> list[Any]:
    """Run ``count`` slow clients to their end; another is served all along. What each slow one came to."""

    async def one() -> Any:
        connection = await Connection.open(server.port, receive_buffer=4096)
        try:
            return await slow(connection)
        finally:
            connection.abort()

    async def good(is_over: asyncio.Event) -> list[int]:
        found = []
        while not is_over.is_set():
            answer = await request(
                server.port, "POST", CHAT, key=ADMIN_KEY, body=chat("chunks=1", stream=False)
            )
            found.append(answer.status)
            await asyncio.sleep(0.05)
        return found

    async def scenario() -> list[Any]:
        is_over = asyncio.Event()
        async with asyncio.timeout(LATEST_S), asyncio.TaskGroup() as group:
            served = group.create_task(good(is_over))
            ended = await asyncio.gather(*(one() for _ in range(count)))
            is_over.set()
        assert set(served.result()) == {200}
        return ended

    return asyncio.run(scenario())


async def dripping(connection: Connection, data: bytes, every_s: float) -> tuple[int, str]:
    """Send a byte every so often until the server answers; status and code of its answer."""

    async def drip() -> None:
        try:
            for position in range(len(data)):
                connection.writer.write(data[position : position + 1])
                await connection.writer.drain()
                await asyncio.sleep(every_s)
        except ConnectionError:
            return

    async with asyncio.TaskGroup() as group:
        sending = group.create_task(drip())
        answer = await connection.answer()
        assert await connection.reader.read() == b"", "the connection ends"
        sending.cancel()
    return answer.status, answer.json["error"]["code"]


def test_a_head_that_drips(server: RempartServer) -> None:
    data = HEAD + b"x: " + b"a" * 1000
    ended = beside_a_good_one(server, lambda one: dripping(one, data, 0.05))
    assert set(ended) == {(408, "request_read_timeout")}


def test_a_head_whose_lines_come_one_by_one(server: RempartServer) -> None:
    async def slow(connection: Connection) -> tuple[int, str]:
        connection.writer.write(HEAD)
        return await dripping(connection, b"x: a\r\n" * 100, 0.02)

    assert set(beside_a_good_one(server, slow)) == {(408, "request_read_timeout")}


def test_a_connection_that_says_nothing(server: RempartServer) -> None:
    ended = beside_a_good_one(server, lambda one: one.reader.read())
    assert set(ended) == {b""}, "closed without a word"


def test_a_connection_kept_after_its_answer(server: RempartServer) -> None:
    async def slow(connection: Connection) -> tuple[int, bytes]:
        await connection.send("GET", "/livez")
        status = (await connection.answer()).status
        return status, await connection.reader.read()

    assert set(beside_a_good_one(server, slow)) == {(200, b"")}


def test_a_body_that_stops(server: RempartServer) -> None:
    async def slow(connection: Connection) -> tuple[int, str]:
        connection.writer.write(HEAD + b"content-length: 1000\r\n\r\n{")
        answer = await connection.answer()
        return answer.status, answer.json["error"]["code"]

    assert set(beside_a_good_one(server, slow)) == {(408, "request_read_timeout")}


@pytest.mark.parametrize(
    ("framing", "piece"),
    [(b"content-length: 100000", b" " * 10_000), (b"transfer-encoding: chunked", b"1\r\n \r\n" * 2_000)],
    ids=["length", "chunked"],
)  # fmt: skip
def test_a_body_that_trickles(server: RempartServer, framing: bytes, piece: bytes) -> None:
    """A byte every 50 ms is never silent for long, and yet too slow: the rate over 10 s ends it."""

    async def slow(connection: Connection) -> tuple[int, str]:
        connection.writer.write(HEAD + framing + b"\r\n\r\n")
        return await dripping(connection, piece, 0.05)

    assert set(beside_a_good_one(server, slow)) == {(408, "request_read_timeout")}


def test_a_stream_that_nobody_reads(server: RempartServer, far: Far) -> None:
    async def slow(connection: Connection) -> int:
        await connection.send("POST", CHAT, key=ADMIN_KEY, body=chat("chunks=100000 bytes=20000"))
        status = await connection.head()
        await asyncio.sleep(WRITE_STALL_S)  # reads nothing, for as long as it may
        while not await asyncio.to_thread(is_let_go):
            await asyncio.sleep(0.1)
        return status

    def is_let_go() -> bool:
        return int(far.seen("/stats")["disconnect_count"]) >= before + 10

    before = int(far.seen("/stats")["disconnect_count"])
    assert set(beside_a_good_one(server, slow)) == {200}
    until(lambda: far.seen("/stats")["answering"] == 0, 5, "nothing is generated for them")


def test_more_connections_of_one_address_than_it_may_have(server: RempartServer) -> None:
    """The first are served; those above get 503 at once; when one goes there is room again."""

    async def scenario() -> None:
        kept = [await Connection.open(server.port) for _ in range(CONNECTIONS)]
        for one in kept:
            await one.send("GET", "/livez")
            assert (await one.answer()).status == 200
        above = await request(server.port, "GET", "/livez")
        assert above.status == 503
        assert above.json["error"]["code"] == "overloaded"
        assert int(above.headers["retry-after"]) >= 1
        await kept.pop().close()
        async with asyncio.timeout(5):
            while (await request(server.port, "GET", "/livez")).status != 200:
                await asyncio.sleep(0.05)
        for one in kept:
            await one.close()

    asyncio.run(scenario())
    assert json.loads(server.get("/livez")[1])
