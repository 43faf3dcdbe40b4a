"""What every store of limit counters promises (state/shared/limits/interface.py), on each of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.limit_stores import (
    BACK_ENDS,
    LEASE_S,
    at_a_time,
    most_in_any_window,
    opened,
    requests,
    tokens,
)
from rempart.domain.limits import Unit
from rempart.state.shared.limits.interface import Demand, LimitStore

START_MS = 1_764_000_000_000


@pytest.fixture(params=BACK_ENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LimitStore]:
    with opened(request.param, tmp_path) as found:
        yield found


def take(
    store: LimitStore, *demands: Demand, at_ms: int = START_MS, id_: str = "r", owner: str = "o"
) -> bool:
    return store.take(demands, reservation=id_, owner=owner, now_ms=at_ms).is_taken


def remaining(store: LimitStore, demand: Demand, at_ms: int = START_MS) -> int:
    return store.standings([demand], at_ms)[0].remaining


@pytest.mark.parametrize("amount_max", [1, 3, 60, 64])
def test_at_most_the_limit_is_taken_and_the_wait_is_exact(
    store: LimitStore, amount_max: int
) -> None:
    demand = requests(amount_max)
    for count in range(amount_max):
        assert take(store, demand, at_ms=START_MS + 7 * count)
    now_ms = START_MS + 7 * amount_max
    refused = store.take([demand], reservation="x", owner="o", now_ms=now_ms)
    assert refused.refused == (0,)
    wait_ms = refused.standings[0].wait_ms
    assert wait_ms == START_MS + 60_000 - now_ms
    assert not take(store, demand, at_ms=now_ms + wait_ms - 1)
    assert take(store, demand, at_ms=now_ms + wait_ms)
    assert not take(store, demand, at_ms=now_ms + wait_ms)


def test_if_one_refuses_none_is_charged(store: LimitStore) -> None:
    wide, narrow, place = requests(10), tokens(50, 100, subject="project:p"), at_a_time(5)
    assert take(store, wide, narrow, place)
    assert take(store, wide, narrow, place)
    decision = store.take([wide, narrow, place], reservation="x", owner="o", now_ms=START_MS)
    assert decision.refused == (1,)
    assert [standing.wait_ms for standing in decision.standings] == [0, 60_000, 0]
    assert remaining(store, wide) == 8
    assert remaining(store, narrow) == 0
    assert remaining(store, place) == 3


def test_every_demand_that_does_not_fit_is_named(store: LimitStore) -> None:
    minute, hour = requests(1), requests(1, 3600)
    assert take(store, minute, hour)
    decision = store.look([tokens(1, 5), minute, hour], START_MS + 10)
    assert decision.refused == (1, 2)
    assert [standing.wait_ms for standing in decision.standings] == [0, 59_990, 3_599_990]


def test_a_look_takes_nothing(store: LimitStore) -> None:
    demands = [requests(2), at_a_time(2), tokens(3, 9)]
    for _ in range(5):
        assert store.look(demands, START_MS).is_taken
    assert [standing.remaining for standing in store.standings(demands, START_MS)] == [2, 2, 9]
    assert store.owners() == []


def test_standings_after_taking_hold_what_was_taken(store: LimitStore) -> None:
    decision = store.take(
        [requests(60), requests(1000, 3600), tokens(40, 100), at_a_time(3)],
        reservation="r",
        owner="o",
        now_ms=START_MS,
    )
    assert [standing.remaining for standing in decision.standings] == [59, 999, 60, 2]
    assert [standing.full_ms for standing in decision.standings[:3]] == [60_000, 3_600_000, 60_000]
    assert [standing.wait_ms for standing in decision.standings] == [0, 0, 0, 0]


def test_all_is_there_again_after_full_ms_and_not_before(store: LimitStore) -> None:
    demand = tokens(5, 10)
    take(store, demand)
    take(store, demand, at_ms=START_MS + 250)
    full_ms = store.standings([demand], START_MS + 300)[0].full_ms
    assert full_ms == 59_950
    assert remaining(store, demand, START_MS + 300 + full_ms - 1) == 5
    assert remaining(store, demand, START_MS + 300 + full_ms) == 10


def test_more_than_the_limit_never_fits(store: LimitStore) -> None:
    (standing,) = store.look([tokens(11, 10)], START_MS).standings
    assert standing.wait_ms is None
    (standing,) = store.look([requests(0)], START_MS).standings
    assert standing.wait_ms is None


def test_limits_of_one_subject_and_unit_share_what_was_taken(store: LimitStore) -> None:
    minute, hour = requests(60), requests(1000, 3600)
    assert take(store, minute)
    assert take(store, minute, hour, at_ms=START_MS + 1)
    assert remaining(store, hour, START_MS + 2) == 998


def test_subjects_are_apart_also_when_their_names_are_odd(store: LimitStore) -> None:
    names = [
        "key:a",
        "key:b",
        "key:" + "x" * 300,
        "key:" + "x" * 299 + "y",
        "é\0",
        "é",
        "",
        "\ud800",
    ]
    for name in names:
        assert take(store, requests(1, subject=name), at_a_time(1, subject=name), id_=name)
    for name in names:
        assert not store.look([requests(1, subject=name)], START_MS).is_taken
        assert not store.look([at_a_time(1, subject=name)], START_MS).is_taken


def test_settling_changes_the_entry_itself(store: LimitStore) -> None:
    demand = tokens(100, 100)
    assert take(store, demand, id_="a")
    store.settle("a", {Unit.TOKENS: 30}, START_MS + 50_000)
    assert remaining(store, demand, START_MS + 50_000) == 70
    # It leaves the window when it was taken, not when it was settled.
    assert remaining(store, demand, START_MS + 59_999) == 70
    assert remaining(store, demand, START_MS + 60_000) == 100


def test_more_than_was_reserved_is_charged(store: LimitStore) -> None:
    demand = tokens(10, 100)
    assert take(store, demand, id_="a")
    store.settle("a", {Unit.TOKENS: 130}, START_MS)
    (standing,) = store.look([demand], START_MS).standings
    assert standing.remaining == 0
    assert standing.wait_ms == 60_000


@pytest.mark.parametrize("used", [None, {}, {Unit.COST: 5}])
def test_what_is_not_known_stays_at_its_estimate(
    store: LimitStore, used: dict[Unit, int] | None
) -> None:
    demand, place = tokens(10, 100), at_a_time(1)
    assert take(store, demand, place, requests(9), id_="a")
    store.settle("a", used, START_MS)
    assert remaining(store, demand) == 90
    assert remaining(store, requests(9)) == 8
    assert remaining(store, place) == 1


def test_a_request_that_was_not_made_is_given_back(store: LimitStore) -> None:
    assert take(store, requests(1), requests(5, 3600), tokens(7, 7), id_="a")
    store.settle("a", {Unit.REQUESTS: 0, Unit.TOKENS: 0}, START_MS + 5)
    assert remaining(store, requests(1), START_MS + 5) == 1
    assert remaining(store, requests(5, 3600), START_MS + 5) == 5
    assert remaining(store, tokens(7, 7), START_MS + 5) == 7


def test_settling_twice_or_what_is_unknown_does_nothing(store: LimitStore) -> None:
    demand = tokens(10, 100)
    assert take(store, demand, at_a_time(2), id_="a")
    assert take(store, demand, at_a_time(2), id_="b")
    store.settle("a", {Unit.TOKENS: 4}, START_MS)
    store.settle("a", {Unit.TOKENS: 0}, START_MS)
    store.settle("never", {Unit.TOKENS: 0}, START_MS)
    assert remaining(store, demand) == 86
    assert remaining(store, at_a_time(2)) == 1


def test_settling_after_the_window_has_passed_changes_nothing(store: LimitStore) -> None:
    demand = tokens(60, 100)
    assert take(store, demand, id_="old")
    later_ms = START_MS + 60_000
    assert take(store, demand, id_="new", at_ms=later_ms)
    store.settle("old", {Unit.TOKENS: 0}, later_ms)
    assert remaining(store, demand, later_ms) == 40


def test_a_reservation_that_takes_again_holds_both(store: LimitStore) -> None:
    assert take(store, tokens(10, 100, subject="project:p"), id_="a")
    assert take(store, tokens(10, 100), at_a_time(1), id_="a")
    store.settle("a", {Unit.TOKENS: 1}, START_MS)
    assert remaining(store, tokens(10, 100, subject="project:p")) == 99
    assert remaining(store, tokens(10, 100)) == 99
    assert remaining(store, at_a_time(1)) == 1


def test_places_at_a_time_come_back_when_they_are_settled(store: LimitStore) -> None:
    place = at_a_time(2)
    assert take(store, place, id_="a", owner="w1")
    assert take(store, place, id_="b", owner="w2")
    refused = store.look([place], START_MS + 1)
    assert refused.refused == (0,)
    assert refused.standings[0].wait_ms == 1000
    assert store.owners() == ["w1", "w2"]
    store.settle("a", None, START_MS + 2)
    assert store.owners() == ["w2"]
    assert take(store, place, id_="c", owner="w2", at_ms=START_MS + 3)
    assert not take(store, place, id_="d", at_ms=START_MS + 3)


def test_a_process_that_is_gone_leaves_its_estimates_and_no_place(store: LimitStore) -> None:
    place, demand = at_a_time(3), tokens(10, 100)
    assert take(store, place, demand, id_="a", owner="gone")
    assert take(store, place, demand, id_="b", owner="gone")
    assert take(store, place, demand, id_="c", owner="alive")
    assert store.forget_owner("gone", START_MS) == 2
    assert store.forget_owner("gone", START_MS) == 0
    assert store.owners() == ["alive"]
    assert remaining(store, place) == 2
    assert remaining(store, demand) == 70
    store.settle("a", {Unit.TOKENS: 0}, START_MS)
    store.settle("c", {Unit.TOKENS: 0}, START_MS)
    assert remaining(store, place) == 3
    assert remaining(store, demand) == 80


def test_a_lease_ends_by_itself_after_its_longest_life(store: LimitStore) -> None:
    place = at_a_time(1)
    assert take(store, place, id_="leaked")
    end_ms = START_MS + int(LEASE_S * 1000)
    assert not take(store, place, at_ms=end_ms - 1)
    assert take(store, place, at_ms=end_ms, id_="next")
    store.settle("leaked", None, end_ms)
    assert not take(store, place, at_ms=end_ms)


def test_a_clock_that_steps_back_makes_no_room(store: LimitStore) -> None:
    demand = requests(2)
    assert take(store, demand)
    assert take(store, demand, at_ms=START_MS - 3_600_000)
    refused = store.take([demand], reservation="x", owner="o", now_ms=START_MS - 3_600_000)
    assert refused.standings[0].wait_ms == 3_600_000 + 60_000
    assert not take(store, demand, at_ms=START_MS + 59_999)
    assert take(store, demand, at_ms=START_MS + 60_000)


@pytest.mark.requirement("file-rate-limiter-cleanup")
def test_what_lies_outside_of_its_windows_is_forgotten(store: LimitStore) -> None:
    for number in range(20):
        assert take(store, requests(5, subject=f"key:{number}"), id_=str(number))
    assert take(store, requests(5, 3600, subject="key:hour"), at_a_time(1), id_="hour")
    assert store.drop_idle(START_MS + 59_999, entries_max=1000) == 0
    dropped = sum(store.drop_idle(START_MS + 60_000, entries_max=7) for _ in range(5))
    assert dropped == 20
    assert remaining(store, requests(5, 3600, subject="key:hour"), START_MS + 60_000) == 4
    lease_end_ms = START_MS + int(LEASE_S * 1000)
    assert store.drop_idle(lease_end_ms, entries_max=1000) == 1
    assert store.owners() == []


@st.composite
def busy_times(draw: st.DrawFn) -> list[int]:
    """Moments with bursts at the edges of windows and cells, one millisecond around them."""
    moments: list[int] = []
    now = 0
    for _ in range(draw(st.integers(3, 14))):
        now += draw(
            st.sampled_from(
                [0, 1, 799, 800, 801, 30_000, 59_999, 60_000, 60_001, 47_999, 3_600_000]
            )
            | st.integers(0, 70_000)
        )
        moments += [now + draw(st.integers(0, 2)) for _ in range(draw(st.integers(1, 30)))]
    return sorted(moments)


@pytest.mark.parametrize("back_end", BACK_ENDS)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(times=busy_times(), minute_max=st.integers(1, 150), hour_max=st.integers(1, 250))
def test_never_more_than_the_limit_in_any_window(
    back_end: str,
    tmp_path_factory: pytest.TempPathFactory,
    times: list[int],
    minute_max: int,
    hour_max: int,
) -> None:
    """Counted by brute force, after bursts at every edge; every refusal's wait comes true to the millisecond."""
    minute, hour = requests(minute_max), requests(hour_max, 3600)
    taken: list[tuple[int, int]] = []
    with opened(back_end, tmp_path_factory.mktemp("store")) as store:
        for number, moment in enumerate(times):
            now_ms = START_MS + moment
            decision = store.take([minute, hour], reservation=str(number), owner="o", now_ms=now_ms)
            if decision.is_taken:
                taken.append((now_ms, 1))
                continue
            wait_ms = max(standing.wait_ms or 0 for standing in decision.standings)
            assert wait_ms > 0
            assert store.look([minute, hour], now_ms + wait_ms).is_taken
            assert not store.look([minute, hour], now_ms + wait_ms - 1).is_taken
    assert most_in_any_window(taken, 60_000) <= minute_max
    assert most_in_any_window(taken, 3_600_000) <= hour_max


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "take", "settle", "settle", "forget"]),
        st.integers(0, 400),
        st.integers(0, 6),
        st.sampled_from([0, 1, 300, 900, 20_000]),
    ),
    min_size=5,
    max_size=150,
)


