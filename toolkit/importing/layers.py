"""Each kind of step as layers of a design."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from toolkit.capture.onnx.quantisers import ROUNDINGS
from toolkit.capture.onnx.steps import (
    Affine,
    Bipolar,
    Clip,
    Convolve,
    Flat,
    Function,
    Join,
    Largest,
    Linear,
    Permuted,
    Picked,
    Plus,
    Pool,
    Quant,
    Repeated,
    Reshaped,
    Step,
    Threshold,
    Truncate,
)
from toolkit.design import (
    Add,
    ArgMax,
    AvgPool,
    Concat,
    Conv,
    Dense,
    FixedPoint,
    Layer,
    Lookup,
    MaxPool,
    Requantise,
    Reshape,
    Rounding,
    Upsample,
    Weights,
    Window,
)
from toolkit.importing.functions import FUNCTIONS
from toolkit.importing.lowering import Lowering, channels_last
from toolkit.importing.rounding import EVERYWHERE, exponent, nearest_power, quantiser
from toolkit.importing.scales import added, counted, following, requantised, scaled, tensor
from toolkit.importing.symbolic import Curve, Scaled, Sums, SymbolicValue, Value
from toolkit.importing.weights import approximated, bias_codes, coded, lowest, on_a_grid

SAME = 1e-6
"""Of a step: two numbers that only the rounding of float32 keeps apart."""


def linear(low: Lowering, step: Linear) -> None:
    x = low.held(step.inputs[0])
    weight = step.weight
    if x.order is not None:
        weight = np.empty_like(step.weight)
        weight[:, x.order] = step.weight
    _weighted(low, step, weight, step.bias, x, lambda name, codes, bias, frac, r:
              Dense(name, (x.tensor,), codes, bias, frac, r))


def convolve(low: Lowering, step: Convolve) -> None:
    x = low.held(step.inputs[0])
    window = Window(step.weight.shape[2:], step.stride, step.padding, step.dilation)
    _weighted(low, step, np.moveaxis(step.weight, 1, -1), step.bias, x, lambda name, codes, bias, frac, r:
              Conv(name, (x.tensor,), codes, bias, frac, window, step.groups, r))


def affine(low: Lowering, step: Affine) -> None:
    """A scale that no layer took: a power of two is only a matter of name; else the Quant behind it takes it."""
    open_sums = low.values[step.inputs[0]]
    factor = float(step.scale.flat[0])
    if isinstance(open_sums, Sums) and open_sums.scalable and (step.scale == factor).all() and not step.offset.any() \
            and factor > 0 and math.frexp(factor)[0] == 0.5:
        low.set(step, doubled(open_sums, exponent(factor)))
        return
    if not low.requantise and not _shifts(low, step, open_sums):
        if step.scale.ndim > 1:
            raise step.fail("each element has a scale of its own that is not few bits times a power of two; scale the "
                            "channels, or approximate it with --requantise")
        low.set(step, scaled(low, step.inputs[0], step).affine(step.scale, step.offset))
        return
    x = low.held(step.inputs[0])
    if len(step.shape) == 1 or step.scale.ndim > 1:
        _elements(low, step, x)
        return
    channels, ones = len(step.scale), (1,) * (len(step.shape) - 1)
    _weighted(low, step, step.scale.reshape(channels, *ones, 1), step.offset, x, lambda name, codes, bias, frac, r:
              Conv(name, (x.tensor,), codes, bias, frac, Window.of(ones), channels, r))


def _elements(low: Lowering, step: Affine, x: SymbolicValue) -> None:
    """One weight an element: a convolution over one pixel, of which each element is a channel by itself."""
    size, places = low.tensors[x.tensor].size, low.places(x).reshape(-1)
    both = [np.empty(size), np.empty(size)]
    for turned, given in zip(both, (step.scale, step.offset), strict=True):
        turned[places] = given.reshape(-1)
    pixel = low.append(Reshape(low.unique(f"{step.label}_as_pixel"), (x.tensor,), (1, size))).name
    _weighted(low, step, both[0].reshape(size, 1, 1), both[1], x, lambda name, codes, bias, frac, r:
              Conv(name, (pixel,), codes, bias, frac, Window.of((1,)), size, r), x.order)


def _shifts(low: Lowering, step: Affine, x: Any) -> bool:
    """Whether a layer of shifts makes it, every bit kept: weights that are few bits, on a tensor of the file's unit."""
    return isinstance(x, SymbolicValue | Sums) and (not isinstance(x, SymbolicValue) or x.unit == 1) \
        and coded(step.scale.reshape(-1, 1)) is not None and lowest(step.offset).min() > -64


