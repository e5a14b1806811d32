"""Fixed-point formats and requantisation, against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from exact_formats import limited, rounded
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.networks.strategies import formats, requantisations
from toolkit.design import FixedPoint, Overflow, Requantise, Rounding, union
from toolkit.utils.errors import InputError

reals = st.floats(-1e6, 1e6, allow_nan=False).map(float)


@given(formats(16), reals, st.sampled_from(list(Rounding)), st.sampled_from(list(Overflow)))
@settings(max_examples=300, deadline=None)
def test_quantise_is_exact_for_every_rounding_and_overflow(form, value, rounding, overflow):
    expected = limited(rounded(Fraction(value) * Fraction(2) ** form.frac, rounding), form, overflow)
    assert int(form.quantise(np.array(value), rounding, overflow)) == expected


def test_a_half_rounds_up_and_the_largest_float_below_it_does_not():
    form = FixedPoint(True, 8, 0)
    assert form.quantise(np.array([0.5, np.nextafter(0.5, 0), -0.5, 1.5])).tolist() == [1, 0, 0, 2]


@given(formats(62))
def test_a_format_reads_back_what_it_prints(form):
    assert FixedPoint.parse(str(form)) == form


def test_formats_print_as_the_field_writes_them():
    assert str(FixedPoint(True, 8, 5)) == "fixed<8,3>"
    assert str(FixedPoint(False, 8, 10)) == "ufixed<8,-2>"


@pytest.mark.parametrize("text", ["", "fixed<8>", "fixed<8,3", "float<8,3>", "fixed<0,0>", "fixed<99,3>"])
def test_text_that_is_no_format_is_refused(text):
    with pytest.raises(InputError):
        FixedPoint.parse(text)


@given(requantisations(12), st.integers(-(2**20), 2**20), st.integers(-2, 14))
@settings(max_examples=300, deadline=None)
def test_requantise_is_a_clamp_of_the_rounded_accumulator(r: Requantise, acc, acc_frac):
    code = rounded(Fraction(acc) * Fraction(2) ** (r.format.frac - acc_frac), r.rounding)
    expected = min(max(code, r.low), r.high) if r.overflow is Overflow.SATURATE else limited(code, r.format, r.overflow)
    assert int(r.apply(np.array([acc]), acc_frac)[0]) == expected


def test_bounds_outside_the_format_are_refused():
    with pytest.raises(InputError, match="do not fit"):
        Requantise(FixedPoint(False, 4, 0), -1, 3)


def test_a_wrap_takes_no_bounds():
    with pytest.raises(InputError, match="wrap"):
        Requantise(FixedPoint(True, 4, 0), 0, 7, overflow=Overflow.WRAP)


@given(st.lists(formats(), min_size=2, max_size=4))
@settings(deadline=None)
def test_a_union_holds_both_ends_of_each_format(several):
    joined = union(several)
    for form in several:
        for code in (form.min_code, form.max_code):
            moved = Fraction(code) * Fraction(2) ** (joined.frac - form.frac)
            assert moved.denominator == 1
            assert joined.min_code <= moved <= joined.max_code


@given(st.integers(-(2**40), 2**40), st.integers(0, 2**40))
@example(-1, 0)
@example(-8, 3)
def test_holding_gives_the_narrowest_width(low, span):
    form = FixedPoint.holding(low, low + span, 0)
    assert form.holds(low, low + span)
    assert form.width == 1 or not FixedPoint(form.signed, form.width - 1, 0).holds(low, low + span)
