"""What is known of one request so far, and the protocols by which the steps meet.

An exchange is made when a request's head has come and lives until its record is written. Steps fill
it; only ``finish`` writes the last bytes, after the record.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from rempart.base.clock import Clock
from rempart.domain.errors import RempartError
from rempart.domain.keys import ANONYMOUS, Principal
from rempart.domain.models import ModelStatus, Replica
from rempart.net.http1.messages import Headers, Request
from rempart.net.http1.server import Reply
from rempart.state.shared.keys.verify import Credential
from rempart.wire import security_headers

encode_json = msgspec.json.Encoder().encode

STREAM_TYPE = b"text/event-stream; charset=utf-8"
JSON_TYPE = b"application/json"


class Shape(Protocol):
    """Turns what a runner streams into what this client gets; one object per call, fed in order."""

    content_type: bytes
    is_stream: bool
    """Whether the client gets bytes as they come (else one document at the end)."""
    chunk_count: int
    """Events with content seen so far: what was generated, where the runner has not told its usage."""

    @property
    def prompt_tokens(self) -> int | None:
        """As the runner told; None while it has not."""
        ...

    @property
    def completion_tokens(self) -> int | None:
        """As the runner told; None while it has not."""
        ...

    @property
    def finish_reason(self) -> str:
        """The last that came."""
        ...

    @property
    def malformed_count(self) -> int:
        """Events that were no chunks, left out."""
        ...

    @property
    def error(self) -> RempartError | None:
        """What the runner reported in its stream; set by ``feed``, which still gives what came before it."""
        ...

    def feed(self, events: bytes) -> bytes:
        """Take whole events; gives the client's bytes, or nothing.

        Raises:
            RempartError: the runner streams what is no stream.
        """
        ...

    def finish(self) -> bytes:
        """The last bytes of a stream, or the whole document.

        Raises:
            RempartError: the runner's stream ended before the answer was whole.
        """
        ...

    def whole(self, body: bytes) -> bytes:
        """The runner answered with one document instead of a stream: what the client gets for it."""
        ...

    def fail(self, error: RempartError, request_id: str, timestamp: str) -> bytes:
        """The error as the last event of a stream that has begun."""
        ...

    def edit_documents(self, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> bool:
        """Have the whole document pass ``edit`` before anything is made of it; False where there is none."""
        ...


class Call:
    """What an exchange asks for, once validated.

    Args:
        model: the model that shall answer (aliases resolved).
        stream: whether the client streams.
        endpoint: path at the runner below its base path, such as ``/chat/completions``.
        document: the request for the runner, as a value; its ``model`` is set per replica.
        shape: how answers are turned; None: status, headers and bytes go to the client as they are ([[routes]]).
        raw: the request for the runner, as bytes, instead of ``document``.
        method: of the request to the runner.
    """

    __slots__ = ("document", "endpoint", "method", "model", "raw", "raw_type", "shape", "stream")

    def __init__(
        self,
        *,
        model: str,
        endpoint: str,
        stream: bool = False,
        document: dict[str, Any] | None = None,
        shape: Shape | None = None,
        raw: bytes = b"",
        raw_type: bytes = JSON_TYPE,
        method: str = "POST",
    ) -> None:
        self.model = model
        self.endpoint = endpoint
        self.stream = stream
        self.document = document
        self.shape = shape
        self.raw = raw
        self.raw_type = raw_type
        self.method = method


class Answer:
    """A whole answer that was not streamed; written after the record."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes,
        content_type: bytes = JSON_TYPE,
        headers: Headers | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.headers: Headers = [(b"content-type", content_type), *(headers or ())]


