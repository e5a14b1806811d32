"""Weight codes: the bits that are stored, and the shifts and signs (or integers) that they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from toolkit.utils.errors import InputError


def code_type(bits: int) -> type[np.unsignedinteger]:
    """The numpy type that holds a weight's code of so many bits."""
    return np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32


@dataclass(frozen=True)
class Log2Format:
    """Signed powers of two in `bits` bits: the top bit is the sign, the rest an index k.

    k = 0 is zero; k = 1 .. levels is the magnitude 2**(e - (k - 1)), where e is the exponent of the output channel.
    `levels` may be fewer than the 2**(bits-1) - 1 that the bits can tell apart: a narrow exponent range costs far
    less hardware than a wide one.
    """

    bits: int
    levels: int
    kind: ClassVar[str] = "log2"

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 8:
            raise InputError(f"log2 weights of {self.bits} bits are outside 2..8")
        if not 1 <= self.levels <= 2 ** (self.bits - 1) - 1:
            raise InputError(f"log2 weights of {self.bits} bits have 1..{2 ** (self.bits - 1) - 1} levels, "
                             f"not {self.levels}")

    @classmethod
    def of(cls, bits: int, levels: int | None = None) -> Log2Format:
        """A format of `bits` bits with all its levels unless fewer are asked for."""
        return cls(bits, 2 ** max(bits - 1, 0) - 1 if levels is None else levels)

    def __str__(self) -> str:
        full = self.levels == 2 ** (self.bits - 1) - 1
        return f"log2:{self.bits}" + ("" if full else f",levels={self.levels}")

    def valid(self, codes: np.ndarray) -> bool:
        return bool(np.all(codes < 2**self.bits) and np.all(self.index(codes) <= self.levels))

    def encode(self, signs: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Signs (any shape, negative means minus) and indices k in 0..levels to uint8 codes; zero has no sign."""
        sign = ((signs < 0) & (indices > 0)).astype(np.uint8)
        return (sign << np.uint8(self.bits - 1)) | indices.astype(np.uint8)

    def index(self, codes: np.ndarray) -> np.ndarray:
        return codes & np.uint8((1 << (self.bits - 1)) - 1)

    def terms(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 codes to (mantissa in -1, 0, 1 as int64, exponent relative to the channel's e as int64)."""
        k = self.index(codes).astype(np.int64)
        sign = 1 - 2 * (codes >> np.uint8(self.bits - 1)).astype(np.int64)
        return np.where(k > 0, sign, 0), np.where(k > 0, 1 - k, 0)


@dataclass(frozen=True)
class IntegerFormat:
    """Two's complement weights of `bits` bits: the value is code * 2**e, with e per output channel. Codes of more than
    8 bits, which only imported networks have, are uint16, of more than 16 uint32."""

    bits: int
    kind: ClassVar[str] = "int"

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 28:
            raise InputError(f"integer weights of {self.bits} bits are outside 2..28")

    def __str__(self) -> str:
        return f"int:{self.bits}"

    def valid(self, codes: np.ndarray) -> bool:
        return bool(np.all(codes < 2**self.bits))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Integers in -2**(bits-1) .. 2**(bits-1)-1 to codes."""
        return (np.asarray(values, np.int64) & ((1 << self.bits) - 1)).astype(code_type(self.bits))

    def terms(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes to (mantissa as int64, exponent relative to the channel's e, all zero)."""
        value = codes.astype(np.int64)
        value -= (value >> (self.bits - 1)) << self.bits
        return value, np.zeros_like(value)


@dataclass(frozen=True)
class TwoTermFormat:
    """Sums of two signed powers of two (additive powers of two, Li et al. 2020) in `bits` bits: the top bit is the
    sign, the rest an index k into `magnitudes`, with e per output channel: the value is magnitudes[k] * 2**e.

    The magnitudes are the whole numbers that at most two signed digits write, from 0 upwards: 0..10, 12, 14..18, 20,
    24, 28, 30..34 and so on. Small weights are as evenly spaced as integers, large ones as wide apart as log2's, and
    none takes more than two shifts.
    """

    bits: int
    levels: int
    kind: ClassVar[str] = "log2x2"

    def __post_init__(self) -> None:
        if not 3 <= self.bits <= 8:
            raise InputError(f"log2x2 weights of {self.bits} bits are outside 3..8")
        if not 2 <= self.levels <= 2 ** (self.bits - 1) - 1:
            raise InputError(f"log2x2 weights of {self.bits} bits have 2..{2 ** (self.bits - 1) - 1} levels, "
                             f"not {self.levels}")

    @classmethod
    def of(cls, bits: int, levels: int | None = None) -> TwoTermFormat:
        """A format of `bits` bits with all its levels unless fewer are asked for."""
        return cls(bits, 2 ** max(bits - 1, 0) - 1 if levels is None else levels)

    def __str__(self) -> str:
        full = self.levels == 2 ** (self.bits - 1) - 1
        return f"log2x2:{self.bits}" + ("" if full else f",levels={self.levels}")

    @property
    def magnitudes(self) -> np.ndarray:
        """int64 (levels + 1,): 0 and every level, ascending."""
        return TWO_TERMS[:self.levels + 1]

    def valid(self, codes: np.ndarray) -> bool:
        return bool(np.all(codes < 2**self.bits) and np.all(self.index(codes) <= self.levels))

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Integers whose sizes are levels to uint8 codes; zero has no sign."""
        values = np.asarray(values, np.int64)
        sign = (values < 0).astype(np.uint8)
        return (sign << np.uint8(self.bits - 1)) | np.searchsorted(self.magnitudes, np.abs(values)).astype(np.uint8)

    def index(self, codes: np.ndarray) -> np.ndarray:
        return codes & np.uint8((1 << (self.bits - 1)) - 1)

    def terms(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 codes to (mantissa as int64, exponent relative to the channel's e, all zero)."""
        sign = 1 - 2 * (codes >> np.uint8(self.bits - 1)).astype(np.int64)
        value = sign * TWO_TERMS[self.index(codes)]
        return value, np.zeros_like(value)


def _two_terms() -> np.ndarray:
    """The 128 smallest whole numbers that need at most two signed digits, 0 among them."""
    powers = [1 << i for i in range(16)]
    return np.array(sorted({0, *powers, *(a + b for a in powers for b in powers if b < a),
                            *(a - b for a in powers for b in powers if b < a)})[:128], np.int64)


TWO_TERMS = _two_terms()
WeightFormat = Log2Format | IntegerFormat | TwoTermFormat


def weight_format(kind: str, bits: int, levels: int | None = None) -> WeightFormat:
    """The weight format of a name, as a design file or a scheme names it."""
    if kind == "log2":
        return Log2Format.of(bits, levels)
    if kind == "log2x2":
        return TwoTermFormat.of(bits, levels)
    if kind == "int":
        return IntegerFormat(bits)
    raise InputError(f"unknown weight format '{kind}'; known are log2, log2x2 and int")


@dataclass(frozen=True, eq=False)
class Weights:
    """A weight tensor as it is stored: codes (out, ...) of `code_type` and one exponent per output channel
    (out,)."""

    format: WeightFormat
    codes: np.ndarray
    exponents: np.ndarray

    def __post_init__(self) -> None:
        kind = code_type(self.format.bits)
        if self.codes.dtype != kind or self.codes.ndim < 2 or self.codes.size == 0:
            raise InputError(f"weight codes must be a non-empty {kind.__name__} matrix, not {self.codes.dtype} of "
                             f"shape {self.codes.shape}")
        if self.exponents.shape != self.codes.shape[:1]:
            raise InputError(f"{self.codes.shape[0]} output channels need as many exponents, not shape "
                             f"{self.exponents.shape}")
        if np.any(np.abs(self.exponents.astype(np.int64)) > 500):
            raise InputError("a weight exponent is outside -500..500")
        if not self.format.valid(self.codes):
            raise InputError(f"a weight code is outside {self.format}")

    @property
    def bits(self) -> int:
        """Bits of the codes alone."""
        return int(self.codes.size) * self.format.bits

    def integers(self) -> tuple[np.ndarray, int]:
        """The weights as int64 on one grid: (values, frac) with the real weight = values * 2**-frac.

        `frac` is the smallest that makes every weight an integer.
        """
        mantissa, relative = self.format.terms(self.codes)
        exponent = relative + self.exponents.astype(np.int64).reshape((-1,) + (1,) * (self.codes.ndim - 1))
        used = mantissa != 0
        if not used.any():
            return np.zeros_like(mantissa), 0
        odd = mantissa & -mantissa  # the lowest set bit: an even mantissa needs less resolution than its exponent says
        lowest = int((exponent + np.log2(np.where(used, odd, 1)).astype(np.int64))[used].min())
        shift = np.where(used, exponent - lowest, 0)
        if int(shift.max()) > 50:
            raise InputError(f"weights of one layer span {int(shift.max())} powers of two; 50 is the most supported")
        # An even mantissa may sit below the grid: its shift is negative, and exact.
        values = np.where(shift >= 0, mantissa << np.maximum(shift, 0), mantissa >> np.maximum(-shift, 0))
        return values, -lowest

    def values(self) -> np.ndarray:
        """The real weights in float64, shape of the codes."""
        integers, frac = self.integers()
        return np.ldexp(integers.astype(np.float64), -frac)
