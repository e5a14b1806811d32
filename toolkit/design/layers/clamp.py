"""Clamp: a requantisation on its own: an activation that no accumulator precedes, or a change of format."""

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
    one,
    requantise_from_json,
    requantise_kernel,
    requantise_to_json,
    requantised,
)
from toolkit.design.tensors import Interval, Tensor


@dataclass(frozen=True, eq=False)
class Clamp(Layer):
    """`requantise(x)`, element by element."""

    requantise: Requantise
    kind: ClassVar[str] = "clamp"

    def output(self, inputs: list[Tensor]) -> Tensor:
        return Tensor(self.name, one(self, inputs).shape, self.requantise.format)

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        return requantised(self, self.requantise, intervals[0], inputs[0].format.frac)

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        half = dtype.type(self.requantise.half(inputs[0].format.frac))
        requantised = requantise_kernel(self.requantise, range, dtype)
        return lambda xs: requantised(xs[0] + half)

    def attributes(self) -> dict[str, Any]:
        return {"requantise": requantise_to_json(self.requantise)}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> Clamp:
        return cls(name, inputs, requantise_from_json(attributes["requantise"]))
