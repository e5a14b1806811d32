"""C's integer types and literals: the smallest that holds a range, and numbers as every compiler takes them."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.design.formats import FixedPoint

SIZES = (8, 16, 32, 64)


@dataclass(frozen=True)
class CType:
    """An integer type of <stdint.h>. Of 64 bits only the signed one is used: 62 bits are the most that a code has."""

    signed: bool
    bits: int

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}int{self.bits}_t"

    @property
    def bytes(self) -> int:
        return self.bits // 8

    @property
    def short(self) -> str:
        """As it stands in the names of helpers: i32, u8."""
        return f"{'i' if self.signed else 'u'}{self.bits}"


def smallest(low: int, high: int) -> CType:
    """The smallest type that holds low..high; unsigned where nothing is negative."""
    for bits in SIZES[:-1]:
        if low >= 0 and high < 1 << bits:
            return CType(False, bits)
        if low >= -(1 << (bits - 1)) and high < 1 << (bits - 1):
            return CType(True, bits)
    return CType(True, 64)


def signed(bound: int, least: int = 32) -> CType:
    """The smallest signed type of `least` bits or more that holds -bound..bound."""
    return CType(True, next(bits for bits in SIZES if bits >= least and bound < 1 << (bits - 1)))


def of_format(form: FixedPoint) -> CType:
    """The type of a port: what `toolkit.emit.packing.small_type` is to numpy."""
    bits = next(b for b in SIZES if form.width <= b)
    return CType(form.signed or bits == 64, bits)


def literal(value: int) -> str:
    """A number as a constant expression that has room for it, on machines with an int of 16 bits too."""
    size = abs(value)
    if size < 1 << 15:
        return str(value)
    text = f"INT{32 if size < 1 << 31 else 64}_C({size})"
    return f"-{text}" if value < 0 else text
