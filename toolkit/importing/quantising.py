"""Clips, functions and quantisers as layers of a design."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from toolkit.capture.onnx.quantisers import ROUNDINGS
from toolkit.capture.onnx.steps import (
    Bipolar,
    Clip,
    Function,
    Quant,
    Threshold,
    Truncate,
)
from toolkit.design import (
    FixedPoint,
    Lookup,
    Requantise,
    Rounding,
)
from toolkit.importing.functions import FUNCTIONS
from toolkit.importing.lowering import Lowering
from toolkit.importing.rounding import EVERYWHERE, exponent, nearest_power, quantiser
from toolkit.importing.scales import counted, requantised, scaled
from toolkit.importing.symbolic import Curve, Scaled, Sums, SymbolicValue, doubled, on_a_scale

SAME = 1e-6
"""Of a step: two numbers that only the rounding of float32 keeps apart."""


def clip(low: Lowering, step: Clip) -> None:
    value = low.values[step.inputs[0]]
    if isinstance(value, Curve):
        inner = value.function
        low.set(step, replace(value, function=lambda x: np.clip(inner(x), step.low, step.high)))
        return
    if on_a_scale(value):
        low.set(step, scaled(low, step.inputs[0], step).clipped(step.low, step.high))
        return
    low.set(step, low.open(step.inputs[0], step).clipped(step.low, step.high))


def function(low: Lowering, step: Function) -> None:
    """A table of what a tensor's codes stand for; the Quant behind it says what it holds."""
    x = low.held(step.inputs[0])
    width = low.tensors[x.tensor].format.width
    if width > 16:
        raise step.fail(f"reads {width} bits; a table takes 16 at the most, so quantise its input")
    low.set(step, Curve(x, lambda v: FUNCTIONS[step.function](v * x.unit, step.alpha), step.function,
                        low.unique(step.label), step.origin))


def quant(low: Lowering, step: Quant) -> None:
    if low.requantise:
        step = nearest_power(step, low.notes)
    value = low.values[step.inputs[0]]
    power = math.frexp(step.scale)[0] == 0.5
    frac, unit = (-exponent(step.scale), 1.0) if power else (0, step.scale)
    if isinstance(value, Curve):
        source = low.tensors[value.source.tensor].format
        codes = np.arange(source.min_code, source.max_code + 1)
        real = value.function(source.value(codes)) / step.scale + step.zero
        table = ROUNDINGS[step.rounding](np.clip(real, step.low, step.high)).astype(np.int64) - step.zero
        form = FixedPoint.holding(int(table.min()), int(table.max()), frac)
        made = low.append(Lookup(value.name, (value.source.tensor,), table, form, value.label))
        low.set(step, SymbolicValue(made.name, step.shape, value.source.order, unit))
        return
    if isinstance(value, SymbolicValue) and _is_so(low, value, step, frac, unit):
        low.set(step, value)
        return
    if isinstance(value, Scaled) and isinstance(value.source, Sums) and step.rounding in EVERYWHERE \
            and (value.gain == step.scale).all() and not value.offset.any() \
            and (step.zero % 2 == 0 or step.rounding == "FLOOR") and not np.ptp(value.low) > 0 \
            and not np.ptp(value.high) > 0:
        # Sums in steps of the quantiser's own scale: their rounding alone.
        sums = replace(value.source, low=float(value.low[0]) / step.scale, high=float(value.high[0]) / step.scale)
        made_of = low.close(sums, quantiser(step, 0, step.low, step.high, step.zero, step.rounding, sums))
        low.set(step, replace(made_of, unit=step.scale))
        return
    if not power or on_a_scale(value):
        low.set(step, requantised(low, scaled(low, step.inputs[0], step), step, step.label, scale=step.scale,
                                  zero=step.zero, least=step.low, most=step.high, rounding=step.rounding))
        return
    sums = low.open(step.inputs[0], step)
    low.set(step, low.close(sums, quantiser(step, frac, step.low, step.high, step.zero, step.rounding, sums)))


def _is_so(low: Lowering, value: SymbolicValue, step: Quant, frac: int, unit: float) -> bool:
    """Whether a tensor holds just what a quantiser would make of it."""
    tensor, codes = low.tensors[value.tensor], low.intervals[value.tensor]
    return (tensor.format.frac, value.unit) == (frac, unit) and step.low - step.zero <= codes.low.min() \
        and codes.high.max() <= step.high - step.zero


