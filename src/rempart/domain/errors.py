"""Every error that a client can meet, one class each; nothing else makes an error answer.

A class states the code, the status, the type, whether and when to try again, and the sentence that
the client reads: what was wrong, what was expected, what to do. Raise with keywords, catch by class.
The envelope is built in ``wire/envelope.py``. The table of codes is the contract (docs/reference/errors.md).

    RempartError
    ├── 400 InvalidJson InvalidRequest ContextLengthExceeded PromptRejected MediaNotAllowed
    ├── 401 MissingApiKey InvalidApiKey ExpiredApiKey RevokedApiKey
    ├── 403 InsufficientScope ModelNotAllowed AddressNotAllowed
    ├── 404 NotFound ModelNotFound · 405 MethodNotAllowed
    ├── 408 RequestReadTimeout · 413 BodyTooLarge · 414 415 431 501 505
    ├── 429 RateLimitExceeded TokenRateLimitExceeded ConcurrencyLimitExceeded InsufficientQuota
    ├── 500 InternalError · 502 RunnerError UpstreamError
    ├── 503 Overloaded DeadlineUnattainable ModelLoading ModelUnavailable InsufficientMemory
    │       StateUnavailable ShuttingDown
    └── 504 TimedOut · 499 ClientClosed (recorded, never sent)
"""

from enum import Enum
from typing import Any, ClassVar

RETRY_WAIT_S_MAX = 60.0
"""Older official clients ignore longer waits and come back after their own 0.5 to 8 s (openai-python)."""


class Retry(Enum):
    """Whether a client that sends the same request again may hope for another answer."""

    NEVER = "never"
    """``x-should-retry: false``: the same request will fail the same way."""
    AFTER = "after"
    """After ``retry_after_s``; ``x-should-retry: false`` when that is longer than clients wait."""
    AFTER_BUT_NOT_BY_ITSELF = "after, but not by itself"
    """The time is told, yet an automatic retry would only repeat the waste."""
    CLIENT_DECIDES = "the client decides"
    """No header: the official clients retry on their own."""


class RempartError(Exception):
    """What went wrong with one request, in terms that its client can act on.

    Args:
        param: the field of the request at fault, if one is.
        details: more fields for the answer's ``details``; the keywords of ``message`` are in them too.
        retry_after_s: seconds after which trying again makes sense (only for ``Retry.AFTER…``).
        message: overrides the class's sentence.
        retry: overrides the class's, where this one error is another case.
        keywords: fill the sentence's places.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    retry: Retry = Retry.CLIENT_DECIDES
    sentence: ClassVar[str] = (
        "Something went wrong here. The request id finds it in the server's log."
    )
    shown: ClassVar[tuple[str, ...]] = ()
    """Keywords that go into ``details`` as they are."""

    def __init__(
        self,
        *,
        param: str | None = None,
        details: dict[str, Any] | None = None,
        retry_after_s: float | None = None,
        message: str | None = None,
        retry: Retry | None = None,
        **keywords: Any,
    ) -> None:
        self.param = param
        self.retry_after_s = retry_after_s
        if retry is not None:
            self.retry = retry
        self.message = message if message is not None else self.sentence.format(**keywords)
        self.details = {name: keywords[name] for name in self.shown if name in keywords}
        if details:
            self.details |= details
        super().__init__(self.message)

    @property
    def answer_status(self) -> int:
        """The HTTP status of the answer; a relayed upstream error has its own."""
        return self.status


class _InvalidRequestError(RempartError):
    type = "invalid_request_error"
    retry = Retry.NEVER


class InvalidJson(_InvalidRequestError):
    """The body is not JSON, or not an object."""

    code, status = "invalid_json", 400
    sentence = "The body must be one JSON object: {reason}. Send valid JSON with content-type application/json."


class InvalidRequest(_InvalidRequestError):
    """A field is missing, of the wrong type or outside its bounds; ``details.fields`` lists each."""

    code, status = "invalid_request", 400
    sentence = "{reason}"


class ContextLengthExceeded(_InvalidRequestError):
    """The prompt, with what was asked for, does not fit the model's context."""

    code, status = "context_length_exceeded", 400
    shown = ("context_length", "prompt_tokens")
    sentence = (
        "This model's context is {context_length} tokens per request; the prompt has {prompt_tokens}. "
        "Shorten the messages."
    )


class PromptRejected(_InvalidRequestError):
    """The guard refused the prompt."""

    code, status = "prompt_rejected", 400
    sentence = "The prompt was refused: {reason}. Change it."


