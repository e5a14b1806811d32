"""What a layer of a design is: attributes, a shape rule, a range rule, and an execution on integer codes.

A layer is one small frozen dataclass in one file, listed in `toolkit/design/layers/__init__.py`. It says nothing of how
it becomes hardware: `toolkit/emit/verilog/` has one file per layer for that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from toolkit.design.formats import MAX_WIDTH, FixedPoint, Overflow, Requantise, Rounding
from toolkit.design.tensors import Interval, Tensor
from toolkit.utils.errors import InputError

Array = np.ndarray
Kernel = Callable[[list[Array]], Array]
"""A layer made ready to run: arrays of codes (batch, *shape) in, one array of codes out."""


@dataclass(frozen=True)
class LayerRange:
    """What `ranges.analyse` proves of one layer.

    `accumulator` bounds the sums before requantisation, bias and rounding half included, in codes with `acc_frac`
    fractional bits, for every element of the output; `output` bounds its output codes. `bound` is the largest
    magnitude that any intermediate of the reference can reach, so that it can pick an exact number type.
    """

    output: Interval
    accumulator: Interval | None = None
    acc_frac: int = 0
    bound: int = 0

    @property
    def widths(self) -> np.ndarray:
        """Accumulator bits per output element."""
        return (self.accumulator or self.output).widths()

    def flat(self) -> LayerRange:
        """The same with every tensor as a vector, the way hardware holds it."""
        return replace(self, output=self.output.flat(), accumulator=self.accumulator and self.accumulator.flat())


@dataclass(frozen=True, eq=False)
class Layer(ABC):
    """One node of a design. `inputs` name tensors; the layer's own name is the name of its output tensor."""

    name: str
    inputs: tuple[str, ...]
    kind: ClassVar[str]

    @abstractmethod
    def output(self, inputs: list[Tensor]) -> Tensor:
        """The shape and format of the output; refuses inputs that do not fit, by name."""

    def products(self, inputs: list[Tensor], made: Tensor) -> int:
        """Multiplications (of a pool: elements read) that one sample of `made` takes; refuses too many at once."""
        return 0

    @abstractmethod
    def ranges(self, inputs: list[Tensor], intervals: list[Interval]) -> LayerRange:
        """Exact bounds of the accumulators and of the output."""

    @abstractmethod
    def kernel(self, inputs: list[Tensor], range: LayerRange, dtype: np.dtype) -> Kernel:
        """The layer as a function on arrays of `dtype` codes, exact because `range` proves that dtype suffices."""

    @abstractmethod
    def attributes(self) -> dict[str, Any]:
        """What JSON holds of this layer beside kind, name and inputs."""

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays stored as .npy beside the JSON."""
        return {}

    @classmethod
    @abstractmethod
    def load(cls, name: str, inputs: tuple[str, ...], attributes: Mapping[str, Any],
             arrays: Mapping[str, np.ndarray]) -> Layer:
        """The inverse of `attributes` and `arrays`."""

    def fail(self, why: str) -> InputError:
        return InputError(f"layer '{self.name}' ({self.kind}): {why}")


def one(layer: Layer, inputs: list[Tensor]) -> Tensor:
    """The only input of a layer that takes one."""
    if len(inputs) != 1:
        raise layer.fail(f"takes one input, not {len(inputs)}")
    return inputs[0]


def requantise_to_json(r: Requantise) -> dict[str, Any]:
    return {"format": str(r.format), "low": r.low, "high": r.high, "rounding": r.rounding.value,
            "overflow": r.overflow.value}


def requantise_from_json(d: Mapping[str, Any]) -> Requantise:
    return Requantise(FixedPoint.parse(d["format"]), int(d["low"]), int(d["high"]), Rounding(d["rounding"]),
                      Overflow(d["overflow"]))


def fitting(layer: Layer, bound: int) -> int:
    """`bound`, the largest magnitude in a layer's accumulators, where they hold it."""
    if bound.bit_length() >= MAX_WIDTH:
        raise layer.fail(f"its accumulator would need {bound.bit_length() + 1} bits; {MAX_WIDTH} is the most supported")
    return bound


def requantised(layer: Layer, r: Requantise, acc: Interval, acc_frac: int) -> LayerRange:
    """The range of a layer whose accumulators (rounding half not yet added) go through `r`."""
    half = r.half(acc_frac)
    ties = r.rounding is Rounding.HALF_EVEN and acc_frac > r.format.frac
    head = 1 << (acc_frac - r.format.frac) if ties else half
    up = max(r.format.frac - acc_frac, 0)
    bound = fitting(layer, (acc.bound + head) << up)
    output = Interval(r.apply(acc.low, acc_frac), r.apply(acc.high, acc_frac))
    if r.overflow is Overflow.WRAP:
        # An element that crosses the end of the format can come out anywhere in it.
        wraps = [(r.shifted(side, acc_frac) - r.format.min_code) >> r.format.width for side in (acc.low, acc.high)]
        crossing = wraps[0] != wraps[1]
        output = Interval(np.where(crossing, r.format.min_code, output.low),
                          np.where(crossing, r.format.max_code, output.high))
    # A clamp or a wrap can make codes that are larger than any accumulator.
    ends = (r.low, r.high) if r.overflow is Overflow.SATURATE else (r.format.min_code, r.format.max_code)
    bound = max(bound, output.bound, *(abs(end) for end in ends))
    return LayerRange(output, Interval(acc.low + half, acc.high + half), acc_frac, bound)


def requantise_kernel(r: Requantise, range: LayerRange, dtype: np.dtype) -> Callable[[Array], Array]:
    """Accumulators with the rounding half already added to output codes, in place where numpy can."""
    shift = range.acc_frac - r.format.frac
    if dtype.kind == "f" and r.overflow is Overflow.SATURATE and r.rounding is not Rounding.HALF_EVEN:
        scale = dtype.type(2.0**-shift)
        acc = range.accumulator
        assert acc is not None
        exact = shift <= 0
        low, high = dtype.type(r.low), dtype.type(r.high)
        inside = bool(np.all(r.shifted_plain(acc.low, shift) >= r.low)
                      and np.all(r.shifted_plain(acc.high, shift) <= r.high))

        def run(a: Array) -> Array:
            if shift != 0:
                np.multiply(a, scale, out=a)
            if not exact:
                np.floor(a, out=a)
            return a if inside else np.clip(a, low, high, out=a)

        return run

    half = r.half(range.acc_frac)

    def run_integer(a: Array) -> Array:
        codes = a.astype(np.int64, copy=False)
        return r.apply(codes - half, range.acc_frac).astype(dtype, copy=False)

    return run_integer
