"""Each kind of step as layers of a design: pools, sums, joins and what moves elements here, the others beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from toolkit.capture.onnx.steps import (
    Affine,
    Bipolar,
    Clip,
    Convolve,
    Elementwise,
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
    Slope,
    Step,
    Threshold,
    Times,
    Truncate,
)
from toolkit.design import (
    Add,
    ArgMax,
    AvgPool,
    Concat,
    MaxPool,
    Multiply,
    Reshape,
    Upsample,
    Window,
)
from toolkit.design.layers.multiply import MULTIPLIER
from toolkit.importing import unquantised
from toolkit.importing.lowering import Lowering, channels_last
from toolkit.importing.quantising import bipolar, clip, elementwise, function, quant, slope, threshold, truncate
from toolkit.importing.scales import added
from toolkit.importing.symbolic import Scaled, SymbolicValue
from toolkit.importing.unquantised import pooled, uneven
from toolkit.importing.weighted import affine, convolve, linear


def pool(low: Lowering, step: Pool) -> None:
    window = Window(step.kernel, step.stride, step.padding, step.dilation)
    value = low.values[step.inputs[0]]
    if step.kind == "max" and window.blind(channels_last(low.shape(step.inputs[0]))):
        raise step.fail("one of its windows sees nothing but padding, whose largest element is no number")
    if isinstance(value, Scaled) and uneven(value):
        pooled(low, step, value, window)
        return
    x = low.held(step.inputs[0])
    label = low.unique(step.label)
    if step.kind == "max":
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
    if any(uneven(low.values[n]) for n in step.inputs):
        unquantised.added(low, step)
        return
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


def times(low: Lowering, step: Times) -> None:
    """The product of both codes, exact, so that it agrees with the file: a multiplier."""
    parts = [low.held(n) for n in step.inputs]
    if any(p.order is not None for p in parts) and len({None if p.order is None else p.order.tobytes()
                                                        for p in parts}) > 1:
        parts = [low.ordered(step, p) for p in parts]
    label, names = low.unique(step.label), tuple(p.tensor for p in parts)
    sums = low.summed(step, lambda r, power: Multiply(label, names, MULTIPLIER, r), step.shape,
                      sum(low.tensors[n].format.frac for n in names), scalable=False, order=parts[0].order)
    unit = parts[0].unit * parts[1].unit
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
    x = low.ordered(step, unquantised.tensor(low, step.inputs[0], step.label))
    low.set(step, SymbolicValue(low.append(ArgMax(low.unique(step.label), (x.tensor,))).name, step.shape))


HANDLERS: dict[type[Step], Callable[[Lowering, Any], None]] = {
    Linear: linear, Convolve: convolve, Affine: affine, Clip: clip, Function: function, Elementwise: elementwise,
    Slope: slope, Quant: quant, Bipolar: bipolar,
    Threshold: threshold,
    Truncate: truncate, Pool: pool, Plus: plus, Times: times, Join: join, Flat: flat, Reshaped: moved,
    Permuted: moved, Picked: moved, Repeated: repeated, Largest: largest,
}
"""A new step is one function and one line."""
