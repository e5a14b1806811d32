"""Reorder: elements picked by index: a flatten in another order, a transpose, a slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from toolkit.design.layers.base import Kernel, Layer, LayerRange, one
from toolkit.design.tensors import Interval, Tensor


@dataclass(frozen=True, eq=False)
class Reorder(Layer):
    """Element j of the output (its elements in their order) is element `index[j]` of the input; int64, any length."""

    index: np.ndarray
    shape: tuple[int, ...]
    kind: ClassVar[str] = "reorder"

    @classmethod
    def transposed(cls, name: str, source: str, shape: tuple[int, ...], axes: tuple[int, ...],
                   output: tuple[int, ...]) -> Reorder:
        """The elements of a tensor of `shape` in the order of its transpose by `axes`, as `output`."""
        return cls(name, (source,), np.arange(prod(shape)).reshape(shape).transpose(axes).reshape(-1), output)

    def output(self, inputs: list[Tensor]) -> Tensor:
        x = one(self, inputs)
        if self.index.dtype != np.int64 or self.index.shape != (prod(self.shape),) or min(self.shape, default=0) < 1:
            raise self.fail(f"its index must be int64 of {prod(self.shape)} elements, not {self.index.dtype} of shape "
                            f"{self.index.shape}")
        if not (int(self.index.min()) >= 0 and int(self.index.max()) < x.size):
            raise self.fail(f"its index leaves the input's {x.size} elements")
        return Tensor(self.name, self.shape, x.format)

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        x = intervals[0].flat()
        found = Interval(x.low[self.index].reshape(self.shape), x.high[self.index].reshape(self.shape))
        return LayerRange(found, bound=found.bound)

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        return lambda xs: xs[0].reshape(len(xs[0]), -1)[:, self.index].reshape(-1, *self.shape)

    def attributes(self) -> dict[str, Any]:
        return {"shape": list(self.shape)}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"index": self.index}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> Reorder:
        return cls(name, inputs, arrays["index"], tuple(int(n) for n in attributes["shape"]))
