"""What a request leaves behind is freed at its end, not by a garbage collection.

A full collection walks everything that is alive: with hundreds of open streams it held up all of a worker's
streams for a third of a second.
"""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from lab.gateway import KEY, Gateway, running_gateway
from lab.http_client import Connection, request
from rempart.gateway.exchange import Exchange


@pytest.fixture(autouse=True)
def _no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def exchanges_alive() -> int:
    return sum(isinstance(one, Exchange) for one in gc.get_objects())


def wanted(model: str, *, stream: bool, script: str) -> dict[str, object]:
    messages = [{"role": "user", "content": "Bonjour"}]
    return {"model": model, "messages": messages, "stream": stream, "user": script}


@pytest.mark.parametrize("model", ["far", "near"])
@pytest.mark.parametrize("stream", [True, False])
def test_an_answered_request_leaves_no_cycle(tmp_path: Path, model: str, stream: bool) -> None:
    async def scenario(gateway: Gateway) -> None:
        body = wanted(model, stream=stream, script="chunks=3")
        for _ in range(3):
            answer = await request(gateway.port, "POST", "/v1/chat/completions", key=KEY, body=body)
            assert answer.status == 200
        await gateway.until_idle()
        await asyncio.sleep(0)  # the handler's task lets go of its own frame
        assert exchanges_alive() == 0

    run(scenario, tmp_path)


def test_a_client_that_leaves_leaves_no_cycle(tmp_path: Path) -> None:
    async def scenario(gateway: Gateway) -> None:
        connection = await Connection.open(gateway.port)
        body = wanted("near", stream=True, script="chunks=1000 interval_ms=10")
        await connection.send("POST", "/v1/chat/completions", key=KEY, body=body)
        await connection.head()
        connection.abort()
        await gateway.until_idle()
        await asyncio.sleep(0)
        assert exchanges_alive() == 0

    run(scenario, tmp_path)


def run(scenario: object, folder: Path) -> None:
    async def within() -> None:
        async with running_gateway(folder) as gateway:
            await scenario(gateway)  # type: ignore[operator]

    uvloop.run(within())