def bipolar(low: Lowering, step: Bipolar) -> None:
    """The sign bit of the sums, and a table of its two values."""
    power = math.frexp(step.scale)[0] == 0.5
    frac, unit = (-exponent(step.scale), 1.0) if power else (0, step.scale)
    if low.requantise and not power:
        frac, unit = -exponent(step.scale), 1.0
        low.notes.approximated(f"'{step.label}': the scale {step.scale:.6g} is approximated by {2.0**-frac:g}; outputs "
                         "differ from the file's")
    value = low.values[step.inputs[0]]
    if on_a_scale(value):
        # Its sign: 0 where it is not below zero, else -1.
        held = requantised(low, scaled(low, step.inputs[0], step).clipped(-1, 0), step, f"{step.label} sign", scale=1.0,
                           zero=0, least=-1, most=0, rounding="FLOOR")
    else:
        sums = low.open(step.inputs[0], step)
        form = FixedPoint(True, 1, sums.frac + sums.power)
        sign = Requantise(form, 0 if sums.low >= 0 else -1, -1 if sums.high < 0 else 0, Rounding.FLOOR)
        held = low.close(sums, sign)
    source = low.tensors[held.tensor].format
    table = np.where(np.arange(source.min_code, source.max_code + 1) < 0, -1, 1).astype(np.int64)
    made = low.append(Lookup(low.unique(step.label), (held.tensor,), table, FixedPoint(True, 2, frac), "sign"))
    low.set(step, SymbolicValue(made.name, step.shape, held.order, unit))


def threshold(low: Lowering, step: Threshold) -> None:
    """The count of the thresholds; where its offset is no whole number of steps, as bipolar outputs have it, by a table
    of twice as fine steps."""
    held = counted(low, scaled(low, step.inputs[0], step), step)
    first = step.offset / step.scale
    if abs(first - round(first)) < SAME:
        low.set(step, held)
        return
    if abs(2 * first - round(2 * first)) >= SAME:
        raise step.fail(f"its out_bias of {step.offset:g} is no multiple of half its out_scale of {step.scale:g}")
    source = low.tensors[held.tensor].format
    # Of the codes as they are, each a step; what they stand for, in half steps.
    table = 2 * (np.arange(source.min_code, source.max_code + 1) - round(first)) + round(2 * first)
    form = FixedPoint.holding(int(table.min()), int(table.max()), 0)
    made = low.append(Lookup(low.unique(step.label), (held.tensor,), table.astype(np.int64), form, "thresholds"))
    low.set(step, SymbolicValue(made.name, step.shape, held.order, step.scale / 2))


def truncate(low: Lowering, step: Truncate) -> None:
    """Low bits dropped. Of version 1 the codes keep their scale, so that the value shrinks with them."""
    for scale in (step.scale, step.output_scale):
        if math.frexp(scale)[0] != 0.5:
            raise step.fail(f"a Trunc of the scale {scale:.6g}, which is not a power of two, is not supported")
    if on_a_scale(low.values[step.inputs[0]]):
        raise step.fail("a Trunc of sums whose scale is not a power of two is not supported; a Quant is")
    sums = low.open(step.inputs[0], step)
    frac = -exponent(step.scale)
    if sums.frac + sums.power > frac:
        raise step.fail("its input is finer than its scale, so that it would round twice; quantise before it")
    after = -exponent(step.output_scale)
    shrunk = after - (frac - step.bits)
    if shrunk:
        if not sums.scalable:
            raise step.fail("its codes keep their scale while they lose bits; right behind a Conv, a MatMul or an "
                            "AveragePool that is supported")
        sums = doubled(sums, -shrunk)
    if step.low is None:
        lows, highs = (int(side) for side in (sums.accumulator.low.min(), sums.accumulator.high.max()))
        drop = sums.frac + sums.power - after
        lowest, highest = ((v >> drop if drop >= 0 else v << -drop) for v in (lows, highs))
        lowest, highest = min(lowest - 1, 0), highest + 1
    else:
        assert step.high is not None
        lowest, highest = step.low, step.high
    low.set(step, low.close(sums, quantiser(step, after, lowest, highest, 0, step.rounding, sums)))
