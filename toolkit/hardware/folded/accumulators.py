"""Pools whose windows share no element: one accumulator for each channel of each window that is open, and no line
buffer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from toolkit.design.layers import AvgPool, MaxPool
from toolkit.design.tensors import Tensor
from toolkit.hardware.linear import signed_width
from toolkit.hardware.words import Words


@dataclass(frozen=True)
class Axis:
    """Windows of `kernel` pixels, one every `stride`, along an axis of `size` pixels; the first of the `windows` has
    its first `before` pixels in the padding."""

    size: int
    kernel: int
    stride: int
    before: int
    windows: int

    @property
    def end(self) -> int:
        """The pixel behind the last window; beyond `size` where the padding cuts that window."""
        return (self.windows - 1) * self.stride - self.before + self.kernel

    @cached_property
    def window(self) -> np.ndarray:
        """int64 (size,): the window that each pixel lies in, -1 where it lies in none."""
        at = np.arange(self.size) + self.before
        found = np.zeros_like(at) if self.windows == 1 else at // self.stride
        return np.where((at - found * self.stride < self.kernel) & (np.arange(self.size) < self.end), found, -1)

    @property
    def first(self) -> np.ndarray:
        """bool (size,): whether a pixel is its window's first that is not padding."""
        return (self.window >= 0) & (np.diff(self.window, prepend=-1) != 0)

    @property
    def last(self) -> np.ndarray:
        """bool (size,): whether a pixel is its window's last that is not padding."""
        return (self.window >= 0) & (np.diff(self.window, append=-1) != 0)


@dataclass(frozen=True)
class Accumulators:
    """A sum or a maximum of `bits` bits for each channel of each open window, over images of axes `y` and `x` whose
    pixels come in `row` words each.

    Pixels come row by row, so that a row of windows is open at once where a window spans several rows, else one window.
    """

    y: Axis
    x: Axis
    row: int
    bits: int

    @classmethod
    def of(cls, layer: MaxPool | AvgPool, x: Tensor, words: Words) -> Accumulators | None:
        """Those of a pool; None where its windows overlap. One-dimensional images are columns."""
        window = layer.window
        if not window.disjoint(x.shape):
            return None
        axes = [Axis(*one) for one in zip(x.shape, window.kernel, window.stride, (p[0] for p in window.padding),
                                          window.output(x.shape), strict=False)]
        bits = x.format.width if isinstance(layer, MaxPool) else sum_bits(x, window.positions)
        return cls(axes[0], axes[1] if window.rank == 2 else Axis(1, 1, 1, 0, 1), words.row, bits)

    @property
    def entries(self) -> int:
        """Words of accumulators in memory. A single one is the register that a result leaves by."""
        if self.y.kernel * self.x.kernel == 1:
            return 0
        open_windows = self.x.windows if self.y.kernel > 1 else 1
        return open_windows * self.row if open_windows * self.row > 1 else 0

    @cached_property
    def last(self) -> np.ndarray:
        """bool (words of a frame,): whether a word ends the window of its channels."""
        pixels = self.y.last[:, None] & self.x.last
        return np.repeat(pixels.reshape(-1), self.row)


def sum_bits(x: Tensor, terms: int) -> int:
    """Bits of any sum of up to `terms` elements of x, two's complement where x is."""
    low, high = x.format.min_code * terms, x.format.max_code * terms
    return signed_width(low, high) if x.format.signed else high.bit_length()
