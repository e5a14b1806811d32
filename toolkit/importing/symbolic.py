"""Values during an import: tensors of the design, and sums whose rounding is not yet known.

A design's numbers are codes times powers of two; those of a file may be codes times any scale. So a tensor has a
`unit`: the file's number is the unit times the design's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np

from toolkit.design import Layer, Requantise
from toolkit.design.tensors import Interval


@dataclass(frozen=True, eq=False)
class SymbolicValue:
    """A tensor of the design, seen as a step sees it: `shape` channels first. For a vector, element j of the step is
    element `order[j]` of the tensor, or j itself. Its numbers are `unit` times the tensor's."""

    tensor: str
    shape: tuple[int, ...]
    order: np.ndarray | None = None
    unit: float = 1.0


@dataclass(frozen=True, eq=False)
class Sums:
    """A layer before its requantisation: `make(requantise, power)` is the layer with its sums over 2**power.

    `accumulator` bounds the sums, with `frac + power` fractional bits; `low` and `high` are the clips so far, `origin`
    the node that errors name; `scalable`: the layer can take a power.
    """

    make: Callable[[Requantise, int], Layer]
    shape: tuple[int, ...]
    accumulator: Interval
    frac: int
    origin: str
    order: np.ndarray | None = None
    low: float = -inf
    high: float = inf
    power: int = 0
    scalable: bool = True

    def clipped(self, low: float, high: float) -> Sums:
        """Clipped once more."""
        return replace(self, low=min(max(self.low, low), high), high=max(min(self.high, high), low))


@dataclass(frozen=True, eq=False)
class Scaled:
    """`min(max(gain * source + offset, low), high)`, float64, one of each for every channel (or feature) of the step:
    sums or a tensor on a scale that is not a power of two. The gain counts the source's own units."""

    source: Sums | SymbolicValue
    gain: np.ndarray
    offset: np.ndarray
    low: np.ndarray
    high: np.ndarray
    origin: str

    @classmethod
    def of(cls, source: Sums | SymbolicValue, gain: np.ndarray | float, offset: np.ndarray | float,
           origin: str) -> Scaled:
        """Without a clip."""
        channels = source.shape[0]
        return cls(source, np.broadcast_to(gain, channels), np.broadcast_to(offset, channels),
                   np.full(channels, -inf), np.full(channels, inf), origin)

    def affine(self, scale: np.ndarray, offset: np.ndarray) -> Scaled:
        """Once more scaled and moved; the clips with it."""
        ends = (_moved(self.low, scale, offset), _moved(self.high, scale, offset))
        return replace(self, gain=self.gain * scale, offset=self.offset * scale + offset,
                       low=np.where(scale < 0, ends[1], ends[0]), high=np.where(scale < 0, ends[0], ends[1]))

    def clipped(self, low: float, high: float) -> Scaled:
        """Clipped once more."""
        return replace(self, low=np.minimum(np.maximum(self.low, low), high),
                       high=np.maximum(np.minimum(self.high, high), low))

    def value(self, source: np.ndarray) -> np.ndarray:
        """What numbers (channels, n) of the source stand for."""
        return np.clip(self.gain[:, None] * source + self.offset[:, None], self.low[:, None], self.high[:, None])


def _moved(bound: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """A clip's bound times a scale plus an offset; a scale of 0 leaves the offset, of an infinite bound too."""
    with np.errstate(invalid="ignore"):
        return np.where(scale == 0, offset, bound * scale + offset)


@dataclass(frozen=True, eq=False)
class Curve:
    """A function of a tensor whose codes are not yet known: it becomes a table. Clips are part of `function`."""

    source: SymbolicValue
    function: Callable[[np.ndarray], np.ndarray]
    label: str
    name: str
    origin: str = field(default="")


Value = SymbolicValue | Sums | Scaled | Curve


def on_a_scale(value: Value) -> bool:
    """Whether a value is on a scale that is not the design's own."""
    return isinstance(value, Scaled) or (isinstance(value, SymbolicValue) and value.unit != 1)


def doubled(sums: Sums, power: int) -> Sums:
    """Sums times 2**power, clips and all."""
    # Without a bit moving: the same integers with fewer fractional bits.
    return replace(sums, power=sums.power - power, low=sums.low * 2.0**power, high=sums.high * 2.0**power)
