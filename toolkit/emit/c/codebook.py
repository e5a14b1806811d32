"""Weight codes as C reads them: each channel's weights without their common power of two, packed row by row.

A row holds the codes of all output channels for one input. Whatever the format, a code is an index into a table of
multiples of the input, which additions alone fill; so no weight takes a multiplication, nor even a shift.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.utils.errors import InputError

MAX_BITS = 28
"""Of a code."""
SUMS_BITS = 8
"""Of one that names a sum: more would take a table of more than 256 words."""
DIGIT = 16


@dataclass(frozen=True)
class Codebook:
    """How codes of `bits` bits stand for weights. `kind`:

    powers  top bit the sign, k below it: 2**(size - k), zero where k is 0
    sums    top bit the sign, k below it: magnitudes[k], zero where k is 0; `recipe[k]` are the two that add up to it
    whole   two's complement; above 4 bits each half byte has a table of its own, the signed rest at the top another
    """

    kind: str
    bits: int
    size: int
    recipe: tuple[tuple[int, int], ...] = ()
    largest: int = 0

    @property
    def split(self) -> bool:
        return self.kind == "whole" and self.bits > 4

    @property
    def entries(self) -> int:
        """Words of the table that one input is spread to."""
        below = half_bytes(self.bits) if self.kind == "whole" else 0
        return DIGIT * below + (1 << (self.bits - 4 * below))

    def row_bytes(self, count: int) -> int:
        return -(-count * self.bits // 8)


def codebook(values: np.ndarray, whole: bool) -> tuple[Codebook, np.ndarray]:
    """(codebook, codes uint8 or uint32) for int64 weights (out, taps). `whole`: integers, not sums of a few powers."""
    sizes = np.abs(values)
    top = int(sizes.max())
    if np.all(sizes & (sizes - 1) == 0):
        size = max(top.bit_length(), 1)
        k = np.where(sizes > 0, size - np.log2(np.maximum(sizes, 1)).astype(np.int64), 0)
        bits = 1 + size.bit_length()
        return Codebook("powers", bits, size, largest=1 << (size - 1)), _signed(values, k, bits)
    magnitudes = _two_digits(top)
    if not whole and np.isin(sizes, magnitudes).all() and (len(magnitudes) - 1).bit_length() < SUMS_BITS:
        bits = 1 + (len(magnitudes) - 1).bit_length()
        found = Codebook("sums", bits, len(magnitudes) - 1, _recipe(magnitudes), top)
        return found, _signed(values, np.searchsorted(magnitudes, sizes), bits)
    bits = max(int(values.max()).bit_length(), int(~values.min()).bit_length(), 1) + 1
    if bits > MAX_BITS:
        raise InputError(f"weights of {bits} bits beside a common power of two; the target c takes {MAX_BITS}; use "
                         f"int:{MAX_BITS} or narrower, log2 or log2x2 weights")
    return Codebook("whole", bits, 1 << bits, largest=1 << (bits - 1)), (values & ((1 << bits) - 1)).astype(np.uint32)


def half_bytes(bits: int) -> int:
    """Half bytes of a two's complement code that have a table of their own, below its signed rest."""
    return (bits - 1) // 4 if bits > 4 else 0


def packed(codes: np.ndarray, bits: int) -> np.ndarray:
    """Rows of codes (rows, n) as bytes (rows, whole bytes), the first code in the lowest bits."""
    each = (codes[:, :, None] >> np.arange(bits, dtype=np.uint8)) & 1
    return np.packbits(each.astype(bool).reshape(len(codes), -1), axis=1, bitorder="little")


def _signed(values: np.ndarray, k: np.ndarray, bits: int) -> np.ndarray:
    return (k + np.where(values < 0, 1 << (bits - 1), 0)).astype(np.uint8)


def _two_digits(top: int) -> np.ndarray:
    """Ascending, 0 first: the numbers up to `top` that at most two signed powers of two add up to."""
    powers = [1 << i for i in range(top.bit_length() + 1)]
    both = {a + b for a in powers for b in powers if b < a} | {a - b for a in powers for b in powers if b < a}
    return np.array(sorted(n for n in {0, *powers, *both} if n <= top), np.int64)


def _recipe(magnitudes: np.ndarray) -> tuple[tuple[int, int], ...]:
    """For each magnitude from the third on, the places of the two before it that add up to it."""
    place = {int(m): i for i, m in enumerate(magnitudes)}
    # Half of an even one has as few digits; an odd one above 1 is a neighbour of a power, one more than an even one.
    return tuple((place[m // 2], place[m // 2]) if m % 2 == 0 else (place[m - 1], 1)
                 for m in map(int, magnitudes[2:]))
