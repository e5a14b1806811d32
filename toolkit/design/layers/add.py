"""Add: the sum of two or more tensors of one shape, requantised (a residual connection)."""

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
    requantise_from_json,
    requantise_kernel,
    requantise_to_json,
    requantised,
)
from toolkit.design.tensors import Interval, Tensor


@dataclass(frozen=True, eq=False)
class Add(Layer):
    """`requantise(sum of inputs)`; inputs of different `frac` are aligned to the finest, exactly."""

    requantise: Requantise
    kind: ClassVar[str] = "add"

    def acc_frac(self, inputs: list[Tensor]) -> int:
        return max(t.format.frac for t in inputs)

    def shifts(self, inputs: list[Tensor]) -> list[int]:
        """Left shift of each input's codes to the accumulator's grid."""
        return [self.acc_frac(inputs) - t.format.frac for t in inputs]

    def output(self, inputs: list[Tensor]) -> Tensor:
        if len(inputs) < 2:
            raise self.fail("takes two inputs or more")
        if len({t.shape for t in inputs}) != 1:
            raise self.fail(f"inputs of different shapes: {', '.join(str(t.shape) for t in inputs)}")
        return Tensor(self.name, inputs[0].shape, self.requantise.format)

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        acc_frac = self.acc_frac(inputs)
        if any(i.bound.bit_length() + acc_frac - t.format.frac > 60 for t, i in zip(inputs, intervals, strict=True)):
            raise self.fail("the formats of its inputs are too far apart to add in 62 bits")
        aligned = [i.shifted(s) for s, i in zip(self.shifts(inputs), intervals, strict=True)]
        acc = Interval(sum(i.low for i in aligned), sum(i.high for i in aligned))  # type: ignore[arg-type]
        found = requantised(self, self.requantise, acc, acc_frac)
        bound = sum(i.bound for i in aligned) + self.requantise.half(acc_frac)
        return LayerRange(found.output, found.accumulator, acc_frac, max(found.bound, bound))

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        acc_frac = self.acc_frac(inputs)
        scales = [dtype.type(2**s) for s in self.shifts(inputs)]
        half = dtype.type(self.requantise.half(acc_frac))
        requantised = requantise_kernel(self.requantise, range, dtype)

        def run(xs: list[np.ndarray]) -> np.ndarray:
            acc = xs[0] * scales[0] + half
            for x, scale in zip(xs[1:], scales[1:], strict=True):
                acc += x * scale
            return requantised(acc)

        return run

    def attributes(self) -> dict[str, Any]:
        return {"requantise": requantise_to_json(self.requantise)}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> Add:
        return cls(name, inputs, requantise_from_json(attributes["requantise"]))
