"""The log behind every limit over a window, against a list of everything that was ever taken."""

from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rempart.state.shared.limits import window_log
from rempart.state.shared.limits.window_log import (
    CELLS,
    EXACT_MAX,
    OLDER_ENTRIES_MAX,
    WINDOWS_MS,
    WindowLog,
)

MINUTE_MS, HOUR_MS, DAY_MS, MONTH_MS = WINDOWS_MS
START_MS = 1_764_000_000_000


def log_of(*windows_ms: int, now_ms: int = START_MS) -> WindowLog:
    log = WindowLog(now_ms)
    for window_ms in windows_ms:
        log.serve(window_ms)
    return log


def again(log: WindowLog) -> WindowLog:
    return WindowLog.decode(log.encode())


def test_entries_count_from_their_moment_until_a_window_later() -> None:
    log = log_of(MINUTE_MS)
    log.take(1, START_MS)
    assert log.used(MINUTE_MS, START_MS) == 1
    assert log.used(MINUTE_MS, START_MS + MINUTE_MS - 1) == 1
    assert log.used(MINUTE_MS, START_MS + MINUTE_MS) == 0


def test_twenty_requests_take_94_bytes() -> None:
    log = log_of(MINUTE_MS, HOUR_MS)
    for number in range(20):
        log.take(1, START_MS + number * 1000)
    assert len(log.encode()) == 94


def test_a_busy_log_stays_small() -> None:
    log = log_of(*WINDOWS_MS)
    sizes = []
    for number in range(20_000):
        log.take(1000, START_MS + number * 130_000)
        sizes.append(len(log.stamps))
    assert max(sizes) <= EXACT_MAX + OLDER_ENTRIES_MAX + 3 * (CELLS + 1)
    assert len(log.encode()) < 22 + 12 * 400


def test_a_crowded_minute_is_counted_in_cells_and_older_entries_stay_exact() -> None:
    log = log_of(MINUTE_MS)
    for number in range(EXACT_MAX):
        log.take(1, START_MS + number)
    assert len(log.stamps) == EXACT_MAX
    for number in range(10_000):
        log.take(1, START_MS + EXACT_MAX + number)
    assert len(log.stamps) <= EXACT_MAX + 10_000 // (MINUTE_MS // CELLS) + 2
    assert log.used(MINUTE_MS, START_MS + EXACT_MAX + 10_000) == EXACT_MAX + 10_000
    # Those from before it was crowded still leave one by one.
    assert log.used(MINUTE_MS, START_MS + MINUTE_MS) == EXACT_MAX + 10_000 - 1


def test_what_is_in_a_cell_counts_until_its_latest_has_left() -> None:
    log = log_of(MINUTE_MS)
    edge_ms = START_MS - START_MS % 800 + 800
    for number in range(EXACT_MAX):
        log.take(2, edge_ms - EXACT_MAX + number)
    log.take(5, edge_ms + 100)
    log.take(7, edge_ms + 700)
    log.take(1, edge_ms + 800)
    assert log.used(MINUTE_MS, edge_ms + 100 + MINUTE_MS) == 13
    assert log.used(MINUTE_MS, edge_ms + 700 + MINUTE_MS - 1) == 13
    assert log.wait_ms(MINUTE_MS, 12, edge_ms + 100 + MINUTE_MS) == 600
    assert log.used(MINUTE_MS, edge_ms + 700 + MINUTE_MS) == 1


def test_a_window_that_is_added_later_counts_from_then_on() -> None:
    log = log_of(MINUTE_MS)
    log.take(1, START_MS)
    log.take(1, START_MS + 2 * MINUTE_MS)
    log.serve(HOUR_MS)
    log.take(1, START_MS + 3 * MINUTE_MS)
    assert log.used(HOUR_MS, START_MS + 3 * MINUTE_MS) == 2
    assert again(log).windows_ms == (MINUTE_MS, HOUR_MS)


def test_only_the_known_windows_are_served() -> None:
    with pytest.raises(KeyError):
        log_of(61_000)


@pytest.mark.parametrize("raw", [b"", b"x" * 13, b"\0" * 12 + b"\x10\0", b"\0" * 12 + b"\1\5"])
def test_bytes_that_are_no_log_are_told(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"no log|multiple"):
        WindowLog.decode(raw)


def test_a_log_with_half_an_entry_is_told() -> None:
    log = log_of(MINUTE_MS)
    log.take(1, START_MS)
    with pytest.raises(ValueError, match="multiple"):
        WindowLog.decode(log.encode()[:-1])
    log.take(5, START_MS + 1)
    with pytest.raises(ValueError, match="no log"):
        WindowLog.decode(log.encode()[:-1])


def test_weights_may_be_larger_than_four_bytes_hold() -> None:
    log = log_of(DAY_MS)
    amounts = [10**9, 3 * 10**9, 10**12, 10**15, 1]
    for number, amount in enumerate(amounts):
        log.take(amount, START_MS + number)
        log = again(log)
        assert log.used(DAY_MS, START_MS + number) == sum(amounts[: number + 1])
    assert log.wait_ms(DAY_MS, 10**9 + 1, START_MS + 10) == DAY_MS + 1 - 10


def test_sums_that_grow_for_years_stay_narrow_and_right() -> None:
    log = log_of(MINUTE_MS)
    for number in range(30):
        log.take(10**9, START_MS + number * 40_000)
        assert log.used(MINUTE_MS, START_MS + number * 40_000) == min(number + 1, 2) * 10**9
    assert log.sums is not None
    assert log.sums.itemsize == 4


