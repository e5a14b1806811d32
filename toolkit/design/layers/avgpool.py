"""AvgPool: the mean under a window, channel by channel: a sum, a fixed-point constant, a requantisation."""

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
from toolkit.design.windows import Window


@dataclass(frozen=True, eq=False)
class AvgPool(Layer):
    """`requantise(factor * 2**-factor_frac * sum under the window)`: x of shape (*spatial, channels); padding is zeros.

    A window of 2**k elements has factor 1 and factor_frac k: a shift. Any other has a rounded constant.
    """

    window: Window
    factor: int
    factor_frac: int
    requantise: Requantise
    kind: ClassVar[str] = "avgpool"

    @classmethod
    def constant(cls, count: int, bits: int = 16) -> tuple[int, int]:
        """(factor, factor_frac) that stand for 1 / count: exact for a power of two, else rounded to `bits` bits."""
        if count & (count - 1) == 0:
            return 1, count.bit_length() - 1
        frac = bits + count.bit_length() - 1
        factor = ((1 << (frac + 1)) // count + 1) >> 1
        spare = (factor & -factor).bit_length() - 1
        return factor >> spare, frac - spare

    def acc_frac(self, x: Tensor) -> int:
        return x.format.frac + self.factor_frac

    def output(self, inputs: list[Tensor]) -> Tensor:
        x = one(self, inputs)
        problem = self.window.problem(x.shape)
        if problem:
            raise self.fail(problem)
        if not (0 < self.factor < 1 << 30 and 0 <= self.factor_frac <= 60):
            raise self.fail(f"a factor of {self.factor} / 2**{self.factor_frac} is not a mean")
        return Tensor(self.name, (*self.window.output(x.shape), x.shape[-1]), self.requantise.format)

    def products(self, inputs: list[Tensor], made: Tensor) -> int:
        return made.size * self.window.positions

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        bound = fitting(self, intervals[0].bound * self.window.positions * self.factor)
        low, high = (self._sums(side[None])[0] * self.factor for side in (intervals[0].low, intervals[0].high))
        acc_frac = self.acc_frac(inputs[0])
        found = requantised(self, self.requantise, Interval(low, high), acc_frac)
        return LayerRange(found.output, found.accumulator, acc_frac,
                          max(found.bound, bound + self.requantise.half(acc_frac)))

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        half = dtype.type(self.requantise.half(self.acc_frac(inputs[0])))
        factor = dtype.type(self.factor)
        requantised = requantise_kernel(self.requantise, range, dtype)
        return lambda xs: requantised(self._sums(xs[0]) * factor + half)

    def _sums(self, images: np.ndarray) -> np.ndarray:
        axes = tuple(range(1 + self.window.rank, 1 + 2 * self.window.rank))
        return self.window.patches(images).sum(axis=axes, dtype=images.dtype)

    def attributes(self) -> dict[str, Any]:
        return {"window": self.window.to_json(), "factor": self.factor, "factor_frac": self.factor_frac,
                "requantise": requantise_to_json(self.requantise)}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> AvgPool:
        return cls(name, inputs, Window.from_json(attributes["window"]), int(attributes["factor"]),
                   int(attributes["factor_frac"]), requantise_from_json(attributes["requantise"]))
