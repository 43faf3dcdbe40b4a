"""An error → the answer's body and headers, or an event of the stream; no other place builds them.

The shapes are the contract (DESIGN: Errors). When official clients try again by themselves, and
what they read for it, is what the headers are made for: openai-python 3.3.1 honours
``retry-after-ms`` before ``retry-after``, and ``x-should-retry`` before its own list of statuses.
"""

import math
from typing import Any

import msgspec

from rempart.domain.errors import RETRY_WAIT_S_MAX, Overloaded, RempartError, Retry
from rempart.wire import sse

WAIT_S_DEFAULT = 1.0
"""What a 429 or 503 says when nobody could tell how long it lasts."""

_WAIT_S_MAX = 366 * 86400.0
_NOT_BY_ITSELF = (Retry.NEVER, Retry.AFTER_BUT_NOT_BY_ITSELF)

MESSAGES_OVERLOADED_STATUS = 529
"""Anthropic's own status for "no room"; its client raises OverloadedError on it."""

_MESSAGES_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}

Headers = list[tuple[bytes, bytes]]


def _fields(error: RempartError, kind: str, request_id: str, timestamp: str) -> dict[str, Any]:
    return {
        "message": error.message,
        "type": kind,
        "code": error.code,
        "param": error.param,
        "request_id": request_id,
        "timestamp": timestamp,
        "details": error.details,
    }


def envelope(error: RempartError, *, request_id: str, timestamp: str) -> dict[str, Any]:
    """The body of an error answer in OpenAI's shape, with our fields in it.

    Args:
        error: what went wrong.
        request_id: the id that the answer's ``X-Request-ID`` says too.
        timestamp: the moment as ``base.clock.iso_utc`` writes it.
    """
    return {"error": _fields(error, error.type, request_id, timestamp)}


def messages_envelope(error: RempartError, *, request_id: str, timestamp: str) -> dict[str, Any]:
    """The body of an error answer in Anthropic's shape (arguments as of ``envelope``).

    Its status is ``messages_status(error)``.
    """
    fields = _fields(error, messages_type(error), request_id, timestamp)
    return {"type": "error", "error": fields, "request_id": request_id}


def messages_status(error: RempartError) -> int:
    """The status that goes with ``messages_envelope``."""
    return MESSAGES_OVERLOADED_STATUS if isinstance(error, Overloaded) else error.answer_status


def messages_type(error: RempartError) -> str:
    """Anthropic's word for the kind of ``error``."""
    status = error.answer_status
    return _MESSAGES_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def headers(error: RempartError) -> Headers:
    """The headers that tell a client whether and when to try again, and what 401 and 405 must have.

    Every 429 and 503 has ``retry-after`` (whole seconds) and ``retry-after-ms``, both rounded up.
    ``x-should-retry: false`` goes with all that a repetition does not mend, with a wait that older
    clients would not keep (they come back after their own 0.5 to 8 s), and with 408 and 504, where
    each time-out would cost three generations.
    """
    status = error.answer_status
    found: Headers = []
    if status in (429, 503):
        wait_s = WAIT_S_DEFAULT if error.retry_after_s is None else error.retry_after_s
        # The clients pass over a wait of 0 and take their own. Rounded only here: a client that
        # comes a moment early is refused again.
        wait_s = min(max(wait_s, 0.001), _WAIT_S_MAX)
        found.append((b"retry-after", b"%d" % math.ceil(wait_s)))
        found.append((b"retry-after-ms", b"%d" % math.ceil(round(wait_s * 1000, 6))))
        if error.retry in _NOT_BY_ITSELF or wait_s > RETRY_WAIT_S_MAX:
            found.append((b"x-should-retry", b"false"))
    elif error.retry is Retry.NEVER or status < 500:
        found.append((b"x-should-retry", b"false"))
    if status == 401:
        found.append((b"www-authenticate", b'Bearer realm="rempart"'))
    elif status == 405 and "allowed" in error.details:
        allowed = error.details["allowed"]
        methods = allowed if isinstance(allowed, str) else ", ".join(allowed)
        found.append((b"allow", methods.encode("ascii", "replace")))
    return found


def stream_error(error: RempartError, *, request_id: str, timestamp: str) -> bytes:
    """The event that ends a stream of chat or completion chunks; no ``[DONE]`` may follow it.

    The official clients raise when an event's data has a truthy ``error``.
    """
    body = envelope(error, request_id=request_id, timestamp=timestamp)
    return sse.event(msgspec.json.encode(body))


# Chat and completions say it alike; the operations name what they mean.
chat_error_event = stream_error
completion_error_event = stream_error


def messages_error_event(error: RempartError, *, request_id: str, timestamp: str) -> bytes:
    """The event that ends a stream of Messages events."""
    body = messages_envelope(error, request_id=request_id, timestamp=timestamp)
    return sse.event(msgspec.json.encode(body), b"error")
