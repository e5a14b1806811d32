"""Dense: a matrix of weight codes times a vector, plus a bias, requantised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from toolkit.design.formats import Requantise
from toolkit.design.layers.base import (
    Kernel,
    Layer,
    LayerRange,
    fitting,
    one,
    requantise_from_json,
    requantise_kernel,
    requantise_to_json,
    requantised,
)
from toolkit.design.tensors import Interval, Tensor
from toolkit.design.weights import Weights, weight_format


def peak(values: np.ndarray) -> int:
    """The largest magnitude of int64 values; numpy's own abs of the least int64 is negative."""
    return max(abs(int(values.min())), abs(int(values.max())))


def weighted(layer: Layer, weights: np.ndarray, bias: np.ndarray, x: Interval) -> int:
    """A bound of every partial sum of weights int64 (rows, columns) and bias, in any order: what an exact float
    needs."""
    total = float(np.abs(weights).astype(np.float64).sum(axis=1).max()) * max(x.bound, 1) + float(peak(bias))
    return fitting(layer, int(total) + 1)


def aligned(layer: Layer, weights: Weights, bias: np.ndarray, bias_frac: int,
            x: Tensor) -> tuple[np.ndarray, np.ndarray, int]:
    """(weights, bias, acc_frac): both as int64 on the grid of the accumulator of products with `x`."""
    integers, frac = weights.integers()
    acc_frac = max(x.format.frac + frac, bias_frac)
    shifts = acc_frac - x.format.frac - frac, acc_frac - bias_frac
    largest = max(peak(integers) << shifts[0], peak(bias) << shifts[1])
    if largest.bit_length() > 61:
        raise layer.fail(f"weights and bias span {largest.bit_length()} bits on one grid; 61 is the most supported")
    return integers << shifts[0], bias << shifts[1], acc_frac


def weights_to_json(weights: Weights) -> dict[str, Any]:
    form = weights.format
    return {"kind": form.kind, "bits": form.bits, "levels": getattr(form, "levels", None)}


def weights_from_json(data: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Weights:
    return Weights(weight_format(data["kind"], int(data["bits"]), data["levels"]), arrays["codes"],
                   arrays["exponents"])


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    """`requantise(weights @ x + bias)`: x of shape (in,), weights (out, in), bias (out,).

    The bias is int64 with `bias_frac` fractional bits. The accumulator's `frac` is the finer of the products' and the
    bias's, so neither loses a bit.
    """

    weights: Weights
    bias: np.ndarray
    bias_frac: int
    requantise: Requantise
    kind: ClassVar[str] = "dense"

    def acc_frac(self, x: Tensor) -> int:
        return max(x.format.frac + self.weights.integers()[1], self.bias_frac)

    def matrix(self, x: Tensor) -> tuple[np.ndarray, np.ndarray, int]:
        """(weights (out, in), bias (out,), acc_frac): both as int64 on the accumulator's grid."""
        return aligned(self, self.weights, self.bias, self.bias_frac, x)

    def output(self, inputs: list[Tensor]) -> Tensor:
        x = one(self, inputs)
        out, width = self.weights.codes.shape[0], self.weights.codes.shape[1:]
        if x.shape != width:
            raise self.fail(f"weights of shape {self.weights.codes.shape} do not fit an input of shape {x.shape}")
        if self.bias.shape != (out,) or self.bias.dtype != np.int64:
            raise self.fail(f"bias must be int64 of shape ({out},), not {self.bias.dtype} of {self.bias.shape}")
        return Tensor(self.name, (out,), self.requantise.format)

    def products(self, inputs: list[Tensor], made: Tensor) -> int:
        return self.weights.codes.size

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        weights, bias, acc_frac = self.matrix(inputs[0])
        x = intervals[0]
        bound = weighted(self, weights, bias, x)
        plus, minus = np.maximum(weights, 0), np.minimum(weights, 0)
        acc = Interval(plus @ x.low + minus @ x.high + bias, plus @ x.high + minus @ x.low + bias)
        found = requantised(self, self.requantise, acc, acc_frac)
        return LayerRange(found.output, found.accumulator, acc_frac, max(found.bound, bound))

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        weights, bias, acc_frac = self.matrix(inputs[0])
        turned = np.ascontiguousarray(weights.T).astype(dtype)
        offset = (bias + self.requantise.half(acc_frac)).astype(dtype)
        requantised = requantise_kernel(self.requantise, range, dtype)

        def run(xs: list[np.ndarray]) -> np.ndarray:
            acc = xs[0] @ turned
            acc += offset
            return requantised(acc)

        return run

    def attributes(self) -> dict[str, Any]:
        return {"weights": weights_to_json(self.weights), "bias_frac": self.bias_frac,
                "requantise": requantise_to_json(self.requantise)}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"codes": self.weights.codes, "exponents": self.weights.exponents.astype(np.int16), "bias": self.bias}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> Dense:
        return cls(name, inputs, weights_from_json(attributes["weights"], arrays), arrays["bias"],
                   int(attributes["bias_frac"]), requantise_from_json(attributes["requantise"]))
