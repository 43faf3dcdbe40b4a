"""The request's way: all steps, in order, in one coroutine.

What is taken is given back by the block that took it. The three outer scopes unwind from the right: the
deadline closes, the error is answered, the record is written, and only then the last byte goes out.
"""

from collections.abc import Callable
from typing import Protocol

from rempart.base.ids import Ids
from rempart.domain.errors import MethodNotAllowed, NotFound, ShuttingDown
from rempart.domain.models import Replica
from rempart.gateway.admission.step import Admission
from rempart.gateway.attempts import attempts
from rempart.gateway.authentication.step import Authentication
from rempart.gateway.deadline import Clocks, Deadline
from rempart.gateway.error_answers import ErrorAnswers, OnBug
from rempart.gateway.exchange import Call, Exchange, Operation, Route, encode_json
from rempart.gateway.guard.hold_timer import HoldTimer
from rempart.gateway.guard.pipeline import Guard
from rempart.gateway.keep_alive import KeepAlive
from rempart.gateway.limits.step import Limits
from rempart.gateway.record import FanOut, Recorded
from rempart.gateway.relay.step import Relay
from rempart.gateway.request_id import identify

PROMPT_CHARACTERS_MAX = 16384
OUTSIDE = "/\0"
"""Before the path of a request that does not lie below the configured prefix."""


def prompt_text(call: Call) -> str:
    """The request for the runner as text, shortened."""
    raw = encode_json(call.document) if call.document is not None else call.raw
    return raw[: 4 * PROMPT_CHARACTERS_MAX].decode("utf-8", "replace")[:PROMPT_CHARACTERS_MAX]


class Routes(Protocol):
    """The table of routes, as the way asks it."""

    def find(self, method: str, path: str) -> Route | None:
        """The row for this method and path."""
        ...

    def allowed(self, path: str) -> tuple[str, ...]:
        """Methods that the path takes; empty for a path that is not there."""
        ...


class Way:
    """Takes exchanges from their first byte to their record.

    Args:
        clocks: of each model, by name.
        read_s: how long a request may take until its call is known.
        is_runner: whether a model's process is ours, for the name of its errors.
        guard: of prompts and answers; None, or one with nothing on: it costs nothing.
        keeps_prompts: records get the text of requests; the operator asked for it ([logs] prompts).
    """

    def __init__(
        self,
        *,
        ids: Ids,
        routes: Routes,
        authentication: Authentication,
        limits: Limits,
        admission: Admission,
        relay: Relay,
        fan_out: FanOut,
        on_bug: OnBug,
        clocks: dict[str, Clocks],
        read_s: float,
        is_runner: Callable[[str], bool],
        is_accepting: Callable[[], bool],
        keeps_prompts: bool = False,
        guard: Guard | None = None,
    ) -> None:
        self._ids = ids
        self._routes = routes
        self._authentication = authentication
        self._limits = limits
        self._admission = admission
        self._relay = relay
        self._fan_out = fan_out
        self._on_bug = on_bug
        self._clocks = clocks
        self._read_s = read_s
        self._is_runner = is_runner
        self._is_accepting = is_accepting
        self._keeps_prompts = keeps_prompts
        self._guard = guard if guard is not None and guard.is_on else None
        self._hold_s = guard.hold_s if guard is not None else 0.0

    async def serve(self, exchange: Exchange) -> None:
        """Serve one exchange. Raises nothing but a cancellation from outside."""
        identify(exchange, self._ids)  # 1
        deadline = Deadline(exchange, self._clocks, self._read_s)
        async with (
            Recorded(exchange, self._fan_out),
            ErrorAnswers(exchange, self._on_bug),
            deadline,
        ):  # 11, 2, 3
            self._find_route(exchange)
            await self._authentication.step(exchange)  # 4
            operation = self._operation(exchange)
            self._limits.look(exchange)
            call = exchange.call = await operation.prepare(exchange)  # 5
            if call is None:
                if exchange.route is not None and exchange.route.scope:
                    async with self._limits.reserve(exchange):
                        return
                return
            if self._guard is not None:
                await self._guard.begin(exchange, call)
            if self._keeps_prompts:
                exchange.prompt = prompt_text(call)
            deadline.begin_call(exchange)
            async with self._limits.reserve(exchange):  # 6
                with KeepAlive(exchange), HoldTimer(exchange, self._hold_s):
                    for attempt in attempts(exchange):  # another only before the first byte
                        with attempt:
                            async with self._admission.slot(exchange) as replica:  # 8, 9
                                await self._deliver(exchange, replica)  # 10

    def _find_route(self, exchange: Exchange) -> None:
        request = exchange.request
        exchange.route = self._routes.find(request.method, request.path)
        if exchange.route is not None:
            exchange.operation = exchange.route.operation

    def _operation(self, exchange: Exchange) -> Operation:
        """The operation, once it is known who asks: without a key nobody learns what is there."""
        request = exchange.request
        if exchange.operation is None:
            allowed = self._routes.allowed(request.path)
            path = request.path.removeprefix(OUTSIDE)[:256]
            if not allowed:
                raise NotFound(path=path)
            raise MethodNotAllowed(
                path=path, method=request.method[:32], allowed=", ".join(allowed)
            )
        if not exchange.operation.is_quiet and not self._is_accepting():
            raise ShuttingDown(retry_after_s=1.0)
        return exchange.operation

    async def _deliver(self, exchange: Exchange, replica: Replica) -> None:
        call = exchange.call
        assert call is not None  # noqa: S101 - set by serve
        if exchange.late_check is not None:
            exchange.late_check()
            exchange.late_check = None
        await self._relay.deliver(exchange, replica, is_runner=self._is_runner(call.model))
