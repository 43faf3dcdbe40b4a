"""The matrix: every step of the way × every way to end. Right answer, exactly one record, nothing held."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from lab.gateway import INFERENCE_ONLY, KEY, Gateway, running_gateway, statuses_for
from lab.http_client import Answer, Connection, request
from rempart.base.clock import SystemClock
from rempart.domain.limits import Unit
from rempart.domain.models import RunnerState
from rempart.gateway.limits.plan import Plan
from rempart.runners.interface import SlotRefused
from rempart.settings.model import Deadline, Server

MESSAGES = [{"role": "user", "content": "Bonjour"}]
MAX_TOKENS = 5000
"""Above what one request of these tests reserves: its prompt's bound and a default answer."""
LIMITS = {"requests_per_minute": 1000, "tokens_per_minute": 10**6, "concurrent_requests": 500}
SHORT = Deadline(queue_s=0.3, first_token_s=0.4, silence_s=0.3, total_s=1.0, unstreamed_s=0.5)


def run(body: Callable[[Gateway], Awaitable[None]], folder: Path, **options: Any) -> None:
    """Run a scenario in a gateway with a limited key; afterwards nothing may be held, of its limits neither."""

    async def scenario() -> None:
        async with running_gateway(folder, limits=LIMITS, **options) as gateway:
            await body(gateway)
            await gateway.until_idle()
            assert gateway.worker.entry._way._admission.outstanding == {}
            assert_settled(gateway)

    uvloop.run(scenario())


def assert_settled(gateway: Gateway) -> None:
    """No place at a time is held, no reservation left open, and no more tokens are charged than were reserved."""
    store = gateway.worker.state.limits
    demands = Plan(gateway.worker.settings).of_request(
        gateway.worker.entry._way._authentication._verify(KEY, "127.0.0.1").principal,
        {},
        end_user="",
        model="",
        amounts={Unit.AT_A_TIME: 1, Unit.TOKENS: 1},
    )
    assert {one.name for one in demands} == {"concurrent_requests", "tokens_per_minute"}
    now_ms = int(SystemClock().wall().timestamp() * 1000)
    for standing in store.standings(demands, now_ms):
        used = standing.demand.amount_max - standing.remaining
        if standing.demand.unit is Unit.AT_A_TIME:
            assert used == 0
        else:
            known = sum(
                (record.prompt_tokens or 0) + (record.completion_tokens or 0)
                for record in gateway.records
                if record.prompt_tokens is not None and record.status == 200
            )
            assert known <= used <= MAX_TOKENS * len(gateway.records) + known
    assert store._reservations._held == {}  # type: ignore[attr-defined]


