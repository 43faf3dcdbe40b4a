"""An answer reaches its client as events or as one document, and ends once."""

import asyncio
import json
from collections.abc import Callable

from rempart.net.http1.reply import Reply
from rempart.runners.llama_cpp_server.receivers import Events, Whole
from rempart.runners.llama_cpp_server.refusals import shutting_down


class Line:
    """A connection that keeps what is written."""

    def __init__(self) -> None:
        self.data = b""
        self.is_aborted = False

    def date_line(self) -> bytes:
        return b""

    def must_end(self) -> bool:
        return False

    def reply_ended(self, *, closes: bool) -> None: ...

    def reply_aborted(self) -> None:
        self.is_aborted = True

    def write(self, data: bytes) -> None:
        self.data += data


def replied(act: Callable[[Reply, asyncio.AbstractEventLoop], None]) -> str:
    """What was written by ``act`` and by what it left for the loop."""
    line = Line()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        reply = Reply(
            line, line.write, loop, is_head_request=False, is_1_0=False, is_kept_1_0=False
        )
        act(reply, loop)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(main())
    return line.data.decode()


def test_events_end_with_done() -> None:
    def act(reply: Reply, loop: asyncio.AbstractEventLoop) -> None:
        events = Events(reply, loop)
        assert events.put(b'{"a":1}')
        events.finish(b'{"usage":{}}')
        events.finish(b"")

    text = replied(act)
    assert text.startswith("HTTP/1.1 200 ")
    assert "text/event-stream" in text
    assert 'data: {"a":1}\n\ndata: {"usage":{}}\n\ndata: [DONE]\n\n' in text
    assert text.count("[DONE]") == 1


def test_an_error_before_any_event_has_a_status() -> None:
    text = replied(lambda reply, loop: Events(reply, loop).end(shutting_down()))
    assert text.startswith("HTTP/1.1 503 ")
    assert json.loads(text.split("\r\n\r\n")[1])["error"]["code"] == "shutting_down"


def test_an_error_behind_events_is_the_last_event_without_done() -> None:
    def act(reply: Reply, loop: asyncio.AbstractEventLoop) -> None:
        events = Events(reply, loop)
        events.put(b'{"a":1}')
        events.end(shutting_down())
        events.finish(b"")
        assert not events.put(b'{"b":1}')

    text = replied(act)
    assert text.startswith("HTTP/1.1 200 ")
    assert text.index('{"a":1}') < text.index("shutting_down")
    assert "[DONE]" not in text
    assert '{"b":1}' not in text


def test_nothing_is_written_while_the_client_does_not_take_it() -> None:
    def act(reply: Reply, loop: asyncio.AbstractEventLoop) -> None:
        events = Events(reply, loop)
        reply.pause()
        events.put(b'{"a":1}')
        loop.call_soon(check)

    line = Line()
    seen: list[bytes] = []

    def check() -> None:
        seen.append(line.data)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        reply = Reply(
            line, line.write, loop, is_head_request=False, is_1_0=False, is_kept_1_0=False
        )
        act(reply, loop)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reply.resume()

    asyncio.run(main())
    assert seen == [b""]
    assert b'{"a":1}' in line.data


def test_a_client_that_is_gone_gets_nothing_and_takes_nothing() -> None:
    def act(reply: Reply, loop: asyncio.AbstractEventLoop) -> None:
        events = Events(reply, loop)
        whole = Whole(reply, is_chat=True)
        reply.lose()
        events.close()
        whole.close()
        assert not events.put(b"{}")
        assert not whole.put(b'{"choices":[]}')
        events.finish(b"")
        whole.finish(b"")
        events.end(shutting_down())
        whole.end(shutting_down())

    assert replied(act) == ""


def test_a_document_is_put_together() -> None:
    def act(reply: Reply, loop: asyncio.AbstractEventLoop) -> None:
        whole = Whole(reply, is_chat=True)
        for text in ("Hel", "lo"):
            chunk = {"id": "x", "choices": [{"index": 0, "delta": {"content": text}}]}
            assert whole.put(json.dumps(chunk).encode())
        whole.finish(b'{"choices":[],"usage":{"prompt_tokens":3}}')

    text = replied(act)
    assert "application/json" in text
    document = json.loads(text.split("\r\n\r\n")[1])
    assert document["choices"][0]["message"]["content"] == "Hello"
    assert document["usage"] == {"prompt_tokens": 3}


def test_a_document_that_fails_has_a_status() -> None:
    text = replied(lambda reply, loop: Whole(reply, is_chat=False).end(shutting_down()))
    assert text.startswith("HTTP/1.1 503 ")
