"""From the library's chunks to what a client gets, and what the answer cost. Pure.

Nearly every chunk goes through as bytes. It is parsed only where something in it must change:
several choices, text completions' last chunk, and calls of tools.
"""

from typing import Any

import msgspec

from rempart.runners.llama_cpp_server import chunks
from rempart.runners.llama_cpp_server.plan import Plan
from rempart.runners.llama_cpp_server.refusals import Refused, from_library
from rempart.runners.llama_cpp_server.tool_choice import CallReader

Json = dict[str, Any]

NOTHING: tuple[bytes, ...] = ()


class Answer:
    """One request's answer as it comes. Fed by one thread; figures may be read by another.

    Args:
        plan: what was asked.
        call_id: the id of a forced tool call, unique for each request.
    """

    def __init__(self, plan: Plan, *, call_id: str) -> None:
        self._plan = plan
        self._call_id = call_id
        self._must_parse = len(plan.calls) > 1 or bool(plan.forced)
        self._reader: CallReader | None = None
        self._position = 0
        self._first: Json = {}
        """Id and time of the first choice: all choices are one answer."""
        self._top: Json = {}
        """Members of the last parsed chunk, for the usage chunk that we make."""
        self._usage_chunk = b""
        self._raw_timings = b""
        self._progress_chunk = b""
        self._prompt_tokens = self._completion_tokens = self._cached_tokens = 0
        self.refused: Refused | None = None
        """The library's error, if it gave one."""
        self.is_call_over = False
        """The rest of this call is not wanted: its tool call is whole."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompts so far; a prompt with several choices counts once."""
        return self._prompt_tokens + (self._call_prompt_tokens() if self._is_first_choice else 0)

    @property
    def completion_tokens(self) -> int:
        """Tokens made so far."""
        return self._completion_tokens + chunks.timings(self._raw_timings).predicted_n

    @property
    def _is_first_choice(self) -> bool:
        return self._position % self._plan.choices == 0

    def _call_prompt_tokens(self) -> int:
        if self._raw_timings:
            return chunks.timings(self._raw_timings).prompt_tokens
        return chunks.progress(self._progress_chunk).total if self._progress_chunk else 0

    def begin(self, position: int) -> None:
        """The call at ``position`` of the plan begins."""
        self._position = position
        self.is_call_over = False
        self._reader = CallReader() if self._plan.forced else None

    def take(self, chunk: bytes) -> tuple[bytes, ...]:
        """What the client gets for this chunk: JSON texts, mostly one or none."""
        if chunks.is_error(chunk):
            self.refused = from_library(chunk)
            return NOTHING
        if chunks.is_nothing(chunk):
            return NOTHING
        if chunks.has_progress(chunk):
            self._progress_chunk = chunk
            return (chunks.without_timings(chunk)[0],) if self._plan.wants_progress else NOTHING
        plain, raw = chunks.without_timings(chunk)
        if raw:
            self._raw_timings = raw
        if chunks.has_usage(plain):
            return self._with_usage(chunk)
        if self._must_parse:
            return self._changed(msgspec.json.decode(plain))
        return (chunk if self._plan.wants_timings else plain,)

    def _with_usage(self, chunk: bytes) -> tuple[bytes, ...]:
        """The last chunk of a call: chat has no choices in it, a text completion has one."""
        self._usage_chunk = chunk
        if chunks.NO_CHOICES in chunk:
            return NOTHING
        document = msgspec.json.decode(chunk)
        del document["usage"]
        document.pop("timings", None)
        return self._changed(document)

    def _changed(self, document: Json) -> tuple[bytes, ...]:
        if not self._first:
            self._first = {name: document[name] for name in ("id", "created") if name in document}
        document.update(self._first)
        self._top = document
        found = document["choices"]
        for choice in found:
            choice["index"] = self._position
        if self._reader is not None and found:
            return tuple(
                msgspec.json.encode(document | {"choices": [choice]})
                for choice in self._as_tool_call(self._reader, found[0])
            )
        return (msgspec.json.encode(document),)

    def _as_tool_call(self, reader: CallReader, choice: Json) -> list[Json]:
        """The choice with its text as a tool call: first the name, then the arguments as they come."""
        delta = choice.get("delta", {})
        text = delta.pop("content", None)
        choice.pop("logprobs", None)  # they are of the text, which the client does not see
        others = choice | {"delta": delta}
        if choice.get("finish_reason") is not None:
            return [choice]
        if text is None:
            return [others]
        knew_name = reader.name is not None
        arguments = reader.feed(text)
        functions: list[Json] = []
        if reader.name is not None and not knew_name:
            begun = {"id": f"call_{self._call_id}_{self._position}", "type": "function"}
            functions.append(begun | {"function": {"name": reader.name, "arguments": ""}})
        if arguments:
            functions.append({"function": {"arguments": arguments}})
        found = [
            others | {"delta": {**delta, "tool_calls": [{"index": 0} | function]}}
            for function in functions
        ]
        if reader.is_complete:
            self.is_call_over = True
            found.append(others | {"delta": {}, "finish_reason": "tool_calls"})
        elif delta and not found:
            found.append(others)
        return found

    def end_call(self) -> None:
        """The call has ended, whole or not; its tokens are added up."""
        timings = chunks.timings(self._raw_timings)
        if self._is_first_choice:
            self._prompt_tokens += self._call_prompt_tokens()
            self._cached_tokens += timings.cache_n
        self._completion_tokens += timings.predicted_n
        self._raw_timings = self._progress_chunk = b""
        self._position += 1

    def usage_chunk(self) -> bytes:
        """The chunk that tells the usage of all choices together."""
        if self._usage_chunk and not self._must_parse and chunks.NO_CHOICES in self._usage_chunk:
            return self._usage_chunk
        usage = {
            "completion_tokens": self._completion_tokens,
            "prompt_tokens": self._prompt_tokens,
            "total_tokens": self._prompt_tokens + self._completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self._cached_tokens},
        }
        return msgspec.json.encode(self._top | {"choices": [], "usage": usage})
