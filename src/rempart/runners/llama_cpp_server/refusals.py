"""What the runner answers when it does not do what was asked: status and error, as values. Pure."""

from typing import Any

import msgspec

_TOO_LARGE = "is too large to process"


class Refused(Exception):
    """A request is answered with an error.

    Args:
        status: of the answer.
        kind: the error's ``type``.
        code: what went wrong, in one word.
        message: for people.
        more: further members of the error.
    """

    def __init__(
        self, status: int, kind: str, code: str, message: str, more: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code
        self.message = message
        self.more = more or {}

    def document(self) -> dict[str, Any]:
        """The answer's body."""
        error = {"message": self.message, "type": self.kind, "code": self.code, "param": None}
        return {"error": error | self.more}

    def body(self) -> bytes:
        """The answer's body as JSON."""
        return msgspec.json.encode(self.document())


def invalid(message: str, code: str = "invalid_request") -> Refused:
    """The request makes no sense."""
    return Refused(400, "invalid_request_error", code, message)


def no_slot(total: int) -> Refused:
    """Every slot is taken: whoever sends requests here is to wait until one is free."""
    message = f"all {total} slots are taken; this server does not queue"
    return Refused(503, "overloaded_error", "overloaded", message)


def too_many_waiting() -> Refused:
    """Too many short questions at a time."""
    return Refused(503, "overloaded_error", "overloaded", "too many requests are waiting here")


def shutting_down() -> Refused:
    """The process was told to end."""
    return Refused(503, "overloaded_error", "shutting_down", "the model's process is ending")


def unauthorized() -> Refused:
    """The key is missing or wrong."""
    return Refused(401, "authentication_error", "invalid_api_key", "the API key is not valid")


def not_served(path: str) -> Refused:
    """There is nothing at this path, or this model cannot do it."""
    return Refused(404, "invalid_request_error", "not_found", f"there is nothing at {path}")


def wrong_method(path: str, allowed: str) -> Refused:
    """The path takes another method."""
    message = f"{path} takes {allowed}"
    return Refused(405, "invalid_request_error", "method_not_allowed", message)


def failed(message: str) -> Refused:
    """The library failed, or this server did."""
    return Refused(500, "server_error", "internal_error", message)


def from_library(chunk: bytes) -> Refused:
    """The error in one of the library's answers, ``{"error": {"code": 400, …}}``.

    The library's ``code`` is the status. A prompt beyond the context keeps its
    ``n_prompt_tokens`` and ``n_ctx``.
    """
    try:
        error = msgspec.json.decode(chunk)["error"]
        message, kind, status = str(error["message"]), str(error["type"]), int(error["code"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        return failed("the library answered with an error that cannot be read")
    if kind == "exceed_context_size_error":
        more = {name: error[name] for name in ("n_prompt_tokens", "n_ctx") if name in error}
        return Refused(400, kind, "context_length_exceeded", message, more)
    if _TOO_LARGE in message:
        return _input_too_large(message)
    if not 400 <= status < 600:
        status = 500
    code = {400: "invalid_request", 501: "not_supported", 503: "overloaded"}.get(status, kind)
    return Refused(status, kind, code, message)


def _input_too_large(message: str) -> Refused:
    """An input to be embedded is larger than a batch; the library calls that its own failure."""
    numbers = [int(word.strip("()")) for word in message.split() if word.strip("().").isdigit()]
    more = {}
    if len(numbers) == 2:
        more = {"n_prompt_tokens": numbers[0], "n_ctx": numbers[1]}
        message = (
            f"the input has {numbers[0]} tokens; at most {numbers[1]} can be embedded at a time"
        )
    return Refused(400, "exceed_context_size_error", "context_length_exceeded", message, more)
