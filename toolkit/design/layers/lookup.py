"""Lookup: any function of one element as a table of its input codes (sigmoid, tanh and similar)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from toolkit.design.formats import FixedPoint
from toolkit.design.layers.base import Kernel, Layer, LayerRange, one
from toolkit.design.tensors import Interval, Tensor

MAX_INPUT_WIDTH = 16


@dataclass(frozen=True, eq=False)
class Lookup(Layer):
    """`table[code - least code of the input's format]`, element by element; `table` is int64 (2**input width,), codes
    of `format`. `function` is the name of what was tabulated, for people."""

    table: np.ndarray
    format: FixedPoint
    function: str = "table"
    kind: ClassVar[str] = "lookup"

    @classmethod
    def of(cls, name: str, inputs: tuple[str, ...], function: Callable[[np.ndarray], np.ndarray], label: str,
           source: FixedPoint, format: FixedPoint) -> Lookup:
        """The table of a float64 function: each entry rounded to the nearest code, halves up."""
        codes = np.arange(source.min_code, source.max_code + 1)
        return cls(name, inputs, format.quantise(function(source.value(codes))), format, label)

    def output(self, inputs: list[Tensor]) -> Tensor:
        x = one(self, inputs)
        if x.format.width > MAX_INPUT_WIDTH:
            raise self.fail(f"a table for inputs of {x.format.width} bits; {MAX_INPUT_WIDTH} is the most supported")
        if self.table.shape != (1 << x.format.width,) or self.table.dtype != np.int64:
            raise self.fail(f"its table must be int64 of shape ({1 << x.format.width},), not {self.table.dtype} of "
                            f"{self.table.shape}")
        if not self.format.holds(int(self.table.min()), int(self.table.max())):
            raise self.fail(f"its table holds codes outside {self.format}")
        return Tensor(self.name, x.shape, self.format)

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        x, least = intervals[0], inputs[0].format.min_code
        first, last = x.low.reshape(-1) - least, x.high.reshape(-1) - least
        low, high = _extremes(self.table, first, last, np.minimum), _extremes(self.table, first, last, np.maximum)
        found = Interval(low.reshape(x.low.shape), high.reshape(x.low.shape))
        return LayerRange(found, bound=max(found.bound, x.bound, 1 << inputs[0].format.width))

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        table, least = self.table.astype(dtype), inputs[0].format.min_code
        return lambda xs: table[xs[0].astype(np.int64) - least]

    def attributes(self) -> dict[str, Any]:
        return {"format": str(self.format), "function": self.function}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"table": self.table}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> Lookup:
        return cls(name, inputs, arrays["table"], FixedPoint.parse(attributes["format"]), str(attributes["function"]))


def _extremes(table: np.ndarray, first: np.ndarray, last: np.ndarray, extreme: np.ufunc) -> np.ndarray:
    """The least (or largest) entry of each stretch first..last of a table, from those of stretches of powers of two
    (Bender and Farach-Colton 2000): two that overlap cover any."""
    size = np.frexp((last - first + 1).astype(np.float64))[1] - 1
    found = np.empty(len(first), np.int64)
    stretches = table
    for power in range(int(size.max()) + 1):
        if power:
            half = 1 << (power - 1)
            stretches = extreme(stretches[:-half], stretches[half:])
        here = size == power
        found[here] = extreme(stretches[first[here]], stretches[last[here] - (1 << power) + 1])
    return found
