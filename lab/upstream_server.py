"""The scriptable upstream in a thread of its own, and a configuration that puts it behind a real server."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from lab.fake_upstream import FakeUpstream

MESSAGES = [{"role": "user", "content": "Bonjour"}]


@contextmanager
def upstream() -> Iterator[FakeUpstream]:
    """The scriptable upstream in a thread of its own."""
    fake, started, loop = FakeUpstream(), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        await fake.start()
        started.set()
        await stop.wait()
        await fake.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    started.wait(10)
    try:
        yield fake
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


class Served(Protocol):
    """A server that speaks the OpenAI protocol."""

    @property
    def base_url(self) -> str: ...


def config_for(fake: Served, *, more: str = "", name: str = "far") -> str:
    return f"""
[shutdown]
grace_s = 5
{more}
[[models]]
name = "{name}"
kind = "upstream"
base_urls = ["{fake.base_url}"]
upstream_name = "fake"
"""


def chat(script: str = "", *, stream: bool = True, model: str = "far") -> dict[str, Any]:
    return {"model": model, "messages": MESSAGES, "stream": stream, "user": script}
