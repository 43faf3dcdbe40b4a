"""What clients are told of their limits."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.domain.limits import BY_NAME
from rempart.gateway.limits.headers import go_duration, limit_headers
from rempart.state.shared.limits.interface import Demand, Standing


def standing(
    name: str, remaining: int, *, full_ms: int = 30_500, wait_ms: int = 0, subject: str = "key:k"
) -> Standing:
    kind = BY_NAME[name]
    demand = Demand(
        subject=subject,
        name=name,
        unit=kind.unit,
        window_s=kind.window_s,
        amount=1,
        amount_max=60,
    )
    return Standing(demand=demand, remaining=remaining, full_ms=full_ms, wait_ms=wait_ms)


def told(*standings: Standing) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in limit_headers(standings)}


def test_the_limit_nearest_to_its_end_is_told_with_all_policies() -> None:
    found = told(standing("requests_per_minute", 50), standing("requests_per_hour", 12))
    assert found == {
        "ratelimit-policy": '"rpm";q=60;w=60, "rph";q=60;w=3600',
        "ratelimit": '"rph";r=12;t=31',
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "12",
        "x-ratelimit-reset-requests": "30.5s",
    }


def test_tokens_have_openai_s_headers_alone() -> None:
    found = told(standing("tokens_per_minute", 7), standing("cost_per_day", 3))
    assert set(found) == {f"x-ratelimit-{one}-tokens" for one in ("limit", "remaining", "reset")}


def test_whose_limit_it_is_stands_in_its_policys_name() -> None:
    found = told(standing("requests_per_minute", 1, subject="project:p"))
    assert found["ratelimit"].startswith('"project-rpm";')


def test_a_limit_without_room_tells_when_the_next_one_fits() -> None:
    found = told(standing("requests_per_minute", 0, wait_ms=1001, full_ms=60_000))
    assert found["ratelimit"] == '"rpm";r=0;t=2'


def test_without_limits_nothing_is_told() -> None:
    assert told() == {}
    assert told(standing("concurrent_requests", 1)) == {}


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0s"), (12, "12ms"), (1000, "1s"), (50_529, "50.529s"), (360_000, "6m0s"),
     (3_603_000, "1h0m3s"), (1500, "1.5s"), (3_600_000, "1h0m0s")],
)  # fmt: skip
def test_a_duration_is_written_as_go_writes_it(milliseconds: int, text: str) -> None:
    assert go_duration(milliseconds).decode() == text


@given(st.integers(0, 10**11))
def test_no_duration_loses_a_millisecond(milliseconds: int) -> None:
    text = go_duration(milliseconds).decode()
    if text.endswith("ms"):
        assert int(text[:-2]) == milliseconds
        return
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(\d+(?:\.\d+)?)s", text)
    assert found is not None
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    assert round((hours * 3600 + minutes * 60 + seconds) * 1000) == milliseconds


def test_what_others_use_is_not_told() -> None:
    assert told(standing("requests_per_minute", 1, subject="model:m")) == {}
    found = told(
        standing("requests_per_minute", 50), standing("requests_per_minute", 1, subject="server")
    )
    assert found["ratelimit"].startswith('"rpm";r=50')
