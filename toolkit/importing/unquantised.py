"""Values on scales of their own for which the file has no quantiser where hardware needs one: rounded so finely that
what comes of it is the file's, or a step off at the most; notes say where."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from toolkit.capture.onnx.file import NodeError
from toolkit.capture.onnx.steps import Pool, Step
from toolkit.design import Add, AvgPool, FixedPoint, MaxPool, Window
from toolkit.importing.lowering import Lowering
from toolkit.importing.multiply_shift import MultiplyShift
from toolkit.importing.scales import finely, following, layer, scaled, source
from toolkit.importing.symbolic import Scaled, Sums, SymbolicValue

OUTPUT_BITS = 16
"""Of an output that the file does not quantise and that has scales of its own for its channels."""
TABLE_BITS = range(12, 17)
"""Of what a table reads."""
SUM_BITS = 12
"""Fractional bits, in steps of the quantiser behind it, of a sum of values that nothing quantises."""
SATURATES = {"sigmoid": 8.0, "tanh": 4.5}
"""Beyond it a function is within 0.0004 of its end."""
STEEPEST = 1.2
"""More than any function's slope."""


def uneven(value: Any) -> bool:
    """Whether a value has scales or offsets that a tensor on one scale cannot hold exactly."""
    return isinstance(value, Scaled) and bool(
        value.offset.any() or (value.gain != value.gain[0]).any() or value.gain[0] <= 0)


def tensor(low: Lowering, name: str, label: str) -> SymbolicValue:
    """A value that nothing quantises as a tensor: exactly where its channels have one scale and no offset, else
    rounded."""
    value = low.values[name]
    if isinstance(value, Scaled) and uneven(value):
        low.values[name] = rounded(low, value, label, OUTPUT_BITS)
    return low.held(name)


def rounded(low: Lowering, value: Scaled, label: str, bits: int) -> SymbolicValue:
    """A value that nothing quantises, rounded to so many bits on one scale; a note says how far it may be off."""
    value = _fixed(low, value)
    held, (first, last), grid = source(low, value)
    reach = _reach(low, value)
    frac = _fraction(reach, bits)
    least, most = (int(np.floor(np.ldexp(side, frac) + 0.5)) for side in (reach.min(), reach.max()))
    slope = np.ldexp(value.gain, frac - grid)
    made = finely(slope, np.ldexp(value.offset, frac))
    ends = np.stack([first, last]).astype(np.float64)
    apart = np.abs(ends * (np.ldexp(made.factor.astype(np.float64), -made.shift) - slope)).max() + 0.5 + 2.0**-20
    form = FixedPoint.holding(least, most, frac)
    low.notes.approximated(f"'{label}': the file does not quantise it; it is rounded to {form}, at most"
                           f" {np.ldexp(apart, -frac):.3g} from the file's")
    bounds = [float(b) for b in (value.low.max(), value.high.min())]
    clip = tuple(int(np.clip(np.rint(np.ldexp(b, frac)), least, most)) for b in bounds)
    if not ((value.low == bounds[0]).all() and (value.high == bounds[1]).all()):
        raise NodeError(value.origin, "its clips differ from channel to channel and no Quant follows it; quantise "
                                      "behind it")
    return layer(low, held, low.unique(label), made, grid, frac, (clip[0], clip[1]), 1.0)


def read_by_a_table(low: Lowering, step: Step, function: str) -> SymbolicValue:
    """What a function reads. Sums that nothing quantises are rounded, so finely that the codes of the Quant behind the
    function are the file's or the next."""
    name = step.inputs[0]
    value, behind = low.values[name], following(low, step)
    wide = isinstance(value, Sums) and int(max(-value.accumulator.low.min(), value.accumulator.high.max())) >> 15
    if behind is None or not (isinstance(value, Scaled) or wide):
        return low.held(name)
    most = SATURATES.get(function, math.inf)
    value = _fixed(low, scaled(low, name, step).clipped(-most, most))
    for bits in TABLE_BITS:
        if STEEPEST * 2.0**-(_fraction(_reach(low, value), bits) + 1) <= behind.scale / 2:
            return rounded(low, value, f"{step.label} input", bits)
    raise step.fail(f"reads numbers that nothing quantises, of which {TABLE_BITS[-1]} bits are too few for the Quant "
                    "behind it; quantise its input")


