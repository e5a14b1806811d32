"""Steps of weights, and scales that stand alone, as layers of a design."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from toolkit.capture.onnx.steps import (
    Affine,
    Convolve,
    Linear,
    Step,
)
from toolkit.design import (
    Conv,
    Dense,
    Layer,
    Requantise,
    Reshape,
    Rounding,
    Weights,
    Window,
)
from toolkit.importing.lowering import Lowering
from toolkit.importing.rounding import exponent
from toolkit.importing.scales import following, scaled
from toolkit.importing.symbolic import Scaled, Sums, SymbolicValue, doubled
from toolkit.importing.weights import approximated, bias_codes, coded, lowest, on_a_grid


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
