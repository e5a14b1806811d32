"""Layers drawn at random: one function for each kind, which draws it for the tensor that it reads. Where a number comes
from, a seed or hypothesis, is told by `Draws`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.design import (
    Add,
    ArgMax,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Dense,
    Design,
    Extremum,
    Layer,
    Leaky,
    Lookup,
    MaxPool,
    Multiply,
    Reorder,
    Requantise,
    Reshape,
    Slopes,
    Tensor,
    Upsample,
    Weights,
    Window,
)
from toolkit.design.layers.multiply import GATES


@dataclass(frozen=True)
class Limits:
    """The least and the most of each number of a layer."""

    outputs: tuple[int, int] = (1, 8)
    bias_frac: tuple[int, int] = (0, 9)
    slope: tuple[int, int] = (0, 5)
    scale: tuple[int, int] = (1, 3)
    mean_bits: tuple[int, int] = (3, 16)


class Draws(ABC):
    """What draws the numbers of a layer."""

    limits: Limits

    @abstractmethod
    def integer(self, low: int, high: int) -> int:
        """One of `low` to `high`, both included."""

    @abstractmethod
    def chance(self, share: float) -> bool:
        """True in this share of all cases."""

    @abstractmethod
    def requantise(self) -> Requantise: ...

    @abstractmethod
    def weights(self, *shape: int) -> Weights: ...

    @abstractmethod
    def lookup(self, name: str, x: Tensor) -> Lookup: ...

    @abstractmethod
    def reorder(self, name: str, x: Tensor) -> Reorder: ...

    @abstractmethod
    def most_padding(self, kernel: int) -> int:
        """Beside a window of so many positions on an axis."""

    @abstractmethod
    def pool_window(self, x: Tensor) -> Window:
        """A window for a pool, which need not fit."""

    def each(self, count: int, low: int, high: int) -> tuple[int, ...]:
        return tuple(self.integer(low, high) for _ in range(count))

    def bias(self, count: int) -> np.ndarray:
        return np.array(self.each(count, -300, 299), np.int64)

    def padding(self, kernel: Sequence[int]) -> tuple[tuple[int, int], ...]:
        return tuple((self.integer(0, self.most_padding(k)), self.integer(0, self.most_padding(k))) for k in kernel)

    def window(self, x: Tensor) -> Window:
        """A window over an image with any stride, dilation and padding, which need not fit."""
        rank = len(x.shape) - 1
        kernel, dilation = self.each(rank, 1, 3), self.each(rank, 1, 2)
        padding = self.padding(kernel)
        return Window(kernel, self.each(rank, 1, 3), padding, dilation)

    def same_window(self, x: Tensor) -> Window:
        """A window that leaves the size of an image as it is."""
        kernel = tuple(2 * odd + 1 for odd in self.each(len(x.shape) - 1, 0, 1))
        return Window.of(kernel, padding=tuple((k // 2, k // 2) for k in kernel))


def dense(draws: Draws, name: str, x: Tensor) -> Dense:
    outputs = draws.integer(*draws.limits.outputs)
    return Dense(name, (x.name,), draws.weights(outputs, x.size), draws.bias(outputs),
                 draws.integer(*draws.limits.bias_frac), draws.requantise())


def conv(draws: Draws, name: str, x: Tensor, same: bool = False) -> Conv:
    """`same`: the output has the shape of the input. Where the window that was drawn does not fit, it is one pixel."""
    deep = x.shape[-1]
    divisors = [g for g in range(1, deep + 1) if deep % g == 0]
    groups = divisors[draws.integer(0, len(divisors) - 1)]
    outputs = deep if same else groups * draws.integer(1, 3)
    window = draws.same_window(x) if same else draws.window(x)
    if window.problem(x.shape):
        window = Window.of((1,) * window.rank)
    weights = draws.weights(outputs, *window.kernel, deep // groups)
    return Conv(name, (x.name,), weights, draws.bias(outputs), draws.integer(*draws.limits.bias_frac), window, groups,
                draws.requantise())


def max_pool(name: str, x: Tensor, window: Window) -> MaxPool:
    return MaxPool(name, (x.name,), window)


def avg_pool(draws: Draws, name: str, x: Tensor, window: Window) -> AvgPool:
    constant = AvgPool.constant(window.positions, draws.integer(*draws.limits.mean_bits))
    return AvgPool(name, (x.name,), window, *constant, draws.requantise())


def pool(draws: Draws, name: str, x: Tensor) -> Layer | None:
    """A pool of either kind; None where the window that was drawn does not fit."""
    window = draws.pool_window(x)
    if window.problem(x.shape):
        return None
    return max_pool(name, x, window) if draws.chance(0.5) else avg_pool(draws, name, x, window)


def upsample(draws: Draws, name: str, x: Tensor) -> Upsample:
    return Upsample(name, (x.name,), draws.each(len(x.shape) - 1, *draws.limits.scale))


def clamp(draws: Draws, name: str, x: Tensor) -> Clamp:
    return Clamp(name, (x.name,), draws.requantise())


def leaky(draws: Draws, name: str, x: Tensor) -> Leaky:
    return Leaky(name, (x.name,), draws.integer(*draws.limits.slope), draws.requantise())


def slopes(draws: Draws, name: str, x: Tensor) -> Slopes:
    """One pair of constants for all channels, or one for each."""
    count, frac = x.shape[-1] if draws.chance(0.7) else 1, draws.integer(0, 6)
    negative, positive = (np.array([draws.integer(-40, 40) for _ in range(count)], np.int64) for _ in range(2))
    if draws.chance(0.5):
        positive = np.full(count, 1 << frac, np.int64)
    return Slopes(name, (x.name,), negative, positive, frac, draws.requantise())


def extremum(draws: Draws, name: str, *xs: Tensor) -> Extremum:
    return Extremum(name, tuple(x.name for x in xs), draws.chance(0.5))


def lookup(draws: Draws, name: str, x: Tensor) -> Lookup | None:
    """None where the table would be long."""
    return draws.lookup(name, x) if x.format.width <= 10 else None


def reorder(draws: Draws, name: str, x: Tensor) -> Reorder:
    return draws.reorder(name, x)


def reshape(draws: Draws, name: str, x: Tensor) -> Reshape:
    """All pixels in one row."""
    return Reshape(name, (x.name,), (x.size // x.shape[-1], x.shape[-1]))


def flat(name: str, x: Tensor) -> Reshape:
    return Reshape(name, (x.name,), (x.size,))


def argmax(name: str, x: Tensor) -> ArgMax:
    return ArgMax(name, (x.name,))


def add(draws: Draws, name: str, *xs: Tensor) -> Add:
    return Add(name, tuple(x.name for x in xs), draws.requantise())


def multiply(draws: Draws, name: str, value: Tensor, gate: Tensor) -> Multiply:
    """By a multiplier or by powers of two."""
    kind = GATES[draws.integer(0, len(GATES) - 1)]
    return Multiply(name, (value.name, gate.name), kind, draws.requantise())


def fits(value: Tensor, gate: Tensor) -> bool:
    """Whether two tensors can be multiplied, and the product has the value's shape."""
    return len(value.shape) == len(gate.shape) and all(
        m in (n, 1) for n, m in zip(value.shape, gate.shape, strict=True))


def concat(draws: Draws, name: str, *xs: Tensor) -> Concat:
    return Concat(name, tuple(x.name for x in xs), draws.integer(0, len(xs[0].shape) - 1))


class Network:
    """A design that grows layer by layer."""

    def __init__(self, source: Tensor) -> None:
        self.source = source
        self.layers: list[Layer] = []
        self.tensors = {source.name: source}

    @property
    def last(self) -> Tensor:
        return next(reversed(self.tensors.values()))

    @property
    def others(self) -> list[Tensor]:
        """Every tensor but the last."""
        return list(self.tensors.values())[:-1]

    @property
    def name(self) -> str:
        """A name for the next layer."""
        return f"l{len(self.layers)}"

    def put(self, layer: Layer | None, most: int | None = None) -> Tensor:
        """Add a layer, unless there is none or what it gives has more than `most` elements; the last tensor."""
        if layer is not None:
            made = layer.output([self.tensors[name] for name in layer.inputs])
            if most is None or made.size <= most:
                self.layers.append(layer)
                self.tensors[layer.name] = made
        return self.last

    def design(self, name: str) -> Design:
        return Design(name, self.source, tuple(self.layers))