def doubled(sums: Sums, power: int) -> Sums:
    """Sums times 2**power, clips and all."""
    # Without a bit moving: the same integers with fewer fractional bits.
    return replace(sums, power=sums.power - power, low=sums.low * 2.0**power, high=sums.high * 2.0**power)


def _weighted(low: Lowering, step: Step, weight: np.ndarray, bias: np.ndarray, x: SymbolicValue,
              layer: Callable[[str, Weights, np.ndarray, int, Requantise], Layer],
              order: np.ndarray | None = None) -> None:
    """Sums of weights, which must be few bits times powers of two."""
    codes = coded(weight)
    if x.unit != 1 or (codes is None and not low.requantise):
        _on_any_scale(low, step, weight, bias, x, layer)
        return
    if codes is None:
        codes = _approximate(low, step, weight)
    grid = low.tensors[x.tensor].format.frac + codes.integers()[1]
    label = low.unique(step.label)
    found, frac, exact = bias_codes(bias, grid, sticky=False)
    if not exact:
        told = f"'{step.label}': its bias is not quantised"
        behind = following(low, step)
        if behind is not None and -exponent(behind.scale) < grid:  # which sees all of it
            low.notes.append(told)
        else:
            low.notes.approximated(told)

    def make(requantise: Requantise, power: int) -> Layer:
        moved = replace(codes, exponents=codes.exponents.astype(np.int64) - power)
        # A rounding to fewer bits than the products have sees no more of a bias than where it lies between two sums.
        coarse = requantise.format.frac + (requantise.rounding is not Rounding.FLOOR) <= grid + power
        if coarse:
            kept, places, _ = bias_codes(bias, grid, sticky=True)
            return layer(label, moved, kept, places + power, requantise)
        return layer(label, moved, found, frac + power, requantise)

    low.sums(step, make, step.shape, max(grid, frac), order=order)


def _on_any_scale(low: Lowering, step: Step, weight: np.ndarray, bias: np.ndarray, x: SymbolicValue,
                  layer: Callable[[str, Weights, np.ndarray, int, Requantise], Layer]) -> None:
    """Sums of whole numbers, of which the Quant behind them takes the scale and the bias."""
    found = on_a_grid(weight)
    codes = None if found is None else coded(found[0])
    if found is None or codes is None:
        raise step.fail("its weights are not whole numbers of up to 16 bits times one scale for each channel; quantise "
                        "them (a Quant node), or approximate them with --requantise")
    label = low.unique(step.label)
    nothing = np.zeros(len(bias), np.int64)
    grid = low.tensors[x.tensor].format.frac + codes.integers()[1]

    def make(requantise: Requantise, power: int) -> Layer:
        return layer(label, replace(codes, exponents=codes.exponents.astype(np.int64) - power), nothing, 0, requantise)

    sums = low.summed(step, make, step.shape, max(grid, 0))
    low.set(step, Scaled.of(sums, found[1] * x.unit, bias, step.origin))


def _approximate(low: Lowering, step: Step, weight: np.ndarray) -> Weights:
    codes, error = approximated(weight)
    low.notes.approximated(f"'{step.label}': its weights are approximated by {codes.format}, by up to "
                           f"{100 * error:.2g} % of the largest in a channel; outputs differ from the file's")
    return codes


def clip(low: Lowering, step: Clip) -> None:
    value = low.values[step.inputs[0]]
    if isinstance(value, Curve):
        inner = value.function
        low.set(step, replace(value, function=lambda x: np.clip(inner(x), step.low, step.high)))
        return
    if _on_a_scale(value):
        low.set(step, scaled(low, step.inputs[0], step).clipped(step.low, step.high))
        return
    low.set(step, low.open(step.inputs[0], step).clipped(step.low, step.high))


def _on_a_scale(value: Value) -> bool:
    """Whether a value is on a scale that is not the design's own."""
    return isinstance(value, Scaled) or (isinstance(value, SymbolicValue) and value.unit != 1)


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
    if not power or _on_a_scale(value):
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
    if _on_a_scale(value):
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
    if _on_a_scale(low.values[step.inputs[0]]):
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


