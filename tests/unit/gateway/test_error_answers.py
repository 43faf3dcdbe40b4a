"""Whatever is raised, one place answers it; nothing of ours leaks, and who is gone is sent nothing."""

import asyncio
import gc
import json
import weakref
from typing import Any

import msgspec
import pytest

from lab.exchanges import Wire, call_of, exchange_of
from lab.sim_loop import simulate
from rempart.domain import errors
from rempart.domain.errors import RempartError
from rempart.gateway.error_answers import ErrorAnswers, error_answer, translate
from rempart.gateway.exchange import Exchange, ReplicaFailed
from rempart.gateway.operations.answers import ConvertedStream
from rempart.gateway.operations.passed_stream import PassedStream
from rempart.net.http1.errors import PeerClosed
from rempart.wire import envelope
from rempart.wire.messages import MessagesStream

FIELDS = {"message", "type", "code", "param", "request_id", "timestamp", "details"}
Bugs = list[tuple[Exchange, str]]


def answered(
    error: BaseException,
    *,
    target: str = "/v1/chat/completions",
    stage: str = "",
    shape: Any = None,
) -> tuple[Exchange, Wire, Bugs]:
    """An exchange whose block raised, with its last bytes written."""

    async def body() -> tuple[Exchange, Wire, Bugs]:
        exchange, wire = exchange_of(target)
        bugs: Bugs = []
        exchange.call = call_of(shape=shape)
        if stage == "begun":
            exchange.start_stream()
            exchange.reply.write(b"data: 1\n\n")
        elif stage == "gone":
            exchange.reply.lose()
        async with ErrorAnswers(exchange, lambda *bug: bugs.append(bug)):
            raise error
        exchange.finish()
        return exchange, wire, bugs

    return simulate(body())


def document(wire: Wire) -> dict[str, Any]:
    return dict(json.loads(wire.data.partition(b"\r\n\r\n")[2]))


def passed() -> PassedStream:
    return PassedStream(is_runner=True, wants_usage=False)


def test_before_the_first_byte_an_error_is_an_answer() -> None:
    error = errors.Overloaded(waiting=5, waiting_max=5, retry_after_s=3.2)
    exchange, wire, bugs = answered(error)
    assert wire.head.startswith(b"HTTP/1.1 503 ")
    for header in (
        b"content-type: application/json",
        b"retry-after: 4",
        b"retry-after-ms: 3200",
        b"x-request-id: 0199-request",
        b"cache-control: private, no-store",
    ):
        assert header in wire.head
    body = document(wire)
    assert set(body) == {"error"}
    assert set(body["error"]) == FIELDS
    assert body["error"] | {"message": ""} == {
        "message": "",
        "type": "overloaded_error",
        "code": "overloaded",
        "param": None,
        "request_id": "0199-request",
        "timestamp": "2026-11-24T16:16:40.000Z",
        "details": {"waiting": 5, "waiting_max": 5},
    }
    assert exchange.error is error
    assert bugs == []
    assert wire.is_over


def test_after_it_an_error_is_the_stream_s_last_event() -> None:
    _, wire, _ = answered(errors.RunnerError(reason="it died"), stage="begun", shape=passed())
    assert wire.head.startswith(b"HTTP/1.1 200 ")
    first, last = wire.chunks
    assert first == b"data: 1\n\n"
    assert last.startswith(b"data: ")
    assert last.endswith(b"\n\n")
    assert json.loads(last[6:])["error"]["code"] == "runner_error"
    assert b"[DONE]" not in wire.data
    assert wire.data.endswith(b"0\r\n\r\n"), (
        "the stream itself ends well, so that the event is read"
    )


def test_in_another_protocol_the_event_is_that_protocol_s() -> None:
    shape = ConvertedStream(
        MessagesStream(message_id="m", model="near"),
        lambda error, request_id, timestamp: envelope.messages_error_event(
            error, request_id=request_id, timestamp=timestamp
        ),
        is_runner=True,
    )
    _, wire, _ = answered(errors.ShuttingDown(), stage="begun", shape=shape, target="/v1/messages")
    assert wire.chunks[-1].startswith(b"event: error\ndata: ")


