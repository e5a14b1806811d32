"""Fixed-point formats: what an integer code means, and how a real value becomes one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

import numpy as np

from toolkit.utils.errors import InputError

MAX_WIDTH = 62
"""Widest code in bits: one bit of head-room is left in int64 for the added half of a rounding."""


class Rounding(str, Enum):
    """How bits below the last one kept are dropped; the names in brackets are ap_fixed's."""

    FLOOR = "floor"  # TRN
    HALF_UP = "half_up"  # RND
    HALF_EVEN = "half_even"  # RND_CONV


class Overflow(str, Enum):
    """What happens to a value beyond the format: the nearest code, or the low bits."""

    SATURATE = "saturate"
    WRAP = "wrap"


@dataclass(frozen=True)
class FixedPoint:
    """A fixed-point format: the real value of an integer code is `code * 2**-frac`.

    `frac` may be negative (the last bit is worth more than one) or exceed `width`.
    """

    signed: bool
    width: int
    frac: int

    def __post_init__(self) -> None:
        if not 1 <= self.width <= MAX_WIDTH:
            raise InputError(f"a fixed-point width of {self.width} bits is outside 1..{MAX_WIDTH}")
        if abs(self.frac) > 1000:
            raise InputError(f"{self.frac} fractional bits are outside -1000..1000")

    @property
    def min_code(self) -> int:
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def max_code(self) -> int:
        return (1 << (self.width - self.signed)) - 1

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}fixed<{self.width},{self.width - self.frac}>"

    @classmethod
    def parse(cls, text: str) -> FixedPoint:
        """Read `fixed<W,I>` or `ufixed<W,I>`, the way `str()` prints it."""
        match = re.fullmatch(r"(u?)fixed<(\d{1,4}), ?(-?\d{1,4})>", text.strip())
        if match is None:
            raise InputError(f"'{text}' is no fixed-point format; write fixed<W,I> or ufixed<W,I>, as fixed<8,3>")
        width = int(match[2])
        return cls(match[1] == "", width, width - int(match[3]))

    @classmethod
    def holding(cls, low: int, high: int, frac: int) -> FixedPoint:
        """The narrowest format with `frac` fractional bits that holds every code in low..high."""
        signed = low < 0
        width = max(int(max(high, 0)).bit_length(), int(~low).bit_length() if signed else 0, 0 if signed else 1)
        return cls(signed, width + signed, frac)

    def holds(self, low: int, high: int) -> bool:
        return self.min_code <= low and high <= self.max_code

    def quantise(self, values: np.ndarray, rounding: Rounding = Rounding.HALF_UP,
                 overflow: Overflow = Overflow.SATURATE) -> np.ndarray:
        """Real values (any shape) to int64 codes. Exact while `value * 2**frac` is finite in float64."""
        values = np.asarray(values, np.float64)
        if np.isnan(values).any() or (overflow is Overflow.WRAP and np.isinf(values).any()):
            raise InputError(f"NaN, and infinity where it wraps, has no code in {self}")
        scaled = np.ldexp(values, self.frac)
        # What underflows is still not zero: a floor must see its sign.
        scaled = np.where((scaled == 0) & (values != 0), np.copysign(np.finfo(np.float64).tiny, values), scaled)
        if rounding is Rounding.HALF_EVEN:
            codes = np.rint(scaled)
        else:
            # floor(x + 0.5) is wrong where x + 0.5 is not representable; comparing the remainder is not.
            codes = np.floor(scaled)
            if rounding is Rounding.HALF_UP:
                codes += (scaled - codes) >= 0.5
        if overflow is Overflow.SATURATE:
            # Above 2**53 the largest code is no float64: the next one is, and comes back down as an integer.
            return np.minimum(np.clip(codes, self.min_code, self.max_code).astype(np.int64), self.max_code)
        span = 2.0**self.width
        return self.wrap(np.fmod(codes, span).astype(np.int64))

    def wrap(self, codes: np.ndarray) -> np.ndarray:
        """Keep the low `width` bits of int64 codes, read in this format."""
        mask = np.int64((1 << self.width) - 1)
        low = codes & mask
        return low - ((low > self.max_code).astype(np.int64) << self.width) if self.signed else low

    def value(self, codes: np.ndarray) -> np.ndarray:
        """Integer codes to the real values they stand for, in float64."""
        return np.ldexp(np.asarray(codes, np.float64), -self.frac)


def union(formats: list[FixedPoint]) -> FixedPoint:
    """The narrowest format that holds every value of every one of `formats` exactly."""
    frac = max(f.frac for f in formats)
    low = min(f.min_code << (frac - f.frac) for f in formats)
    high = max(f.max_code << (frac - f.frac) for f in formats)
    return FixedPoint.holding(low, high, frac)


@dataclass(frozen=True)
class Requantise:
    """`clamp((acc + half) >> shift)`: how an accumulator becomes an output code.

    `low` and `high` bound the output codes: a ReLU is low = 0, a clip is both. They must lie inside `format`;
    with `Overflow.WRAP` they must be its whole range, because a wrapped value knows no bounds.
    """

    format: FixedPoint
    low: int
    high: int
    rounding: Rounding = Rounding.HALF_UP
    overflow: Overflow = Overflow.SATURATE

    def __post_init__(self) -> None:
        if not (self.low <= self.high and self.format.holds(self.low, self.high)):
            raise InputError(f"clamp bounds {self.low}..{self.high} do not fit {self.format}")
        if self.overflow is Overflow.WRAP and (self.low, self.high) != (self.format.min_code, self.format.max_code):
            raise InputError("a wrapping requantisation takes no clamp bounds; use overflow 'saturate'")

    @classmethod
    def to(cls, format: FixedPoint, rounding: Rounding = Rounding.HALF_UP,
           overflow: Overflow = Overflow.SATURATE) -> Requantise:
        """A requantisation to the whole range of `format`."""
        return cls(format, format.min_code, format.max_code, rounding, overflow)

    def half(self, acc_frac: int) -> int:
        """What a half-up rounding adds to an accumulator with `acc_frac` fractional bits: it belongs in the bias."""
        shift = acc_frac - self.format.frac
        return 1 << (shift - 1) if self.rounding is Rounding.HALF_UP and shift > 0 else 0

    def shifted(self, acc: np.ndarray, acc_frac: int) -> np.ndarray:
        """int64 accumulators, rounded to the output's last bit but not yet clamped or wrapped."""
        shift = acc_frac - self.format.frac
        if shift > MAX_WIDTH:
            raise InputError(f"a right shift by {shift} bits leaves nothing of a {MAX_WIDTH}-bit accumulator")
        if self.rounding is Rounding.HALF_EVEN and shift > 0:
            return (acc + ((acc >> shift) & 1) + ((1 << (shift - 1)) - 1)) >> shift
        return self.shifted_plain(acc + self.half(acc_frac), shift)

    @staticmethod
    def shifted_plain(acc: np.ndarray, shift: int) -> np.ndarray:
        """int64 codes moved right by `shift` bits, towards minus infinity; left where it is negative."""
        return acc << -shift if shift < 0 else acc >> shift

    def apply(self, acc: np.ndarray, acc_frac: int) -> np.ndarray:
        """int64 accumulators with `acc_frac` fractional bits to int64 output codes."""
        codes = self.shifted(acc, acc_frac)
        if self.overflow is Overflow.WRAP:
            return self.format.wrap(codes)
        return np.clip(codes, self.low, self.high)
