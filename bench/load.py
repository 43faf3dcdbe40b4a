"""Load on OpenAI-compatible chat endpoints, over connections that are kept.

By hand on asyncio's transports, so that its own cost stays far below that of what it measures. Everything
is bounded by a count and by a time.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter as now  # the event loop's own clock ticks in milliseconds
from typing import Any, cast
from urllib.parse import urlsplit

import httptools

QUESTION = (
    "Mon employeur m'a notifié la rupture de mon contrat à durée déterminée avant son terme. "
    "Quels sont mes droits, quelles indemnités puis-je demander et dans quel délai dois-je agir ? "
)
SYSTEM = "Tu es un assistant juridique. Cite les articles du Code du travail."
TAIL_BYTES = 512
"""Kept of a stream's end: its usage is in there."""


def chat_request(document: dict[str, Any], *, api_key: str = "", host: str = "localhost") -> bytes:
    """A whole HTTP request for a chat completion."""
    body = json.dumps(document).encode()
    accept = "text/event-stream" if document.get("stream") else "application/json"
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"accept: {accept}\r\nuser-agent: rempart-bench\r\ncontent-length: {len(body)}\r\n"
    )
    if api_key:
        head += f"authorization: Bearer {api_key}\r\n"
    return head.encode() + b"\r\n" + body


def mock_document(
    model: str, *, shape: str = "", stream: bool = False, prompt_bytes: int = 2000
) -> dict[str, Any]:
    """A request of a typical size for the mock upstream, whose answer has this shape."""
    length = max(prompt_bytes - 250, 20)
    question = (QUESTION * (length // len(QUESTION) + 1))[:length]
    document: dict[str, Any] = {
        "model": model,
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": question},
        ],
        "temperature": 0.2,
        "max_tokens": 512,
        "stream": stream,
        "user": shape or "one chunk",
    }
    if stream:
        document["stream_options"] = {"include_usage": True}
    return document


@dataclass(frozen=True)
class Sample:
    """One request's outcome; moments in seconds of ``perf_counter``.

    Args:
        error: empty, or what went wrong.
        due_s: from when its times count.
        first_s: its first byte of content; equal to ``end_s`` when none came.
        pause_s_max: the longest time between two reads of content.
        tail: the last bytes of its content.
    """

    error: str
    due_s: float
    first_s: float
    end_s: float
    events: int
    pause_s_max: float
    tail: bytes

    @property
    def first_ms(self) -> float:
        """From due to the first content."""
        return (self.first_s - self.due_s) * 1000

    @property
    def duration_ms(self) -> float:
        """From due to the end."""
        return (self.end_s - self.due_s) * 1000

    @property
    def completion_tokens(self) -> int:
        """Of the usage at the stream's end; 0 when it has none."""
        _, found, rest = self.tail.rpartition(b'"completion_tokens":')
        digits = rest.lstrip()[:9].partition(b",")[0].partition(b"}")[0]
        return int(digits) if found and digits.strip().isdigit() else 0


class Connection(asyncio.Protocol):
    """One kept connection to ``http://host:port`` or ``unix:/path``; a request at a time."""

    def __init__(self, address: str, *, timeout_s: float = 30.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._done: asyncio.Future[str] | None = None
        self._is_stream = False
        self.on_content: Callable[[], None] | None = None
        """Called for each read with content, for who wants to hang up at a certain one."""
        self.events = 0
        self._first_s = self._last_s = self.pause_s_max = 0.0
        self._tail = b""

    async def request(self, data: bytes, *, stream: bool, due_s: float = 0.0) -> Sample:
        """Send one request and wait for the end of its answer, which may be an error."""
        begin_s = due_s or now()
        self.events = 0
        self._first_s = self._last_s = self.pause_s_max = 0.0
        self._tail = b""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self.connect()
                self.send(data, stream=stream)
                error = await cast("asyncio.Future[str]", self._done)
        except TimeoutError:
            error = "time-out"
            self.hang_up()
        except OSError as failure:
            error = type(failure).__name__
        end_s = now()
        first_s = self._first_s or end_s
        return Sample(error, begin_s, first_s, end_s, self.events, self.pause_s_max, self._tail)

    async def connect(self) -> None:
        """Connect, where it is not."""
        if self._transport is not None and not self._transport.is_closing():
            return
        if self._address.startswith("unix:"):
            path = self._address.removeprefix("unix:")
            await self._loop.create_unix_connection(lambda: self, path)
        else:
            url = urlsplit(self._address)
            await self._loop.create_connection(lambda: self, url.hostname or "", url.port or 80)

    def send(self, data: bytes, *, stream: bool) -> None:
        """Write a request; ``request`` does it and waits."""
        self._parser = httptools.HttpResponseParser(self)
        self._is_stream = stream
        self._done = self._loop.create_future()
        cast(asyncio.Transport, self._transport).write(data)

    def hang_up(self) -> None:
        """Go away in the middle, as a client that is killed does."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is connected."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone."""
        self._transport = None
        self._finish("connection closed")

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._finish(f"bad HTTP: {error}")
            self.hang_up()

    # httptools

    def on_body(self, body: bytes) -> None:
        """Content."""
        at_s = now()
        if not self._first_s:
            self._first_s = at_s
        elif at_s - self._last_s > self.pause_s_max:
            self.pause_s_max = at_s - self._last_s
        self._last_s = at_s
        joined = self._tail + body
        if self._is_stream:
            self.events += joined.count(b"\n\n") - self._tail.count(b"\n\n")
        self._tail = joined[-TAIL_BYTES:]
        if self.on_content is not None:
            self.on_content()

    def on_message_complete(self) -> None:
        """The answer is whole, as HTTP goes."""
        status = self._parser.get_status_code()
        if status != 200:
            self._finish(f"status {status}")
        else:
            self._finish("" if self._is_complete() else "the answer is not complete")
        if not self._parser.should_keep_alive():
            self.close()

    def _is_complete(self) -> bool:
        """A stream ends with [DONE], a document with a brace."""
        end = self._tail.rstrip()
        return end.endswith(b"[DONE]") if self._is_stream else end.endswith(b"}")

    def _finish(self, error: str) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_result(error)


async def closed_loop(
    address: str,
    requests: Iterable[bytes],
    *,
    connections: int,
    stream: bool,
    due_at_once: bool = False,
    seconds_max: float = 60.0,
    timeout_s: float = 30.0,
) -> list[Sample]:
    """Send all requests, so many at a time, each connection its next when the last has ended.

    Args:
        due_at_once: times count from the start of the load, so that waiting for a connection counts too;
            else from when a request is sent.
        seconds_max: after that nothing more is sent.
    """
    waiting = iter(requests)
    started_s = now()
    samples: list[Sample] = []

    async def client() -> None:
        connection = Connection(address, timeout_s=timeout_s)
        for data in waiting:
            due_s = started_s if due_at_once else 0.0
            samples.append(await connection.request(data, stream=stream, due_s=due_s))
            if now() - started_s > seconds_max:
                break
        connection.close()

    async with asyncio.TaskGroup() as clients:
        for _ in range(connections):
            clients.create_task(client())
    return samples


def errors_of(samples: Iterable[Sample]) -> dict[str, int]:
    """What went wrong, and how often."""
    return dict(Counter(sample.error for sample in samples if sample.error))
