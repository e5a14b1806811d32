"""Activation formats from calibration values: the range with the least squared error, not the largest value."""

from __future__ import annotations

import numpy as np

from toolkit.design.formats import FixedPoint

SAMPLES = 1 << 20
TRIED = 6


def fitted(values: np.ndarray, width: int, *, never_saturate: bool = False, spare: int = 0) -> FixedPoint:
    """The format of `width` bits for real `values` (any shape): unsigned where none is negative.

    By default the number of fractional bits with the least squared error; with `never_saturate`, the most with which
    `values` times 2**spare still fit.
    """
    values = np.asarray(values, np.float64).ravel()
    signed = bool(values.min() < 0)
    if signed and width == 1:
        signed = False
    ends = np.array([values.min(), values.max()])
    peak = float(np.abs(ends).max()) * 2.0**spare
    if peak == 0:
        return FixedPoint(signed, width, width - 1)
    # The finest format that holds the peak, up to its last half step.
    frac = width - signed - int(np.ceil(np.log2(peak)))
    while not _fits(ends * 2.0**spare, FixedPoint(signed, width, frac)):
        frac -= 1
    if never_saturate:
        return FixedPoint(signed, width, frac)
    if len(values) > SAMPLES:
        values = values[::len(values) // SAMPLES + 1]
    tried = [FixedPoint(signed, width, frac + i) for i in range(TRIED)]
    errors = [float(((form.value(form.quantise(values)) - values) ** 2).sum()) for form in tried]
    return tried[int(np.argmin(errors))]


def _fits(ends: np.ndarray, form: FixedPoint) -> bool:
    """Whether a format holds the least and the greatest value, up to its last half steps."""
    scaled = np.ldexp(ends, form.frac)
    return bool(scaled[0] >= form.min_code - 0.5 and scaled[1] < form.max_code + 0.5)
