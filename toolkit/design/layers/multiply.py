"""Multiply: the product of two tensors, element by element: a value and its gate."""

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
    fitting,
    requantise_from_json,
    requantise_kernel,
    requantise_to_json,
    requantised,
)
from toolkit.design.tensors import Interval, Tensor

MULTIPLIER, POWER = "multiplier", "power-of-two"
GATES = (POWER, MULTIPLIER)
"""How a gate multiplies: as the nearest power of two, which is a shift; or as the number that it is."""
MAX_GATE_WIDTH = 32


def power_of_two(codes: np.ndarray) -> np.ndarray:
    """The signed power of two nearest to each code; halfway, at 1.5 * 2**k, the larger; 0 of 0. Any number type in
    which the codes and twice their magnitudes are exact."""
    mantissa, power = np.frexp(np.abs(codes))  # |c| = mantissa * 2**power with mantissa in [1/2, 1)
    nearest = np.ldexp(np.sign(codes).astype(mantissa.dtype), power - (mantissa < 0.75))
    return nearest.astype(codes.dtype, copy=False)


@dataclass(frozen=True, eq=False)
class Multiply(Layer):
    """`requantise(value * gate)`: `inputs` name the value and its gate. Both have equally many axes; one that has one
    element where the other has several is repeated along that axis.

    `gate`: `multiplier`, the product of both codes; or `power-of-two`, the value times the power of two nearest to the
    gate (`power_of_two`). Either is exact; then it is requantised.
    """

    gate: str
    requantise: Requantise
    kind: ClassVar[str] = "multiply"

    def acc_frac(self, inputs: list[Tensor]) -> int:
        return inputs[0].format.frac + inputs[1].format.frac

    def output(self, inputs: list[Tensor]) -> Tensor:
        if len(inputs) != 2:
            raise self.fail(f"takes two inputs, not {len(inputs)}")
        if self.gate not in GATES:
            raise self.fail(f"unknown gate '{self.gate[:40]}'; known are {', '.join(GATES)}")
        value, gate = inputs
        if len(value.shape) != len(gate.shape) or any(n != m and 1 not in (n, m)
                                                      for n, m in zip(value.shape, gate.shape, strict=True)):
            raise self.fail(f"shapes {value.shape} and {gate.shape} must be equal, or 1 where they differ")
        if gate.format.width > MAX_GATE_WIDTH:
            raise self.fail(f"a gate of {gate.format.width} bits; {MAX_GATE_WIDTH} is the most supported")
        return Tensor(self.name, tuple(np.broadcast_shapes(value.shape, gate.shape)), self.requantise.format)

    def products(self, inputs: list[Tensor], made: Tensor) -> int:
        return made.size

    def factors(self, codes: np.ndarray) -> np.ndarray:
        """What gates of these codes multiply by."""
        return codes if self.gate == MULTIPLIER else power_of_two(codes)

    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        value = intervals[0]
        gate = Interval(self.factors(intervals[1].low), self.factors(intervals[1].high))
        bound = fitting(self, value.bound * gate.bound)
        corners = np.stack([a * b for a in (value.low, value.high) for b in (gate.low, gate.high)])
        low, high = corners.min(axis=0), corners.max(axis=0)
        if self.inputs[0] == self.inputs[1]:  # of one tensor: no two ends meet, and no product is negative
            squares = np.stack([value.low * gate.low, value.high * gate.high])
            spans = (value.low < 0) & (value.high > 0)
            low, high = np.where(spans, 0, squares.min(axis=0)), squares.max(axis=0)
        acc_frac = self.acc_frac(inputs)
        found = requantised(self, self.requantise, Interval(low, high), acc_frac)
        return LayerRange(found.output, found.accumulator, acc_frac,
                          max(found.bound, value.bound, gate.bound, intervals[1].bound,
                              bound + self.requantise.half(acc_frac)))

    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        half = dtype.type(self.requantise.half(range.acc_frac))
        requantised = requantise_kernel(self.requantise, range, dtype)
        return lambda xs: requantised(xs[0] * self.factors(xs[1]) + half)

    def attributes(self) -> dict[str, Any]:
        return {"gate": self.gate, "requantise": requantise_to_json(self.requantise)}

    @classmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> Multiply:
        return cls(name, inputs, str(attributes["gate"]), requantise_from_json(attributes["requantise"]))
