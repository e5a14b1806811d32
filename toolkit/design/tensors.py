"""Tensors of a design: a name, a shape, a format, and the interval of codes that each element can take."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from toolkit.design.formats import FixedPoint


@dataclass(frozen=True)
class Tensor:
    """A value that flows between layers. `shape` is without the batch: (features,) or (channels, ...)."""

    name: str
    shape: tuple[int, ...]
    format: FixedPoint

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def bits(self) -> int:
        return self.size * self.format.width


@dataclass(frozen=True, eq=False)
class Interval:
    """Inclusive bounds of integer codes, element by element: two int64 arrays of one shape."""

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def full(cls, shape: tuple[int, ...], format: FixedPoint) -> Interval:
        """Every code that `format` has."""
        return cls(np.full(shape, format.min_code, np.int64), np.full(shape, format.max_code, np.int64))

    @property
    def bound(self) -> int:
        """The largest magnitude that any element can take."""
        return max(abs(int(self.low.min())), abs(int(self.high.max())))

    def flat(self) -> Interval:
        return Interval(self.low.reshape(-1), self.high.reshape(-1))

    def shifted(self, bits: int) -> Interval:
        return Interval(self.low << bits, self.high << bits)

    def widths(self) -> np.ndarray:
        """Bits each element needs: two's complement where it can be negative, plain binary where it cannot."""
        def length(x: np.ndarray) -> np.ndarray:
            # frexp's exponent is the bit length, exactly so below 2**53; beyond, Python counts.
            if np.all(np.abs(x) < 2**53):
                return np.frexp(x.astype(np.float64))[1].astype(np.int64)
            return np.array([int(v).bit_length() for v in x.ravel()], np.int64).reshape(x.shape)

        signed = self.low < 0
        high = length(np.maximum(self.high, 0))
        return np.where(signed, 1 + np.maximum(length(np.where(signed, ~self.low, 0)), high), np.maximum(high, 1))
