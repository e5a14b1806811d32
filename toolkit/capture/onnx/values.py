"""What flows through a translation: constants, and activations with the order in which their elements really lie."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np


@dataclass(frozen=True, eq=False)
class Value:
    """An activation: what step `name` makes, of `shape` (without the batch, channels first).

    ONNX sees it under other axes: its axis i, the batch not counted, is axis `axes[i]` of `shape`; a vector of one
    number may be seen without an axis of its own. A vector may also
    be in another order: element j that ONNX sees is element `order[j]`. `pads` are zeros, (before, after) on each
    spatial axis, that the next convolution or mean is to see.
    """

    name: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    order: np.ndarray | None = None
    pads: tuple[tuple[int, int], ...] | None = None

    @classmethod
    def plain(cls, name: str, shape: tuple[int, ...]) -> Value:
        return cls(name, shape, tuple(range(len(shape))))

    @property
    def seen(self) -> tuple[int, ...]:
        """The shape that ONNX sees."""
        return tuple(self.shape[a] for a in self.axes)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def is_plain(self) -> bool:
        """ONNX sees it as it lies."""
        return self.axes == tuple(range(len(self.shape))) and self.order is None

    def flat_order(self) -> np.ndarray | None:
        """For each element in ONNX's order, where it lies; None where that is the same."""
        if self.order is not None:
            return self.order
        if [a for a in self.axes if self.shape[a] > 1] == [a for a in range(len(self.shape)) if self.shape[a] > 1]:
            return None
        return np.arange(self.size).reshape(self.shape).transpose(self.axes).reshape(-1)
