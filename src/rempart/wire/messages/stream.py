"""Chat chunks → the events of a streamed Message."""

from typing import Any

import msgspec

from rempart.wire import sse
from rempart.wire.lanes import REASONING, Lane, Lanes
from rempart.wire.messages import document

_encode = msgspec.json.encode


def _event(body: dict[str, Any]) -> bytes:
    return sse.event(_encode(body), body["type"].encode())


class MessagesStream:
    """Writes one Message as its events, in the order that the official clients rely on.

    First ``message_start``, then each block's ``content_block_start``, ``content_block_delta`` and
    ``content_block_stop``, then ``message_delta`` with the reason and the counts, then
    ``message_stop``. The first choice alone is told; Messages knows no others. ``finish`` or
    ``fail`` ends it, later calls give nothing.

    Args:
        message_id: the Message's id.
        model: the name of the model that answers.
        input_tokens: prompt tokens, if known before; the true count comes at the end anyway.
    """

    __slots__ = (
        "_blocks_count",
        "_calls_count",
        "_counts",
        "_finish_reason",
        "_has_started",
        "_input_tokens",
        "_is_over",
        "_lanes",
        "_message_id",
        "_model",
        "_prefix",
        "_progress",
        "_stopped_by",
    )

    def __init__(self, *, message_id: str, model: str, input_tokens: int = 0) -> None:
        self._message_id = message_id
        self._model = model
        self._input_tokens = input_tokens
        self._lanes = Lanes(self)
        self._has_started = False
        self._is_over = False
        self._blocks_count = 0
        self._calls_count = 0
        self._prefix = b""
        self._progress: Any = None
        self._counts: dict[str, Any] = {}
        self._finish_reason: Any = None
        self._stopped_by: Any = None

    def feed(self, chunk: dict[str, Any]) -> bytes:
        """The events that a ``chat.completion.chunk`` amounts to; may be empty."""
        if self._is_over:
            return b""
        if "prompt_progress" in chunk:
            # llama.cpp's news of the prompt, before the first token: the counts for message_start.
            self._progress = chunk["prompt_progress"]
            return b""
        out = b"" if self._has_started else self._start(chunk)
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
            delta = choice.get("delta")
            if isinstance(delta, dict):
                out += self._lanes.feed(delta)
            if choice.get("finish_reason") is not None:
                self._finish_reason = choice["finish_reason"]
                self._stopped_by = choice.get("stop_reason")
        return out

    def finish(self) -> bytes:
        """The events that end a Message which is whole."""
        if self._is_over:
            return b""
        self._is_over = True
        out = b"" if self._has_started else self._start({})
        out += self._lanes.finish()
        reason, sequence = document.stop_reason(
            self._finish_reason, self._stopped_by, has_tool_use=self._calls_count > 0
        )
        usage = document.usage(self._counts)
        if not self._counts:
            usage["input_tokens"] = self._input_tokens
        out += _event(
            {
                "type": "message_delta",
                "delta": {"stop_reason": reason, "stop_sequence": sequence},
                "usage": usage,
            }
        )
        return out + _event({"type": "message_stop"})

    def fail(self, error_type: str, message: str, more: dict[str, Any]) -> bytes:
        """The event that ends a Message which went wrong; the official clients raise on it.

        Args:
            error_type: Anthropic's word for it (``envelope.messages_type``).
            message: for people.
            more: further members of ``error``; its ``request_id`` also stands beside ``error``.
        """
        if self._is_over:
            return b""
        self._is_over = True
        body: dict[str, Any] = {
            "type": "error",
            "error": more | {"type": error_type, "message": message},
        }
        if "request_id" in more:
            body["request_id"] = more["request_id"]
        return _event(body)

    def _start(self, chunk: dict[str, Any]) -> bytes:
        self._has_started = True
        usage = document.usage(chunk | document.progress_counts(self._progress))
        if not usage["input_tokens"]:
            usage["input_tokens"] = self._input_tokens
        # Counts of the first chunk are of the prompt; a first chunk can hold a token already.
        usage["output_tokens"] = 0
        message: dict[str, Any] = {
            "id": self._message_id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        return _event({"type": "message_start", "message": message})

    # What Lanes asks for.

    def open(self, lane: Lane) -> bytes:
        """Begin a block."""
        index = self._blocks_count
        self._blocks_count += 1
        if lane.is_call:
            call_id = document.tool_use_id(lane.call_id, self._message_id, self._calls_count)
            self._calls_count += 1
            block = {"type": "tool_use", "id": call_id, "name": lane.name, "input": {}}
            delta_type, member = "input_json_delta", "partial_json"
        elif lane.kind == REASONING:
            block = {"type": "thinking", "thinking": "", "signature": ""}
            delta_type, member = "thinking_delta", "thinking"
        else:
            block = {"type": "text", "text": ""}
            delta_type, member = "text_delta", "text"
        # All that a delta's event has before its text: it is the same for each token of the block.
        self._prefix = (
            b"event: content_block_delta\n"
            b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
        ) % (index, delta_type.encode(), member.encode())
        return _event({"type": "content_block_start", "index": index, "content_block": block})

    def write(self, lane: Lane, text: str) -> bytes:
        """Go on with the open block."""
        return self._prefix + _encode(text) + b"}}\n\n"

    def close(self, lane: Lane) -> bytes:
        """End the open block."""
        index = self._blocks_count - 1
        out = b""
        if lane.kind == REASONING:
            # Nobody signs here; clients expect the delta before the block's end.
            signature = {"type": "signature_delta", "signature": ""}
            out = _event({"type": "content_block_delta", "index": index, "delta": signature})
        return out + _event({"type": "content_block_stop", "index": index})