def pooled(low: Lowering, step: Pool, value: Scaled, window: Window) -> None:
    """A pool of sums with scales or offsets of their own: of the sums, before those."""
    value = _fixed(low, value)
    held = source(low, value)[0]
    label = low.unique(step.label)
    if step.kind == "max":
        sign = np.where(value.gain < 0, -1, 1)
        if (sign < 0).any():  # the largest of what falls with the sum is the smallest sum
            channels, span = len(sign), low.intervals[held.tensor]
            most = int(max(-span.low.min(), span.high.max()))
            frac = low.tensors[held.tensor].format.frac
            nothing = np.zeros(channels, np.int64)
            turn = MultiplyShift(sign, nothing, nothing, np.ones(channels, bool), 0)
            held = layer(low, held, f"{label} turned", turn, frac, frac, (-most, most), 1.0)
        made = low.append(MaxPool(label, (held.tensor,), window))
        low.set(step, replace(value, source=SymbolicValue(made.name, step.shape), gain=np.abs(value.gain)))
        return
    if np.isfinite(value.low).any() or np.isfinite(value.high).any():
        raise step.fail("is the mean of what is clipped on a scale of its own; quantise before it")
    if value.offset.any() and any(map(any, window.padding)):
        raise step.fail("is the mean of what has an offset, and of zeros around it; quantise before it")
    sums = low.summed(step, lambda r, power: AvgPool(label, (held.tensor,), window, 1, power, r), step.shape,
                      low.tensors[held.tensor].format.frac)
    low.set(step, Scaled.of(sums, value.gain / window.positions, value.offset, step.origin))


def added(low: Lowering, step: Step) -> None:
    """The sum of values of which some have scales or offsets of their own, in steps of the Quant that follows."""
    target = following(low, step)
    if target is None:
        raise step.fail("adds what has a scale for each channel, and no Quant follows it; quantise the sum")
    parts = []
    for name in step.inputs:
        value = _fixed(low, scaled(low, name, step))
        held, (first, last), grid = source(low, value)
        if np.isfinite(value.low).any() or np.isfinite(value.high).any():
            raise step.fail("adds what is clipped on a scale of its own; quantise before it")
        made = finely(np.ldexp(value.gain / target.scale, SUM_BITS - grid),
                       np.ldexp(value.offset / target.scale, SUM_BITS))
        ends = np.stack([(side * made.factor + made.offset) >> made.shift for side in (first, last)])
        parts.append(layer(low, held, f"{step.label} {held.tensor}", made, grid, SUM_BITS,
                           (int(ends.min()), int(ends.max())), 1.0))
    parts = [low.ordered(step, part) for part in parts]
    low.notes.approximated(f"'{step.label}': it adds what the file does not quantise, so that its codes are up to 1 "
                           f"step from the file's, where a sum is within {2.0**-SUM_BITS * len(parts):.2g} steps of a "
                           "half")
    label, names = low.unique(step.label), tuple(part.tensor for part in parts)
    sums = low.summed(step, lambda r, power: Add(label, names, r), step.shape, SUM_BITS, scalable=False)
    low.set(step, Scaled.of(sums, target.scale, 0.0, step.origin))


def _fixed(low: Lowering, value: Scaled) -> Scaled:
    """The value, its sums a layer."""
    return replace(value, source=source(low, value)[0])


def _reach(low: Lowering, value: Scaled) -> np.ndarray:
    """The value at both ends of each channel's codes, (2, channels, 1)."""
    _, ends, grid = source(low, value)
    return np.stack([value.value(np.ldexp(side[:, None].astype(np.float64), -grid)) for side in ends])


def _fraction(reach: np.ndarray, bits: int) -> int:
    """The fractional bits with which so many bits hold all of `reach`."""
    return bits - 1 - math.frexp(max(float(np.abs(reach).max()), 1e-30))[1]
