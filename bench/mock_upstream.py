"""An OpenAI-compatible server that costs little and does as it is told: the upstream of every target.

The request's ``user`` says how it answers, since every gateway passes it on:

    200x10ms         200 chunks, 10 ms apart (the first at once, then at a random phase)
    200x0ms-1024b    200 chunks of about 1024 bytes, as fast as they are taken
    anything else    one chunk, at once

An answer that is not streamed comes after chunks × interval, as a generation would. ``GET /stats`` gives
counters.

    python -m bench.mock_upstream --port 9100
"""

import argparse
import asyncio
import json
import random
import re
from functools import lru_cache
from itertools import cycle
from typing import Any, NamedTuple, cast

import httptools
import uvloop

SHAPE = re.compile(r"(\d+)x(\d+(?:\.\d+)?)ms(?:-(\d+)b)?")
WORDS = (" le", " contrat", " de", " travail", " est", " rompu", " par", " accord", " des", ".")
WORDS_UNSTREAMED = 60
PROMPT_TOKENS = 300
CREATED = 1_790_000_000
MODEL = "mock"


class Shape(NamedTuple):
    """An answer: number of chunks, seconds between two, bytes of one chunk's event (0: its own)."""

    chunks: int = 1
    interval_s: float = 0.0
    bytes: int = 0


def parse_shape(user: str) -> Shape:
    """The shape that ``user`` asks for."""
    match = SHAPE.fullmatch(user)
    if match is None:
        return Shape()
    return Shape(int(match[1]), float(match[2]) / 1000, int(match[3] or 0))


def event(
    model: str, delta: dict[str, str], finish_reason: str | None = None, **more: Any
) -> bytes:
    """One server-sent event with a chat completion chunk."""
    chunk = {
        "id": "chatcmpl-mock",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        **more,
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def frame(body: bytes) -> bytes:
    """One chunk of the chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(body), body)


@lru_cache(maxsize=64)
def content_frames(model: str, size: int) -> tuple[bytes, ...]:
    """Framed chunks with different texts: some gateways refuse a stream that repeats itself."""
    frames = []
    for word in WORDS:
        padding = max(0, size - len(event(model, {"content": word})))
        frames.append(frame(event(model, {"content": word + " x" * (padding // 2)})))
    return tuple(frames)


@lru_cache(maxsize=64)
def final_frames(model: str, chunks: int, has_usage: bool) -> bytes:
    """A stream's end: finish reason, usage if asked for, the end mark, the last chunk."""
    body = event(model, {}, "stop")
    if has_usage:
        body += event(model, {}, choices=[], usage=usage(chunks))
    return frame(body) + frame(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def usage(completion_tokens: int) -> dict[str, int]:
    """An OpenAI usage object."""
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": completion_tokens,
        "total_tokens": PROMPT_TOKENS + completion_tokens,
    }


def completion(model: str, chunks: int) -> bytes:
    """A chat completion that is not streamed."""
    text = "".join(word for word, _ in zip(cycle(WORDS), range(WORDS_UNSTREAMED), strict=False))
    message = {"role": "assistant", "content": text}
    return json.dumps(
        {
            "id": "chatcmpl-mock",
            "object": "chat.completion",
            "created": CREATED,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage(chunks),
        }
    ).encode()


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Stats:
    """Counters since the start."""

    def __init__(self) -> None:
        self.requests = 0
        self.answering = 0
        self.disconnects = 0
        self.chunks = 0

    def document(self) -> bytes:
        """As JSON."""
        return json.dumps(vars(self)).encode()


class Protocol(asyncio.Protocol):
    """One connection: requests one after the other, answered by timers of the event loop."""

    def __init__(self, stats: Stats, loop: asyncio.AbstractEventLoop) -> None:
        self._stats, self._loop = stats, loop
        self._parser = httptools.HttpRequestParser(self)
        self._transport = cast(asyncio.Transport, None)
        self._url, self._body = b"", bytearray()
        self._is_answering = False
        self._is_paused = False
        self._has_due_chunk = False
        self._timer: asyncio.Handle | None = None
        self._model = MODEL
        self._shape = Shape()
        self._has_usage = False
        self._frames: tuple[bytes, ...] = ()
        self._sent = 0
        self._due_s = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A gateway is connected."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """It has gone."""
        if self._timer:
            self._timer.cancel()
        if self._is_answering:
            self._stats.disconnects += 1
            self._end_answer()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def pause_writing(self) -> None:
        """What the reader does not take is not made."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """It takes again."""
        self._is_paused = False
        if self._has_due_chunk:
            self._has_due_chunk = False
            self._send_chunk()

    # httptools

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url, self._body = b"", bytearray()

    def on_url(self, url: bytes) -> None:
        """Its target."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        self._body += body

    def on_message_complete(self) -> None:
        """It is whole."""
        path = self._url.partition(b"?")[0]
        if path.endswith(b"/chat/completions"):
            self._answer_chat()
        elif path.endswith(b"/models"):
            about = {"id": MODEL, "object": "model", "created": CREATED, "owned_by": "bench"}
            self._reply(json.dumps({"object": "list", "data": [about]}).encode())
        elif path == b"/stats":
            self._reply(self._stats.document())
        else:  # health probes, and whatever else a gateway asks for at its start
            self._reply(b'{"status":"ok"}')

    # Answers

    def _reply(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._transport.write(head % len(body) + body)

    def _answer_chat(self) -> None:
        request = json.loads(self._body)
        self._model = request["model"]
        self._shape = parse_shape(request.get("user") or "")
        self._stats.requests += 1
        self._stats.answering += 1
        self._is_answering = True
        if not request.get("stream"):
            delay_s = self._shape.chunks * self._shape.interval_s
            if delay_s:
                self._timer = self._loop.call_later(delay_s, self._send_completion)
            else:
                self._send_completion()
            return
        self._has_usage = bool((request.get("stream_options") or {}).get("include_usage"))
        self._frames = content_frames(self._model, self._shape.bytes)
        self._sent = 0
        self._transport.write(STREAM_HEAD)
        self._send_chunk()

    def _send_completion(self) -> None:
        self._reply(completion(self._model, self._shape.chunks))
        self._end_answer()

    def _send_chunk(self) -> None:
        shape = self._shape
        if self._is_paused:
            self._has_due_chunk = True
            return
        if self._sent >= shape.chunks:
            self._transport.write(final_frames(self._model, shape.chunks, self._has_usage))
            self._end_answer()
            return
        self._transport.write(self._frames[self._sent % len(self._frames)])
        self._stats.chunks += 1
        if not shape.interval_s:
            self._timer = self._loop.call_soon(self._send_chunk)
        else:
            # Streams that started together must not send together for ever.
            phase = random.random() if self._sent == 0 else 1.0
            self._due_s = (
                self._due_s if self._sent else self._loop.time()
            ) + phase * shape.interval_s
            self._timer = self._loop.call_at(self._due_s, self._send_chunk)
        self._sent += 1

    def _end_answer(self) -> None:
        self._timer = None
        self._is_answering = False
        self._stats.answering -= 1


async def serve(port: int) -> None:
    """Serve on loopback until cancelled."""
    loop, stats = asyncio.get_running_loop(), Stats()
    server = await loop.create_server(
        lambda: Protocol(stats, loop), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=9100)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