def test_what_no_number_holds_is_cut_not_lost() -> None:
    log = log_of(DAY_MS)
    for number in range(3):
        log.take(2**63, START_MS + number)
    assert log.used(DAY_MS, START_MS + 3) == 2**64 - 1
    assert again(log).used(DAY_MS, START_MS + 3) == 2**64 - 1


def test_a_log_that_slept_for_a_year_goes_on() -> None:
    for window_ms in (MINUTE_MS, MONTH_MS):
        log = log_of(window_ms)
        log.take(1, START_MS)
        later_ms = START_MS + 365 * DAY_MS
        assert log.take(1, later_ms) == later_ms
        assert log.used(window_ms, later_ms) == 1
        assert not log.correct(START_MS, -1)
        assert log.correct(later_ms, 4)
        assert again(log).used(window_ms, later_ms) == 5


def test_a_log_that_is_in_use_for_years_keeps_its_window() -> None:
    log = log_of(MONTH_MS)
    taken = []
    for day in range(120):
        now_ms = START_MS + day * DAY_MS
        taken.append(log.take(day + 1, now_ms))
        assert log.used(MONTH_MS, now_ms) == sum(range(max(1, day - 28), day + 2))
    assert log.correct(taken[-20], -(100 + 1))
    assert not log.correct(taken[10], -1)


def test_nothing_is_kept_of_what_was_settled_to_nothing() -> None:
    log = log_of(HOUR_MS)
    moments = [log.take(3, START_MS + number) for number in range(4)]
    for moment in moments:
        assert log.correct(moment, -3)
    assert log.total == 0
    assert log.full_ms(HOUR_MS, START_MS + 5) == 0
    assert log.used(HOUR_MS, START_MS + 5) == 0


def test_more_is_never_taken_out_of_an_entry_than_is_in_it() -> None:
    log = log_of(HOUR_MS)
    first = log.take(3, START_MS)
    log.take(5, START_MS + 1)
    assert log.correct(first, -4)
    assert log.used(HOUR_MS, START_MS + 1) == 5


def test_it_is_idle_when_its_longest_window_has_passed() -> None:
    log = log_of(MINUTE_MS, HOUR_MS)
    assert log.is_idle(START_MS)
    log.take(1, START_MS)
    assert not log.is_idle(START_MS + HOUR_MS - 1)
    assert log.is_idle(START_MS + HOUR_MS)


class Model:
    """Everything that was ever taken: [moment, weight]."""

    def __init__(self) -> None:
        self.entries: list[list[int]] = []

    def used(self, window_ms: int, now_ms: int) -> int:
        return sum(weight for at, weight in self.entries if at > now_ms - window_ms)


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "take", "correct"]),
        st.sampled_from([0, 0, 1, 2, 250, 799, 800, 5_000, 59_999, 60_000, 900_000, 3_599_999])
        | st.integers(0, 100_000),
        st.integers(0, 10_000),
        st.integers(1, 40),
    ),
    min_size=4,
    max_size=40,
)


@pytest.mark.parametrize(("exact_max", "older_max"), [(EXACT_MAX, OLDER_ENTRIES_MAX), (4, 6)])
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    acts=ACTS,
    windows=st.lists(st.sampled_from(WINDOWS_MS), min_size=1, max_size=4, unique=True),
    is_ones=st.booleans(),
)
def test_it_never_counts_less_than_there_is_and_exactly_while_it_is_small(
    exact_max: int,
    older_max: int,
    acts: list[tuple[str, int, int, int]],
    windows: list[int],
    is_ones: bool,
) -> None:
    """Also with room for few entries, so that cells are made all the time."""
    with (
        mock.patch.object(window_log, "EXACT_MAX", exact_max),
        mock.patch.object(window_log, "OLDER_ENTRIES_MAX", older_max),
    ):
        check(acts, windows, is_ones, min(exact_max, older_max))


def check(
    acts: list[tuple[str, int, int, int]], windows: list[int], is_ones: bool, exact_max: int
) -> None:
    log, model = log_of(*windows), Model()
    now_ms = START_MS
    for act, later_ms, amount, count in acts:
        now_ms += later_ms
        if act == "take":
            for step in range(count):
                now_ms += step % 3
                weight = 1 if is_ones else amount
                assert log.take(weight, now_ms) == now_ms
                model.entries.append([now_ms, weight])
        elif model.entries:
            entry = model.entries[-1 - amount % min(len(model.entries), 50)]
            change = count - entry[1]
            if log.correct(entry[0], change):
                entry[1] += change
            else:
                assert change == 0 or entry[0] <= now_ms - max(windows)
        log = again(log)
        for window_ms in windows:
            used, real = log.used(window_ms, now_ms), model.used(window_ms, now_ms)
            assert used >= real
            if len(model.entries) <= exact_max:
                assert used == real
            # A place returns at most a cell late.
            cell_ms = window_ms // CELLS
            assert used <= model.used(window_ms + cell_ms, now_ms)
            if used:
                for excess in {1, used // 2 or 1, used}:
                    wait_ms = log.wait_ms(window_ms, excess, now_ms)
                    assert used - log.used(window_ms, now_ms + wait_ms) >= excess
                    assert used - log.used(window_ms, now_ms + wait_ms - 1) < excess
                full_ms = log.full_ms(window_ms, now_ms)
                assert log.used(window_ms, now_ms + full_ms) == 0
                assert log.used(window_ms, now_ms + full_ms - 1) > 0
