"""Every test that needs an event loop runs on asyncio's own and on uvloop."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine; what the loop's exception handler hears is a failure."""

    def go(coroutine: Coroutine[Any, Any, Any]) -> Any:
        heard: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: heard.append(context))
            result = runner.run(coroutine)
        assert heard == []
        return result

    return go
