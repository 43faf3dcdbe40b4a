"""Figures of several rounds against those of a reference, and how sure that is.

Noise only ever adds CPU time, so the least of several rounds is the best guess of what something costs, and
least against least the fairest ratio; the median beside it says what was usual. Paired rounds are
compared pair by pair, so that a machine that slows down slows down both.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Spread:
    """Several rounds of one figure."""

    least: float
    median: float
    most: float
    rounds: int


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value.

    Raises:
        ValueError: there is none.
    """
    if not values:
        raise ValueError("no round has a figure")
    return Spread(min(values), statistics.median(values), max(values), len(values))


def least_ratio(values: Sequence[float], reference: Sequence[float]) -> float:
    """Least against least.

    Raises:
        ValueError: one of them is empty.
        ZeroDivisionError: the reference's least is 0.
    """
    return spread(values).least / spread(reference).least


@dataclass(frozen=True)
class Interval:
    """A ratio and the interval that holds the true one with a probability of ``CONFIDENCE``."""

    ratio: float
    low: float
    high: float
    pairs: int


def paired_ratio(pairs: Sequence[tuple[float, float]]) -> Interval:
    """The ratio of first to second of pairs that were measured side by side.

    Student's t on the logarithms, since a ratio of 2 and one of 1/2 are equally far off.

    Raises:
        ValueError: fewer than two pairs, or a figure that is not above 0.
    """
    if len(pairs) < 2:
        raise ValueError("an interval needs two pairs or more")
    logs = [math.log(first / second) for first, second in pairs]
    mean = statistics.fmean(logs)
    half = student_t(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return Interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half), len(pairs))


def student_t(freedom: int) -> float:
    """The two-sided quantile of Student's t at ``CONFIDENCE`` for 1 or more degrees of freedom.

    From the normal quantile by Cornish and Fisher's expansion (Abramowitz and Stegun 26.7.5), which is
    exact to 0.5 % from 4 degrees on; below, from tables.
    """
    small = {1: 12.706, 2: 4.303, 3: 3.182}
    if freedom in small:
        return small[freedom]
    z = statistics.NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / float(freedom) ** power for power, term in enumerate(terms))


def quantile(values: Sequence[float], share: float) -> float:
    """The value that at least ``share`` of them do not exceed (the nearest rank).

    Raises:
        ValueError: there is none.
    """
    if not values:
        raise ValueError("there is nothing to rank")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