def test_bytes_that_went_through_as_they_were_can_only_be_cut() -> None:
    """A client of a route of one's own must see that the answer is not whole."""
    _, wire, _ = answered(errors.RunnerError(reason="it died"), stage="begun", shape=None)
    assert wire.is_aborted
    assert not wire.data.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "target", ["/v1/messages", "/v1/messages/count_tokens", "/llm/v1/messages"]
)
def test_messages_errors_have_anthropic_s_shape_and_status(target: str) -> None:
    _, wire, _ = answered(errors.Overloaded(waiting=1, waiting_max=1), target=target)
    assert wire.head.startswith(b"HTTP/1.1 529 ")
    body = document(wire)
    assert (body["type"], body["request_id"]) == ("error", "0199-request")
    assert set(body["error"]) == FIELDS
    assert body["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize("error", [errors.ClientClosed(), PeerClosed("gone"), ValueError("a bug")])
def test_who_is_gone_is_sent_nothing(error: Exception) -> None:
    exchange, wire, _ = answered(error, stage="gone")
    assert wire.data == b""
    assert exchange.answer is None
    assert exchange.error is not None


def test_a_client_that_left_in_mid_stream_is_sent_nothing_more() -> None:
    exchange, wire, _ = answered(errors.ClientClosed(), stage="begun", shape=passed())
    assert wire.chunks == [b"data: 1\n\n"]
    assert exchange.error is not None
    assert exchange.error.code == "client_closed"


def test_a_bug_is_an_internal_error_whose_trace_is_told_to_us_alone() -> None:
    exchange, wire, bugs = answered(ValueError("secret of ours"))
    assert wire.head.startswith(b"HTTP/1.1 500 ")
    assert document(wire)["error"]["code"] == "internal_error"
    assert b"secret of ours" not in wire.data
    assert b"Traceback" not in wire.data
    ((found, trace),) = bugs
    assert found is exchange
    assert "ValueError: secret of ours" in trace
    assert "Traceback" in trace


def test_an_error_s_cause_is_for_the_log_alone() -> None:
    error = errors.RunnerError(reason="it died")
    error.__cause__ = ValueError("/home/secret/path")
    _, wire, bugs = answered(error)
    assert b"secret" not in wire.data
    assert bugs == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidJson(reason="no"), "invalid_json"),
        (ReplicaFailed(errors.UpstreamError(reason="it died")), "upstream_error"),
        (PeerClosed("gone"), "client_closed"),
        (asyncio.CancelledError(), "shutting_down"),
        (KeyError("bug"), "internal_error"),
        (RecursionError(), "internal_error"),
        (MemoryError(), "internal_error"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_exception_becomes_one_of_ours(error: BaseException, code: str) -> None:
    async def body() -> RempartError:
        return translate(error, exchange_of()[0], lambda *_: None)

    assert simulate(body()).code == code


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(1), GeneratorExit()],
    ids=repr,
)
def test_what_ends_the_task_or_the_process_is_answered_and_goes_on(error: BaseException) -> None:
    async def body() -> None:
        exchange, wire = exchange_of()
        bugs: Bugs = []
        with pytest.raises(type(error)) as caught:
            async with ErrorAnswers(exchange, lambda *bug: bugs.append(bug)):
                raise error
        assert caught.value is error
        exchange.finish()
        assert wire.head.startswith(b"HTTP/1.1 503 ")
        assert bugs == []

    simulate(body())


def test_without_an_error_nothing_is_answered() -> None:
    async def body() -> None:
        exchange, wire = exchange_of()
        async with ErrorAnswers(exchange, lambda *_: None):
            pass
        assert (exchange.error, exchange.answer, wire.data) == (None, None, b"")

    simulate(body())


def test_a_refused_exchange_is_freed_without_the_collector() -> None:
    """A full collection would hold up every stream of the worker."""

    async def refused() -> "weakref.ref[RempartError]":
        exchange, _ = exchange_of()

        async def prepare() -> None:
            held = exchange  # a frame of the traceback that holds what holds the error
            raise errors.InvalidJson(reason=str(held.bytes_in))

        async with ErrorAnswers(exchange, lambda *_: None):
            await prepare()
        assert exchange.error is not None
        return weakref.ref(exchange.error)

    gc.disable()
    try:
        assert simulate(refused())() is None
    finally:
        gc.enable()


def test_the_answer_s_body_is_json_whatever_is_in_the_message() -> None:
    error = errors.NotFound(path='/"\\\n\u2028\x00é')
    answer = error_answer(error, "r", "t", is_messages=False)
    assert msgspec.json.decode(answer.body)["error"]["message"] == error.message
