"""Conv: a window of weight codes moved over an image, in one or two dimensions, plus a bias, requantised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from toolkit.design.formats import Requantise
from toolkit.design.layers.base import (
    Kernel,
    Layer,
    LayerRange,
    one,
    requantise_from_json,
    requantise_kernel,
    requantise_to_json,
    requantised,
)
from toolkit.design.layers.dense import aligned, weighted, weights_from_json, weights_to_json
from toolkit.design.tensors import Interval, Tensor
from toolkit.design.weights import Weights
from toolkit.design.windows import Window
from toolkit.utils.limits import MAX_PATCHES


@dataclass(frozen=True, eq=False)
class Conv(Layer):
    """`requantise(weights * x + bias)`: x of shape (*spatial, in), channels last; weights (out, *kernel, in / groups);
    bias int64 (out,) with `bias_frac` fractional bits; padding is zeros.

    Output channel o reads the input channels of its group, `o // (out / groups)`.
    """

    weights: Weights
    bias: np.ndarray
    bias_frac: int
    window: Window
    groups: int
    requantise: Requantise
    kind: ClassVar[str] = "conv"

    def acc_frac(self, x: Tensor) -> int:
        return max(x.format.frac + self.weights.integers()[1], self.bias_frac)

    def matrix(self, x: Tensor) -> tuple[np.ndarray, np.ndarray, int]:
        """(weights (out, taps), bias (out,), acc_frac) as int64 on the accumulator's grid; taps row by row, a group's
        input channels fastest."""
        codes = self.weights.codes
        weights, bias, acc_frac = aligned(self, self.weights, self.bias, self.bias_frac, x)
        return weights.reshape(len(codes), -1), bias, acc_frac

    def output(self, inputs: list[Tensor]) -> Tensor:
        x = one(self, inputs)
        problem = self.window.problem(x.shape)
        if problem:
            raise self.fail(problem)
        codes = self.weights.codes
        if self.groups < 1 or x.shape[-1] % self.groups or len(codes) % self.groups:
            raise self.fail(f"{x.shape[-1]} input and {len(codes)} output channels do not divide into {self.groups} "
                            "groups")
        want = (len(codes), *self.window.kernel, x.shape[-1] // self.groups)
        if codes.shape != want:
            raise self.fail(f"weights of shape {codes.shape} do not fit an input of shape {x.shape}; {want} would")
        if self.bias.shape != want[:1] or self.bias.dtype != np.int64:
            raise self.fail(f"bias must be int64 of shape {want[:1]}, not {self.bias.dtype} of {self.bias.shape}")
        return Tensor(self.name, (*self.window.output(x.shape), len(codes)), self.requantise.format)

    def products(self, inputs: list[Tensor], made: Tensor) -> int:
        windows = prod(made.shape[:-1])
        if windows * self.window.positions * inputs[0].shape[-1] > MAX_PATCHES:
            raise self.fail(f"its {windows:,} windows of {self.window.positions:,} pixels hold more than "
                            f"{MAX_PATCHES:,} elements, which is the most supported")
        return windows * self.weights.codes.size

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        weights, bias, acc_frac = self.matrix(inputs[0])
        x = intervals[0]
        bound = weighted(self, weights, bias, x)
        dtype = np.dtype(np.float64 if bound <= 1 << 53 else np.int64)
        plus, minus = np.maximum(weights, 0), np.minimum(weights, 0)
        low, high = (side[None].astype(dtype) for side in (x.low, x.high))

        def sums(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            both = self._convolve(a, plus.astype(dtype)) + self._convolve(b, minus.astype(dtype))
            return both[0].astype(np.int64) + bias

        found = requantised(self, self.requantise, Interval(sums(low, high), sums(high, low)), acc_frac)
        return LayerRange(found.output, found.accumulator, acc_frac, max(found.bound, bound))

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        weights, bias, acc_frac = self.matrix(inputs[0])
        weights = weights.astype(dtype)
        offset = (bias + self.requantise.half(acc_frac)).astype(dtype)
        requantised = requantise_kernel(self.requantise, range, dtype)

        def run(xs: list[np.ndarray]) -> np.ndarray:
            acc = self._convolve(xs[0], weights)
            acc += offset
            return requantised(acc)

        return run

    def _convolve(self, images: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Images (n, *spatial, in) and weights (out, taps) of one type to sums (n, *windows, out)."""
        seen = self.window.patches(images)
        outer = seen.shape[:1 + self.window.rank]
        if self.groups == 1:
            return (seen.reshape(-1, weights.shape[1]) @ weights.T).reshape(*outer, -1)
        # (n, *windows, *kernel, groups, in / groups) to (groups, n * windows, taps), and a product for each group.
        seen = seen.reshape(*seen.shape[:-1], self.groups, -1)
        seen = np.moveaxis(seen, -2, 0).reshape(self.groups, -1, weights.shape[1])
        turned = weights.reshape(self.groups, -1, weights.shape[1]).swapaxes(1, 2)
        return np.moveaxis(seen @ turned, 0, 1).reshape(*outer, -1)

    def attributes(self) -> dict[str, Any]:
        return {"weights": weights_to_json(self.weights), "bias_frac": self.bias_frac, "window": self.window.to_json(),
                "groups": self.groups, "requantise": requantise_to_json(self.requantise)}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"codes": self.weights.codes, "exponents": self.weights.exponents.astype(np.int16), "bias": self.bias}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> Conv:
        return cls(name, inputs, weights_from_json(attributes["weights"], arrays), arrays["bias"],
                   int(attributes["bias_frac"]), Window.from_json(attributes["window"]), int(attributes["groups"]),
                   requantise_from_json(attributes["requantise"]))
