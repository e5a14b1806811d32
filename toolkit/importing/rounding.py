"""QONNX's rounding and clamping as a requantisation."""

from __future__ import annotations

import math

import numpy as np

from toolkit.capture.onnx.quantisers import ROUNDINGS
from toolkit.capture.onnx.steps import Quant, Step
from toolkit.design import FixedPoint, Requantise, Rounding
from toolkit.importing.notes import Notes
from toolkit.importing.symbolic import Sums

EVERYWHERE = {"ROUND": Rounding.HALF_EVEN, "HALF_EVEN": Rounding.HALF_EVEN, "FLOOR": Rounding.FLOOR}
POSITIVE = {**EVERYWHERE, "DOWN": Rounding.FLOOR, "HALF_UP": Rounding.HALF_UP}
"""Towards zero, and halves away from it: above zero these are the hardware's."""


def exponent(scale: float) -> int:
    """log2 of a power of two."""
    return int(math.frexp(scale)[1]) - 1


def nearest_power(step: Quant, notes: Notes) -> Quant:
    """The step with its scale a power of two: itself, or a finer one that spans as much, which a note reports."""
    mantissa, _ = math.frexp(step.scale)
    if mantissa == 0.5:
        return step
    power = 2.0 ** (exponent(step.scale))
    ratio = step.scale / power
    low, high = (round((bound - step.zero) * ratio) for bound in (step.low, step.high))
    notes.approximated(f"'{step.label}': the scale {step.scale:.6g} is approximated by {power:g}; codes "
                 f"{step.low}..{step.high} became {low}..{high}, and outputs differ from the file's")
    return Quant(output=step.output, inputs=step.inputs, shape=step.shape, label=step.label, origin=step.origin,
                 scale=power, zero=0, low=low, high=high, rounding=step.rounding)


def quantiser(step: Step, frac: int, low: int, high: int, zero: int, mode: str, sums: Sums) -> Requantise:
    """`clamp(round(sums), low - zero, high - zero)` with `frac` fractional bits. Raises InputError for a rounding that
    has no hardware."""
    dropped = sums.frac + sums.power - frac
    # What is rounded is the sum and the zero point, clamped: that is what must not be negative.
    reached = math.ldexp(int(sums.accumulator.low.min()), frac - sums.frac - sums.power)
    table = POSITIVE if max(math.ldexp(sums.low, frac) + zero, reached + zero, low) >= 0 else EVERYWHERE
    if dropped <= 0:
        rounding = Rounding.FLOOR
    elif mode not in table:
        raise step.fail(f"rounds by {mode}, which has no hardware; ROUND and FLOOR are supported, and behind a Relu "
                        "DOWN and HALF_UP")
    else:
        rounding = table[mode]
    if zero % 2 and rounding is Rounding.HALF_EVEN:
        raise step.fail(f"has the odd zero point {zero}, so that its halves would round to odd; use an even one, or 0")
    least, most = low - zero, high - zero
    bounds = [code(b, frac, zero, mode) for b in (sums.low, sums.high)]
    first = least if bounds[0] is None else min(max(least, bounds[0]), most)
    last = most if bounds[1] is None else max(min(most, bounds[1]), first)
    return Requantise(FixedPoint.holding(first, last, frac), first, last, rounding)


def code(bound: float, frac: int, zero: int, mode: str) -> int | None:
    """The code, zero point taken away, that a clip's bound rounds to; None where there is none."""
    return None if math.isinf(bound) else int(ROUNDINGS[mode](np.array(math.ldexp(bound, frac) + zero))) - zero
