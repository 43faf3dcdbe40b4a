"""Error answers have one shape, and their headers tell official clients when to come back."""

import json
from typing import Any

import anthropic
import openai
import pytest
from anthropic.types.shared import ErrorResponse

from lab.official_clients import anthropic_reading, openai_reading
from rempart.domain import errors
from rempart.domain.errors import RempartError, every_error
from rempart.wire import envelope as env
from rempart.wire.sse import iter_data

STAMPS = {"request_id": "r-1", "timestamp": "2026-11-24T16:00:00.000Z"}


def error_of(cls: type[RempartError], **more: Any) -> RempartError:
    return cls(message="what was wrong", **more)


def header(error: RempartError, name: bytes) -> bytes | None:
    return dict(env.headers(error)).get(name)


@pytest.mark.requirement("errors-structured")
def test_the_envelope_has_the_contracts_fields() -> None:
    error = errors.RateLimitExceeded(limit_name="requests_per_minute", limit=60, window_seconds=60)
    assert env.envelope(error, **STAMPS) == {
        "error": {
            "message": "60 requests per 60 s are allowed; this was one more. Wait and try again.",
            "type": "rate_limit_error",
            "code": "rate_limit_exceeded",
            "param": None,
            "request_id": "r-1",
            "timestamp": "2026-11-24T16:00:00.000Z",
            "details": {"limit_name": "requests_per_minute", "limit": 60, "window_seconds": 60},
        }
    }


@pytest.mark.requirement("rate-limit-answer")
@pytest.mark.parametrize("cls", every_error(), ids=lambda cls: cls.__name__)
def test_every_error_keeps_the_table_of_retries(cls: type[RempartError]) -> None:
    error = error_of(cls)
    waits = {b"retry-after": b"1", b"retry-after-ms": b"1000"}
    found = dict(env.headers(error))
    status, code = error.answer_status, error.code
    told = {name: found[name] for name in waits if name in found}
    assert told == (waits if status in (429, 503) else {})
    never = (status < 500 and status != 429) or status == 504
    never |= code in ("insufficient_quota", "deadline_unattainable", "insufficient_memory")
    never |= status in (501, 505)
    assert (found.get(b"x-should-retry") == b"false") == never
    assert b"x-should-retry" not in found or never


@pytest.mark.requirement("rate-limit-answer")
def test_waits_are_rounded_up_and_never_nought() -> None:
    error = error_of(errors.Overloaded, retry_after_s=2.0004)
    assert header(error, b"retry-after") == b"3"
    assert header(error, b"retry-after-ms") == b"2001"
    error = error_of(errors.Overloaded, retry_after_s=0.0)
    assert (header(error, b"retry-after"), header(error, b"retry-after-ms")) == (b"1", b"1")
    assert header(error_of(errors.Overloaded, retry_after_s=float("inf")), b"retry-after")


@pytest.mark.parametrize(("wait_s", "value"), [(60.0, None), (60.1, b"false")])
def test_a_wait_that_older_clients_would_not_keep_is_no_reason_to_retry(
    wait_s: float, value: bytes | None
) -> None:
    for cls in (errors.RateLimitExceeded, errors.ModelLoading):
        assert header(error_of(cls, retry_after_s=wait_s), b"x-should-retry") == value


def test_an_upstreams_own_status_decides() -> None:
    refused = error_of(errors.UpstreamError, upstream_status=422)
    assert header(refused, b"x-should-retry") == b"false"
    limited = error_of(errors.UpstreamError, upstream_status=429, retry_after_s=5)
    assert env.headers(limited) == [(b"retry-after", b"5"), (b"retry-after-ms", b"5000")]
    assert env.headers(error_of(errors.UpstreamError, upstream_status=500)) == []


def test_401_says_how_to_authenticate_and_405_what_is_allowed() -> None:
    assert header(error_of(errors.InvalidApiKey), b"www-authenticate") == b'Bearer realm="rempart"'
    for allowed in ("GET, POST", ["GET", "POST"]):
        error = errors.MethodNotAllowed(path="/x", method="PUT", allowed=allowed)
        assert header(error, b"allow") == b"GET, POST"