def pool(low: Lowering, step: Pool) -> None:
    window = Window(step.kernel, step.stride, step.padding, step.dilation)
    x = low.held(step.inputs[0])
    label = low.unique(step.label)
    if step.kind == "max":
        if window.blind(channels_last(x.shape)):
            raise step.fail("one of its windows sees nothing but padding, whose largest element is no number")
        low.set(step, SymbolicValue(low.append(MaxPool(label, (x.tensor,), window)).name, step.shape, unit=x.unit))
        return
    factor, places = AvgPool.constant(window.positions)
    if x.unit != 1 or (factor != 1 and not low.requantise):
        sums = low.summed(step, lambda r, power: AvgPool(label, (x.tensor,), window, 1, power, r), step.shape,
                          low.tensors[x.tensor].format.frac)
        low.set(step, Scaled.of(sums, x.unit / window.positions, 0.0, step.origin))
        return
    if factor != 1:
        low.notes.approximated(f"'{step.label}': 1 / {window.positions} is approximated by {factor} / 2**{places}")
    low.sums(step, lambda r, power: AvgPool(label, (x.tensor,), window, factor, places + power, r), step.shape,
             low.tensors[x.tensor].format.frac + places)


def plus(low: Lowering, step: Plus) -> None:
    parts = [low.held(n) for n in step.inputs]
    if len({None if p.order is None else p.order.tobytes() for p in parts}) > 1:
        parts = [low.ordered(step, p) for p in parts]
    if len({p.unit for p in parts}) > 1:
        low.set(step, added(low, step, parts))
        return
    unit = parts[0].unit
    label = low.unique(step.label)
    names = tuple(p.tensor for p in parts)
    sums = low.summed(step, lambda r, power: Add(label, names, r), step.shape,
                      max(low.tensors[n].format.frac for n in names), scalable=False, order=parts[0].order)
    low.set(step, sums if unit == 1 else Scaled.of(sums, unit, 0.0, step.origin))


def join(low: Lowering, step: Join) -> None:
    parts = [low.ordered(step, low.held(n)) for n in step.inputs]
    axis = step.axis - 1 if step.axis else len(step.shape) - 1
    made = low.append(Concat(low.unique(step.label), tuple(p.tensor for p in parts), axis))
    joined = SymbolicValue(made.name, step.shape, unit=parts[0].unit)
    if len({p.unit for p in parts}) == 1:
        low.set(step, joined)
    elif step.axis == 0:
        gain = np.concatenate([np.full(p.shape[0], p.unit) for p in parts])
        low.set(step, Scaled.of(joined, gain, 0.0, step.origin))
    else:
        units = ", ".join(f"{u:.6g}" for u in sorted({p.unit for p in parts}))
        raise step.fail(f"joins tensors of the scales {units} along another axis than the channels; quantise them "
                        "alike")


def flat(low: Lowering, step: Flat) -> None:
    """The elements stay where they lie; the weights behind it are put in their order."""
    x = low.held(step.inputs[0])
    places = low.places(x).reshape(-1)
    made = low.append(Reshape(low.unique(step.label), (x.tensor,), step.shape))
    order = None if np.array_equal(places, np.arange(len(places))) else places
    low.set(step, SymbolicValue(made.name, step.shape, order, x.unit))


def moved(low: Lowering, step: Any) -> None:
    x = low.held(step.inputs[0])
    places = low.places(x)
    if isinstance(step, Picked):
        order = places.reshape(-1)[step.index]
        # Weights behind it are put in its order, where it leaves out nothing and takes nothing twice.
        every = len(step.shape) == len(x.shape) == 1 and np.array_equal(np.sort(order),
                                                                        np.arange(low.tensors[x.tensor].size))
        low.set(step, SymbolicValue(x.tensor, step.shape, order, x.unit) if every
                else low.placed(step, x, order, step.shape))
        return
    index = places.transpose(step.axes) if isinstance(step, Permuted) else places.reshape(step.shape)
    low.set(step, low.placed(step, x, index, step.shape))


def repeated(low: Lowering, step: Repeated) -> None:
    x = low.held(step.inputs[0])
    made = low.append(Upsample(low.unique(step.label), (x.tensor,), step.scale))
    low.set(step, SymbolicValue(made.name, step.shape, unit=x.unit))


def largest(low: Lowering, step: Largest) -> None:
    x = low.ordered(step, tensor(low, step.inputs[0], step.label))
    low.set(step, SymbolicValue(low.append(ArgMax(low.unique(step.label), (x.tensor,))).name, step.shape))


HANDLERS: dict[type[Step], Callable[[Lowering, Any], None]] = {
    Linear: linear, Convolve: convolve, Affine: affine, Clip: clip, Function: function, Quant: quant, Bipolar: bipolar,
    Threshold: threshold,
    Truncate: truncate, Pool: pool, Plus: plus, Join: join, Flat: flat, Reshaped: moved, Permuted: moved, Picked: moved,
    Repeated: repeated, Largest: largest,
}
"""A new step is one function and one line."""
