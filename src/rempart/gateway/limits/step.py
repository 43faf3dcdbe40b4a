"""Step 6: take what a request may need from every limit that applies, all or nothing, and settle it at its end.

``look`` comes right after authentication and charges nothing: who has no request left is refused before the body
is read. ``reserve`` comes when the call is known. What it took stands in the store at once, so that a process that
is killed leaves its estimates charged; leaving its scope corrects them to what was used, whatever the end was.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType

from rempart.base.clock import Clock
from rempart.domain.errors import RempartError, StateUnavailable
from rempart.domain.limits import MICROS, Amounts, Unit
from rempart.domain.models import ModelStatus
from rempart.gateway.exchange import Call, Exchange, Models
from rempart.gateway.limits.estimate import (
    Estimate,
    answer_tokens_max,
    answers_count,
    cost_micros,
    default_answer_tokens,
    prompt_tokens_max,
)
from rempart.gateway.limits.headers import limit_headers
from rempart.gateway.limits.plan import Plan, counts_tokens, with_amounts
from rempart.gateway.limits.refusal import refusal, scope
from rempart.net.http1.messages import Headers
from rempart.settings.model import Settings
from rempart.settings.protection import Prices
from rempart.state.shared.limits.interface import Decision, Demand, LimitStore
from rempart.telemetry.metrics import Metrics

UNSETTLED_MAX = 4096
"""Reservations that wait for the store to be back; beyond it the oldest keep their estimates."""
REFUSED_MAX = 10_000
"""Keys remembered as having no request left; one more takes the place of the oldest, which is looked up later."""
HOUR_MS = 3_600_000
UNSEEN_TOKENS = 32
"""Of an answer that was cut short: what the runner may have made beyond the chunks that came."""
TOKENS_PER_CHUNK = 2
"""A chunk of our runners is one token, but for characters that take several."""
_TOKEN_UNITS = (Unit.TOKENS, Unit.COST)
_ONE_OF_EACH = {Unit.REQUESTS: 1, Unit.AT_A_TIME: 1, Unit.TOKENS: 1, Unit.COST: 1}
_WITHOUT_TOKENS = {Unit.REQUESTS: 1, Unit.AT_A_TIME: 1}
_FREE = Prices()
_NOTHING = Estimate(0, 0)

Count = Callable[[Exchange, Call, ModelStatus], Awaitable[int | None]]
"""Tokens of a call's prompt by the model's own tokenizer; None where it cannot be asked now."""
ProjectLimits = Callable[[str], Amounts]


class Limits:
    """The step; one object per worker.

    Args:
        owner: this process, unique to its start.
        project_limits: the limits of a project, by id.
        count: exact tokens of a prompt, asked where the bound by bytes does not fit.
        tells_each_token: whether a model's runner sends a chunk for each token, as ours for llama.cpp does.
    """

    def __init__(
        self,
        *,
        store: LimitStore,
        settings: Settings,
        models: Models,
        clock: Clock,
        owner: str,
        project_limits: ProjectLimits,
        count: Count,
        tells_each_token: Callable[[str], bool],
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._plan = Plan(settings)
        self._models = models
        self._clock = clock
        self._owner = owner
        self._project_limits = project_limits
        self._count = count
        self._tells_each_token = tells_each_token
        self._metrics = metrics
        self._header = settings.limits.end_user_header.lower().encode("latin-1", "replace")
        self._prices = {
            model.name: model.prices for model in settings.models if model.prices != _FREE
        }
        self._refused: dict[str, int] = {}
        """Keys that had no request left → until when (wall-clock ms)."""
        self._unsettled: deque[tuple[str, dict[Unit, int] | None]] = deque(maxlen=UNSETTLED_MAX)

    def look(self, exchange: Exchange) -> None:
        """Refuse who has no request left; charges nothing but public routes, to the address.

        Only who was refused a moment ago is looked at: all others would pay for a second reading.

        Raises:
            RateLimitExceeded, StateUnavailable.
        """
        route = exchange.route
        if route is not None and not route.scope:
            self._take_for_address(exchange)
            return
        exchange.limits = self
        until_ms = self._refused.get(exchange.principal.id)
        if until_ms is None:
            return
        if self._now_ms() >= until_ms:
            del self._refused[exchange.principal.id]
            return
        decision = self._look(exchange)
        if decision is not None:
            self._judge(exchange, decision)

    def headers_of(self, exchange: Exchange) -> Headers:
        """See ``LimitsTold``: what was decided last, else what stands at this moment."""
        standings = exchange.standings
        if standings is None:
            try:
                decision = self._look(exchange)
            except StateUnavailable:
                return []
            standings = decision.standings if decision is not None else ()
        return limit_headers(standings)

    def _look(self, exchange: Exchange) -> Decision | None:
        principal = exchange.principal
        asked = self._plan.of_head(principal, self._of_project(principal.project))
        return self._store.look(asked, self._now_ms()) if asked else None

    def reserve(self, exchange: Exchange) -> "_Reserved":
        """A scope that holds what the request may take. Entering it refuses or takes all at once."""
        return _Reserved(self, exchange)

    def _take_for_address(self, exchange: Exchange) -> None:
        if exchange.operation is None or exchange.operation.is_quiet:
            return
        address = exchange.address
        if not address or address.startswith("127.") or address == "::1":
            return  # the machine itself: its monitors, and a proxy that is not configured
        asked = self._plan.of_address(address)
        if not asked:
            return
        now_ms = self._now_ms()
        try:
            decision = self._store.take(
                asked, reservation=exchange.id, owner=self._owner, now_ms=now_ms
            )
            self._store.settle(exchange.id, None, now_ms)
        except StateUnavailable:
            return  # nothing here needs a key, and monitors must hear what is wrong
        self._judge(exchange, decision)

    async def take(self, exchange: Exchange) -> tuple[bool, Estimate | None]:
        """Take all that the exchange may need: whether anything was taken, and the tokens among it.

        Raises:
            RateLimitExceeded, TokenRateLimitExceeded, ConcurrencyLimitExceeded, InsufficientQuota: nothing was taken.
            StateUnavailable.
        """
        call = exchange.call
        document = call.document if call is not None else None
        self._name_end_user(exchange)
        asked = self._demands(exchange)
        if not asked:
            return False, None
        if call is None or document is None or not counts_tokens(asked):
            asked = with_amounts(asked, _WITHOUT_TOKENS)
            if asked:
                self._judge(exchange, self._take(exchange, asked))
            return bool(asked), None
        status = self._models.statuses[call.model]
        estimate = self._estimate(call, status, asked, prompt_tokens_max(document))
        decision = self._take(exchange, self._needed(asked, call, estimate))
        if not decision.is_taken and _refuses_tokens_alone(decision):
            exact = await self._count(exchange, call, status)
            if exact is not None:
                estimate = self._estimate(call, status, asked, exact)
                decision = self._take(exchange, self._needed(asked, call, estimate))
        self._judge(exchange, decision)
        if answers_count(document) and answer_tokens_max(document) is None:
            document["max_tokens"] = estimate.answer // answers_count(document)
        return True, estimate

    def _take(self, exchange: Exchange, asked: Sequence[Demand]) -> Decision:
        return self._store.take(
            asked, reservation=exchange.id, owner=self._owner, now_ms=self._now_ms()
        )

    def _demands(self, exchange: Exchange) -> list[Demand]:
        """All limits that apply, each asked for one."""
        principal = exchange.principal
        return self._plan.of_request(
            principal,
            self._of_project(principal.project),
            end_user=exchange.end_user,
            model=exchange.call.model if exchange.call is not None else "",
            amounts=_ONE_OF_EACH,
        )

    def _needed(self, asked: Sequence[Demand], call: Call, estimate: Estimate) -> list[Demand]:
        cost = cost_micros(self._prices.get(call.model, _FREE), *estimate)
        return with_amounts(
            asked, {**_WITHOUT_TOKENS, Unit.TOKENS: estimate.total, Unit.COST: cost}
        )

    def _estimate(
        self, call: Call, status: ModelStatus, asked: Sequence[Demand], prompt: int
    ) -> Estimate:
        document = call.document or {}
        count = answers_count(document)
        if not count:
            return Estimate(prompt, 0)
        each = answer_tokens_max(document)
        if each is None:
            limits = [one.amount_max for one in asked if one.unit is Unit.TOKENS]
            each = default_answer_tokens(
                context=status.facts.context_length,
                prompt=prompt,
                smallest_limit=min(limits, default=2**31) // count,
            )
        return Estimate(prompt, each * count)

    def _judge(self, exchange: Exchange, decision: Decision) -> None:
        exchange.standings = decision.standings
        if decision.is_taken:
            return
        self._remember(exchange, decision)
        for position in decision.refused:
            standing = decision.standings[position]
            self._metrics.limit_refusals.add(1, standing.demand.name, scope(standing))
        raise refusal(decision)

    def _remember(self, exchange: Exchange, decision: Decision) -> None:
        """Who has no request left is told so at once the next time, before its body is read."""
        waits = [
            standing.wait_ms
            for position in decision.refused
            if (standing := decision.standings[position]).demand.unit is Unit.REQUESTS
        ]
        key_id = exchange.principal.id
        if not waits or not key_id:
            return
        if len(self._refused) >= REFUSED_MAX and key_id not in self._refused:
            del self._refused[next(iter(self._refused))]
        self._refused[key_id] = self._now_ms() + max(HOUR_MS if w is None else w for w in waits)

    def _name_end_user(self, exchange: Exchange) -> None:
        call = exchange.call
        document = call.document if call is not None else None
        named = document.get("user") if document is not None else None
        if self._header:
            header = exchange.request.header(self._header)
            if header is not None:
                named = header.decode("utf-8", "replace")
        if isinstance(named, str):
            exchange.end_user = named[:256]

    def settle(
        self,
        exchange: Exchange,
        estimate: Estimate | None,
        error: BaseException | None,
        *,
        is_taken: bool,
    ) -> None:
        """End the exchange's reservation at what was used; kept for later while the store is away."""
        call = exchange.call
        prices = self._prices.get(call.model, _FREE) if call is not None else _FREE
        tokens = self.used_tokens(exchange, estimate, error)
        if prices is not _FREE:
            known = tokens or estimate or _NOTHING
            exchange.cost = cost_micros(prices, *known) / MICROS
        if not is_taken:
            return
        used: dict[Unit, int] | None = None
        if tokens is not None:
            used = {Unit.TOKENS: tokens.total, Unit.COST: cost_micros(prices, *tokens)}
        self._unsettled.append((exchange.id, used))
        self.settle_waiting()

    def settle_waiting(self) -> None:
        """Settle what waits for the store; called again and again, also when no request comes."""
        now_ms = self._now_ms()
        try:
            while self._unsettled:
                self._store.settle(*self._unsettled[0], now_ms)
                self._unsettled.popleft()
        except StateUnavailable:
            self._metrics.limits_unsettled.add(1)

    def used_tokens(
        self, exchange: Exchange, estimate: Estimate | None, error: BaseException | None
    ) -> Estimate | None:
        """What a request used; None where it is not known and the estimate stays.

        What was perhaps used is never given back: without the runner's own count, an answer that was cut short counts
        by its chunks and some more where each token is a chunk; elsewhere the estimate stays.
        """
        call = exchange.call
        shape = call.shape if call is not None else None
        if call is None or shape is None:
            return None
        if not exchange.sent_count:
            return _NOTHING  # it never got so far
        if exchange.sent_count > 1 and estimate is not None:
            return None  # what the replica that failed used, nobody knows
        if shape.prompt_tokens is not None and shape.completion_tokens is not None:
            return Estimate(shape.prompt_tokens, shape.completion_tokens)
        if estimate is None:
            return None
        if estimate.answer == 0 and shape.prompt_tokens is not None:
            return Estimate(shape.prompt_tokens, 0)
        is_refused = isinstance(error, RempartError) and 400 <= error.answer_status < 500
        if is_refused and not shape.chunk_count:
            return _NOTHING
        if not self._tells_each_token(call.model):
            return None
        made = TOKENS_PER_CHUNK * shape.chunk_count + UNSEEN_TOKENS
        prompt = estimate.prompt if shape.prompt_tokens is None else shape.prompt_tokens
        return Estimate(prompt, min(estimate.answer, made))

    def _of_project(self, project: str) -> Amounts:
        return self._project_limits(project) if project else {}

    def _now_ms(self) -> int:
        return int(self._clock.wall().timestamp() * 1000)


class _Reserved:
    __slots__ = ("_estimate", "_exchange", "_is_taken", "_limits")

    def __init__(self, limits: Limits, exchange: Exchange) -> None:
        self._limits = limits
        self._exchange = exchange
        self._is_taken = False
        self._estimate: Estimate | None = None

    async def __aenter__(self) -> None:
        self._is_taken, self._estimate = await self._limits.take(self._exchange)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._limits.settle(self._exchange, self._estimate, error, is_taken=self._is_taken)


def _refuses_tokens_alone(decision: Decision) -> bool:
    return all(decision.standings[one].demand.unit in _TOKEN_UNITS for one in decision.refused)
