"""A scriptable OpenAI-compatible server that does what no real one does on demand.

The request's ``user`` field is the script, words separated by blanks:

    chunks=N interval_ms=M bytes=B   N content chunks, M ms apart, of about B bytes each
    wait_ms=M                        before the head goes out
    status=S [retry_after=R]         answer with this status and an error document
    then=done|no_done|no_finish|cut|reset|stall|hang_open|error_event|garbage
                                     how the stream ends after its chunks (default: done)
    document                         answer one JSON document although a stream was asked for
    usage_null                       "usage": null in every chunk
    crlf                             events end in CRLF
    drip=K                           bytes go out K at a time, each in a write of its own

``GET /stats`` tells what was seen: requests, connections, answers under way, disconnects, and the bodies
of the last requests (``/requests``). Run it in a test's own loop (``FakeUpstream``) or as a process.
"""

import argparse
import asyncio
import contextlib
import json
from collections import deque
from typing import Any

REMEMBERED_MAX = 2000
MODEL_LIST = {
    "object": "list",
    "data": [{"id": "fake", "object": "model", "created": 1, "owned_by": "lab"}],
}


def parse_script(text: str) -> dict[str, str]:
    """The words of a script by name; a word without a value is its own value."""
    return dict(word.partition("=")[::2] for word in text.split()) if text else {}


