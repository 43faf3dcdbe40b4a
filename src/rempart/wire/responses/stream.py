"""Chat chunks → the events of a streamed Response."""

from collections.abc import Mapping
from typing import Any

import msgspec

from rempart.wire import sse
from rempart.wire.lanes import REASONING, REFUSAL, Lane, Lanes
from rempart.wire.responses import document

_encode = msgspec.json.encode

# What the events of each kind of lane are called, and the member that holds the whole.
_NAMES = {
    "text": ("response.output_text", "text"),
    REFUSAL: ("response.refusal", "refusal"),
    REASONING: ("response.reasoning_text", "text"),
}
_CALL = ("response.function_call_arguments", "arguments")


class ResponsesStream:
    """Writes one Response as its events, each with a rising ``sequence_number``.

    ``response.created`` and ``response.in_progress``; for each item ``response.output_item.added``,
    its parts, deltas and what is done, ``response.output_item.done``; then ``response.completed`` or
    ``response.incomplete``. The first choice alone is told. ``finish`` or ``fail`` ends it, later
    calls give nothing. There is no ``[DONE]``.

    Args:
        request: the body of the Responses request.
        id: the Response's id, ``resp_…``.
        created: seconds since 1970.
        model: the name of the model that answers.
    """

    __slots__ = (
        "_base",
        "_counts",
        "_finish_reason",
        "_has_started",
        "_is_over",
        "_item_id",
        "_lanes",
        "_logprobs",
        "_output",
        "_prefix",
        "_sequence_number",
        "_unsent_logprobs",
    )

    def __init__(self, request: Mapping[str, Any], *, id: str, created: int, model: str) -> None:
        self._base = document.skeleton(request, id=id, created=created, model=model)
        self._lanes = Lanes(self)
        self._output: list[dict[str, Any]] = []
        self._counts: dict[str, Any] = {}
        self._finish_reason: Any = None
        self._has_started = False
        self._is_over = False
        self._sequence_number = 0
        self._item_id = ""
        self._prefix = b""
        self._logprobs: list[dict[str, Any]] = []
        self._unsent_logprobs: list[dict[str, Any]] = []

    def start(self) -> bytes:
        """The events before the first token; ``feed`` and ``finish`` send them if nobody asked."""
        if self._has_started or self._is_over:
            return b""
        self._has_started = True
        return self._event("response.created", response=self._base) + self._event(
            "response.in_progress", response=self._base
        )

    def feed(self, chunk: dict[str, Any]) -> bytes:
        """The events that a ``chat.completion.chunk`` amounts to; may be empty."""
        if self._is_over:
            return b""
        out = b"" if self._has_started else self.start()
        for name in ("usage", "timings"):
            counts = chunk.get(name)
            if counts:
                self._counts[name] = counts
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            return out
        for choice in choices:
            if not isinstance(choice, dict) or choice.get("index", 0) != 0:
                continue
            logprobs = choice.get("logprobs")
            if isinstance(logprobs, dict):
                self._unsent_logprobs += document.output_logprobs(logprobs.get("content"))
            delta = choice.get("delta")
            if isinstance(delta, dict):
                out += self._lanes.feed(delta)
            if choice.get("finish_reason") is not None:
                self._finish_reason = choice["finish_reason"]
        return out

    def finish(self, *, completed: int | None = None) -> bytes:
        """The events that end a Response which is whole, or was cut at its limit.

        Args:
            completed: seconds since 1970.
        """
        if self._is_over:
            return b""
        out = self.start() + self._lanes.finish()
        self._is_over = True
        end = document.ending(self._finish_reason)
        response = (
            self._base | end | {"output": self._output, "usage": document.usage(self._counts)}
        )
        if end["status"] == "completed":
            response["completed_at"] = completed
        return out + self._event(f"response.{end['status']}", response=response)

    def fail(self, code: str, message: str, more: Mapping[str, Any] | None = None) -> bytes:
        """The event that ends a Response which went wrong.

        The last event is ``error``, with the documented flat members and the nested ``error`` that
        OpenAI really sends: the official client raises on the nested one alone
        (openai/openai-python#3934). Once ``response.created`` is out, ``response.failed`` with
        ``response.error`` goes before it, for clients that follow the response's own states.

        Args:
            code: one of our codes.
            message: for people.
            more: further members of the error: ``type``, ``param``, ``request_id``, ``details``.
        """
        if self._is_over:
            return b""
        self._is_over = True
        error: dict[str, Any] = {"type": "server_error", "param": None, **(more or {})}
        error |= {"code": code, "message": message}
        out = b""
        if self._has_started:
            out = self._event("response.failed", response=self._base | self._failed(error))
        return out + self._event(
            "error", code=code, message=message, param=error["param"], error=error
        )

    def _failed(self, error: dict[str, Any]) -> dict[str, Any]:
        return {
            "status": "failed",
            "error": error,
            "output": self._output,
            "usage": document.usage(self._counts),
        }

    def _event(self, kind: str, **members: Any) -> bytes:
        body = {"type": kind, "sequence_number": self._sequence_number, **members}
        self._sequence_number += 1
        return sse.event(_encode(body), kind.encode())

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._item_id, "output_index": len(self._output)}

    # What Lanes asks for.

    def open(self, lane: Lane) -> bytes:
        """Begin an item, and its part."""
        index = len(self._output)
        kind = "fc" if lane.is_call else "rs" if lane.kind == REASONING else "msg"
        self._item_id = document.item_id(kind, self._base["id"], index)
        lane.call_id = lane.call_id or f"call_{self._item_id}"
        self._logprobs = []
        out = self._event(
            "response.output_item.added",
            output_index=index,
            item=self._item(lane, "in_progress", is_added=True),
        )
        if not lane.is_call:
            part = self._part(lane, "")
            out += self._event(
                "response.content_part.added", **self._place(), content_index=0, part=part
            )
        name = self._names(lane)[0].encode()
        place = self._place() if lane.is_call else self._place() | {"content_index": 0}
        # All that a delta's event has before its text: it is the same for each token of the item.
        self._prefix = b'event: %b.delta\ndata: {"type":"%b.delta",%b,"delta":' % (
            name,
            name,
            _encode(place)[1:-1],
        )
        return out

    def write(self, lane: Lane, text: str) -> bytes:
        """Go on with the open item."""
        logprobs = b""
        if lane.kind == "text":
            logprobs = b',"logprobs":[]'
            if self._unsent_logprobs:
                logprobs = b',"logprobs":' + _encode(self._unsent_logprobs)
                self._logprobs += self._unsent_logprobs
                self._unsent_logprobs = []
        number = self._sequence_number
        self._sequence_number += 1
        return self._prefix + _encode(text) + b'%b,"sequence_number":%d}\n\n' % (logprobs, number)

    def close(self, lane: Lane) -> bytes:
        """End the open item."""
        text = lane.text
        name, member = self._names(lane)
        done: dict[str, Any] = self._place() | {member: text}
        if lane.is_call:
            out = self._event(f"{name}.done", **done, name=lane.name)
        else:
            done["content_index"] = 0
            if lane.kind == "text":
                done["logprobs"] = self._logprobs
            out = self._event(f"{name}.done", **done)
            out += self._event(
                "response.content_part.done",
                **self._place(),
                content_index=0,
                part=self._part(lane, text),
            )
        # Only what the end of the stream closes can have been cut.
        item = self._item(lane, document.ending(self._finish_reason)["status"])
        index = len(self._output)
        self._output.append(item)
        return out + self._event("response.output_item.done", output_index=index, item=item)

    def _names(self, lane: Lane) -> tuple[str, str]:
        return _CALL if lane.is_call else _NAMES[str(lane.kind)]

    def _part(self, lane: Lane, text: str) -> dict[str, Any]:
        if lane.kind == REASONING:
            return document.reasoning_part(text)
        if lane.kind == REFUSAL:
            return document.refusal_part(text)
        return document.text_part(text, self._logprobs)

    def _item(self, lane: Lane, status: str, *, is_added: bool = False) -> dict[str, Any]:
        if lane.is_call:
            return document.call_item(
                self._item_id,
                status,
                call_id=lane.call_id,
                name=lane.name,
                arguments="" if is_added else lane.text,
            )
        content = [] if is_added else [self._part(lane, lane.text)]
        if lane.kind == REASONING:
            return document.reasoning_item(self._item_id, status, content)
        return document.message_item(self._item_id, status, content)
