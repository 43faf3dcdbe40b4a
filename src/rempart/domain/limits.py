"""Limits: their names, what each counts, over which window, and for whom.

One row here is one limit everywhere: in the settings, a key's own limits, the API, the command line,
errors and headers (DESIGN: contract, section 5).
"""

from enum import Enum
from typing import Any

import msgspec

MICROS = 1_000_000
"""Costs are counted in whole millionths of the operator's currency, so that sums are exact."""


class Unit(Enum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    COST = "cost"
    AT_A_TIME = "at_a_time"


class LimitKind(msgspec.Struct, frozen=True, kw_only=True):
    """One row: ``window_s`` is 0 for what is counted at one time."""

    name: str
    unit: Unit
    window_s: int
    policy: str = ""
    """Its name in the RateLimit fields; empty: not told there."""


MINUTE, HOUR, DAY, MONTH = 60, 3600, 86400, 30 * 86400

KINDS: tuple[LimitKind, ...] = (
    LimitKind(name="requests_per_minute", unit=Unit.REQUESTS, window_s=MINUTE, policy="rpm"),
    LimitKind(name="requests_per_hour", unit=Unit.REQUESTS, window_s=HOUR, policy="rph"),
    LimitKind(name="tokens_per_minute", unit=Unit.TOKENS, window_s=MINUTE),
    LimitKind(name="tokens_per_day", unit=Unit.TOKENS, window_s=DAY),
    LimitKind(name="tokens_per_month", unit=Unit.TOKENS, window_s=MONTH),
    LimitKind(name="cost_per_day", unit=Unit.COST, window_s=DAY),
    LimitKind(name="cost_per_month", unit=Unit.COST, window_s=MONTH),
    LimitKind(name="concurrent_requests", unit=Unit.AT_A_TIME, window_s=0),
)
BY_NAME = {kind.name: kind for kind in KINDS}

Amounts = dict[str, int | None]
"""Limit name → largest amount (cost in micros); None: no limit, which overrides a default."""


def amounts_of(section: Any) -> Amounts:
    """The limits that a section of the settings sets, its fields being named as ``KINDS``; costs in micros."""
    found: Amounts = {}
    for kind in KINDS:
        value = getattr(section, kind.name)
        if value is not None:
            found[kind.name] = round(value * MICROS) if kind.unit is Unit.COST else value
    return found
