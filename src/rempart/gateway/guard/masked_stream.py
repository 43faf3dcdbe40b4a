"""A shape around another: what the runner streams is masked before the inner shape sees any of it.

So whatever the inner shape makes of chunks (passes them on, turns them into Messages or Responses) can hold
nothing that was masked. An operation's own shape is used as it is when no detector is on for answers.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from rempart.domain.errors import RempartError
from rempart.gateway.exchange import Shape, encode_json
from rempart.gateway.guard.chunks import Chunks, mask_document
from rempart.gateway.guard.lane import OnFinding
from rempart.gateway.guard.scan import Matchers
from rempart.wire.sse import event, iter_data

_decode = msgspec.json.Decoder().decode
_DONE = b"[DONE]"
_DONE_EVENT = b"data: [DONE]\n\n"


class MaskedStream:
    """See the module.

    Args:
        inner: the operation's shape; it streams.
        held_max: most characters held back of each text.
        now: monotonic seconds.
    """

    __slots__ = (
        "_chunks",
        "_inner",
        "_is_over",
        "_malformed_count",
        "_matchers",
        "_now",
        "_on_finding",
        "_whole_count",
        "chunk_count",
        "content_type",
        "is_stream",
    )

    def __init__(
        self,
        inner: Shape,
        matchers: Matchers,
        *,
        held_max: int,
        on_finding: OnFinding,
        now: Callable[[], float],
    ) -> None:
        self._inner = inner
        self._matchers = matchers
        self._on_finding = on_finding
        self._now = now
        self._chunks = Chunks(matchers, held_max, on_finding)
        self._malformed_count = 0
        self._is_over = False
        self.chunk_count = 0
        """Of what came, also while all of it is held: a held token is progress too."""
        self.content_type = inner.content_type
        self.is_stream = inner.is_stream

    @property
    def prompt_tokens(self) -> int | None:
        """See ``Shape``."""
        return self._inner.prompt_tokens

    @property
    def completion_tokens(self) -> int | None:
        """See ``Shape``."""
        return self._inner.completion_tokens

    @property
    def finish_reason(self) -> str:
        """See ``Shape``."""
        return self._inner.finish_reason

    @property
    def malformed_count(self) -> int:
        """See ``Shape``."""
        return self._malformed_count + self._inner.malformed_count

    @property
    def error(self) -> RempartError | None:
        """See ``Shape``."""
        return self._inner.error

    @property
    def released_count(self) -> int:
        """How often text went out undecided."""
        return self._chunks.released_count

    @property
    def held_since_s(self) -> float | None:
        """Since when text is held; None when none is."""
        return self._chunks.held_since_s

    def feed(self, events: bytes) -> bytes:
        """See ``Shape``."""
        masked: list[bytes] = []
        now_s = self._now()
        for data in iter_data(events):
            if data == _DONE:
                masked += self._events(self._chunks.flush())
                masked.append(_DONE_EVENT)
                continue
            chunk = self._decoded(data)
            if chunk is None:
                continue
            if chunk.get("error"):
                masked.append(event(encode_json({"error": chunk["error"]})))
                continue
            masked += self._events(self._chunks.feed(chunk, now_s))
        self.chunk_count = self._chunks.count
        if not masked:
            return b""
        return self._inner.feed(b"".join(masked))

    def release_weak(self, until_s: float) -> bytes:
        """What has been held since ``until_s`` and looks like nothing, as whole events."""
        if self._is_over:
            return b""
        masked = self._events(self._chunks.release_weak(until_s))
        return self._inner.feed(b"".join(masked)) if masked else b""

    def finish(self) -> bytes:
        """See ``Shape``."""
        self._is_over = True
        masked = self._events(self._chunks.flush())
        out = self._inner.feed(b"".join(masked)) if masked else b""
        return out + self._inner.finish()

    def whole(self, body: bytes) -> bytes:
        """See ``Shape``."""
        self._is_over = True
        document = self._decoded(body)
        if document is None or document.get("error"):
            return self._inner.whole(body)  # which raises
        masked = mask_document(self._matchers, document, self._on_finding)
        self.chunk_count = max(1, len(masked["choices"]))
        return self._inner.whole(encode_json(masked))

    def fail(self, error: RempartError, request_id: str, timestamp: str) -> bytes:
        """See ``Shape``. What is held stays back: an answer that broke off is not decided."""
        self._is_over = True
        return self._inner.fail(error, request_id, timestamp)

    def edit_documents(self, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> bool:
        """See ``Shape``."""
        return self._inner.edit_documents(edit)

    def _decoded(self, data: bytes) -> dict[str, Any] | None:
        try:
            found = _decode(data)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return found
        self._malformed_count += 1
        return None

    def _events(self, chunks: list[dict[str, Any]]) -> list[bytes]:
        return [event(encode_json(chunk)) for chunk in chunks]