@pytest.mark.parametrize("back_end", BACK_ENDS)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(operations=OPERATIONS)
def test_the_ledger_balances_to_the_token(
    back_end: str,
    tmp_path_factory: pytest.TempPathFactory,
    operations: list[tuple[str, int, int, int]],
) -> None:
    """Whatever was taken, settled, or left by dead processes: the day's count is the sum of what it should be."""
    ledger: dict[str, int] = {}
    open_: dict[str, str] = {}
    now_ms = START_MS
    with opened(back_end, tmp_path_factory.mktemp("store")) as store:
        for number, (act, amount, which, later_ms) in enumerate(operations):
            now_ms += later_ms
            if act == "take":
                owner, id_ = f"w{which % 3}", str(number)
                assert take(
                    store,
                    tokens(amount, 10**9, 60),
                    tokens(amount, 10**9, 86400),
                    at_a_time(10**6),
                    at_ms=now_ms,
                    id_=id_,
                    owner=owner,
                )
                ledger[id_], open_[id_] = amount, owner
            elif act == "settle" and open_:
                id_ = list(open_)[which % len(open_)]
                del open_[id_]
                used = None if amount % 5 == 0 else {Unit.TOKENS: amount}
                store.settle(id_, used, now_ms)
                if used is not None:
                    ledger[id_] = amount
            elif act == "forget":
                owner = f"w{which % 3}"
                gone = [id_ for id_, its in open_.items() if its == owner]
                assert store.forget_owner(owner, now_ms) == len(gone)
                for id_ in gone:
                    del open_[id_]
        day = tokens(0, 10**9, 86400)
        assert 10**9 - remaining(store, day, now_ms) == sum(ledger.values())
        assert 10**6 - remaining(store, at_a_time(10**6), now_ms) == len(open_)
        assert set(store.owners()) == set(open_.values())
