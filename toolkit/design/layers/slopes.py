"""Slopes: each channel times a constant, another one where it is negative (PReLU, the absolute value, a scale)."""

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

MAX_FRAC = 40
MAX_SLOPE = 1 << 30


@dataclass(frozen=True, eq=False)
class Slopes(Layer):
    """`requantise(x * (x < 0 ? negative : positive) * 2**-frac)`, exact before the requantisation. `negative` and
    `positive`: int64 (n,), one for each place along the last axis, or one for all (n is 1). Hardware adds and
    subtracts shifted x: few signed digits cost least."""

    negative: np.ndarray
    positive: np.ndarray
    frac: int
    requantise: Requantise
    kind: ClassVar[str] = "slopes"

    def acc_frac(self, x: Tensor) -> int:
        return x.format.frac + self.frac

    def output(self, inputs: list[Tensor]) -> Tensor:
        x = one(self, inputs)
        for side in (self.negative, self.positive):
            if side.dtype != np.int64 or side.shape not in ((1,), x.shape[-1:]) or side.shape != self.negative.shape:
                raise self.fail(f"its slopes must be int64, one or {x.shape[-1]} of each, not {side.dtype} of shape "
                                f"{side.shape}")
            if int(side.min()) <= -MAX_SLOPE or int(side.max()) >= MAX_SLOPE:
                raise self.fail(f"a slope of {int(np.abs(side).max())} is beyond {MAX_SLOPE}")
        if not 0 <= self.frac <= MAX_FRAC:
            raise self.fail(f"slopes of {self.frac} fractional bits are outside 0..{MAX_FRAC}")
        return Tensor(self.name, x.shape, self.requantise.format)

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        acc_frac, x = self.acc_frac(inputs[0]), intervals[0]
        bound = fitting(self, x.bound * max(int(np.abs(side).max()) for side in (self.negative, self.positive)))
        ends = []  # of what is below zero, and of the rest
        for able, first, last, slope in ((x.low < 0, x.low, np.minimum(x.high, -1), self.negative),
                                         (x.high >= 0, np.maximum(x.low, 0), x.high, self.positive)):
            a, b = first * slope, last * slope
            ends.append((able, np.minimum(a, b), np.maximum(a, b)))
        (below, low_below, high_below), (above, low_above, high_above) = ends
        low = np.where(below & above, np.minimum(low_below, low_above), np.where(below, low_below, low_above))
        high = np.where(below & above, np.maximum(high_below, high_above), np.where(below, high_below, high_above))
        found = requantised(self, self.requantise, Interval(low, high), acc_frac)
        return LayerRange(found.output, found.accumulator, acc_frac,
                          max(found.bound, bound + self.requantise.half(acc_frac)))

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        half = dtype.type(self.requantise.half(self.acc_frac(inputs[0])))
        negative, positive = self.negative.astype(dtype), self.positive.astype(dtype)
        requantised = requantise_kernel(self.requantise, range, dtype)
        return lambda xs: requantised(xs[0] * np.where(xs[0] < 0, negative, positive) + half)

    def attributes(self) -> dict[str, Any]:
        return {"frac": self.frac, "requantise": requantise_to_json(self.requantise)}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"negative": self.negative, "positive": self.positive}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> Slopes:
        return cls(name, inputs, arrays["negative"], arrays["positive"], int(attributes["frac"]),
                   requantise_from_json(attributes["requantise"]))
