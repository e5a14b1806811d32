"""Reshape: the same codes under another shape (Flatten is one)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from toolkit.design.layers.base import Kernel, Layer, LayerRange, one
from toolkit.design.tensors import Interval, Tensor


@dataclass(frozen=True, eq=False)
class Reshape(Layer):
    """The input's elements in their order (last axis fastest), seen as `shape`."""

    shape: tuple[int, ...]
    kind: ClassVar[str] = "reshape"

    def output(self, inputs: list[Tensor]) -> Tensor:
        x = one(self, inputs)
        if prod(self.shape) != x.size or any(n < 1 for n in self.shape):
            raise self.fail(f"shape {x.shape} cannot become {self.shape}")
        return Tensor(self.name, self.shape, x.format)

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        x = intervals[0]
        return LayerRange(Interval(x.low.reshape(self.shape), x.high.reshape(self.shape)), bound=x.bound)

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        return lambda xs: xs[0].reshape(-1, *self.shape)

    def attributes(self) -> dict[str, Any]:
        return {"shape": list(self.shape)}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> Reshape:
        return cls(name, inputs, tuple(int(n) for n in attributes["shape"]))
