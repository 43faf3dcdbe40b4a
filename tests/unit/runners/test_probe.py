"""Probes: what counts as ready, and that no answer of a runner can hold or hurt main."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lab.runner_processes import until_async
from rempart.runners import probe
from rempart.runners.probe import BODY_BYTES_MAX, ProbeAnswer, ProbeError

Body = Callable[[str], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Server:
    """Answers each path with given bytes; ``None`` means: says nothing."""

    def __init__(self, answers: dict[str, bytes | None], *, stays_open: bool = False) -> None:
        self.answers = answers
        self.stays_open = stays_open
        self.requests: list[str] = []
        self.open_count = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_count += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            answer = self.answers.get(head.split()[1], b"HTTP/1.1 404 X\r\n\r\n")
            if answer is not None:
                writer.write(answer)
                await writer.drain()
            if answer is None or self.stays_open:
                await reader.read()
        except ConnectionError:
            pass
        finally:
            self.open_count -= 1
            writer.close()


def with_server(server: Server, body: Body, socket: Path | None = None) -> None:
    async def run() -> None:
        if socket is not None:
            serving = await asyncio.start_unix_server(server.serve, socket)
            url = f"unix:{socket}"
        else:
            serving = await asyncio.start_server(server.serve, "127.0.0.1", 0)
            url = f"http://127.0.0.1:{serving.sockets[0].getsockname()[1]}"
        async with serving:
            await body(url)
            await until_async(lambda: server.open_count == 0, "all connections are closed")

    asyncio.run(run())


def answer_of(raw: bytes, *, stays_open: bool = False) -> ProbeAnswer:
    made: list[ProbeAnswer] = []

    async def body(url: str) -> None:
        made.append(await probe.get(url, "/health", timeout_s=20))

    with_server(Server({"/health": raw}, stays_open=stays_open), body)
    return made[0]


def test_a_get_over_tcp_names_host_and_key() -> None:
    server = Server({"/health": OK})

    async def body(url: str) -> None:
        assert await probe.get(url, "/health", key="k", timeout_s=20) == ProbeAnswer(200, b"ok")
        assert f"Host: {url.removeprefix('http://')}\r\n" in server.requests[0]
        assert "Authorization: Bearer k\r\n" in server.requests[0]

    with_server(server, body)


def test_a_get_over_a_unix_socket_without_key(tmp_path: Path) -> None:
    server = Server({"/health": OK})

    async def body(url: str) -> None:
        assert await probe.get(url, "/health", timeout_s=20) == ProbeAnswer(200, b"ok")
        assert "Authorization" not in server.requests[0]

    with_server(server, body, tmp_path / "s")


def test_bodies_come_with_a_length_in_chunks_or_until_the_end() -> None:
    """With a length the answer is there though the connection stays open."""
    assert answer_of(OK, stays_open=True).body == b"ok"
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert answer_of(chunked, stays_open=True).body == b"abcde"
    assert answer_of(b"HTTP/1.0 200 OK\r\n\r\nall").body == b"all"


def test_a_body_is_cut_at_its_bound() -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    assert len(answer_of(head + b"x" * (BODY_BYTES_MAX + 5)).body) == BODY_BYTES_MAX


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 2xx\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "closed"),
        (b"", "closed"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70000 + b"\r\n\r\n", "too long"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", "closed"),
    ],
)
def test_what_is_no_answer_is_an_error_that_says_so(raw: bytes, said: str) -> None:
    with pytest.raises(ProbeError, match=said):
        answer_of(raw)


def test_silence_is_told_apart_from_a_closed_door(tmp_path: Path) -> None:
    async def body(url: str) -> None:
        with pytest.raises(ProbeError, match="within") as silent:
            await probe.get(url, "/health", timeout_s=0.05)
        assert silent.value.is_silence
        with pytest.raises(ProbeError) as closed:
            await probe.get(f"unix:{tmp_path / 'none'}", "/health", timeout_s=20)
        assert not closed.value.is_silence

    with_server(Server({"/health": None}), body)


@pytest.mark.parametrize(
    ("health", "models", "ready_by"),
    [
        (200, 404, "/health"),
        (404, 200, "/v1/models"),
        (401, 200, "/v1/models"),
        (500, 200, "/v1/models"),
        (503, 200, None),
        (404, 503, None),
        (404, 404, None),
    ],
)
def test_ready_is_health_else_models(health: int, models: int, ready_by: str | None) -> None:
    """A 503 of ``/health`` says that the runner exists and is not ready, so models are not asked."""

    async def body(url: str) -> None:
        assert await probe.is_ready(url, key="", timeout_s=20) == ready_by

    answers: dict[str, bytes | None] = {
        "/health": b"HTTP/1.1 %d X\r\n\r\n" % health,
        "/v1/models": b"HTTP/1.1 %d X\r\n\r\n" % models,
    }
    with_server(Server(answers), body)


def test_a_runner_that_is_not_there_or_hangs_is_not_ready(tmp_path: Path) -> None:
    async def body(url: str) -> None:
        assert await probe.is_ready(url, key="", timeout_s=0.05) is None
        assert await probe.is_ready(f"unix:{tmp_path / 'none'}", key="", timeout_s=20) is None

    with_server(Server({"/health": None, "/v1/models": OK}), body)


def test_the_context_length_is_taken_where_a_runner_tells_it() -> None:
    assert probe.context_length(b'{"data": [{"id": "x", "max_model_len": 4096}]}') == 4096
    assert probe.context_length(b'{"data": [{"id": "x", "context_length": 8}]}') == 8
    for useless in (b"", b"[]", b'{"data": []}', b'{"data": [3]}', b'{"data": [{"id": "x"}]}'):
        assert probe.context_length(useless) is None
