"""Rounding and overflow by their definitions, on exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from toolkit.design import FixedPoint, Overflow, Requantise, Rounding


def rounded(value: Fraction, rounding: Rounding) -> int:
    """The definition of each rounding, on exact fractions."""
    if rounding is Rounding.FLOOR:
        return floor(value)
    if rounding is Rounding.HALF_UP:
        return floor(value + Fraction(1, 2))
    return round(value)  # Python rounds halves of a Fraction to even


def limited(code: int, form: FixedPoint, overflow: Overflow) -> int:
    if overflow is Overflow.SATURATE:
        return min(max(code, form.min_code), form.max_code)
    code %= 1 << form.width
    return code - (1 << form.width) if code > form.max_code else code


def requantised(value: Fraction, r: Requantise) -> int:
    code = rounded(value * Fraction(2) ** r.format.frac, r.rounding)
    if r.overflow is Overflow.WRAP:
        return limited(code, r.format, r.overflow)
    return min(max(code, r.low), r.high)


def nearest_power(value: Fraction) -> Fraction:
    """By trying every power of two that could be the nearest; of two equally near ones the larger."""
    if not value:
        return value
    tried = [Fraction(2) ** e for e in range(-40, 60)]
    return (1 if value > 0 else -1) * min(tried, key=lambda p: (abs(abs(value) - p), -p))
