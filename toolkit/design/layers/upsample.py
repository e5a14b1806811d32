"""Upsample: every pixel repeated (nearest neighbour)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from toolkit.design.layers.base import Kernel, Layer, LayerRange, one
from toolkit.design.tensors import Interval, Tensor


@dataclass(frozen=True, eq=False)
class Upsample(Layer):
    """x of shape (*spatial, channels); pixel i of an axis becomes pixels i * s .. i * s + s - 1, s its `scale`."""

    scale: tuple[int, ...]
    kind: ClassVar[str] = "upsample"

    def output(self, inputs: list[Tensor]) -> Tensor:
        x = one(self, inputs)
        if len(self.scale) not in (1, 2) or len(x.shape) != len(self.scale) + 1 or min(self.scale) < 1:
            raise self.fail(f"scales {self.scale} do not fit an image of shape {x.shape}, channels last")
        return Tensor(self.name, (*(n * s for n, s in zip(x.shape, self.scale, strict=False)), x.shape[-1]), x.format)

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        found = Interval(*(self._repeated(side[None])[0] for side in (intervals[0].low, intervals[0].high)))
        return LayerRange(found, bound=found.bound)

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        return lambda xs: self._repeated(xs[0])

    def _repeated(self, images: np.ndarray) -> np.ndarray:
        for axis, scale in enumerate(self.scale, 1):
            images = np.repeat(images, scale, axis)
        return images

    def attributes(self) -> dict[str, Any]:
        return {"scale": list(self.scale)}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> Upsample:
        return cls(name, inputs, tuple(int(n) for n in attributes["scale"]))
