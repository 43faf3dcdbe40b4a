"""Ratios and intervals."""

import math
import random

import pytest

from bench.compare import least_ratio, paired_ratio, quantile, spread, student_t


def test_a_spread_names_least_median_and_most() -> None:
    found = spread([3.0, 1.0, 2.0, 10.0])
    assert (found.least, found.median, found.most, found.rounds) == (1.0, 2.5, 10.0, 4)


def test_nothing_has_no_spread_and_no_quantile() -> None:
    with pytest.raises(ValueError, match="no round"):
        spread([])
    with pytest.raises(ValueError, match="nothing"):
        quantile([], 0.5)


def test_ratios_are_least_against_least_whatever_the_noise() -> None:
    assert least_ratio([4.0, 100.0], [2.0, 3.0]) == 2.0


@pytest.mark.parametrize(
    ("freedom", "t"),
    [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (29, 2.045), (100, 1.984), (10**6, 1.960)],
)
def test_students_quantile_is_that_of_the_tables(freedom: int, t: float) -> None:
    assert student_t(freedom) == pytest.approx(t, rel=0.005)


def test_pairs_that_are_alike_have_a_narrow_interval_around_their_ratio() -> None:
    found = paired_ratio([(98.0, 100.0), (49.0, 50.0), (9.8, 10.0)])
    assert found.ratio == pytest.approx(0.98)
    assert found.low == pytest.approx(0.98)
    assert found.high == pytest.approx(0.98)
    assert found.pairs == 3


def test_twice_and_half_cancel_out() -> None:
    assert paired_ratio([(2.0, 1.0), (1.0, 2.0)]).ratio == pytest.approx(1.0)


def test_one_pair_has_no_interval() -> None:
    with pytest.raises(ValueError, match="two pairs"):
        paired_ratio([(1.0, 1.0)])


def test_about_95_of_100_intervals_hold_the_true_ratio() -> None:
    chance = random.Random(7)
    held = 0
    for _ in range(1000):
        pairs = [(0.9 * math.exp(chance.gauss(0, 0.05)), 1.0) for _ in range(8)]
        found = paired_ratio(pairs)
        held += found.low <= 0.9 <= found.high
    assert 930 <= held <= 970


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert quantile(values, 0.5) == 50.0
    assert quantile(values, 0.99) == 99.0
    assert quantile(values, 1.0) == 100.0
    assert quantile([5.0], 0.01) == 5.0
