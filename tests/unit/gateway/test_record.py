"""Exactly one record per request, whatever its end, and counters and log line that say the same."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from lab.exchanges import Wire, call_of, exchange_of
from lab.sim_loop import SimClock, simulate
from rempart.domain import errors
from rempart.domain.keys import Principal
from rempart.domain.models import Replica
from rempart.domain.records import RequestRecord
from rempart.gateway.exchange import Answer, Exchange
from rempart.gateway.operations.health import Probe
from rempart.gateway.operations.passed_stream import PassedStream
from rempart.gateway.record import Recorded, build, fan_out_to
from rempart.telemetry.cells import Cells, total
from rempart.telemetry.logs import Log
from rempart.telemetry.metrics import Metrics, request_totals


def passed(**seen: Any) -> PassedStream:
    """A stream's shape that has seen these things."""
    shape = PassedStream(is_runner=True, wants_usage=False)
    for name, value in seen.items():
        setattr(shape, name, value)
    return shape


def recorded(fill: Callable[[Exchange], None], **options: Any) -> RequestRecord:
    """The record of an exchange in that state, 2.5 s after it came."""

    async def body() -> RequestRecord:
        exchange, _ = exchange_of(**options)
        exchange.operation = Probe(name="chat", is_quiet=False)
        fill(exchange)
        exchange.started_s -= 2.5
        return build(exchange)

    return simulate(body())


def fails(error: errors.RempartError) -> Callable[[Exchange], None]:
    def fill(exchange: Exchange) -> None:
        exchange.error = error

    return fill


def test_a_stream_that_ended_well_is_told_whole() -> None:
    def fill(exchange: Exchange) -> None:
        exchange.call = call_of(
            shape=passed(
                prompt_tokens=7,
                completion_tokens=5,
                finish_reason="length",
                malformed_count=1,
                chunk_count=9,
            )
        )
        exchange.model_label = "near"
        exchange.principal = Principal(id="key-1", scopes=frozenset())
        exchange.replica = Replica(id="near-1", url="http://h")
        exchange.queue_s = 0.25
        exchange.first_chunk_s = exchange.started_s + 1.0
        exchange.bytes_in = 40
        exchange.ignored_fields = ["id_slot"]
        exchange.prompt = "Bonjour"
        exchange.trace_id = "ab" * 16
        exchange.start_stream()
        exchange.reply.write(b"x" * 10)
        exchange.last_bytes = b"data: [DONE]\n\n"

    record = recorded(fill)
    assert record == RequestRecord(
        id="01990000-0000-7000-8000-000000000000",
        request_id="0199-request",
        trace_id="ab" * 16,
        at="2026-11-24T16:00:00.000Z",
        operation="chat",
        model="near",
        key_id="key-1",
        address="192.0.2.7",
        status=200,
        error_code="",
        end_reason="length",
        clock="",
        is_stream=True,
        prompt_tokens=7,
        completion_tokens=5,
        queue_ms=250.0,
        ttft_ms=3500.0,
        duration_ms=2500.0,
        bytes_in=40,
        bytes_out=24,
        replica="near-1",
        malformed_events=1,
        ignored_fields=["id_slot"],
        prompt="Bonjour",
    )


def test_a_request_that_never_got_anywhere_is_told_too() -> None:
    async def body() -> RequestRecord:
        return build(exchange_of("/nowhere")[0])

    record = simulate(body())
    assert (record.operation, record.model, record.key_id, record.replica) == (
        "unknown",
        "",
        "",
        "",
    )
    assert (
        record.prompt_tokens
        is record.completion_tokens
        is record.queue_ms
        is record.ttft_ms
        is None
    )
    assert not record.is_stream


def test_an_answer_of_our_own_has_its_status_and_size() -> None:
    def fill(exchange: Exchange) -> None:
        exchange.answer = Answer(503, b"x" * 7)

    record = recorded(fill, target="/readyz")
    assert (record.status, record.bytes_out, record.end_reason, record.error_code) == (
        503,
        7,
        "answered",
        "",
    )


