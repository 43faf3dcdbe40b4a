"""Backoff after crashes and the moment of giving up."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rempart.runners.restarts import CrashHistory, GiveUp, Pause
from rempart.settings.model import Restarts

LIMITS = Restarts(first_s=0.5, longest_s=8.0, crashes_max=1000, window_s=1.0)


def pause_s(verdict: Pause | GiveUp) -> float:
    assert isinstance(verdict, Pause)
    return verdict.seconds


def test_pauses_double_up_to_the_longest_with_jitter_that_only_shortens() -> None:
    history = CrashHistory(LIMITS, random.Random(1).uniform)
    pauses = [pause_s(history.crashed(n * 60.0, ready_s=0, reason="")) for n in range(8)]
    for pause, full in zip(pauses, [0.5, 1, 2, 4, 8, 8, 8, 8], strict=True):
        assert 0.75 * full <= pause <= full
    assert len(set(pauses[4:])) == 4


def test_a_runner_that_served_for_a_while_starts_from_the_first_pause_again() -> None:
    history = CrashHistory(LIMITS, random.Random(1).uniform)
    for n in range(5):
        history.crashed(n * 60.0, ready_s=0, reason="")
    assert pause_s(history.crashed(900, ready_s=7.9, reason="")) > 4
    assert pause_s(history.crashed(960, ready_s=8.0, reason="")) <= 0.5


@pytest.mark.requirement("runner-crash")
def test_too_many_crashes_within_the_window_are_given_up_with_a_reason() -> None:
    limits = Restarts(crashes_max=3, window_s=10)
    history = CrashHistory(limits, random.Random(1).uniform)
    assert isinstance(history.crashed(0, ready_s=0, reason="x"), Pause)
    assert isinstance(history.crashed(5, ready_s=0, reason="x"), Pause)
    verdict = history.crashed(10, ready_s=0, reason="it exited with status 1")
    assert verdict == GiveUp(
        "its runner crashed 3 times within 10 s; the last time it exited with status 1"
    )


def test_crashes_that_the_window_has_left_behind_do_not_count() -> None:
    history = CrashHistory(Restarts(crashes_max=3, window_s=10), random.Random(1).uniform)
    for now in (0.0, 6.0, 12.0, 18.0, 24.0):
        assert isinstance(history.crashed(now, ready_s=0, reason=""), Pause)


def test_forgiving_forgets_crashes_and_pauses() -> None:
    history = CrashHistory(Restarts(crashes_max=2, window_s=10), random.Random(1).uniform)
    history.crashed(0, ready_s=0, reason="")
    history.forgive()
    assert pause_s(history.crashed(1, ready_s=0, reason="")) <= 0.5


@pytest.mark.parametrize("crashes", [1, 2, 5])
def test_one_crash_is_enough_to_give_up_only_where_one_is_allowed(crashes: int) -> None:
    history = CrashHistory(Restarts(crashes_max=crashes), random.Random(1).uniform)
    verdicts = [history.crashed(float(n), ready_s=0, reason="") for n in range(crashes)]
    assert [isinstance(one, GiveUp) for one in verdicts] == [False] * (crashes - 1) + [True]


@given(st.lists(st.floats(0.01, 400), min_size=1, max_size=60), st.integers(1, 6))
def test_it_gives_up_exactly_when_the_window_holds_too_many(gaps: list[float], most: int) -> None:
    limits = Restarts(crashes_max=most, window_s=300)
    history = CrashHistory(limits, random.Random(2).uniform)
    now, moments = 0.0, []
    for gap in gaps:
        now += gap
        moments.append(now)
        verdict = history.crashed(now, ready_s=0, reason="")
        within = sum(now - one <= 300 for one in moments)
        assert isinstance(verdict, GiveUp) == (within >= most)
        if isinstance(verdict, Pause):
            assert 0 < verdict.seconds <= limits.longest_s


def test_days_of_crashing_do_not_overflow_the_pause() -> None:
    history = CrashHistory(LIMITS, random.Random(1).uniform)
    for n in range(3000):
        assert pause_s(history.crashed(n * 60.0, ready_s=0, reason="")) <= 8