def chat(model: str, *, stream: bool, script: str = "", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": MESSAGES, "stream": stream, "user": script, **more}


async def post(
    gateway: Gateway, body: Any, path: str = "/v1/chat/completions", **more: Any
) -> Answer:
    return await request(gateway.port, "POST", path, key=KEY, body=body, **more)


def one_record(gateway: Gateway) -> Any:
    assert len(gateway.records) == 1, gateway.records
    return gateway.records[0]


def assert_envelope(document: dict[str, Any], code: str) -> dict[str, Any]:
    """The error's fields, which must be the contract's."""
    error = document["error"]
    assert set(error) == {"message", "type", "code", "param", "request_id", "timestamp", "details"}
    assert error["code"] == code
    return dict(error)


both_models = pytest.mark.parametrize("model", ["far", "near"])
both_modes = pytest.mark.parametrize("stream", [True, False])


@pytest.mark.requirement("path", "request-id", "performance-metrics")
@both_models
@both_modes
def test_an_answer_goes_through_and_is_recorded_once(
    tmp_path: Path, model: str, stream: bool
) -> None:
    async def body(gateway: Gateway) -> None:
        answer = await post(gateway, chat(model, stream=stream, script="chunks=5"))
        assert answer.status == 200
        if stream:
            assert answer.events[-1] == "[DONE]"
            texts = [
                json.loads(one)["choices"][0]["delta"].get("content", "")
                for one in answer.events[:-1]
            ]
            assert "".join(texts) == " mot0 mot1 mot2 mot3 mot4"
        else:
            assert answer.json["choices"][0]["message"]["content"] == " mot0 mot1 mot2 mot3 mot4"
            assert answer.json["usage"]["completion_tokens"] == 5
        record = one_record(gateway)
        assert (record.status, record.end_reason, record.completion_tokens) == (200, "stop", 5)
        assert record.model == model
        assert gateway.upstream.requests[0]["body"]["stream"] is True, (
            "we always stream from the runner"
        )

    run(body, tmp_path)


@pytest.mark.requirement("errors-global", "errors-structured", "path")
@pytest.mark.parametrize(("script", "code"), [("status=500", "502"), ("then=cut chunks=0", "502")])
@both_models
@both_modes
def test_a_failure_before_the_first_byte_is_a_real_error_answer(
    tmp_path: Path, model: str, stream: bool, script: str, code: str
) -> None:
    async def body(gateway: Gateway) -> None:
        answer = await post(gateway, chat(model, stream=stream, script=script))
        assert str(answer.status) == code
        error = assert_envelope(answer.json, "upstream_error" if model == "far" else "runner_error")
        assert answer.headers["x-request-id"] == error["request_id"]
        assert one_record(gateway).status == 502

    run(body, tmp_path)


@pytest.mark.requirement("errors-structured", "path")
@pytest.mark.parametrize("then", ["cut", "reset", "no_finish", "error_event"])
@both_models
@both_modes
def test_a_failure_in_mid_stream_is_never_a_success(
    tmp_path: Path, model: str, stream: bool, then: str
) -> None:
    async def body(gateway: Gateway) -> None:
        answer = await post(
            gateway, chat(model, stream=stream, script=f"chunks=3 interval_ms=20 then={then}")
        )
        code = "upstream_error" if model == "far" else "runner_error"
        if stream:
            assert answer.status == 200
            assert_envelope(json.loads(answer.events[-1]), code)
            assert len(answer.events) == 4, "what came before the failure went through"
        else:
            assert answer.status == 502
            assert_envelope(answer.json, code)
        record = one_record(gateway)
        assert (record.status, record.error_code) == (502, code)
        assert gateway.upstream.request_count == 1, "a second answer would come on top of this one"

    run(body, tmp_path)


@both_modes
def test_a_stream_without_the_end_mark_that_has_finished_is_fine(
    tmp_path: Path, stream: bool
) -> None:
    async def body(gateway: Gateway) -> None:
        answer = await post(gateway, chat("near", stream=stream, script="then=no_done"))
        assert answer.status == 200
        assert not stream or answer.events[-1] == "[DONE]"

    run(body, tmp_path)


@both_modes
def test_a_malformed_event_is_left_out_and_counted(tmp_path: Path, stream: bool) -> None:
    async def body(gateway: Gateway) -> None:
        answer = await post(gateway, chat("near", stream=stream, script="then=garbage"))
        assert answer.status == 200
        assert b"not json" not in answer.body
        assert one_record(gateway).malformed_events == 1

    run(body, tmp_path)


@both_modes
def test_a_4xx_of_the_replica_keeps_its_status_and_is_not_tried_again(
    tmp_path: Path, stream: bool
) -> None:
    async def body(gateway: Gateway) -> None:
        answer = await post(gateway, chat("far", stream=stream, script="status=422"))
        assert answer.status == 422
        assert "scripted 422" in assert_envelope(answer.json, "upstream_error")["message"]
        assert gateway.upstream.request_count == 1

    run(body, tmp_path)


@pytest.mark.requirement("balancing")
def test_another_replica_is_tried_before_the_first_byte(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        answer = await post(gateway, chat("far", stream=False))
        assert answer.status == 200
        assert one_record(gateway).replica == "far-1"

    run(body, tmp_path, more_base_urls=("http://127.0.0.1:9/v1",))


STAGES = {
    "queued": "",
    "before the head": "wait_ms=60000",
    "silent after the head": "chunks=0 then=stall",
    "streaming": "chunks=1000 interval_ms=20",
    "stalled in mid-stream": "chunks=2 then=stall",
}


@pytest.mark.requirement("memory-cleanup", "path")
@pytest.mark.parametrize("stage", STAGES)
@both_modes
def test_a_client_that_goes_away_frees_everything(tmp_path: Path, stream: bool, stage: str) -> None:
    async def body(gateway: Gateway) -> None:
        if stage == "queued":
            gateway.main.slots = 0
        connection = await Connection.open(gateway.port)
        await connection.send(
            "POST",
            "/v1/chat/completions",
            key=KEY,
            body=chat("near", stream=stream, script=STAGES[stage]),
        )
        async with asyncio.timeout(5):
            while not (gateway.main.waiting if stage == "queued" else gateway.upstream.answering):
                await asyncio.sleep(0.01)
            if stream and stage == "streaming":
                await connection.head()
                await connection.chunk()
        connection.abort()
        record = (await gateway.until_records(1))[0]
        assert (record.status, record.error_code) == (499, "client_closed")
        await gateway.until_idle()
        if stage == "queued":
            assert gateway.main.left
            assert gateway.upstream.request_count == 0
        else:
            assert gateway.upstream.disconnect_count == 1, "the runner was hung up on"
            assert gateway.main.released[0].cancelled
        if stage == "streaming" and stream:
            assert record.wasted_tokens == record.completion_tokens > 0

    run(body, tmp_path)


@pytest.mark.requirement("timeout-cancels", "timeout-error", "timeout-configurable", "path")
@pytest.mark.parametrize(
    ("stream", "script", "clock"),
    [
        (True, "queued", "queue"),
        (False, "queued", "queue"),
        (True, "wait_ms=60000", "first_token"),
        (True, "chunks=0 then=stall", "first_token"),
        (True, "chunks=2 then=stall", "silence"),
        (True, "chunks=1000 interval_ms=20", "total"),
        (False, "wait_ms=60000", "total"),
        (False, "chunks=1000 interval_ms=20", "total"),
    ],
)
def test_each_clock_fires_is_named_and_stops_the_generation(
    tmp_path: Path, stream: bool, script: str, clock: str
) -> None:
    async def body(gateway: Gateway) -> None:
        if script == "queued":
            gateway.main.slots = 0
        answer = await post(gateway, chat("near", stream=stream, script=script))
        has_begun = stream and clock in ("silence", "total")
        document = json.loads(answer.events[-1]) if has_begun else answer.json
        assert answer.status == (200 if has_begun else 504)
        error = assert_envelope(document, "timeout")
        assert error["details"]["clock"] == clock
        if not has_begun:
            assert answer.headers["x-should-retry"] == "false"
        record = one_record(gateway)
        assert (record.status, record.error_code, record.clock) == (504, "timeout", clock)
        await gateway.until_idle()
        assert gateway.upstream.disconnect_count == (0 if clock == "queue" else 1)

    run(body, tmp_path, deadline=SHORT)


@pytest.mark.requirement("timeout-configurable")
def test_a_client_can_only_lower_its_clock(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        lower = {"x-request-timeout": "0.2"}
        answer = await post(
            gateway, chat("near", stream=False, script="wait_ms=60000"), headers=lower
        )
        assert assert_envelope(answer.json, "timeout")["details"] == {
            "clock": "total",
            "limit_s": 0.2,
        }
        higher = {"x-request-timeout": "50"}
        answer = await post(
            gateway, chat("near", stream=False, script="wait_ms=60000"), headers=higher
        )
        assert assert_envelope(answer.json, "timeout")["details"] == {
            "clock": "total",
            "limit_s": 0.5,
        }
        for wrong in ("0", "-1", "abc", "nan", "inf", "1e3", "", "9999999"):
            answer = await post(
                gateway, chat("near", stream=False), headers={"x-request-timeout": wrong}
            )
            assert answer.status == 400, wrong
            assert assert_envelope(answer.json, "invalid_request")["param"] == "X-Request-Timeout"

    run(body, tmp_path, deadline=SHORT)


@pytest.mark.requirement("shutdown", "path")
@pytest.mark.parametrize("stage", STAGES)
@both_modes
def test_shutdown_ends_every_stage_with_a_proper_error(
    tmp_path: Path, stream: bool, stage: str
) -> None:
    async def body(gateway: Gateway) -> None:
        if stage == "queued":
            gateway.main.slots = 0
        connection = await Connection.open(gateway.port)
        await connection.send(
            "POST",
            "/v1/chat/completions",
            key=KEY,
            body=chat("near", stream=stream, script=STAGES[stage]),
        )
        async with asyncio.timeout(5):
            while not (gateway.main.waiting if stage == "queued" else gateway.upstream.answering):
                await asyncio.sleep(0.01)
        has_begun = stream and stage in ("streaming", "stalled in mid-stream")
        if has_begun:
            await connection.head()
            await connection.chunk()
        gateway.worker.entry.end_all()
        answer = await connection.answer()
        document = json.loads(answer.events[-1]) if has_begun else answer.json
        assert answer.status == (200 if has_begun else 503)
        assert_envelope(document, "shutting_down")
        if not has_begun:
            assert answer.headers["retry-after"] == "1"
        assert one_record(gateway).error_code == "shutting_down"
        await connection.close()

    run(body, tmp_path)


@pytest.mark.requirement("shutdown")
def test_new_requests_are_refused_and_probes_answered_while_shutting_down(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        gateway.publish(statuses_for([gateway.upstream.base_url]), accepting=False)
        answer = await post(gateway, chat("near", stream=False))
        assert answer.status == 503
        assert_envelope(answer.json, "shutting_down")
        assert (await request(gateway.port, "GET", "/readyz")).status == 503
        assert (await request(gateway.port, "GET", "/livez")).status == 200
        assert (await request(gateway.port, "GET", "/health")).status == 503

    run(body, tmp_path)


@pytest.mark.requirement("rate-limit-answer", "problem-rate-limit")
@pytest.mark.parametrize(
    ("code", "status", "answered"),
    [
        ("overloaded", 503, "overloaded"),
        ("model_loading", 503, "model_loading"),
        ("model_unavailable", 503, "model_unavailable"),
        ("shutting_down", 503, "shutting_down"),
        ("timeout", 504, "timeout"),
        ("model_not_found", 404, "model_not_found"),
    ],
)
@both_modes
def test_a_refused_slot_is_a_named_error(
    tmp_path: Path, stream: bool, code: str, status: int, answered: str
) -> None:
    async def body(gateway: Gateway) -> None:
        gateway.main.refuse_with = SlotRefused(
            ticket=0, code=code, reason="because", retry_after_s=3.2, waiting=5, waiting_max=5
        )
        answer = await post(gateway, chat("near", stream=stream))
        assert answer.status == status
        assert_envelope(answer.json, answered)
        if status == 503:
            assert answer.headers["retry-after"] == "4"
            assert answer.headers["retry-after-ms"] == "3200"
        assert gateway.upstream.request_count == 0
        assert one_record(gateway).error_code == answered

    run(body, tmp_path)


@pytest.mark.requirement("errors-structured")
def test_the_error_answer_of_messages_has_anthropics_shape(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        gateway.main.refuse_with = SlotRefused(
            ticket=0, code="overloaded", waiting=1, waiting_max=1
        )
        wanted = {"model": "near", "messages": MESSAGES, "max_tokens": 5}
        answer = await post(gateway, wanted, "/v1/messages")
        assert answer.status == 529
        assert answer.json["type"] == "error"
        assert answer.json["error"]["type"] == "overloaded_error"
        assert answer.json["error"]["code"] == "overloaded"
        assert answer.headers["request-id"] == answer.json["request_id"]

    run(body, tmp_path)


@pytest.mark.requirement("memory-stable", "slow-clients")
@both_models
def test_a_reader_that_stops_stops_the_replica(tmp_path: Path, model: str) -> None:
    async def body(gateway: Gateway) -> None:
        connection = await Connection.open(gateway.port, receive_buffer=65536)
        flood = chat(model, stream=True, script="chunks=20000 bytes=4096")
        await connection.send("POST", "/v1/chat/completions", key=KEY, body=flood)
        await connection.head()
        sent, same = 0, 0
        async with asyncio.timeout(20):
            while same < 10:  # until the upstream has stood still for half a second
                await asyncio.sleep(0.05)
                same = same + 1 if gateway.upstream.sent_bytes == sent and sent else 0
                sent = gateway.upstream.sent_bytes
        assert sent < 24 * 2**20, (
            "what was taken in for a reader that reads nothing (socket buffers included)"
        )
        assert gateway.upstream.answering == 1
        connection.abort()

    run(body, tmp_path)


@pytest.mark.requirement("error-rates", "problem-concurrency")
def test_200_requests_at_once_are_all_answered(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        gateway.main.slots = 4
        wanted = [chat("near", stream=number % 2 == 0, script="chunks=3") for number in range(200)]
        answers = await asyncio.gather(*(post(gateway, one) for one in wanted))
        assert [answer.status for answer in answers] == [200] * 200
        assert gateway.upstream.answering_max <= 4
        assert len(gateway.records) == 200
        assert len({record.id for record in gateway.records}) == 200

    run(body, tmp_path)


@pytest.mark.requirement("check-invalid-keys", "authentication-errors")
@pytest.mark.parametrize(
    ("method", "path", "key", "status", "code"),
    [
        ("GET", "/nowhere", "", 401, "missing_api_key"),
        ("GET", "/nowhere", KEY, 404, "not_found"),
        ("GET", "/v1/chat/completions", "", 401, "missing_api_key"),
        ("GET", "/v1/chat/completions", KEY, 405, "method_not_allowed"),
        ("DELETE", "/v1/models", KEY, 405, "method_not_allowed"),
        (
            "POST",
            "/v1/chat/completions",
            "wrong-key-wrong-key-wrong-key-wrong",
            401,
            "invalid_api_key",
        ),
        ("GET", "/metrics", INFERENCE_ONLY, 403, "insufficient_scope"),
        ("GET", "/v1/models/none", KEY, 404, "model_not_found"),
    ],
)
def test_what_is_refused_before_any_work(
    tmp_path: Path, method: str, path: str, key: str, status: int, code: str
) -> None:
    async def body(gateway: Gateway) -> None:
        answer = await request(gateway.port, method, path, key=key)
        assert answer.status == status
        assert_envelope(answer.json, code)
        assert answer.headers["x-should-retry"] == "false"
        assert one_record(gateway).error_code == code

    run(body, tmp_path)


@pytest.mark.requirement("validation-errors")
@pytest.mark.parametrize(
    ("body_sent", "headers", "status", "code"),
    [
        (b"{", {}, 400, "invalid_json"),
        (b"[]", {}, 400, "invalid_json"),
        (b"\xff\xfe", {}, 400, "invalid_json"),
        (b"[" * 100_000, {}, 400, "invalid_json"),
        (b"{}", {}, 400, "invalid_request"),
        (b'{"model": 3}', {}, 400, "invalid_request"),
        (b'{"model": "none"}', {}, 404, "model_not_found"),
        (b"x" * 2000, {"content-type": "text/plain"}, 415, "unsupported_media_type"),
        (b"x" * 5000, {}, 413, "body_too_large"),
    ],
)
def test_a_body_that_is_not_right(
    tmp_path: Path, body_sent: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    limit = 4096 if status == 413 else 2**20

    async def body(gateway: Gateway) -> None:
        answer = await post(gateway, body_sent, headers=headers)
        assert answer.status == status
        assert_envelope(answer.json, code)
        assert one_record(gateway).error_code == code

    run(body, tmp_path, server=Server(body_bytes_max=limit))


def test_a_models_state_is_told(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        statuses = statuses_for([gateway.upstream.base_url])
        statuses[0].state, statuses[0].preload, statuses[0].reason = (
            RunnerState.BACKOFF,
            True,
            "it crashed",
        )
        gateway.publish(statuses)
        ready = await request(gateway.port, "GET", "/readyz")
        assert ready.status == 503
        assert ready.json["reasons"] == ["model far: backoff (it crashed)"]
        health = await request(gateway.port, "GET", "/health")
        assert (health.status, health.json["status"]) == (200, "degraded")

    run(body, tmp_path)


@pytest.mark.requirement("serve")
def test_a_route_of_ones_own_passes_bytes_and_status(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        answer = await post(gateway, {"texte": "é"}, "/generate?x=1")
        assert answer.status == 200
        assert answer.json == {"path": "/generate?x=1", "echo": {"texte": "é"}}
        refused = await request(gateway.port, "POST", "/generate", body={})
        assert refused.status == 401

    run(body, tmp_path)


def test_names_of_ignored_fields_cannot_harm_the_header(tmp_path: Path) -> None:
    async def body(gateway: Gateway) -> None:
        odd = {"a\r\nset-cookie: x": 1, "é, b": 2, "plain_one": 3}
        answer = await post(gateway, chat("near", stream=False) | odd)
        assert answer.status == 200
        assert answer.headers["x-rempart-ignored-fields"] == "a??set-cookie??x, ???b, plain_one"
        assert "set-cookie" not in answer.headers

    run(body, tmp_path)
