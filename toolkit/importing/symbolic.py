"""Values during an import: tensors of the design, and sums whose rounding is not yet known."""

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
    element `order[j]` of the tensor, or j itself."""

    tensor: str
    shape: tuple[int, ...]
    order: np.ndarray | None = None


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
class Curve:
    """A function of a tensor whose codes are not yet known: it becomes a table. Clips are part of `function`."""

    source: SymbolicValue
    function: Callable[[np.ndarray], np.ndarray]
    label: str
    name: str
    origin: str = field(default="")


Value = SymbolicValue | Sums | Curve
