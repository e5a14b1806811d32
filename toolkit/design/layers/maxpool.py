"""MaxPool: the largest code under a window, channel by channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from toolkit.design.layers.base import Kernel, Layer, LayerRange, one
from toolkit.design.tensors import Interval, Tensor
from toolkit.design.windows import Window


@dataclass(frozen=True, eq=False)
class MaxPool(Layer):
    """x of shape (*spatial, channels) to (*windows, channels) in the same format. Padding is never the largest."""

    window: Window
    kind: ClassVar[str] = "maxpool"

    def output(self, inputs: list[Tensor]) -> Tensor:
        x = one(self, inputs)
        problem = self.window.problem(x.shape)
        if problem:
            raise self.fail(problem)
        return Tensor(self.name, (*self.window.output(x.shape), x.shape[-1]), x.format)

    def products(self, inputs: list[Tensor], made: Tensor) -> int:
        return made.size * self.window.positions

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        least = inputs[0].format.min_code
        low, high = (self._largest(side[None], least)[0] for side in (intervals[0].low, intervals[0].high))
        return LayerRange(Interval(low, high), bound=max(intervals[0].bound, abs(least)))

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        return lambda xs: self._largest(xs[0], inputs[0].format.min_code)

    def _largest(self, images: np.ndarray, least: int) -> np.ndarray:
        axes = tuple(range(1 + self.window.rank, 1 + 2 * self.window.rank))
        return self.window.patches(images, least).max(axis=axes)

    def attributes(self) -> dict[str, Any]:
        return {"window": self.window.to_json()}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> MaxPool:
        return cls(name, inputs, Window.from_json(attributes["window"]))
