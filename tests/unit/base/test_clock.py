"""Moments as every answer and log line writes them, and clocks that fit the event loops."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from rempart.base.clock import SystemClock, iso_utc


@given(st.datetimes(timezones=st.just(UTC)).filter(lambda moment: moment.year >= 1000))
def test_a_moment_is_rfc_3339_in_utc_with_milliseconds(moment: datetime) -> None:
    text = iso_utc(moment)
    assert len(text) == 24
    assert text.endswith("Z")
    lost = moment - datetime.fromisoformat(text)
    assert timedelta(0) <= lost < timedelta(milliseconds=1)


def test_a_moment_of_another_zone_is_told_in_utc() -> None:
    moment = datetime(2026, 11, 24, 17, 0, tzinfo=timezone(timedelta(hours=1)))
    assert iso_utc(moment) == "2026-11-24T16:00:00.000Z"


def test_the_calendar_s_moment_is_aware() -> None:
    assert SystemClock().wall().tzinfo is UTC


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_monotonic_clock_counts_from_the_loops_origin(factory: object) -> None:
    """So that ``now() + x`` can be given to ``call_at``."""

    async def body() -> float:
        asyncio.get_running_loop().call_soon(lambda: None)
        await asyncio.sleep(0)
        return asyncio.get_running_loop().time() - SystemClock().now()

    with asyncio.Runner(loop_factory=factory) as runner:  # type: ignore[arg-type]
        assert abs(runner.run(body())) < 1.0
