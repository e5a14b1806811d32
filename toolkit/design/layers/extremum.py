"""Extremum: the larger, or the smaller, of two or more tensors, element by element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from toolkit.design.formats import MAX_WIDTH, union
from toolkit.design.layers.base import Kernel, Layer, LayerRange
from toolkit.design.tensors import Interval, Tensor


@dataclass(frozen=True, eq=False)
class Extremum(Layer):
    """`max(inputs)`, or with `least` `min(inputs)`, in a format that holds them all: no value is rounded."""

    least: bool = False
    kind: ClassVar[str] = "extremum"

    def output(self, inputs: list[Tensor]) -> Tensor:
        if len(inputs) < 2:
            raise self.fail("takes two inputs or more")
        if len({t.shape for t in inputs}) != 1:
            raise self.fail(f"inputs of different shapes: {', '.join(str(t.shape) for t in inputs)}")
        fracs = [t.format.frac for t in inputs]
        if max(fracs) - min(fracs) + max(t.format.width for t in inputs) > MAX_WIDTH:
            raise self.fail(f"no format of {MAX_WIDTH} bits holds all its inputs exactly")
        return Tensor(self.name, inputs[0].shape, union([t.format for t in inputs]))

    def shifts(self, inputs: list[Tensor]) -> list[int]:
        """Left shift of each input's codes to the output's grid."""
        frac = self.output(inputs).format.frac
        return [frac - t.format.frac for t in inputs]

    @property
    def chosen(self) -> np.ufunc:
        return np.minimum if self.least else np.maximum

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        moved = [i.shifted(s) for i, s in zip(intervals, self.shifts(inputs), strict=True)]
        output = Interval(reduce(self.chosen, [i.low for i in moved]), reduce(self.chosen, [i.high for i in moved]))
        return LayerRange(output, bound=max(i.bound for i in moved))

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        scales = [dtype.type(2**s) for s in self.shifts(inputs)]
        return lambda xs: reduce(self.chosen, [x * s for x, s in zip(xs, scales, strict=True)])

    def attributes(self) -> dict[str, Any]:
        return {"least": self.least}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> Extremum:
        return cls(name, inputs, bool(attributes["least"]))
