"""95 % intervals of shares, of differences between two networks on the same samples, and of means over seeds.

Wilson, "Probable inference, the law of succession, and statistical inference", 1927; Newcombe, "Improved confidence
intervals for the difference between binomial proportions based on paired data", 1998 (method 10).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Z = 1.959963984540054
"""The normal deviate that leaves 2.5 % on each side."""
Z99 = 2.5758293035489004
"""That of 99 %."""
Interval = tuple[float, float]


def wilson(right: int, count: int, deviate: float = Z) -> Interval:
    """The interval of a share, of which `right` out of `count` were seen; `deviate`: another normal deviate than that
    of 95 %."""
    if not 0 <= right <= count or count < 1:
        raise ValueError(f"{right} of {count} is not a share")
    share, square = right / count, deviate * deviate
    middle = share + square / (2 * count)
    reach = deviate * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    low, high = ((middle + way * reach) / (1 + square / count) for way in (-1, 1))
    return (0.0 if right == 0 else low), (1.0 if right == count else high)


def paired(both: int, first: int, second: int, neither: int) -> Interval:
    """The interval of the first share minus the second one, of the same samples: so many right in both, in the first
    only, in the second only, in neither."""
    count = both + first + second + neither
    shares = (both + first) / count, (both + second) / count
    (low1, high1), (low2, high2) = (wilson(right, count) for right in (both + first, both + second))
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    cross = float(both * neither - first * second)
    cross = max(cross - count / 2, 0.0) if cross > 0 else cross  # Newcombe's continuity correction
    together = 0.0 if product == 0 else cross / math.sqrt(product)
    difference = shares[0] - shares[1]
    down = _root(shares[0] - low1, high2 - shares[1], together)
    up = _root(high1 - shares[0], shares[1] - low2, together)
    return difference - down, difference + up


def paired_right(first: np.ndarray, second: np.ndarray) -> Interval:
    """`paired` of two networks' answers: bools of the same shape, whether each is right."""
    counts = [int((a & b).sum()) for a, b in ((first, second), (first, ~second), (~first, second), (~first, ~second))]
    return paired(*counts)


def mean(values: Sequence[float]) -> Interval:
    """The interval of the mean of a few independent values, by Student's t. One value says nothing: it is infinite."""
    from scipy.stats import t

    count = len(values)
    if count < 2:
        return -math.inf, math.inf
    reach = float(t.ppf(0.975, count - 1)) * float(np.std(values, ddof=1)) / math.sqrt(count)
    middle = float(np.mean(values))
    return middle - reach, middle + reach


def none_between(low: float, high: float) -> bool:
    """Whether an interval of a difference holds 0: then no difference was measured."""
    return low <= 0 <= high


def _root(one: float, other: float, together: float) -> float:
    return math.sqrt(max(one * one - 2 * together * one * other + other * other, 0.0))
