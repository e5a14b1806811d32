"""Intervals against published tables, and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp

from toolkit.compress.measure.intervals import mean, none_between, paired, paired_right, wilson
from toolkit.report.differences import difference, share


@pytest.mark.parametrize("right, count, low, high", [
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718),
    (0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0)])
def test_the_interval_of_a_share_is_as_newcombe_1998_table_1_has_it(right, count, low, high):
    assert wilson(right, count) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_share_is_scipys(case):
    theirs = binomtest(*case).proportion_ci(0.95, "wilson")
    assert wilson(*case) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize("counts, low, high", [
    ((36, 12, 2, 0), 0.0569, 0.3404), ((54, 0, 0, 0), -0.0664, 0.0664), ((14, 5, 0, 22), 0.011, 0.226),
    ((1, 1, 7, 12), -0.507, -0.026)])
def test_the_interval_of_a_paired_difference_is_as_published(counts, low, high):
    """Newcombe 1998 (method 10); Altman, Statistics with Confidence, 2000; Fagerland et al. 2014, of Bentur 2009."""
    assert paired(*counts) == pytest.approx((low, high), abs=6e-4)


@given(st.lists(st.integers(0, 400), min_size=4, max_size=4).filter(any))
def test_a_paired_difference_lies_in_its_interval_and_turns_its_sign_with_the_order(counts):
    both, first, second, neither = counts
    low, high = paired(both, first, second, neither)
    assert low - 1e-9 <= (first - second) / sum(counts) <= high + 1e-9
    assert paired(both, second, first, neither) == pytest.approx((-high, -low), abs=1e-12)


def test_the_same_answers_are_closer_than_other_answers_of_the_same_accuracy():
    rng = np.random.default_rng(0)
    one = rng.random(450) < 0.9
    low, high = paired_right(one, one)
    other = rng.permutation(one)
    wider = paired_right(one, other)
    assert -low == pytest.approx(high) and wider[1] - wider[0] > high - low
    counts = [int(v.sum()) for v in (one & other, one & ~other, ~one & other, ~one & ~other)]
    assert wider == paired(*counts)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=9).filter(lambda v: np.std(v) > 1e-3))
def test_the_interval_of_a_mean_is_students_t(values):
    theirs = ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert mean(values) == pytest.approx((theirs.low, theirs.high), abs=1e-6)


def test_one_value_says_nothing_of_a_mean():
    assert mean([3.0]) == (-np.inf, np.inf)


def test_a_difference_whose_interval_holds_zero_is_none():
    assert none_between(-0.9, 1.2) and none_between(0.0, 1.0) and not none_between(0.1, 1.2)
    assert difference(0.22, -0.9, 1.2) == "+0.22 points, no measurable difference (95 % interval -0.9 .. +1.2)"
    assert difference(1.5, 0.4, 2.6) == "+1.50 points (95 % interval +0.4 .. +2.6)"
    assert difference(-1.5, -2.6, -0.4) == "-1.50 points (95 % interval -2.6 .. -0.4)"


def test_a_share_is_told_with_its_interval():
    assert share(0.9, wilson(9, 10)) == "90.00 % (59.6 .. 98.2)" and share(None) == "n/a" and share(0.5) == "50.00 %"


@pytest.mark.parametrize("counts", [(-1, 10), (11, 10), (0, 0)])
def test_what_is_no_share_has_no_interval(counts):
    with pytest.raises(ValueError, match="not a share"):
        wilson(*counts)