class FakeUpstream:
    """The server; counters are plain attributes."""

    def __init__(self) -> None:
        self.requests: deque[dict[str, Any]] = deque(maxlen=REMEMBERED_MAX)
        self.request_count = 0
        self.connection_count = 0
        self.disconnect_count = 0
        self.answering = 0
        self.answering_max = 0
        self.sent_bytes = 0
        self.choices: list[list[Any]] = []
        """The `choices` of each chunk of every answer, instead of what its script says."""
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; gives the port."""
        self._server = await asyncio.start_server(self._connection, host, port, backlog=4096)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop, and cut what runs."""
        assert self._server is not None
        self._server.close()
        for handler in list(self._handlers):
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def base_url(self) -> str:
        """For a configuration's ``base_urls``."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    def stats(self) -> dict[str, int]:
        """The counters."""
        return {name: value for name, value in vars(self).items() if isinstance(value, int)}

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._handlers.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *header_lines = head.split("\r\n")
        method, path, _ = line.split(" ")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (one.partition(":") for one in header_lines if one)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if path == "/stats":
            return await self._json(writer, 200, self.stats())
        if path == "/requests":
            return await self._json(writer, 200, list(self.requests))
        if method == "GET":
            return await self._json(writer, 200, MODEL_LIST if path.endswith("/models") else {})
        self.request_count += 1
        self.answering += 1
        self.answering_max = max(self.answering_max, self.answering)
        gone = asyncio.ensure_future(reader.read(1))
        try:
            document = json.loads(body) if body else {}
            self.requests.append({"path": path, "headers": headers, "body": document})
            answer = asyncio.ensure_future(self._answer(writer, path, document))
            await asyncio.wait([answer, gone], return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():  # the caller hung up: that is what many tests are about
                answer.cancel()
                await asyncio.gather(answer, return_exceptions=True)
                self.disconnect_count += 1
                return False
            return await answer
        except ConnectionError:
            self.disconnect_count += 1
            return False
        finally:
            self.answering -= 1
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    async def _json(
        self,
        writer: asyncio.StreamWriter,
        status: int,
        document: Any,
        headers: dict[str, str] | None = None,
    ) -> bool:
        body = json.dumps(document).encode()
        lines = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **(headers or {}),
        }
        head = (
            f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        return True

    async def _answer(
        self, writer: asyncio.StreamWriter, path: str, document: dict[str, Any]
    ) -> bool:
        script = parse_script(document.get("user") or "")
        if "wait_ms" in script:
            await asyncio.sleep(int(script["wait_ms"]) / 1000)
        if "status" in script:
            status = int(script["status"])
            headers = {"retry-after": script["retry_after"]} if "retry_after" in script else {}
            error = {
                "error": {"message": f"scripted {status}", "type": "scripted", "code": "scripted"}
            }
            return await self._json(writer, status, error, headers)
        if path.endswith("/rerank"):
            ranked = [{"index": 0, "relevance_score": 0.5}]
            return await self._json(writer, 200, {"model": "fake", "results": ranked})
        if path.endswith("/embeddings"):
            inputs = document.get("input", "")
            count = len(inputs) if isinstance(inputs, list) else 1
            data = [
                {"object": "embedding", "index": i, "embedding": [0.1, 0.2]} for i in range(count)
            ]
            usage = {"prompt_tokens": 3 * count, "total_tokens": 3 * count}
            return await self._json(
                writer, 200, {"object": "list", "model": "fake", "data": data, "usage": usage}
            )
        if not path.endswith(("/chat/completions", "/completions")):
            return await self._json(writer, 200, {"path": path, "echo": document})
        if "document" in script or not document.get("stream"):
            return await self._json(writer, 200, self._document(script))
        return await self._stream(writer, path, document, script)

    def _document(self, script: dict[str, str]) -> dict[str, Any]:
        count = int(script.get("chunks", 3))
        message = {"role": "assistant", "content": " mot" * count}
        choices: list[Any] = [{"index": 0, "message": message, "finish_reason": "stop"}]
        if self.choices:
            choices = self.choices[0]
        return {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "created": 1,
            "model": "fake",
            "choices": choices,
            "usage": {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count},
        }

    def _chunk(
        self, path: str, content: str | None, finish: str | None, script: dict[str, str]
    ) -> dict[str, Any]:
        is_chat = path.endswith("/chat/completions")
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
        if is_chat:
            choice["delta"] = {"content": content} if content is not None else {}
        else:
            choice["text"] = content or ""
        chunk = {
            "id": "chatcmpl-fake",
            "object": "chat.completion.chunk" if is_chat else "text_completion",
            "created": 1,
            "model": "fake",
            "choices": [choice],
        }
        return chunk | ({"usage": None} if "usage_null" in script else {})

    async def _stream(
        self,
        writer: asyncio.StreamWriter,
        path: str,
        document: dict[str, Any],
        script: dict[str, str],
    ) -> bool:
        end = b"\r\n\r\n" if "crlf" in script else b"\n\n"

        async def put(data: bytes) -> None:
            framed = b"%x\r\n%b\r\n" % (len(data), data)
            step = int(script.get("drip", 0)) or len(framed)
            for start in range(0, len(framed), step):
                writer.write(framed[start : start + step])
                self.sent_bytes += len(framed[start : start + step])
                await writer.drain()
                if "drip" in script:
                    await asyncio.sleep(0)

        async def event(value: Any) -> None:
            text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            await put(b"data: " + text.encode() + end)

        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for choices in self.choices:
            await event({**self._chunk(path, None, None, script), "choices": choices})
            if "interval_ms" in script:
                await asyncio.sleep(int(script["interval_ms"]) / 1000)
        count, size = int(script.get("chunks", 3)), int(script.get("bytes", 0))
        for number in range(0 if self.choices else count):
            await event(self._chunk(path, f" mot{number}" + "x" * size, None, script))
            if "interval_ms" in script:
                await asyncio.sleep(int(script["interval_ms"]) / 1000)
        then = script.get("then", "done")
        if then == "cut":
            return False
        if then == "reset":
            writer.transport.abort()
            return False
        if then in ("stall", "hang_open"):
            await asyncio.sleep(3600)
        if then == "garbage":
            await event("{not json")
        elif then == "error_event":
            await event(
                {"error": {"message": "scripted failure", "type": "server_error", "code": 500}}
            )
        elif then != "no_finish":
            await event(self._chunk(path, None, "stop", script))
        if (document.get("stream_options") or {}).get("include_usage") and then in (
            "done",
            "no_done",
        ):
            usage = {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}
            await event({**self._chunk(path, None, None, script), "choices": [], "usage": usage})
        if then not in ("no_done", "no_finish", "error_event"):
            await event("[DONE]")
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


async def _serve(port: int) -> None:
    upstream = FakeUpstream()
    print(f"http://127.0.0.1:{await upstream.start(port=port)}/v1", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Run as a process; prints its base URL."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
