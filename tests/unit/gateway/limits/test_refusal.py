"""Which error a refused limit is."""

from typing import Any

import pytest

from rempart.domain.errors import Retry
from rempart.domain.limits import BY_NAME, MICROS
from rempart.gateway.limits.refusal import refusal
from rempart.state.shared.limits.interface import Decision, Demand, Standing


def decision(*refused: tuple[str, int | None], amount_max: int = 60) -> Decision:
    standings = []
    for name, wait_ms in refused:
        kind = BY_NAME[name]
        demand = Demand(
            subject="key:k",
            name=name,
            unit=kind.unit,
            window_s=kind.window_s,
            amount=90,
            amount_max=amount_max,
        )
        standings.append(Standing(demand=demand, remaining=0, full_ms=1, wait_ms=wait_ms))
    return Decision(standings=tuple(standings), refused=tuple(range(len(standings))))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("requests_per_minute", "rate_limit_exceeded"),
        ("requests_per_hour", "rate_limit_exceeded"),
        ("tokens_per_minute", "token_rate_limit_exceeded"),
        ("tokens_per_day", "insufficient_quota"),
        ("tokens_per_month", "insufficient_quota"),
        ("cost_per_day", "insufficient_quota"),
        ("cost_per_month", "insufficient_quota"),
        ("concurrent_requests", "concurrency_limit_exceeded"),
    ],
)
def test_every_limit_has_its_error(name: str, code: str) -> None:
    error = refusal(decision((name, 1500), amount_max=2 * MICROS))
    assert (error.code, error.answer_status, error.retry_after_s) == (code, 429, 1.5)
    details: dict[str, Any] = error.details
    assert details["limit_name"] == name
    assert details["limit"] == (2 if name.startswith("cost") else 2 * MICROS)
    assert (details["policies"], details["scope"]) == ([name], "key")


def test_of_several_the_longest_wait_counts_and_all_are_named() -> None:
    error = refusal(decision(("requests_per_minute", 10), ("requests_per_hour", 99_000)))
    assert (error.details["limit_name"], error.retry_after_s) == ("requests_per_hour", 99.0)
    assert error.details["policies"] == ["requests_per_hour", "requests_per_minute"]


def test_what_never_fits_says_so_and_is_not_to_be_tried_again() -> None:
    error = refusal(decision(("tokens_per_minute", None)))
    assert error.retry is Retry.AFTER_BUT_NOT_BY_ITSELF
    assert "waiting does not help" in error.message
    assert type(error).retry is Retry.AFTER, "the next refusal is not touched"
