"""Step 3: one scope that a clock running out, a vanished client and a shutdown all trip.

Four clocks: *queue* (waiting for a slot), *first token*, *silence* (between two chunks) and *total*; an
unstreamed call has queue and total. One timer serves all: when it fires, stamps are read, and it is
set again if none has run out. So a chunk costs one store, not a timer.
"""

import asyncio
from types import TracebackType
from typing import NamedTuple

from rempart.domain.errors import ClientClosed, InvalidRequest, RempartError, TimedOut
from rempart.gateway.exchange import Exchange
from rempart.settings.model import Deadline as DeadlineSettings
from rempart.settings.model import ModelDeadline

REQUEST_TIMEOUT_S_MAX = 86400.0


class Clocks(NamedTuple):
    """A model's clocks in seconds."""

    queue_s: float
    first_token_s: float
    silence_s: float
    total_s: float
    unstreamed_s: float


def clocks_of(settings: DeadlineSettings, own: ModelDeadline) -> Clocks:
    """A model's clocks: its own where set, else the server's."""
    return Clocks(
        *(
            getattr(own, name) if getattr(own, name) is not None else getattr(settings, name)
            for name in Clocks._fields
        )
    )


class Deadline:
    """The scope. Enter it in the exchange's own task; trip it from anywhere in the same event loop.

    Raises (on leaving): the error it was tripped with, in place of the cancellation.
    """

    __slots__ = (
        "_call_began_s", "_cancelling", "_clocks_by_model", "_exchange", "_first_token_s", "_handle", "_loop",
        "_queue_s", "_silence_s", "_stream", "_task", "_total_s", "_tripped",
    )  # fmt: skip

    def __init__(
        self, exchange: Exchange, clocks_by_model: dict[str, Clocks], read_s: float
    ) -> None:
        self._exchange = exchange
        self._clocks_by_model = clocks_by_model
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._cancelling = 0
        self._tripped: RempartError | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._stream = False
        self._queue_s = self._first_token_s = self._silence_s = 0.0
        self._total_s = read_s
        self._call_began_s: float | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.current_task()
        assert self._task is not None  # noqa: S101 - entered in a coroutine
        self._cancelling = self._task.cancelling()
        self._exchange.deadline = self
        self._exchange.reply.on_gone = (
            self._leave
        )  # called soon if it left before this task first ran
        self._arm()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        task, self._task = self._task, None
        self._exchange.reply.on_gone = None
        # Nothing can be tripped any more; without this an exchange would be a cycle, freed only by
        # the garbage collector, whose full runs hold up every stream of the worker.
        self._exchange.deadline = None
        if self._tripped is None or task is None:
            return
        is_ours = task.uncancel() <= self._cancelling
        if is_ours and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise self._tripped from error

    def begin_call(self, exchange: Exchange) -> None:
        """The call is known: set its clocks, which a client's ``X-Request-Timeout`` can only lower.

        Raises:
            InvalidRequest: the header is no positive number of seconds.
        """
        call = exchange.call
        assert call is not None  # noqa: S101 - called by the path after the call was made
        clocks = self._clocks_by_model[call.model]
        self._stream = call.stream
        self._total_s = clocks.total_s if call.stream else clocks.unstreamed_s
        asked = exchange.request.header(b"x-request-timeout")
        if asked is not None:
            self._total_s = min(self._total_s, parse_timeout(asked))
        self._queue_s = min(clocks.queue_s, clocks.first_token_s if call.stream else self._total_s)
        self._first_token_s = clocks.first_token_s
        self._silence_s = clocks.silence_s
        self._call_began_s = exchange.clock.now()
        # The timer of the reading clock stays where it fires early enough: firing, it looks at all clocks.
        if self._handle is None or self._due_s() < self._handle.when():
            if self._handle is not None:
                self._handle.cancel()
            self._arm()

    @property
    def queue_until_s(self) -> float:
        """The moment until which waiting for a slot makes sense."""
        start_s = self._exchange.started_s
        return min(start_s + self._queue_s, start_s + self._total_s)

    def trip(self, error: RempartError) -> None:
        """End the exchange with ``error``. Only the first counts; after the scope has closed, none does.

        Called from callbacks of the loop, never by the exchange's own task: there the cancellation
        would hit a later await, perhaps one outside the scope.
        """
        if self._task is not None and self._tripped is None:
            self._tripped = error
            self._task.cancel()

    def _leave(self) -> None:
        self.trip(ClientClosed())

    def _arm(self) -> None:
        self._handle = self._loop.call_at(self._due_s(), self._fire)

    def _due_s(self) -> float:
        due_s, _, _ = self._next_due()
        # What starts these clocks, a wait and a first chunk, sets no timer: look in time for them.
        if self._call_began_s is not None:
            now = self._exchange.clock.now()
            queue_until_s = self._exchange.started_s + self._queue_s
            if now < queue_until_s:
                due_s = min(due_s, queue_until_s)
            if self._stream:
                due_s = min(due_s, now + self._silence_s)
        return due_s

    def _next_due(self) -> tuple[float, str, float]:
        exchange = self._exchange
        due = (exchange.started_s + self._total_s, "total", self._total_s)
        if self._call_began_s is None:
            return due
        if exchange.is_queued:
            due = min(due, (exchange.started_s + self._queue_s, "queue", self._queue_s))
        if self._stream and exchange.first_chunk_s is None:
            due = min(
                due, (exchange.started_s + self._first_token_s, "first_token", self._first_token_s)
            )
        elif self._stream:
            due = min(due, (exchange.last_chunk_s + self._silence_s, "silence", self._silence_s))
        return due

    def _fire(self) -> None:
        due_s, clock, limit_s = self._next_due()
        if due_s <= self._exchange.clock.now():
            self.trip(TimedOut(clock=clock, limit_s=limit_s))
        else:
            self._arm()


def parse_timeout(value: bytes) -> float:
    """Seconds of an ``X-Request-Timeout`` header.

    Raises:
        InvalidRequest: not a positive, finite decimal number.
    """
    text = value.decode("latin-1").strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        seconds = float(text)
        if 0 < seconds <= REQUEST_TIMEOUT_S_MAX:
            return seconds
    raise InvalidRequest(
        reason=f"The header X-Request-Timeout must be a positive number of seconds up to {REQUEST_TIMEOUT_S_MAX:g}, "
        f"found {text[:40]!r}. Send for example 'X-Request-Timeout: 20'.",
        param="X-Request-Timeout",
        details={
            "fields": [
                {"path": "X-Request-Timeout", "expected": "positive seconds", "found": text[:40]}
            ]
        },
    )
