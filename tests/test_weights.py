"""Weight codes: exactly the bits that the contract names."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings

from benchmarks.networks.strategies import weights
from toolkit.design import IntegerFormat, Log2Format, TwoTermFormat, Weights, weight_format
from toolkit.estimate.adder_bits import signed_digits
from toolkit.utils.errors import InputError


@cache
def two_digits() -> list[int]:
    """Whole numbers that are 0, a power of two, or the sum or difference of two, counted up by trying each."""
    powers = [2**i for i in range(14)]
    return [n for n in range(2**13) if n == 0 or n in powers or any(n - a in powers or a - n in powers for a in powers)]


def meaning(form, code: int, exponent: int) -> Fraction:
    """The definition: sign on top, index k below, 2**(e - (k - 1)); or two's complement times 2**e."""
    if isinstance(form, IntegerFormat):
        value = code - (1 << form.bits) if code >> (form.bits - 1) else code
        return Fraction(value) * Fraction(2) ** exponent
    k = code & ((1 << (form.bits - 1)) - 1)
    if isinstance(form, TwoTermFormat):
        return (-1) ** (code >> (form.bits - 1)) * Fraction(two_digits()[k]) * Fraction(2) ** exponent
    if k == 0:
        return Fraction(0)
    return (-1) ** (code >> (form.bits - 1)) * Fraction(2) ** (exponent - (k - 1))


@given(weights(3, 4))
@settings(max_examples=200, deadline=None)
def test_values_are_what_the_codes_mean(w: Weights):
    integers, frac = w.integers()
    for (row, column), code in np.ndenumerate(w.codes):
        expected = meaning(w.format, int(code), int(w.exponents[row]))
        assert Fraction(int(integers[row, column])) * Fraction(2) ** -frac == expected
        assert Fraction(w.values()[row, column]) == expected


@given(weights(3, 4))
@settings(deadline=None)
def test_the_common_grid_is_no_finer_than_needed(w: Weights):
    integers, _ = w.integers()
    assert not integers.any() or (integers & 1).any()


def test_four_bits_tell_seven_magnitudes_apart():
    form = Log2Format.of(4)
    codes = np.array([[0, 1, 7, 9, 15]], np.uint8)
    assert Weights(form, codes, np.array([2])).values().tolist() == [[0.0, 4.0, 0.0625, -4.0, -0.0625]]


@pytest.mark.parametrize("bits", range(2, 9))
def test_every_width_has_all_its_levels(bits):
    assert Log2Format.of(bits).levels == 2 ** (bits - 1) - 1


def test_five_bits_of_two_terms_tell_fifteen_magnitudes_apart():
    assert TwoTermFormat.of(5).magnitudes.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 17]


@given(weights(3, 4))
@settings(deadline=None)
def test_a_weight_of_two_terms_has_at_most_two_signed_digits(w: Weights):
    if isinstance(w.format, TwoTermFormat):
        assert (signed_digits(w.integers()[0]) <= 2).all()


@pytest.mark.parametrize("bits, levels", [(2, None), (9, None), (4, 1), (4, 8)])
def test_two_terms_that_do_not_exist_are_refused(bits, levels):
    with pytest.raises(InputError):
        TwoTermFormat.of(bits, levels)


@pytest.mark.parametrize("bits, levels", [(1, None), (9, None), (4, 0), (4, 8)])
def test_widths_and_levels_that_do_not_exist_are_refused(bits, levels):
    with pytest.raises(InputError):
        Log2Format.of(bits, levels)


def test_zero_has_one_code():
    assert Log2Format.of(4).encode(np.array([-1.0]), np.array([0])).tolist() == [0]


def test_a_code_beyond_the_levels_is_refused():
    with pytest.raises(InputError, match="outside"):
        Weights(Log2Format(4, 3), np.array([[4]], np.uint8), np.array([0]))
    with pytest.raises(InputError, match="outside"):
        Weights(TwoTermFormat(4, 5), np.array([[6]], np.uint8), np.array([0]))


def test_an_unknown_format_is_named():
    with pytest.raises(InputError, match="float"):
        weight_format("float", 8)
