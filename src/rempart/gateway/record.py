"""Step 11: exactly one record per request, whatever its end, before its last byte goes out.

Metrics and the log line come from that one record, so they cannot disagree; the journal joins here.
"""

from collections.abc import Callable
from types import TracebackType

from rempart.domain.errors import ClientClosed, TimedOut
from rempart.domain.guard import DETECTOR_OF
from rempart.domain.records import RequestRecord
from rempart.gateway.exchange import Exchange
from rempart.telemetry.logs import Level, Log
from rempart.telemetry.metrics import Metrics

CUT_SHORT = frozenset({499, 503, 504})
"""Ends that stop a generation under way: the client left, a clock ran out, the server shuts down."""
FanOut = Callable[[RequestRecord, bool], None]


class Recorded:
    """The outermost scope of the way: builds the record, hands it on, then lets the last bytes go."""

    __slots__ = ("_exchange", "_fan_out")

    def __init__(self, exchange: Exchange, fan_out: FanOut) -> None:
        self._exchange = exchange
        self._fan_out = fan_out

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        exchange = self._exchange
        operation = exchange.operation
        try:
            self._fan_out(build(exchange), operation is not None and operation.is_quiet)
        finally:  # a record that cannot be written must not cost the client its answer
            exchange.finish()


def build(exchange: Exchange) -> RequestRecord:
    """The record of an exchange at its end."""
    now = exchange.clock.now()
    call, error, reply = exchange.call, exchange.error, exchange.reply
    shape = call.shape if call is not None else None
    if reply.is_gone and error is None:
        error = ClientClosed()
    if error is not None:
        status, code = (
            (499, error.code)
            if isinstance(error, ClientClosed)
            else (error.answer_status, error.code)
        )
        if exchange.answer is not None and not isinstance(error, ClientClosed):
            status = exchange.answer.status
    else:
        status, code = (
            (exchange.answer.status if exchange.answer is not None else exchange.passed_status),
            "",
        )
    completion_tokens = shape.completion_tokens if shape is not None else None
    if completion_tokens is None and shape is not None:
        completion_tokens = shape.chunk_count
    waiting = len(exchange.answer.body) if exchange.answer is not None else len(exchange.last_bytes)
    if reply.is_gone:
        waiting = 0
    return RequestRecord(
        id=exchange.id,
        request_id=exchange.request_id,
        trace_id=exchange.trace_id,
        at=exchange.timestamp,
        operation=exchange.operation.name if exchange.operation is not None else "unknown",
        model=exchange.model_label,
        key_id=exchange.principal.id,
        address=exchange.address,
        status=status,
        error_code=code,
        end_reason=_end_reason(exchange, code),
        clock=str(error.details.get("clock", "")) if isinstance(error, TimedOut) else "",
        is_stream=call is not None and call.stream,
        prompt_tokens=shape.prompt_tokens if shape is not None else None,
        completion_tokens=completion_tokens,
        queue_ms=_ms(exchange.queue_s),
        ttft_ms=_ms(exchange.first_chunk_s - exchange.started_s)
        if exchange.first_chunk_s is not None
        else None,
        duration_ms=round((now - exchange.started_s) * 1000, 2),
        bytes_in=exchange.bytes_in,
        bytes_out=reply.bytes_sent + waiting,
        replica=exchange.replica.id if exchange.replica is not None else "",
        malformed_events=shape.malformed_count if shape is not None else 0,
        ignored_fields=exchange.ignored_fields,
        project=exchange.principal.project,
        end_user=exchange.end_user,
        cost=exchange.cost,
        prompt=exchange.prompt,
        sanitised=exchange.sanitised,
        guard=exchange.guard.coverage() if exchange.guard is not None else {},
        guard_findings=exchange.guard.findings() if exchange.guard is not None else {},
        wasted_tokens=(completion_tokens or 0)
        if status in CUT_SHORT and not exchange.reports_slots
        else 0,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def _end_reason(exchange: Exchange, code: str) -> str:
    if code:
        return code
    shape = exchange.call.shape if exchange.call is not None else None
    return (shape.finish_reason if shape is not None else "") or "answered"


def fan_out_to(metrics: Metrics, log: Log) -> FanOut:
    """Counts and logs records."""

    def fan_out(record: RequestRecord, is_quiet: bool) -> None:
        operation, model = record.operation, record.model
        metrics.requests.add(1, operation, model, str(record.status))
        metrics.duration.observe(record.duration_ms / 1000, operation, model)
        metrics.response_bytes.add(record.bytes_out, operation)
        if record.error_code:
            metrics.errors.add(1, record.error_code)
        if record.ttft_ms is not None:
            metrics.ttft.observe(record.ttft_ms / 1000, model)
        if record.queue_ms is not None:
            metrics.queue.observe(record.queue_ms / 1000, model)
        if record.prompt_tokens:
            metrics.tokens.add(record.prompt_tokens, model, "prompt")
        if record.completion_tokens:
            metrics.tokens.add(record.completion_tokens, model, "completion")
        if record.wasted_tokens:
            metrics.wasted_tokens.add(record.wasted_tokens, model)
        for name, count in record.guard_findings.items():
            part, _, kind = name.partition(".")
            metrics.guard_findings.add(count, part, DETECTOR_OF[kind], kind)
        level = Level.DEBUG if is_quiet else Level.WARNING if record.status >= 500 else Level.INFO
        if log.is_on(level):
            log.write(level, "request", record.fields())

    return fan_out
