"""How an answer reaches its client: as events while it is made, or as one document in the end."""

import asyncio
from typing import Protocol

import msgspec

from rempart.net.http1.server import Headers, Reply
from rempart.runners.llama_cpp_server.outbox import Outbox
from rempart.runners.llama_cpp_server.refusals import Refused
from rempart.wire.chat import ChatAssembler
from rempart.wire.completions import CompletionAssembler

EVENT_HEADERS: Headers = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
]
DOCUMENT_HEADERS: Headers = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
]
DONE = b"data: [DONE]\n\n"


class Receiver(Protocol):
    """The client's side of a generation. ``put`` is called by its thread, all else by the loop."""

    def put(self, text: bytes) -> bool:
        """Take one chunk's JSON; may wait. False when nothing more is wanted."""
        ...

    def close(self) -> None:
        """The client is gone."""
        ...

    def finish(self, usage_chunk: bytes) -> None:
        """All chunks were put: end the answer."""
        ...

    def end(self, refused: Refused) -> None:
        """End the answer with an error, whatever of it is out; does nothing when it has ended."""
        ...


class Events:
    """Server-sent events, written as they come."""

    def __init__(self, reply: Reply, loop: asyncio.AbstractEventLoop) -> None:
        self._reply = reply
        self._outbox = Outbox(loop, self._flush)
        reply.on_resumed = self._flush

    def put(self, text: bytes) -> bool:
        """See ``Receiver``."""
        return self._outbox.put(b"data: " + text + b"\n\n")

    def close(self) -> None:
        """See ``Receiver``."""
        self._outbox.close()

    def finish(self, usage_chunk: bytes) -> None:
        """See ``Receiver``."""
        self._end(b"data: " + usage_chunk + b"\n\n" + DONE if usage_chunk else DONE)

    def end(self, refused: Refused) -> None:
        """See ``Receiver``. No ``[DONE]`` follows an error, so that nobody takes it for whole."""
        self._outbox.close()
        reply = self._reply
        if reply.is_ended or reply.is_gone:
            return
        if not reply.is_started:
            self._flush()
        if reply.is_started:
            self._end(b"data: " + refused.body() + b"\n\n")
        else:
            reply.send(refused.status, DOCUMENT_HEADERS, refused.body())

    def _end(self, last: bytes) -> None:
        reply = self._reply
        if reply.is_ended or reply.is_gone:
            return
        if not reply.is_started:
            reply.start(200, EVENT_HEADERS)
        # What is left is at most the outbox's bound, so it goes out even to a client that is slow.
        reply.end(self._outbox.take() + last)

    def _flush(self) -> None:
        reply = self._reply
        if reply.is_ended or reply.is_gone or reply.is_paused:
            return
        data = self._outbox.take()
        if data:
            if not reply.is_started:
                reply.start(200, EVENT_HEADERS)
            reply.write(data)


class Whole:
    """One document, put together from chunks."""

    def __init__(self, reply: Reply, *, is_chat: bool) -> None:
        self._reply = reply
        self._assembler = ChatAssembler() if is_chat else CompletionAssembler()
        self._is_closed = False

    def put(self, text: bytes) -> bool:
        """See ``Receiver``; memory is bounded by the context."""
        self._assembler.feed(msgspec.json.decode(text))
        return not self._is_closed

    def close(self) -> None:
        """See ``Receiver``."""
        self._is_closed = True

    def finish(self, usage_chunk: bytes) -> None:
        """See ``Receiver``."""
        if usage_chunk:
            self._assembler.feed(msgspec.json.decode(usage_chunk))
        self.send(msgspec.json.encode(self._assembler.document()))

    def send(self, document: bytes) -> None:
        """End the answer with a document that was made elsewhere."""
        if not (self._reply.is_ended or self._reply.is_gone):
            self._reply.send(200, DOCUMENT_HEADERS, document)

    def end(self, refused: Refused) -> None:
        """See ``Receiver``."""
        if not (self._reply.is_ended or self._reply.is_gone):
            self._reply.send(refused.status, DOCUMENT_HEADERS, refused.body())