class Operation(Protocol):
    """One endpoint: what it needs of a request, and the call or answer it makes of it."""

    @property
    def name(self) -> str:
        """In records, metrics and logs."""
        ...

    @property
    def is_quiet(self) -> bool:
        """For probes: their log lines are written at debug level only."""
        ...

    async def prepare(self, exchange: "Exchange") -> Call | None:
        """Read and check the request; gives the call for a runner, or None after setting ``exchange.answer``."""
        ...


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of routes.

    Args:
        scope: what a key needs; the empty string is PUBLIC and has to be written out.
    """

    path: str
    methods: tuple[str, ...]
    scope: str
    operation: Any


class Models(Protocol):
    """What the gateway asks about models (the worker's side of ``runners.interface``)."""

    @property
    def is_accepting(self) -> bool:
        """False once the server shuts down."""
        ...

    @property
    def statuses(self) -> Mapping[str, ModelStatus]:
        """By name, in the configuration's order."""
        ...


class Ticket(Protocol):
    """A place in the queue of a model."""

    place: int
    """1 is next; 0 while not known."""


class DeadlineScope(Protocol):
    """The part of the deadline that steps use."""

    @property
    def queue_until_s(self) -> float:
        """The moment until which waiting for a slot makes sense."""
        ...

    def begin_call(self, exchange: "Exchange") -> None:
        """The call is known: its clocks apply from here."""
        ...

    def trip(self, error: RempartError) -> None:
        """End the exchange with this error, in whatever state it is."""
        ...


class GuardReport(Protocol):
    """What the guard covered and found, as the record asks for it (``guard.report``)."""

    def coverage(self) -> dict[str, str]:
        """``prompt.secrets`` → ``passed``, ``masked:2``, ``refused`` or ``skipped``."""
        ...

    def findings(self) -> dict[str, int]:
        """``prompt.iban`` → how many."""
        ...


class LimitsTold(Protocol):
    """The part of the limits that answers use."""

    def headers_of(self, exchange: "Exchange") -> Headers:
        """The fields that say how the limits of this exchange stand."""
        ...


class Exchange:
    """One HTTP request with its answer under way. Times are monotonic seconds."""

    __slots__ = (
        "address",
        "answer",
        "body",
        "bytes_in",
        "call",
        "clock",
        "cost",
        "credential",
        "deadline",
        "end_reason",
        "end_user",
        "error",
        "extra_headers",
        "failed_replicas",
        "first_chunk_s",
        "grant",
        "guard",
        "id",
        "ignored_fields",
        "is_queued",
        "is_recorded",
        "last_bytes",
        "last_chunk_s",
        "last_write_s",
        "late_check",
        "limits",
        "model_label",
        "operation",
        "other_replicas",
        "passed_status",
        "principal",
        "prompt",
        "queue_s",
        "replica",
        "reply",
        "reports_slots",
        "request",
        "request_id",
        "route",
        "runner_may_run",
        "sanitised",
        "sent_count",
        "standings",
        "started_s",
        "ticket",
        "timestamp",
        "trace_id",
        "traceparent",
        "tracestate",
    )  # fmt: skip

    def __init__(self, request: Request, reply: Reply, clock: Clock) -> None:
        self.request = request
        self.reply = reply
        self.clock = clock
        self.started_s = clock.now()
        self.timestamp = ""
        self.id = ""
        self.request_id = ""
        self.trace_id = ""
        self.traceparent = ""
        self.tracestate = ""
        self.route: Route | None = None
        self.operation: Operation | None = None
        self.address = request.peer
        """Of the client, as text; the authentication step looks behind trusted proxies."""
        self.principal: Principal = ANONYMOUS
        self.credential: Credential | None = None
        """What a key's principal was let in by."""
        self.deadline: DeadlineScope | None = None
        self.call: Call | None = None
        self.model_label = ""
        self.bytes_in = 0
        self.end_user = ""
        self.sent_count = 0
        """How often the call was sent to a replica."""
        self.cost = 0.0
        self.limits: LimitsTold | None = None
        """Who tells how the limits stand, once it is known whose they are."""
        self.standings: Any = None
        """Of the limits, after their last decision."""
        self.body = b""
        """As it came, until its texts have been cleaned."""
        self.late_check: Callable[[], None] | None = None
        """What could not be done before the model was loaded; done before the runner is asked."""
        self.sanitised = 0
        """Hidden characters that were taken out of it."""
        self.replica: Replica | None = None
        self.failed_replicas: list[str] = []
        self.other_replicas = 0
        self.passed_status = 200
        """Of an answer whose bytes go through as they come."""
        self.reports_slots = False
        self.prompt = ""
        self.is_queued = False
        self.ticket: Ticket | None = None
        self.grant = ""
        self.guard: GuardReport | None = None
        self.queue_s: float | None = None
        self.runner_may_run = False
        self.first_chunk_s: float | None = None
        self.last_chunk_s = 0.0
        self.last_write_s = 0.0
        self.ignored_fields: list[str] = []
        self.extra_headers: Headers = []
        self.answer: Answer | None = None
        self.last_bytes = b""
        self.error: RempartError | None = None
        self.end_reason = ""
        self.is_recorded = False

    @property
    def is_messages(self) -> bool:
        """Whether errors take Anthropic's shape."""
        return self.request.path.endswith(("/v1/messages", "/v1/messages/count_tokens"))

    def note_chunk(self) -> None:
        """A data event came from the runner: the silence clock starts anew."""
        now = self.clock.now()
        self.last_chunk_s = now
        if self.first_chunk_s is None:
            self.first_chunk_s = now

    def forget_document(self) -> None:
        """Bytes go out, so that the call is never sent again; a stream may last for minutes."""
        if self.call is not None:
            self.call.document = None

    def start_stream(self, content_type: bytes = STREAM_TYPE) -> None:
        """Begin a streamed answer; its head goes out with the first bytes."""
        self.reply.start(200, [(b"content-type", content_type), *self.common_headers()])

    def common_headers(self) -> Headers:
        """The headers that every answer carries."""
        request_id = self.request_id.encode("latin-1")
        headers: Headers = [(b"x-request-id", request_id), *security_headers.ALWAYS]
        if self.request.path.startswith("/v1/") or self.call is not None:
            headers.append((b"x-cache", b"bypass"))
            headers.append((b"server-timing", self.server_timing()))
            if self.limits is not None:
                headers += self.limits.headers_of(self)
            if self.is_messages:
                headers.append((b"request-id", request_id))
        else:
            headers += security_headers.BROWSED
        if self.ignored_fields:
            headers.append(
                (
                    b"x-rempart-ignored-fields",
                    ", ".join(self.ignored_fields)[:1024].encode("latin-1", "replace"),
                )
            )
        headers += self.extra_headers
        return headers

    def server_timing(self) -> bytes:
        """``Server-Timing`` with what is known: queue, ttft and, where the answer is whole, total (ms)."""
        parts = []
        if self.queue_s is not None:
            parts.append(f"queue;dur={self.queue_s * 1000:.1f}")
        if self.first_chunk_s is not None:
            parts.append(f"ttft;dur={(self.first_chunk_s - self.started_s) * 1000:.1f}")
        if self.answer is not None:
            parts.append(f"total;dur={(self.clock.now() - self.started_s) * 1000:.1f}")
        return ", ".join(parts).encode()

    def finish(self) -> None:
        """Write the last bytes. Called once, after the record."""
        reply = self.reply
        if reply.is_gone or reply.is_ended:
            return
        if reply.is_started:
            reply.end(self.last_bytes)
        elif self.answer is not None:
            reply.send(
                self.answer.status, [*self.answer.headers, *self.common_headers()], self.answer.body
            )
        else:
            reply.abort()


class ReplicaFailed(Exception):
    """A replica could not answer, and no byte has gone to the client: another may be tried.

    Args:
        error: what the client gets when no other attempt is made.
        has_answered: it answered with a 5xx; asking the same one again would only repeat that.
    """

    def __init__(self, error: RempartError, *, has_answered: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.has_answered = has_answered
