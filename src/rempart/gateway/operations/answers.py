"""Shapes: what a client gets of the events that a runner streams.

``AssembledDocument`` builds the document of a client that does not stream; ``passed_stream.py`` lets events through
as they are. ``ConvertedStream`` and ``ConvertedDocument`` speak another protocol (Messages, Responses).
``WholeDocument`` is for endpoints whose answer is one document anyway (embeddings, rerank).
"""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from rempart.domain.errors import RempartError, RunnerError, UpstreamError
from rempart.gateway.exchange import JSON_TYPE, STREAM_TYPE, encode_json
from rempart.wire import envelope
from rempart.wire.sse import iter_data

DONE = b"[DONE]"
DONE_EVENT = b"data: [DONE]\n\n"
_decode = msgspec.json.Decoder().decode
_FLAT_OBJECT = re.compile(rb"\{[^{}]*\}")
TOKENS_MAX = 2**31
"""No answer has more; a replica that tells such numbers, or negative ones, tells nothing."""


def choices_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The choices of a chunk or document; what is no choice is left out."""
    choices = document.get("choices")
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict)]


def as_chunk(document: dict[str, Any]) -> dict[str, Any]:
    """A whole answer in the form of one chunk: a message becomes a delta, its tool calls get indexes."""
    choices = []
    for choice in choices_of(document):
        message = choice.get("message")
        if isinstance(message, dict):
            choice = {name: value for name, value in choice.items() if name != "message"}
            choice["delta"] = _as_delta(message)
        choices.append(choice)
    kind = document.get("object")
    if kind is None or kind == "chat.completion":
        kind = "chat.completion.chunk"
    return {**document, "object": kind, "choices": choices}


def _as_delta(message: dict[str, Any]) -> dict[str, Any]:
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    numbered = [
        {"index": index, **call} for index, call in enumerate(calls) if isinstance(call, dict)
    ]
    return {**message, "tool_calls": numbered}


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= TOKENS_MAX


Edit = Callable[[dict[str, Any]], dict[str, Any]]


class Assembler(Protocol):
    """Builds a document from chunks (``wire.chat.ChatAssembler`` and its kin)."""

    @property
    def is_finished(self) -> bool:
        """Whether every choice has its finish reason."""
        ...

    def feed(self, chunk: dict[str, Any]) -> None:
        """Take one chunk."""
        ...

    def document(self, *, default_id: str = ..., default_created: int = ...) -> dict[str, Any]:
        """The document so far."""
        ...


class Converter(Protocol):
    """Turns chat chunks into another protocol's events (``wire.messages``, ``wire.responses``)."""

    def feed(self, chunk: dict[str, Any]) -> bytes:
        """Events for one chunk."""
        ...

    def finish(self) -> bytes:
        """The closing events."""
        ...


class Observer:
    """What is learned from chunks, whatever is made of them: usage, ends, errors."""

    content_type = STREAM_TYPE
    is_stream = True
    takes_progress = False
    """Whether chunks that tell how far the prompt has been read are of use to what is made of them."""

    def __init__(self, *, is_runner: bool) -> None:
        self.is_runner = is_runner
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.chunk_count = 0
        self.finish_reason = ""
        self.malformed_count = 0
        self.is_done = False
        self.error: RempartError | None = None

    def see(self, chunk: dict[str, Any]) -> None:
        """Look at one decoded chunk; an error that the replica reports is kept in ``error``."""
        error = chunk.get("error")
        if error:
            text = error.get("message", "") if isinstance(error, dict) else error
            self.error = self.failure(str(text)[:500] or "it sent an error")
            return
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self._see_usage(usage)
        for choice in choices_of(chunk):
            reason = choice.get("finish_reason")
            if reason:
                self.finish_reason = str(reason)[:40]
        timings = chunk.get("timings")
        if self.completion_tokens is None and isinstance(timings, dict):
            self._see_timings(timings)

    def _see_usage(self, usage: dict[str, Any]) -> None:
        for name, field in (
            ("prompt_tokens", "prompt_tokens"),
            ("completion_tokens", "completion_tokens"),
        ):
            count = usage.get(field)
            if _is_count(count):
                setattr(self, name, count)

    def _see_timings(self, timings: dict[str, Any]) -> None:
        counts = [timings.get(name) for name in ("prompt_n", "cache_n", "predicted_n")]
        if all(_is_count(count) for count in counts):
            self.prompt_tokens = int(counts[0] or 0) + int(counts[1] or 0)
            self.completion_tokens = int(counts[2] or 0)

    def failure(self, reason: str) -> RempartError:
        """An error of the replica's."""
        return RunnerError(reason=reason) if self.is_runner else UpstreamError(reason=reason)

    def require_end(self) -> None:
        """A stream that just stops is an error, never a success.

        Raises:
            RunnerError, UpstreamError: neither a finish reason nor the end mark came.
        """
        if not self.finish_reason and not self.is_done:
            raise self.failure("its stream ended before the answer was whole")

    def chunk(self, data: bytes) -> dict[str, Any] | None:
        """One event's data as a chunk, seen; one malformed event is left out and counted, not fatal."""
        try:
            found = _decode(data)
        except (ValueError, RecursionError):  # bytes that are no UTF-8 are no DecodeError
            found = None
        if not isinstance(found, dict):
            self.malformed_count += 1
            return None
        self.see(found)
        return found

    def document(self, body: bytes) -> dict[str, Any]:
        """A whole answer, seen.

        Raises:
            RunnerError, UpstreamError: it is no JSON object, or reports an error.
        """
        found = self.chunk(body)
        if found is None:
            raise self.failure("its answer is not a JSON object")
        if self.error is not None:
            raise self.error
        return found

    def chunks(self, events: bytes) -> list[dict[str, Any]]:
        """The chunks in these events, seen, up to an error; the end mark is noted, progress left out."""
        found = []
        for data in iter_data(events):
            if data == DONE:
                self.is_done = True
                continue
            chunk = self.chunk(data)
            if self.error is not None:
                break
            if chunk is None or ("prompt_progress" in chunk and not self.takes_progress):
                continue
            self.chunk_count += 1 if chunk.get("choices") else 0
            found.append(chunk)
        return found

    def fail(self, error: RempartError, request_id: str, timestamp: str) -> bytes:
        """The error as an event of the chat protocol."""
        return envelope.stream_error(error, request_id=request_id, timestamp=timestamp)

    def edit_documents(self, edit: Edit) -> bool:
        """See ``Shape``; a stream has no document."""
        return False


