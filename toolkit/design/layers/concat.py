"""Concat: tensors joined along one axis, each brought exactly to a format that holds all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from toolkit.design.formats import MAX_WIDTH, union
from toolkit.design.layers.base import Kernel, Layer, LayerRange
from toolkit.design.tensors import Interval, Tensor


@dataclass(frozen=True, eq=False)
class Concat(Layer):
    """Inputs joined along `axis` (0 is the first axis after the batch). No value is rounded."""

    axis: int = 0
    kind: ClassVar[str] = "concat"

    def output(self, inputs: list[Tensor]) -> Tensor:
        rank = len(inputs[0].shape)
        if not 0 <= self.axis < rank:
            raise self.fail(f"axis {self.axis} does not exist in a tensor of {rank} axes")
        if len({t.shape[:self.axis] + t.shape[self.axis + 1:] for t in inputs}) != 1:
            raise self.fail(f"shapes differ beside axis {self.axis}: {', '.join(str(t.shape) for t in inputs)}")
        fracs = [t.format.frac for t in inputs]
        if max(fracs) - min(fracs) + max(t.format.width for t in inputs) > MAX_WIDTH:
            raise self.fail(f"no format of {MAX_WIDTH} bits holds all its inputs exactly")
        joined = sum(t.shape[self.axis] for t in inputs)
        shape = (*inputs[0].shape[:self.axis], joined, *inputs[0].shape[self.axis + 1:])
        return Tensor(self.name, shape, union([t.format for t in inputs]))

    def shifts(self, inputs: list[Tensor]) -> list[int]:
        """Left shift of each input's codes to the output's grid."""
        frac = self.output(inputs).format.frac
        return [frac - t.format.frac for t in inputs]

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        moved = [i.shifted(s) for i, s in zip(intervals, self.shifts(inputs), strict=True)]
        output = Interval(np.concatenate([i.low for i in moved], self.axis),
                          np.concatenate([i.high for i in moved], self.axis))
        return LayerRange(output, bound=output.bound)

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        scales = [dtype.type(2**s) for s in self.shifts(inputs)]
        axis = self.axis + 1
        return lambda xs: np.concatenate([x * s for x, s in zip(xs, scales, strict=True)], axis)

    def attributes(self) -> dict[str, Any]:
        return {"axis": self.axis}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> Concat:
        return cls(name, inputs, int(attributes["axis"]))