@pytest.mark.parametrize("status", [201, 302])
def test_an_answer_that_went_through_as_it_was_has_its_own_status(status: int) -> None:
    def fill(exchange: Exchange) -> None:
        exchange.call = call_of(shape=None)
        exchange.passed_status = status
        exchange.reply.start(status, [])

    assert recorded(fill).status == status


@pytest.mark.parametrize(
    ("error", "status", "code", "clock"),
    [
        (errors.TimedOut(clock="silence", limit_s=60.0), 504, "timeout", "silence"),
        (errors.UpstreamError(reason="no", upstream_status=422), 422, "upstream_error", ""),
        (errors.RunnerError(reason="no"), 502, "runner_error", ""),
        (errors.ClientClosed(), 499, "client_closed", ""),
        (errors.InternalError(), 500, "internal_error", ""),
    ],
)
def test_an_error_has_its_status_its_code_and_its_clock(
    error: errors.RempartError, status: int, code: str, clock: str
) -> None:
    record = recorded(fails(error))
    assert (record.status, record.error_code, record.end_reason, record.clock) == (
        status,
        code,
        code,
        clock,
    )


def test_the_status_is_the_one_that_was_sent() -> None:
    """Anthropic's 529 in place of 503."""

    def fill(exchange: Exchange) -> None:
        exchange.error = errors.Overloaded(waiting=1, waiting_max=1)
        exchange.answer = Answer(529, b"{}")

    assert recorded(fill).status == 529


def test_an_error_in_mid_stream_is_recorded_although_200_went_out() -> None:
    def fill(exchange: Exchange) -> None:
        exchange.call = call_of(shape=passed(chunk_count=3))
        exchange.start_stream()
        exchange.error = errors.RunnerError(reason="it died")

    record = recorded(fill)
    assert (record.status, record.error_code) == (502, "runner_error")


def test_a_client_that_left_without_a_word_is_recorded_as_gone() -> None:
    """What was still to be written was not sent."""

    def fill(exchange: Exchange) -> None:
        exchange.call = call_of(shape=passed(finish_reason="stop"))
        exchange.start_stream()
        exchange.reply.write(b"12345")
        exchange.last_bytes = b"data: [DONE]\n\n"
        exchange.reply.lose()

    record = recorded(fill)
    assert (record.status, record.error_code, record.bytes_out) == (499, "client_closed", 5)


@pytest.mark.parametrize(
    ("told", "chunks", "counted"), [(5, 9, 5), (None, 9, 9), (0, 9, 0), (None, 0, 0)]
)
def test_tokens_that_were_not_told_are_estimated_from_the_chunks(
    told: int | None, chunks: int, counted: int
) -> None:
    def fill(exchange: Exchange) -> None:
        exchange.call = call_of(shape=passed(completion_tokens=told, chunk_count=chunks))

    assert recorded(fill).completion_tokens == counted


@pytest.mark.parametrize("reports_slots", [False, True])
@pytest.mark.parametrize(
    ("error", "is_wasted"),
    [
        (errors.ClientClosed(), True),
        (errors.TimedOut(clock="total", limit_s=1.0), True),
        (errors.ShuttingDown(), True),
        (errors.RunnerError(reason="it died"), False),
        (None, False),
    ],
)
def test_tokens_made_for_nobody_are_counted_where_the_runner_does_not_do_it(
    error: errors.RempartError | None, is_wasted: bool, reports_slots: bool
) -> None:
    def fill(exchange: Exchange) -> None:
        exchange.call = call_of(shape=passed(chunk_count=6))
        exchange.reports_slots = reports_slots
        exchange.error = error

    assert recorded(fill).wasted_tokens == (6 if is_wasted and not reports_slots else 0)


# The scope.


Seen = list[tuple[bytes, RequestRecord, bool]]


def in_scope(
    raises: BaseException | None = None,
    *,
    quiet: bool = False,
    unwritable: OSError | None = None,
) -> tuple[Seen, Wire]:
    """What was sent when the record was written, and what in the end; what is raised must come out."""

    async def body() -> tuple[Seen, Wire]:
        exchange, wire = exchange_of()
        exchange.operation = Probe(name="livez", is_quiet=quiet)
        exchange.answer = Answer(200, b"body")
        seen: Seen = []

        def fan_out(record: RequestRecord, is_quiet: bool) -> None:
            seen.append((wire.data, record, is_quiet))
            if unwritable is not None:
                raise unwritable

        wanted = unwritable or raises
        with pytest.raises(type(wanted)) if wanted is not None else nullcontext() as caught:
            async with Recorded(exchange, fan_out):
                if raises is not None:
                    raise raises
        assert wanted is None or (caught is not None and caught.value is wanted)
        return seen, wire

    return simulate(body())


