"""Clips, functions and quantisers as layers of a design."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from toolkit.capture.curve import Curve as Composed
from toolkit.capture.curve import finite
from toolkit.capture.onnx.quantisers import ROUNDINGS
from toolkit.capture.onnx.steps import (
    Bipolar,
    Clip,
    Elementwise,
    Function,
    Quant,
    Slope,
    Threshold,
    Truncate,
)
from toolkit.design import (
    FixedPoint,
    Lookup,
    Requantise,
    Rounding,
    Slopes,
)
from toolkit.design.layers.slopes import MAX_FRAC, MAX_SLOPE
from toolkit.importing.functions import FUNCTIONS
from toolkit.importing.lowering import Lowering
from toolkit.importing.rounding import EVERYWHERE, exponent, nearest_power, quantiser
from toolkit.importing.scales import counted, recoded, requantised, scaled
from toolkit.importing.symbolic import Curve, Scaled, Sums, SymbolicValue, Value, doubled, on_a_scale
from toolkit.importing.unquantised import read_by_a_table

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
    x = read_by_a_table(low, step, step.function)
    width = low.tensors[x.tensor].format.width
    if width > 16:
        raise step.fail(f"reads {width} bits; a table takes 16 at the most, so quantise its input")
    low.set(step, Curve(x, lambda v: FUNCTIONS[step.function](v * x.unit, step.alpha), step.function,
                        low.unique(step.label), step.origin))


def elementwise(low: Lowering, step: Elementwise) -> None:
    """A table of several functions; of what is a table already, of both."""
    value, made = low.values[step.inputs[0]], Composed(step.ops)

    def run(v: np.ndarray) -> np.ndarray:
        return finite(made(torch.from_numpy(np.asarray(v, np.float64)))).numpy()

    if isinstance(value, Curve):
        inner = value.function
        low.set(step, replace(value, function=lambda v: run(inner(v)), label=f"{value.label}, {made.label}"))
        return
    x = low.held(step.inputs[0])
    width = low.tensors[x.tensor].format.width
    if width > 16:
        raise step.fail(f"reads {width} bits; a table takes 16 at the most, so quantise its input")
    low.set(step, Curve(x, lambda v: run(v * x.unit), made.label, low.unique(step.label), step.origin))


def slope(low: Lowering, step: Slope) -> None:
    """A slope for each channel, every bit of it."""
    if step.slopes.ndim > 1:
        raise step.fail("each element has a slope of its own; one for each channel is supported in a quantised network")
    x = low.held(step.inputs[0])
    frac = next((f for f in range(MAX_FRAC + 1) if np.array_equal(np.ldexp(step.slopes, f),
                                                                   np.rint(np.ldexp(step.slopes, f)))), None)
    if frac is None or np.abs(step.slopes).max() * 2.0**frac >= MAX_SLOPE:
        raise step.fail("its slopes are no whole numbers of up to 30 bits over a power of two; round them")
    negative = np.rint(np.ldexp(step.slopes, frac)).astype(np.int64)
    if x.order is not None:
        turned = np.empty_like(negative)
        turned[x.order] = negative
        negative = turned
    label, positive = low.unique(step.label), np.full(len(negative), np.int64(1) << frac)
    places = frac
    sums = low.summed(step, lambda r, power: Slopes(label, (x.tensor,), negative, positive, places + power, r),
                      step.shape, low.tensors[x.tensor].format.frac + frac, scalable=False, order=x.order)
    low.set(step, sums if x.unit == 1 else Scaled.of(sums, x.unit, 0.0, step.origin))


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
    steps = _steps(value, step.scale, step.zero, step.rounding)
    if steps is not None:
        # Sums in steps of the quantiser's own scale, or of a power of two of them: their rounding alone.
        assert isinstance(value, Scaled) and isinstance(value.source, Sums)
        sums = replace(doubled(value.source, steps), low=float(value.low[0]) / step.scale,
                       high=float(value.high[0]) / step.scale)
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


def _steps(value: Value, scale: float, zero: int, rounding: str) -> int | None:
    """The power of two of a quantiser's steps that sums count; None where they are nothing of the kind."""
    if not isinstance(value, Scaled) or not isinstance(value.source, Sums) or rounding not in EVERYWHERE \
            or (zero % 2 and rounding != "FLOOR") or np.ptp(value.low) > 0 or np.ptp(value.high) > 0 \
            or value.offset.any() or (value.gain != value.gain[0]).any():
        return None
    mantissa, power = math.frexp(value.gain[0] / scale)
    return power - 1 if mantissa == 0.5 and (power == 1 or value.source.scalable) else None


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
    powers = all(math.frexp(scale)[0] == 0.5 for scale in (step.scale, step.output_scale))
    if not powers or on_a_scale(low.values[step.inputs[0]]):
        least, most = (-math.inf if step.low is None else step.low), (math.inf if step.high is None else step.high)
        value = scaled(low, step.inputs[0], step)
        counted_in = _steps(value, step.scale * 2.0**step.bits, 0, step.rounding)
        if counted_in is not None and np.isinf(value.low).all() and np.isinf(value.high).all():
            assert isinstance(value.source, Sums)
            sums = doubled(value.source, counted_in)
            if step.low is None:  # no clamp: all that they reach
                least, most = (math.ldexp(int(side), -sums.frac - sums.power) for side in (
                    sums.accumulator.low.min() - 1, sums.accumulator.high.max() + 1))
            made = quantiser(step, 0, math.floor(least), math.ceil(most), 0, step.rounding, sums)
            low.set(step, replace(low.close(sums, made), unit=step.output_scale))
            return
        low.set(step, recoded(low, value, step, step.label, step.output_scale, lambda real:
                              np.clip(ROUNDINGS[step.rounding](np.rint(real / step.scale) / 2.0**step.bits), least,
                                      most).astype(np.int64), stride=step.scale * 2.0**step.bits))
        return
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
