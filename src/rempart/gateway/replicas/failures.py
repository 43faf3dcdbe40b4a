"""What a replica's failure means for the client: its error answers and broken connections as our errors."""

from typing import Any

import msgspec

from rempart.domain.errors import ContextLengthExceeded, RempartError, RunnerError, UpstreamError
from rempart.net.http1.messages import Headers

REASON_CHARACTERS_MAX = 500
CONTEXT_TYPES = frozenset({"exceed_context_size_error", "context_length_exceeded"})
RETRY_AFTER_S_MAX = 3600.0


def from_answer(status: int, headers: Headers, body: bytes, *, is_runner: bool) -> RempartError:
    """The error for an answer that is not 200: a 4xx keeps its status and its text, all else is a 502."""
    text, detail = _read(body)
    reason = f"it answered {status}" + (f": {text}" if text else "")
    if detail.get("type") in CONTEXT_TYPES or detail.get("code") in CONTEXT_TYPES:
        return ContextLengthExceeded(
            context_length=detail.get("n_ctx", "limited in"),
            prompt_tokens=detail.get("n_prompt_tokens", "more"),
        )
    if 400 <= status < 500 and status not in (401, 403):
        error = UpstreamError(
            upstream_status=status, message=text or reason, retry_after_s=_retry_after_s(headers)
        )
        error.param = detail["param"] if isinstance(detail.get("param"), str) else None
        return error
    # 401 and 403 speak of our key at the upstream, which the client can do nothing about.
    return RunnerError(reason=reason) if is_runner else UpstreamError(reason=reason)


def lost(error: Exception, *, is_runner: bool) -> RempartError:
    """The error for a connection that could not be made, or ended before the answer did."""
    reason = str(error)[:REASON_CHARACTERS_MAX] or type(error).__name__
    return RunnerError(reason=reason) if is_runner else UpstreamError(reason=reason)


def _read(body: bytes) -> tuple[str, dict[str, Any]]:
    """The sentence and the fields of an error answer in any of the usual shapes."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return body[:REASON_CHARACTERS_MAX].decode("utf-8", "replace").strip(), {}
    if not isinstance(document, dict):
        return "", {}
    detail = document.get("error", document.get("detail", document.get("message", "")))
    if isinstance(detail, dict):
        return str(detail.get("message", ""))[:REASON_CHARACTERS_MAX], detail
    return (detail if isinstance(detail, str) else msgspec.json.encode(detail).decode())[
        :REASON_CHARACTERS_MAX
    ], {}


def _retry_after_s(headers: Headers) -> float | None:
    for name, value in headers:
        if name == b"retry-after" and value.strip().isdigit():
            return min(float(value), RETRY_AFTER_S_MAX)
    return None
