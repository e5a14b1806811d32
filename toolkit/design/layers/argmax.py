"""ArgMax: the index of the largest element; of equals, the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from toolkit.design.formats import FixedPoint
from toolkit.design.layers.base import Kernel, Layer, LayerRange, one
from toolkit.design.tensors import Interval, Tensor


@dataclass(frozen=True, eq=False)
class ArgMax(Layer):
    """A vector of shape (n,) to its winning index, shape (1,), an unsigned integer."""

    kind: ClassVar[str] = "argmax"

    def output(self, inputs: list[Tensor]) -> Tensor:
        x = one(self, inputs)
        if len(x.shape) != 1:
            raise self.fail(f"takes a vector, not shape {x.shape}; flatten before it")
        return Tensor(self.name, (1,), FixedPoint(False, max((x.shape[0] - 1).bit_length(), 1), 0))

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        x = intervals[0]
        # An element whose best is below (or, behind it, no better than) another's worst can never win.
        best_low = int(x.low.max())
        able = np.flatnonzero(x.high >= best_low)
        low, high = np.array([able.min()], np.int64), np.array([able.max()], np.int64)
        return LayerRange(Interval(low, high), bound=max(x.bound, int(high[0])))

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        return lambda xs: np.argmax(xs[0], axis=1)[:, None].astype(dtype)

    def attributes(self) -> dict[str, Any]:
        return {}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> ArgMax:
        return cls(name, inputs)
