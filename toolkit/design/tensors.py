"""Tensors of a design: a name, a shape, a format, and the interval of codes that each element can take."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, prod

import numpy as np

from toolkit.design.formats import FixedPoint
from toolkit.utils.errors import InputError

MAX_EXPONENT = 100
"""Of an input feature: a float32 times such a power of two is exact where it is normal."""


@dataclass(frozen=True)
class Tensor:
    """A value that flows between layers. `shape` is without the batch: (features,) or (channels, ...).

    Only a design's input has `exponents`, one for each place along its last axis or one for each element: there the
    code c stands for the real value `c * 2**(exponent - frac)`. Layers know nothing of it: they read `c * 2**-frac`.
    Only an input of raw bytes has a `normalisation`: scale and offset of each place along its last axis, or of all.
    They are in the weights already, and told for the record: the network was trained on `scale * byte + offset`.
    """

    name: str
    shape: tuple[int, ...]
    format: FixedPoint
    exponents: tuple[int, ...] = ()
    normalisation: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        if len(self.normalisation) not in (0, 1, *self.shape[-1:]) or not all(
                len(pair) == 2 and all(map(isfinite, pair)) for pair in self.normalisation):
            raise InputError(f"'{self.name}' has a normalisation that is no finite scale and offset for each of "
                             f"{self.shape[-1]} channels, or for all of them")
        if not self.exponents:
            return
        if len(self.exponents) not in (self.shape[-1], self.size):
            raise InputError(f"'{self.name}' has {len(self.exponents)} exponents; its shape {self.shape} takes "
                             f"{self.shape[-1]} or {self.size}")
        if max(map(abs, self.exponents)) > MAX_EXPONENT:
            raise InputError(f"an exponent of '{self.name}' is outside -{MAX_EXPONENT}..{MAX_EXPONENT}")

    def quantise(self, values: np.ndarray) -> np.ndarray:
        """Real values (n, *shape) to int64 codes: each of the format, once its feature's exponent is taken off."""
        if not self.exponents:
            return self.format.quantise(values)
        exponents = np.resize(np.array(self.exponents), self.shape)
        return self.format.quantise(np.ldexp(np.asarray(values, np.float64), -exponents))

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
