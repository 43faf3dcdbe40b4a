"""Chat chunks → one chat.completion: what a client that does not stream is answered.

The runner is always asked to stream, so that a hang-up is noticed at the next token.
"""

from typing import Any

from rempart.wire.assembly import as_index, extend_logprobs, join_into, joined


class _ToolCall:
    __slots__ = ("id", "more", "parts", "type")

    def __init__(self) -> None:
        self.id = ""
        self.type = ""
        self.parts: dict[str, dict[str, Any]] = {}
        """``function`` or ``custom`` → its members so far, texts as lists of pieces."""
        self.more: dict[str, Any] = {}

    def add(self, delta: dict[str, Any]) -> None:
        for name, value in delta.items():
            if value is None or name == "index":
                continue
            if name in ("id", "type"):
                if isinstance(value, str):
                    setattr(self, name, getattr(self, name) or value)
            elif isinstance(value, dict):
                join_into(self.parts.setdefault(name, {}), value)
            elif name not in ("function", "custom"):
                self.more[name] = value

    def document(self) -> dict[str, Any]:
        call: dict[str, Any] = {"id": self.id, "type": self.type or "function"}
        call |= {name: joined(members) for name, members in self.parts.items()}
        if call["type"] == "function":
            function = call.setdefault("function", {})
            call["function"] = {"name": "", "arguments": ""} | function
        return self.more | call


class _Choice:
    __slots__ = (
        "content",
        "finish_reason",
        "function_call",
        "logprobs",
        "message",
        "more",
        "role",
        "tool_calls",
    )

    def __init__(self) -> None:
        self.role = "assistant"
        self.content: list[str] = []
        self.message: dict[str, Any] = {}
        """Other members of the message so far, texts as lists of pieces."""
        self.tool_calls: dict[int, _ToolCall] = {}
        self.function_call: dict[str, Any] = {}
        self.logprobs: dict[str, Any] | None = None
        self.finish_reason: str | None = None
        self.more: dict[str, Any] = {}

    def add_delta(self, delta: dict[str, Any]) -> None:
        for name, value in delta.items():
            if value is None:
                continue
            if name == "content" and isinstance(value, str):
                self.content.append(value)
            elif name == "role":
                self.role = value
            elif name == "tool_calls":
                self._add_tool_calls(value if isinstance(value, list) else [])
            elif name == "function_call":
                join_into(self.function_call, value if isinstance(value, dict) else {})
            else:
                join_into(self.message, {name: value})

    def _add_tool_calls(self, deltas: list[Any]) -> None:
        for delta in deltas:
            if not isinstance(delta, dict):
                continue
            index = as_index(delta.get("index"))
            if index is None:
                index = self._index_by_id(delta.get("id"))
            call = self.tool_calls.get(index)
            if call is None:
                call = self.tool_calls[index] = _ToolCall()
            call.add(delta)

    def _index_by_id(self, call_id: Any) -> int:
        """Some servers leave ``index`` out: a new id begins a call, no id goes on with the last."""
        last = max(self.tool_calls, default=-1)
        if last >= 0 and (not call_id or self.tool_calls[last].id == call_id):
            return last
        return last + 1

    def document(self, index: int) -> dict[str, Any]:
        more = joined(self.message)
        if self.function_call:
            more["function_call"] = joined(self.function_call)
        text: str | None = "".join(self.content)
        if not text and (self.tool_calls or "function_call" in more or more.get("refusal")):
            text = None
        message: dict[str, Any] = {"role": self.role, "content": text} | more
        if self.tool_calls:
            message["tool_calls"] = [self.tool_calls[i].document() for i in sorted(self.tool_calls)]
        return self.more | {
            "index": index,
            "message": message,
            "logprobs": self.logprobs,
            "finish_reason": self.finish_reason,
        }


class ChatAssembler:
    """Builds the document that the chunks of one answer amount to.

    Texts are concatenated (``content``, ``reasoning_content``, ``refusal``, and any other text of
    a delta), tool calls are put together by their index, log-probabilities appended; of all else
    the last value that is not null counts. Parts of the wrong shape are left out. Memory grows
    with what is fed: who feeds counts the bytes.
    """

    __slots__ = ("_choices", "_top", "usage")

    def __init__(self) -> None:
        self._choices: dict[int, _Choice] = {}
        self._top: dict[str, Any] = {}
        self.usage: dict[str, Any] | None = None
        """The last usage that came."""

    def feed(self, chunk: dict[str, Any]) -> None:
        """Take one ``chat.completion.chunk``."""
        self._top.update(chunk)
        usage = chunk.get("usage")
        if usage:
            self.usage = usage
        choices = chunk.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict):
                    self._feed_choice(choice)

    def _feed_choice(self, part: dict[str, Any]) -> None:
        index = as_index(part.get("index")) or 0
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice()
        for name, value in part.items():
            if value is None or name == "index":
                continue
            if name == "delta":
                if isinstance(value, dict):
                    choice.add_delta(value)
            elif name == "finish_reason":
                choice.finish_reason = value
            elif name == "logprobs":
                choice.logprobs = extend_logprobs(choice.logprobs, value)
            else:
                choice.more[name] = value

    @property
    def is_finished(self) -> bool:
        """Whether a choice came and each that came has its ``finish_reason``."""
        return bool(self._choices) and all(
            c.finish_reason is not None for c in self._choices.values()
        )

    def document(self, *, default_id: str = "", default_created: int = 0) -> dict[str, Any]:
        """The ``chat.completion``; choices in the order of their index.

        Args:
            default_id: for chunks without an id.
            default_created: seconds since 1970 for chunks without them.
        """
        top = self._top
        document: dict[str, Any] = {
            "id": top.get("id") or default_id,
            "object": "chat.completion",
            "created": top.get("created") or default_created,
            "model": top.get("model") or "",
            "choices": [self._choices[index].document(index) for index in sorted(self._choices)],
        }
        if self.usage is not None:
            document["usage"] = self.usage
        for name, value in top.items():
            if name not in document and name != "usage":
                document[name] = value
        return document
