"""The error for a decision that refuses. No I/O."""

from typing import Any

from rempart.domain.errors import (
    ConcurrencyLimitExceeded,
    InsufficientQuota,
    RateLimitExceeded,
    RempartError,
    Retry,
    TokenRateLimitExceeded,
)
from rempart.domain.limits import BY_NAME, MICROS, Unit
from rempart.state.shared.limits.interface import Decision, Standing

NEVER_MS = 2**62
RETRY_NEVER_S = 3600.0
"""Told where waiting does not help; the official clients do not come back by themselves then."""


def refusal(decision: Decision) -> RempartError:
    """The error of the limit that takes longest to have room, with all that refused in ``details.policies``."""
    refused = [decision.standings[position] for position in decision.refused]
    worst = max(refused, key=_wait_ms)
    error = _error(worst)
    error.details["policies"] = sorted({one.demand.name for one in refused})
    error.details["scope"] = scope(worst)
    return error


def scope(standing: Standing) -> str:
    """Whose limit it is: ``key``, ``project``, ``end_user``, ``model``, ``address`` or ``server``."""
    return standing.demand.subject.partition(":")[0]


def _wait_ms(standing: Standing) -> int:
    return NEVER_MS if standing.wait_ms is None else standing.wait_ms


def _error(standing: Standing) -> RempartError:
    demand = standing.demand
    amount_max = demand.amount_max
    limit: float = amount_max / MICROS if demand.unit is Unit.COST else amount_max
    wait_s = RETRY_NEVER_S if standing.wait_ms is None else standing.wait_ms / 1000
    told: dict[str, Any] = {
        "limit_name": demand.name,
        "limit": limit,
        "window_seconds": demand.window_s,
    }
    message = retry = None
    if standing.wait_ms is None:
        retry = Retry.AFTER_BUT_NOT_BY_ITSELF
        message = (
            f"{demand.name} is {limit:g}: nothing is allowed. Ask the operator for a higher limit."
        )
    if standing.wait_ms is None and amount_max and demand.unit in (Unit.TOKENS, Unit.COST):
        asked: float = demand.amount / MICROS if demand.unit is Unit.COST else demand.amount
        message = (
            f"This request may take {asked:g} of {demand.name}, which allows {limit:g} in all, so that waiting "
            "does not help. Shorten the prompt, lower max_tokens, or ask the operator for a higher limit."
        )
    kind: type[RempartError] = InsufficientQuota
    if demand.unit is Unit.AT_A_TIME:
        kind = ConcurrencyLimitExceeded
    elif demand.unit is Unit.REQUESTS:
        kind = RateLimitExceeded
    elif demand.unit is Unit.TOKENS and demand.window_s <= BY_NAME["tokens_per_minute"].window_s:
        kind = TokenRateLimitExceeded
    return kind(retry_after_s=wait_s, message=message, retry=retry, **told)