class MediaNotAllowed(_InvalidRequestError):
    """A prompt names a media address that this server does not fetch."""

    code, status = "media_not_allowed", 400
    sentence = (
        "Media must be given as data: URLs; found {found}. Send the content itself, base64-encoded."
    )


class _AuthenticationError(RempartError):
    status, type, retry = 401, "authentication_error", Retry.NEVER


class MissingApiKey(_AuthenticationError):
    """No key came with the request."""

    code = "missing_api_key"
    sentence = (
        "This address needs an API key. Send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'."
    )


class InvalidApiKey(_AuthenticationError):
    """The key is not one of ours."""

    code = "invalid_api_key"
    sentence = "The API key is not valid. Check for typing errors, or ask the operator for a key."


class ExpiredApiKey(_AuthenticationError):
    """The key was valid until a moment that has passed."""

    code = "expired_api_key"
    sentence = "The API key has expired. Ask the operator for a new one."


class RevokedApiKey(_AuthenticationError):
    """The key was revoked."""

    code = "revoked_api_key"
    sentence = "The API key was revoked. Ask the operator for a new one."


class _PermissionError(RempartError):
    status, type, retry = 403, "permission_error", Retry.NEVER


class InsufficientScope(_PermissionError):
    """The key may not do this."""

    code = "insufficient_scope"
    shown = ("scope",)
    sentence = "The API key lacks the scope {scope!r}. Use a key that has it."


class ModelNotAllowed(_PermissionError):
    """The key may not use this model."""

    code = "model_not_allowed"
    sentence = "The API key may not use the model {model!r}. GET /v1/models lists those it may use."


class AddressNotAllowed(_PermissionError):
    """The key may not be used from this address."""

    code = "address_not_allowed"
    sentence = (
        "The API key may not be used from this network address. Ask the operator to allow it."
    )


class NotFound(_InvalidRequestError):
    """No such path."""

    code, status = "not_found", 404
    sentence = "There is nothing at {path}. GET /openapi.json lists what there is."


class ModelNotFound(_InvalidRequestError):
    """No such model."""

    code, status = "model_not_found", 404
    sentence = "There is no model {model!r} here. GET /v1/models lists those there are."


class MethodNotAllowed(_InvalidRequestError):
    """The path exists, with other methods."""

    code, status = "method_not_allowed", 405
    shown = ("allowed",)
    sentence = "{path} does not take {method}; it takes {allowed}."


class RequestReadTimeout(_InvalidRequestError):
    """The request came too slowly."""

    code, status = "request_read_timeout", 408
    sentence = "The request came too slowly: {reason}. Send it faster, or on a better connection."


class BodyTooLarge(_InvalidRequestError):
    """The body is above the bound."""

    code, status = "body_too_large", 413
    shown = ("limit_bytes",)
    sentence = "The body is larger than {limit_bytes} bytes. Send less at a time."


class UriTooLong(_InvalidRequestError):
    """The request's target is above the bound."""

    code, status = "invalid_request", 414
    sentence = (
        "The request's target is longer than {limit_bytes} bytes. Send parameters in the body."
    )


class UnsupportedMediaType(_InvalidRequestError):
    """The body is of a type that the path does not take."""

    code, status = "unsupported_media_type", 415
    sentence = "The content-type must be application/json, found {found!r}. Send JSON."


class HeadersTooLarge(_InvalidRequestError):
    """The header section is above the bounds."""

    code, status = "headers_too_large", 431
    sentence = "The header section is too large: {reason}. Send fewer or shorter headers."


class MalformedRequest(_InvalidRequestError):
    """What came is not an HTTP/1.1 request that we take (RFC 9112)."""

    code, status = "invalid_request", 400
    sentence = "This is not a well-formed HTTP/1.1 request: {reason}."


class NotImplementedHere(_InvalidRequestError):
    """A transfer coding or feature of HTTP that we do not take."""

    code, status = "invalid_request", 501
    sentence = "This server does not implement {reason}."


class VersionNotSupported(_InvalidRequestError):
    """An HTTP version that we do not take."""

    code, status = "invalid_request", 505
    sentence = "This server speaks HTTP/1.1 and HTTP/1.0, found {found}."


class _RateLimitError(RempartError):
    status, type, retry = 429, "rate_limit_error", Retry.AFTER


class RateLimitExceeded(_RateLimitError):
    """More requests than a limit allows."""

    code = "rate_limit_exceeded"
    shown = ("limit_name", "limit", "window_seconds")
    sentence = "{limit} requests per {window_seconds} s are allowed; this was one more. Wait and try again."