@pytest.mark.parametrize("raises", [None, ValueError("a bug"), KeyboardInterrupt()])
@pytest.mark.parametrize("quiet", [False, True])
def test_the_record_is_written_once_and_before_the_last_byte(
    raises: BaseException | None, quiet: bool
) -> None:
    seen, wire = in_scope(raises, quiet=quiet)
    ((sent_before, record, is_quiet),) = seen
    assert sent_before == b""
    assert record.status == 200
    assert is_quiet is quiet
    assert wire.data.endswith(b"\r\n\r\nbody")


def test_a_record_that_cannot_be_written_does_not_cost_the_client_its_answer() -> None:
    _, wire = in_scope(unwritable=OSError(28, "No space left on device"))
    assert wire.data.endswith(b"\r\n\r\nbody")


# Counters and log line.


def fanned_out(
    folder: Path, record: RequestRecord, *, quiet: bool = False, level: str = "info"
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    metrics = Metrics(Cells(folder / "metrics", "worker-1"))
    log = Log(clock=SimClock(), process="worker-1", file=folder / "log", console="off", level=level)

    async def body() -> None:
        fan_out_to(metrics, log)(record, quiet)

    simulate(body())
    log.close()
    metrics.cells.close()
    lines = (folder / "log").read_text().splitlines()
    sums = {name: value for name, value in total(folder / "metrics").items() if value}
    return sums, [json.loads(line) for line in lines]


def test_what_is_counted_is_what_is_logged(tmp_path: Path) -> None:
    def fill(exchange: Exchange) -> None:
        exchange.call = call_of(shape=passed(prompt_tokens=7, completion_tokens=5))
        exchange.model_label = "near"
        exchange.queue_s = 0.25
        exchange.first_chunk_s = exchange.started_s
        exchange.error = errors.TimedOut(clock="total", limit_s=1.0)

    record = recorded(fill)
    sums, (line,) = fanned_out(tmp_path, record)
    for name, value in {
        'rempart_requests_total{operation="chat",model="near",status="504"}': 1,
        'rempart_errors_total{code="timeout"}': 1,
        'rempart_tokens_total{model="near",kind="prompt"}': 7,
        'rempart_tokens_total{model="near",kind="completion"}': 5,
        'rempart_wasted_tokens_total{model="near"}': 5,
        'rempart_request_duration_seconds_sum{operation="chat",model="near"}': 2.5,
        'rempart_time_to_first_token_seconds_sum{model="near"}': 2.5,
        'rempart_queue_seconds_sum{model="near"}': 0.25,
    }.items():
        assert sums.pop(name) == value
    assert all("_bucket" in name for name in sums), "nothing else is counted"
    assert len(sums) == 3
    assert line | record.fields() == line
    assert (line["event"], line["level"], line["process"]) == ("request", "warning", "worker-1")
    assert request_totals(sums) == (0, 0, 0.0)


@pytest.mark.parametrize(
    ("status", "quiet", "level"),
    [(200, False, "info"), (404, False, "info"), (500, False, "warning"), (503, True, "debug")],
)
def test_a_line_s_level_says_how_much_it_matters(
    tmp_path: Path, status: int, quiet: bool, level: str
) -> None:
    def fill(exchange: Exchange) -> None:
        exchange.answer = Answer(status, b"")

    _, (line,) = fanned_out(tmp_path, recorded(fill), quiet=quiet, level="debug")
    assert line["level"] == level


def test_probes_are_counted_and_not_logged(tmp_path: Path) -> None:
    def fill(exchange: Exchange) -> None:
        exchange.answer = Answer(200, b"")

    sums, lines = fanned_out(tmp_path, recorded(fill), quiet=True)
    assert lines == []
    assert any(name.startswith("rempart_requests_total") for name in sums)
