"""A requantisation as C statements: round, shift, clamp or wrap, each only where some value can need it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.design import FixedPoint, LayerRange, Overflow, Requantise, Rounding
from toolkit.emit.c.types import CType, literal


@dataclass(frozen=True)
class Requantisation:
    """`lines` turn the variable `v` of `type`, an accumulator without its rounding half, into an output code."""

    type: CType
    lines: tuple[str, ...]


def requantisation(r: Requantise, range: LayerRange, type: CType, *, half: bool = True) -> Requantisation:
    """The whole of a requantisation of `v`; `half`: the rounding half is not in `v` yet."""
    shift = range.acc_frac - r.format.frac
    lines = []
    if r.rounding is Rounding.HALF_EVEN and shift > 0:
        lines.append(f"v += {asr('v', shift, type, mask=True)} + {literal((1 << (shift - 1)) - 1)};")
    elif half and r.half(range.acc_frac):
        lines.append(f"v += {literal(r.half(range.acc_frac))};")
    if shift > 0:
        lines.append(f"v = {asr('v', shift, type)};")
    elif shift < 0:
        lines.append(f"v = shl_{type.short}(v, {-shift});")
    return Requantisation(type, (*lines, *limits(r, range, type)))


def limits(r: Requantise, range: LayerRange, type: CType) -> tuple[str, ...]:
    """The clamp or the wrap of a value that is already on the output's grid."""
    low, high = before_limits(r, range)
    if r.overflow is Overflow.WRAP:
        return () if r.format.holds(low, high) else (f"v = {wrapped(r.format, type)};",)
    found = []
    if low < r.low:
        found.append(f"if (v < {literal(r.low)}) {{ v = {literal(r.low)}; }}")
    if high > r.high:
        found.append(f"if (v > {literal(r.high)}) {{ v = {literal(r.high)}; }}")
    return tuple(found)


def before_limits(r: Requantise, range: LayerRange) -> tuple[int, int]:
    """The least and the greatest code that reaches the clamp or the wrap."""
    acc = range.accumulator
    assert acc is not None
    half = r.half(range.acc_frac)
    low, high = (r.shifted(np.asarray(side - half), range.acc_frac) for side in (acc.low, acc.high))
    return int(low.min()), int(high.max())


def asr(value: str, shift: int, type: CType, mask: bool = False) -> str:
    """A right shift towards minus infinity. Bits beyond the type are its sign, so a longer shift changes nothing."""
    moved = f"({value} >> {min(shift, type.bits - 1)})"
    return f"({moved} & 1)" if mask else moved.removeprefix("(").removesuffix(")")


def wrapped(form: FixedPoint, type: CType) -> str:
    """The low bits of `v`, read in `form`: without a shift of a negative number, and without an overflow."""
    low = f"(v & {literal((1 << form.width) - 1)})"
    if not form.signed:
        return low[1:-1]
    sign = literal(1 << (form.width - 1))
    return f"({low} ^ {sign}) - {sign}"
