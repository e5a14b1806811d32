"""Real weights that are whole numbers times powers of two, as codes; and those that are not, to the nearest."""

from __future__ import annotations

import math

import numpy as np

from toolkit.design.weights import IntegerFormat, Log2Format, Weights

NOTHING = 1 << 20
"""The exponent of the lowest set bit of a zero: larger than any other."""
MAX_BITS = 16
APPROXIMATE_BITS = 8
FLOAT32 = 5e-7
"""How far apart two float32 numbers are, at the most, that are the same one computed in two ways."""
LIKELY = 0.01
"""That weights lie on a grid by chance."""
_STEPS = range(1, 1 << 15)
"""Whole numbers that the largest weight of a channel may be."""


def lowest(values: np.ndarray) -> np.ndarray:
    """For each float64, the exponent of its lowest set bit; a large one where it is zero."""
    mantissa, exponent = np.frexp(values)
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    odd = (whole & -whole).astype(np.float64)
    return np.where(values != 0, exponent - 53 + np.log2(np.where(values != 0, odd, 1)).astype(np.int64), NOTHING)


def coded(values: np.ndarray) -> Weights | None:
    """Weights (out, ...) in float64 as codes that stand for exactly them: log2 where every one is zero or a power of
    two, else integers of as few bits as they need; None where those would be more than 16."""
    rows = values.reshape(len(values), -1)
    least = lowest(rows).min(axis=1)
    least = np.where(least == NOTHING, 0, least)
    if np.abs(least).max() > 500:
        return None
    scaled = np.ldexp(rows, -least[:, None])
    used = scaled != 0
    powers = np.frexp(np.abs(scaled))
    if used.any() and (powers[0][used] == 0.5).all():
        above = np.where(used, powers[1] - 1, -1)
        top = above.max(axis=1)
        index = np.where(used, top[:, None] - above + 1, 0)
        if index.max() <= 127:
            bits = max(int(index.max()).bit_length() + 1, 2)
            form = Log2Format(bits, int(index.max()))
            codes = form.encode(np.sign(scaled).astype(np.int64), index)
            return Weights(form, codes.reshape(values.shape), np.where(top < 0, 0, top + least).astype(np.int64))
    if np.abs(scaled).max() >= 1 << MAX_BITS:
        return None
    whole = scaled.astype(np.int64)
    return _integers(whole, least, values.shape)


def on_a_grid(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(whole numbers, gains) of weights (out, ...) that are, channel by channel, whole numbers of up to 16 bits times a
    gain above 0, as far as float32 tells: float64 of their shape and (out,). None where they are not, or where any
    numbers would be as likely to be so (the fewer they are, the finer a grid is found that all of them lie on)."""
    rows = values.reshape(len(values), -1)
    whole, gains = np.zeros(rows.shape), np.ones(len(rows))
    chance: list[float] = []
    for row, (into, largest) in enumerate(zip(rows, np.abs(rows).max(axis=1), strict=True)):
        if largest == 0:
            continue
        sizes = np.unique(np.abs(into)) / largest
        found = next((steps for steps in _STEPS if _whole(sizes * steps)), None)
        if found is None:
            return None
        whole[row] = np.rint(into * (found / largest))
        others = np.count_nonzero(sizes) - 1
        chance += [min(found * (2 * FLOAT32 * found) ** others, 1.0)] if found > 1 else []
        # Of all weights, so that the rounding of none of them counts alone.
        gains[row] = (np.abs(into).sum() / np.abs(whole[row]).sum())
    used = whole.any(axis=1)
    if chance and math.prod(chance) > LIKELY:
        return None
    if used.any():
        # One scale for all where each channel's is a whole multiple of the smallest.
        least = gains[used].min()
        times = np.where(used, np.rint(gains / least), 1)
        if _whole(gains[used] / least) and (np.abs(whole * times[:, None]) < 1 << MAX_BITS - 1).all():
            whole, gains = whole * times[:, None], np.full(len(gains), (gains[used] / times[used]).mean())
    return whole.reshape(values.shape), gains


def _whole(sizes: np.ndarray) -> bool:
    nearest = np.rint(sizes)
    return bool((np.abs(sizes - nearest) <= FLOAT32 * nearest).all())


def approximated(values: np.ndarray) -> tuple[Weights, float]:
    """Weights as integers of 8 bits with a power-of-two scale for each channel, and the largest error as a share of
    its channel's largest weight."""
    rows = values.reshape(len(values), -1)
    most = np.abs(rows).max(axis=1)
    exponent = np.where(most > 0, np.frexp(most)[1] - (APPROXIMATE_BITS - 1), 0)
    top = (1 << (APPROXIMATE_BITS - 1)) - 1
    whole = np.clip(np.rint(np.ldexp(rows, -exponent[:, None])), -top, top)
    error = np.abs(np.ldexp(whole, exponent[:, None]) - rows).max(axis=1)
    share = float((error / np.where(most > 0, most, 1)).max())
    found = coded(np.ldexp(whole, exponent[:, None]).reshape(values.shape))
    assert found is not None
    return found, share


def _integers(whole: np.ndarray, exponents: np.ndarray, shape: tuple[int, ...]) -> Weights | None:
    widest = max(int(whole.max()).bit_length(), int(~whole.min()).bit_length() if whole.min() < 0 else 0) + 1
    if widest > MAX_BITS:
        return None
    form = IntegerFormat(max(widest, 2))
    return Weights(form, form.encode(whole).reshape(shape), exponents.astype(np.int64))


def bias_codes(values: np.ndarray, grid: int, *, sticky: bool) -> tuple[np.ndarray, int, bool]:
    """(int64 codes, frac, exact) of a bias (out,) beside products with `grid` fractional bits.

    Finer than the grid, what a rounding to the grid or coarser still sees of a bias is whether anything lies below it:
    with `sticky` one more bit says that, and the result stays exact. Without, 24 more bits are kept.
    """
    finest = lowest(values).min()
    frac = -int(finest) if finest != NOTHING else 0
    if sticky:
        if frac <= grid + 1:
            return np.ldexp(values, frac).astype(np.int64), frac, True
        scaled = np.ldexp(values, grid)
        below = np.floor(scaled)
        return (2 * below + (scaled != below)).astype(np.int64), grid + 1, True
    kept = min(frac, grid + 24)
    return np.rint(np.ldexp(values, kept)).astype(np.int64), kept, kept == frac