class AssembledDocument(Observer):
    """One document out of the chunks, for a client that does not stream."""

    content_type = JSON_TYPE
    is_stream = False

    def __init__(
        self, assembler: Assembler, *, is_runner: bool, default_id: str, created: int
    ) -> None:
        super().__init__(is_runner=is_runner)
        self._assembler = assembler
        self._default_id = default_id
        self._created = created
        self._edit: Edit | None = None

    def edit_documents(self, edit: Edit) -> bool:
        """See ``Shape``."""
        self._edit = edit
        return True

    def feed(self, events: bytes) -> bytes:
        """See ``Shape``: nothing goes out before the end."""
        for chunk in self.chunks(events):
            self._assembler.feed(chunk)
        return b""

    def assembled(self) -> dict[str, Any]:
        """The document of what was fed."""
        document = self._assembler.document(
            default_id=self._default_id, default_created=self._created
        )
        return document if self._edit is None else self._edit(document)

    def finish(self) -> bytes:
        """The document."""
        self.require_end()
        return encode_json(self.assembled())

    def whole(self, body: bytes) -> bytes:
        """A document from a server that does not stream, as it is."""
        document = self.document(body)
        return body if self._edit is None else encode_json(self._edit(document))


class ConvertedDocument(AssembledDocument):
    """A chat document turned into another protocol's."""

    def __init__(
        self, assembler: Assembler, convert: Callable[[dict[str, Any]], dict[str, Any]], *, is_runner: bool,
        default_id: str, created: int,
    ) -> None:  # fmt: skip
        super().__init__(assembler, is_runner=is_runner, default_id=default_id, created=created)
        self._convert = convert

    def finish(self) -> bytes:
        """The other protocol's document."""
        self.require_end()
        return encode_json(self._convert(self.assembled()))

    def whole(self, body: bytes) -> bytes:
        """A document from a server that does not stream, put in order by the assembler and turned."""
        self._assembler.feed(as_chunk(self.document(body)))
        return encode_json(self._convert(self.assembled()))


class ConvertedStream(Observer):
    """Chat chunks turned into another protocol's events."""

    takes_progress = True

    def __init__(
        self,
        converter: Converter,
        fail: Callable[[RempartError, str, str], bytes],
        *,
        is_runner: bool,
    ) -> None:
        super().__init__(is_runner=is_runner)
        self._converter = converter
        self._fail = fail

    def feed(self, events: bytes) -> bytes:
        """See ``Shape``."""
        return b"".join([self._converter.feed(chunk) for chunk in self.chunks(events)])

    def finish(self) -> bytes:
        """The closing events."""
        self.require_end()
        return self._converter.finish()

    def whole(self, body: bytes) -> bytes:
        """A document from a server that does not stream, as one chunk."""
        return self._converter.feed(as_chunk(self.document(body))) + self.finish()

    def fail(self, error: RempartError, request_id: str, timestamp: str) -> bytes:
        """The error as an event of that protocol."""
        return self._fail(error, request_id, timestamp)


class WholeDocument(Observer):
    """An answer that is one document and goes through as it is; only its usage is read."""

    content_type = JSON_TYPE
    is_stream = False
    USAGE_BYTES_MAX = 4096

    def __init__(self, *, is_runner: bool) -> None:
        super().__init__(is_runner=is_runner)
        self._edit: Edit | None = None

    def edit_documents(self, edit: Edit) -> bool:
        """See ``Shape``."""
        self._edit = edit
        return True

    def feed(self, events: bytes) -> bytes:
        """A server that streams here does not speak the protocol."""
        raise self.failure("it streamed an answer that is no stream")

    def finish(self) -> bytes:
        """See ``feed``."""
        raise self.failure("it streamed an answer that is no stream")

    def whole(self, body: bytes) -> bytes:
        """The document; a body of megabytes is not decoded for the two numbers near its end or start."""
        for part in (body[-self.USAGE_BYTES_MAX :], body[: self.USAGE_BYTES_MAX]):
            at = part.rfind(b'"usage"')
            if at < 0:
                continue
            match = _FLAT_OBJECT.search(part, at)
            if match is not None:
                with suppress(ValueError):
                    self._see_usage(_decode(match[0]))
                break
        return body if self._edit is None else encode_json(self._edit(self.document(body)))
