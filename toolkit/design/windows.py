"""Windows over images: which elements a convolution or a pool reads for each of its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from toolkit.utils.limits import MAX_VALUE

MAX_NUMBER = 1 << 20


@dataclass(frozen=True)
class Window:
    """A window of `kernel` positions, `dilation` apart, moved by `stride` over an image with `padding` (before, after)
    on each spatial axis. Images are channels-last: (length, channels) or (height, width, channels)."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]

    @classmethod
    def of(cls, kernel: tuple[int, ...], stride: tuple[int, ...] | None = None,
           padding: tuple[tuple[int, int], ...] | None = None, dilation: tuple[int, ...] | None = None) -> Window:
        """A window; stride and dilation are 1 and padding 0 where they are not given."""
        ones = (1,) * len(kernel)
        return cls(kernel, stride or ones, padding or ((0, 0),) * len(kernel), dilation or ones)

    @property
    def rank(self) -> int:
        return len(self.kernel)

    @property
    def positions(self) -> int:
        """Elements of one channel that a window covers."""
        return prod(self.kernel)

    @property
    def span(self) -> tuple[int, ...]:
        """Pixels from the first to the last of a window, on each axis."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def problem(self, shape: tuple[int, ...]) -> str | None:
        """Why the window does not fit an image of `shape`, channels included; None where it does."""
        if self.rank not in (1, 2) or not self.rank == len(self.stride) == len(self.padding) == len(self.dilation):
            return f"a window over {self.rank} axes; 1 or 2 are supported"
        if len(shape) != self.rank + 1:
            return f"takes an image of {self.rank + 1} axes, channels last, not shape {shape}"
        if min(*self.kernel, *self.stride, *self.dilation) < 1 or min(min(p) for p in self.padding) < 0:
            return "kernel, stride and dilation must be 1 or more, padding 0 or more"
        padded = shape[-1] * prod(n + sum(p) for n, p in zip(shape, self.padding, strict=False))
        numbers = (*self.kernel, *self.stride, *self.dilation, *(max(p) for p in self.padding))
        if max(numbers) > MAX_NUMBER or padded > 4 * MAX_VALUE:
            return f"its window or padding is larger than what is supported ({4 * MAX_VALUE:,} elements with padding)"
        for size, span, pads in zip(shape, self.span, self.padding, strict=False):
            if size + sum(pads) < span:
                return f"a window of {span} pixels does not fit an axis of {size} with padding {pads}"
            if max(pads) >= span:
                return f"padding {pads} lets a window of {span} pixels see nothing but padding"
        return None

    def output(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Windows along each spatial axis of an image of `shape`."""
        return tuple((size + sum(pads) - span) // stride + 1 for size, span, pads, stride
                     in zip(shape, self.span, self.padding, self.stride, strict=False))

    def same_pixels(self, shape: tuple[int, ...]) -> bool:
        """Whether each window over an image of `shape` is one pixel, every one once and in their order."""
        return self.positions == 1 and self.output(shape) == shape[:-1] and not any(map(any, self.padding))

    def disjoint(self, shape: tuple[int, ...]) -> bool:
        """Whether no pixel of an image of `shape` lies under two windows, or between the positions of one."""
        axes = zip(self.output(shape), self.kernel, self.stride, self.dilation, strict=False)
        return all((windows == 1 or stride >= kernel) and (dilation == 1 or kernel == 1)
                   for windows, kernel, stride, dilation in axes)

    def blind(self, shape: tuple[int, ...]) -> bool:
        """Whether one of the windows has every position in the padding."""
        for size, windows, kernel, stride, pads, apart in zip(
                shape, self.output(shape), self.kernel, self.stride, self.padding, self.dilation, strict=False):
            places = np.arange(windows)[:, None] * stride - pads[0] + np.arange(kernel) * apart
            if ((places < 0) | (places >= size)).all(axis=1).any():
                return True
        return False

    def patches(self, images: np.ndarray, fill: int = 0) -> np.ndarray:
        """Images (n, *spatial, channels) to a view (n, *windows, *kernel, channels); padding holds `fill`."""
        if any(sum(p) for p in self.padding):
            images = np.pad(images, ((0, 0), *self.padding, (0, 0)), constant_values=fill)
        axes = tuple(range(1, 1 + self.rank))
        seen = np.lib.stride_tricks.sliding_window_view(images, self.span, axes)
        steps = (slice(None), *(slice(None, None, s) for s in self.stride), slice(None),
                 *(slice(None, None, d) for d in self.dilation))
        return np.moveaxis(seen[steps], 1 + self.rank, -1)

    def sources(self, shape: tuple[int, ...]) -> np.ndarray:
        """int64 (*windows, *kernel): the pixel (row by row) that each position reads, -1 where it is padding."""
        pixels = np.arange(prod(shape[:-1])).reshape(1, *shape[:-1], 1)
        return self.patches(pixels, -1)[0, ..., 0]

    def to_json(self) -> dict[str, Any]:
        return {"kernel": list(self.kernel), "stride": list(self.stride), "padding": [list(p) for p in self.padding],
                "dilation": list(self.dilation)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Window:
        numbers = {key: tuple(int(n) for n in data[key]) for key in ("kernel", "stride", "dilation")}
        padding = tuple((int(a), int(b)) for a, b in data["padding"])
        return cls(numbers["kernel"], numbers["stride"], padding, numbers["dilation"])
