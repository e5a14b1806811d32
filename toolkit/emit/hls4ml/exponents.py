"""Weights as hls4ml's exponent type: a sign and a shift, and the widths in which its product is exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.design.formats import FixedPoint
from toolkit.design.layers import Layer

MAX_BITS = 32


@dataclass(frozen=True)
class Exponents:
    """What hls4ml calls a quantizer: the type of the weights. `zero`: the shift that stands for a weight of zero, where
    there is one: it shifts every input out of the product."""

    width: int
    zero: int | None

    @property
    def hls_type(self):  # the name that hls4ml reads
        from hls4ml.model.types import ExponentPrecisionType

        return ExponentPrecisionType(width=self.width, signed=True)

    def __call__(self, data: np.ndarray) -> np.ndarray:
        return data


def exponents(layer: Layer, values: np.ndarray, frac: int, x: FixedPoint) -> Exponents:
    """The narrowest exponents in which every product with an input of format `x` is exact; refuses what has none.

    hls4ml's product holds K = exponent bits + input bits before the point and as many behind it: a shift to the right
    that needs more would lose bits, and a zero can only be a shift so far that nothing is left, which is right for
    inputs that are never negative (a negative one leaves its sign).
    """
    magnitudes = np.abs(values)
    used = magnitudes[magnitudes > 0]
    if np.any(used & (used - 1)):
        raise layer.fail(f"{int(np.count_nonzero(used & (used - 1)))} of its weights are not powers of two, so they "
                         "have no exponents; --hls4ml fixed works")
    zeros = values.size - used.size
    if zeros and x.signed:
        raise layer.fail(f"{zeros} of its weights are zero, which hls4ml's exponents cannot say for inputs that can be "
                         "negative; --hls4ml fixed works")
    shifts = np.log2(used.astype(np.float64)).astype(np.int64) - frac if used.size else np.zeros(1, np.int64)
    low, high, whole = int(shifts.min()), int(shifts.max()), x.width - x.frac
    for width in range(2, MAX_BITS + 1):
        half = width + x.width
        zero = -(half + max(whole, 0)) if zeros else None
        least = min(low, zero if zero is not None else low)
        if -(1 << (width - 1)) <= least and high < 1 << (width - 1) \
                and x.frac - min(low, 0) <= half and whole + max(high, 0) + 1 <= half:
            return Exponents(width, zero)
    raise layer.fail(f"its weights from 2**{low} to 2**{high} need more than {MAX_BITS} bits of exponent; "
                     "--hls4ml fixed works")
