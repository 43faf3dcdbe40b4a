"""The load's own view of answers: what is whole, how many events and tokens, how long a pause."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from bench import load, mock_upstream


def with_mock(scenario: "Any") -> None:
    """Run a scenario with the mock upstream's address."""

    async def run() -> None:
        loop, stats = asyncio.get_running_loop(), mock_upstream.Stats()
        server = await loop.create_server(
            lambda: mock_upstream.Protocol(stats, loop), "127.0.0.1", 0
        )
        async with server:
            port = server.sockets[0].getsockname()[1]
            work: Coroutine[Any, Any, None] = scenario(f"http://127.0.0.1:{port}")
            await work

    asyncio.run(run())


@pytest.mark.parametrize("shape", ["", "5x0ms", "5x1ms-400b"])
def test_a_stream_is_whole_and_counted(shape: str) -> None:
    async def scenario(address: str) -> None:
        request = load.chat_request(load.mock_document("mock", shape=shape, stream=True))
        samples = await load.closed_loop(address, [request] * 3, connections=2, stream=True)
        chunks = 5 if shape else 1
        assert load.errors_of(samples) == {}
        assert [sample.completion_tokens for sample in samples] == [chunks] * 3
        assert [sample.events for sample in samples] == [chunks + 3] * 3

    with_mock(scenario)


def test_a_document_is_whole() -> None:
    async def scenario(address: str) -> None:
        request = load.chat_request(load.mock_document("mock"))
        samples = await load.closed_loop(address, [request] * 3, connections=3, stream=False)
        assert load.errors_of(samples) == {}
        assert len(samples) == 3

    with_mock(scenario)


def test_the_longest_pause_is_that_between_two_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        moments = iter([10.0, 10.5, 10.7, 12.7, 12.8])
        connection = load.Connection("unix:/nowhere")
        monkeypatch.setattr(load, "now", lambda: next(moments))
        for _ in range(5):
            connection.on_body(b"data: {}\n\n")
        assert connection.pause_s_max == pytest.approx(2.0)

    asyncio.run(scenario())


def test_what_is_refused_is_an_error() -> None:
    async def scenario(address: str) -> None:
        port = int(address.rpartition(":")[2])
        samples = await load.closed_loop(
            f"http://127.0.0.1:{port}",
            [b"GARBAGE\r\n\r\n"],
            connections=1,
            stream=False,
            timeout_s=5.0,
        )
        assert load.errors_of(samples) == {"connection closed": 1}

    with_mock(scenario)


def test_waiting_for_a_connection_counts_where_all_are_due_at_once() -> None:
    async def scenario(address: str) -> None:
        request = load.chat_request(load.mock_document("mock", shape="2x40ms"))
        first, second = await load.closed_loop(
            address, [request] * 2, connections=1, stream=False, due_at_once=True
        )
        assert first.due_s == second.due_s
        assert second.duration_ms > first.duration_ms

    with_mock(scenario)