class TokenRateLimitExceeded(_RateLimitError):
    """More tokens than a limit allows."""

    code = "token_rate_limit_exceeded"
    shown = ("limit_name", "limit", "window_seconds")
    sentence = "{limit} tokens per {window_seconds} s are allowed; this request would pass that. Wait and try again."


class ConcurrencyLimitExceeded(_RateLimitError):
    """More requests at a time than a limit allows."""

    code = "concurrency_limit_exceeded"
    shown = ("limit_name", "limit")
    sentence = "{limit} requests at a time are allowed. Wait for one of yours to end."


class InsufficientQuota(_RateLimitError):
    """A budget is used up."""

    code = "insufficient_quota"
    retry = Retry.AFTER_BUT_NOT_BY_ITSELF
    shown = ("limit_name", "limit")
    sentence = "The budget {limit_name} of {limit} is used up. Ask the operator, or wait for the next period."


class InternalError(RempartError):
    """A bug of ours; the cause is in the log."""


class _BadGateway(RempartError):
    status, type = 502, "server_error"


class RunnerError(_BadGateway):
    """The model's process failed at this request, or died."""

    code = "runner_error"
    sentence = "The model's process failed: {reason}. Try again; if it stays so, tell the operator the request id."


class UpstreamError(_BadGateway):
    """A server behind us failed, or refused the request; a 4xx of its keeps its status.

    Args:
        upstream_status: the status it answered, or None when it answered nothing.
    """

    code = "upstream_error"
    sentence = "The server behind this model failed: {reason}."

    def __init__(self, *, upstream_status: int | None = None, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.upstream_status = upstream_status
        if upstream_status is not None:
            self.details["upstream_status"] = upstream_status

    @property
    def answer_status(self) -> int:
        """The upstream's own status if that is a 4xx, else 502."""
        if self.upstream_status is not None and 400 <= self.upstream_status < 500:
            return self.upstream_status
        return self.status


class _OverloadedError(RempartError):
    status, type, retry = 503, "overloaded_error", Retry.AFTER


class Overloaded(_OverloadedError):
    """No room: the queue is full."""

    code = "overloaded"
    shown = ("waiting", "waiting_max")
    sentence = "The queue of this model is full ({waiting} of {waiting_max} wait). Try again after a moment."


class DeadlineUnattainable(_OverloadedError):
    """The answer could not come before the request's deadline."""

    code = "deadline_unattainable"
    retry = Retry.AFTER_BUT_NOT_BY_ITSELF
    sentence = (
        "The answer could not come before the request's deadline. Allow more time, or try later."
    )


class ModelLoading(_OverloadedError):
    """The model is being loaded."""

    code = "model_loading"
    sentence = "The model {model!r} is being loaded. Try again after a moment."


class ModelUnavailable(_OverloadedError):
    """The model cannot be used now; ``reason`` says why."""

    code = "model_unavailable"
    sentence = "The model {model!r} is not available: {reason}. Try later; the operator sees more in its log."


class InsufficientMemory(_OverloadedError):
    """Not enough memory to load the model."""

    code = "insufficient_memory"
    retry = Retry.AFTER_BUT_NOT_BY_ITSELF
    sentence = "There is not enough memory to load the model: {reason}."


class StateUnavailable(_OverloadedError):
    """Shared state cannot be reached."""

    code = "state_unavailable"
    sentence = "The server's shared state is not available: {reason}. Try again after a moment."


class ShuttingDown(_OverloadedError):
    """The server is ending."""

    code = "shutting_down"
    sentence = "The server is shutting down. Try again after a moment."


class TimedOut(RempartError):
    """One of the request's clocks ran out.

    Args:
        clock: ``queue``, ``first_token``, ``silence`` or ``total``.
        limit_s: how long that clock was.
    """

    code, status, type, retry = "timeout", 504, "timeout_error", Retry.NEVER
    shown = ("clock", "limit_s")
    sentence = (
        "The request took too long: its {clock} clock of {limit_s:g} s ran out. "
        "Ask for fewer tokens, stream the answer, or have the operator raise [deadline]."
    )


class ClientClosed(RempartError):
    """The client went away. Only recorded: nobody is there to read an answer."""

    code, status, retry = "client_closed", 499, Retry.NEVER
    sentence = "The client closed the connection."


def every_error() -> list[type[RempartError]]:
    """All error classes that have a code of their own, for the reference page and its test."""
    found: list[type[RempartError]] = []
    waiting: list[type[RempartError]] = [RempartError]
    while waiting:
        for child in waiting.pop(0).__subclasses__():
            if not child.__name__.startswith("_"):
                found.append(child)
            waiting.append(child)
    return found