@pytest.mark.parametrize(
    ("cls", "status", "kind"),
    [
        (errors.InvalidRequest, 400, "invalid_request_error"),
        (errors.MissingApiKey, 401, "authentication_error"),
        (errors.ModelNotAllowed, 403, "permission_error"),
        (errors.ModelNotFound, 404, "not_found_error"),
        (errors.BodyTooLarge, 413, "request_too_large"),
        (errors.RateLimitExceeded, 429, "rate_limit_error"),
        (errors.InternalError, 500, "api_error"),
        (errors.RunnerError, 502, "api_error"),
        (errors.Overloaded, 529, "overloaded_error"),
        (errors.ModelLoading, 503, "overloaded_error"),
        (errors.TimedOut, 504, "timeout_error"),
    ],
)
def test_messages_errors_come_in_anthropics_words(
    cls: type[RempartError], status: int, kind: str
) -> None:
    error = error_of(cls, details={"a": 1})
    body = env.messages_envelope(error, **STAMPS)
    assert env.messages_status(error) == status
    assert (body["type"], body["request_id"], body["error"]["type"]) == ("error", "r-1", kind)
    assert body["error"] | {"type": None} == env.envelope(error, **STAMPS)["error"] | {"type": None}
    if kind != "request_too_large":  # the client has no type for it, only the status
        ErrorResponse.model_validate(body)


def test_the_openai_client_raises_on_an_error_in_the_stream() -> None:
    chunk = {
        "id": "a",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [],
    }
    body = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    body += env.chat_error_event(error_of(errors.RunnerError), **STAMPS)
    with openai_reading(body) as client:
        stream = client.chat.completions.create(model="m", messages=[], stream=True)
        assert next(stream).id == "a"
        with pytest.raises(openai.APIError, match="what was wrong") as caught:
            next(stream)
    assert caught.value.code == "runner_error"


def test_stream_errors_carry_the_envelope() -> None:
    error = error_of(errors.TimedOut)
    for write in (env.stream_error, env.chat_error_event, env.completion_error_event):
        (data,) = iter_data(write(error, **STAMPS))
        assert json.loads(data) == env.envelope(error, **STAMPS)
    event = env.messages_error_event(error, **STAMPS)
    assert event.startswith(b"event: error\ndata: ")
    (data,) = iter_data(event)
    assert json.loads(data) == env.messages_envelope(error, **STAMPS)


def test_the_anthropic_client_raises_on_an_error_in_the_stream() -> None:
    body = env.messages_error_event(error_of(errors.Overloaded), **STAMPS)

    with anthropic_reading(body) as client:
        stream = client.messages.create(model="m", max_tokens=1, messages=[], stream=True)
        with pytest.raises(anthropic.APIStatusError) as caught:
            next(iter(stream))
    assert caught.value.body["error"]["type"] == "overloaded_error"


@pytest.mark.requirement("clients")
@pytest.mark.parametrize("cls", [errors.Overloaded, errors.InvalidApiKey, errors.ModelNotFound])
def test_the_official_clients_raise_their_typed_exceptions(cls: type[RempartError]) -> None:
    error = error_of(cls)
    found = {name.decode(): value.decode() for name, value in env.headers(error)}
    found["content-type"] = "application/json"
    body = json.dumps(env.envelope(error, **STAMPS)).encode()
    status = error.answer_status
    with (
        openai_reading(body, status=status, headers=found | {"x-request-id": "r-1"}) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.models.list()
    assert (caught.value.code, caught.value.request_id) == (error.code, "r-1")
    body = json.dumps(env.messages_envelope(error, **STAMPS)).encode()
    with (
        anthropic_reading(body, status=env.messages_status(error), headers=found) as client,
        pytest.raises(anthropic.APIStatusError) as failed,
    ):
        client.messages.create(model="m", max_tokens=1, messages=[])
    assert failed.value.body["error"]["message"] == "what was wrong"
