"""Fixed-point types as hls4ml writes them, and how a requantisation becomes one: a cast, and clips where it is none."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.design.formats import FixedPoint, Overflow, Requantise, Rounding

ROUNDINGS = {Rounding.FLOOR: "TRN", Rounding.HALF_UP: "RND", Rounding.HALF_EVEN: "RND_CONV"}


@dataclass(frozen=True)
class Type:
    """A format, and what an assignment to it does: rounding, and WRAP, SAT or SAT_SYM (which has no least code)."""

    format: FixedPoint
    rounding: Rounding = Rounding.FLOOR
    overflow: str = "WRAP"

    def __str__(self) -> str:
        """As hls4ml's settings have it: fixed<8,4,RND,SAT>."""
        if self.rounding is Rounding.FLOOR and self.overflow == "WRAP":
            return str(self.format)
        return f"{str(self.format)[:-1]},{ROUNDINGS[self.rounding]},{self.overflow}>"


@dataclass(frozen=True)
class Step:
    """One element-wise `sign * x + constant`, in codes of one frac, assigned to `type`."""

    sign: int
    constant: int
    type: Type


def cast(r: Requantise) -> tuple[Type, tuple[Step, ...]]:
    """A requantisation as the type that an accumulator is assigned to, and the steps that clip what that leaves.

    A saturating type clips at the ends of a format alone, so a format is taken that is no wider than the bounds need:
    a ReLU is an unsigned one. Any other bound b is a difference that saturates at zero: min(x, b) = b - max(b - x, 0).
    """
    if r.overflow is Overflow.WRAP:
        return Type(r.format, r.rounding), ()
    form = FixedPoint.holding(r.low, r.high, r.format.frac)
    if form.signed and (r.low, r.high) == (form.min_code + 1, form.max_code):
        return Type(form, r.rounding, "SAT_SYM"), ()
    steps: list[Step] = []
    sign, constant = 1, 0  # what is held so far is sign * x + constant
    if r.high != form.max_code:
        steps.append(_positive(-1, r.high, r.high - form.min_code, r.format.frac))
        sign, constant = -1, r.high
    if r.low != form.min_code:
        steps.append(_positive(sign, constant - r.low, r.high - r.low, r.format.frac))
        sign, constant = 1, r.low
    if steps:
        steps.append(Step(sign, constant, Type(form)))
    return Type(form, r.rounding, "SAT"), tuple(steps)


def _positive(sign: int, constant: int, most: int, frac: int) -> Step:
    return Step(sign, constant, Type(FixedPoint.holding(0, most, frac), overflow="SAT"))


def signed_holding(low: int, high: int, frac: int) -> FixedPoint:
    """The narrowest signed format that holds every code in low..high."""
    return FixedPoint.holding(min(low, -1), high, frac)
