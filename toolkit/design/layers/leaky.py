"""Leaky: what is negative is divided by a power of two; the rest passes (LeakyReLU)."""

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

MAX_SLOPE = 16


@dataclass(frozen=True, eq=False)
class Leaky(Layer):
    """`requantise(x if x >= 0 else x * 2**-slope)`, element by element, exact before the requantisation."""

    slope: int
    requantise: Requantise
    kind: ClassVar[str] = "leaky"

    def acc_frac(self, x: Tensor) -> int:
        return x.format.frac + self.slope

    def output(self, inputs: list[Tensor]) -> Tensor:
        x = one(self, inputs)
        if not 0 <= self.slope <= MAX_SLOPE:
            raise self.fail(f"a slope of 2**-{self.slope} is outside 2**-{MAX_SLOPE}..1")
        return Tensor(self.name, x.shape, self.requantise.format)

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        acc_frac = self.acc_frac(inputs[0])
        bound = fitting(self, intervals[0].bound << self.slope)
        low, high = (np.where(side < 0, side, side << self.slope) for side in (intervals[0].low, intervals[0].high))
        found = requantised(self, self.requantise, Interval(low, high), acc_frac)
        return LayerRange(found.output, found.accumulator, acc_frac,
                          max(found.bound, bound + self.requantise.half(acc_frac)))

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        half = dtype.type(self.requantise.half(self.acc_frac(inputs[0])))
        scale = dtype.type(1 << self.slope)
        requantised = requantise_kernel(self.requantise, range, dtype)
        return lambda xs: requantised(np.where(xs[0] < 0, xs[0], xs[0] * scale) + half)

    def attributes(self) -> dict[str, Any]:
        return {"slope": self.slope, "requantise": requantise_to_json(self.requantise)}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> Leaky:
        return cls(name, inputs, int(attributes["slope"]), requantise_from_json(attributes["requantise"]))
