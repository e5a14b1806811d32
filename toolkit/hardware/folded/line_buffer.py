"""How a layer reads its input again and again: a line buffer, which is circular, and its address generator, which is
loops that walk over it. What is read, kept and counted are words: of one element, or of several."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from toolkit.design.windows import Window

AXES = ("at", "y", "x", "keep")
"""What each loop moves: the element read (counted from the frame's first), the pixel's row and column (to know the
padding), and the first element that is still needed."""


@dataclass(frozen=True)
class Loop:
    """`count` rounds, each of which moves `at`, `y`, `x` and `keep` by so much."""

    name: str
    count: int
    at: int
    y: int = 0
    x: int = 0
    keep: int = 0

    def step(self, axis: str) -> int:
        return int(getattr(self, axis))


@dataclass(frozen=True)
class LineBuffer:
    """Loops over frames of `frame` elements in a circular buffer of `depth`; outermost loop first. The first tap of a
    frame reads element `start` (negative in padding), in row `top` and column `left`; elements before `keep` are free.
    `height` and `width` bound the pixels of a frame, None where there is no padding. With a `table`, int64 (taps,),
    the one loop counts, and the table says which element is read.
    """

    loops: tuple[Loop, ...]
    frame: int
    depth: int
    start: int = 0
    top: int = 0
    left: int = 0
    keep: int = 0
    height: int | None = None
    width: int | None = None
    table: np.ndarray | None = field(default=None, compare=False)

    def origin(self, axis: str) -> int:
        return {"at": self.start, "y": self.top, "x": self.left, "keep": self.keep}[axis]

    def delta(self, axis: str, level: int) -> int:
        """What an axis moves by when loop `level` advances and all inner loops begin anew."""
        inner = sum((loop.count - 1) * loop.step(axis) for loop in self.loops[level + 1:])
        return self.loops[level].step(axis) - inner

    @property
    def next_frame(self) -> int:
        """What the element read moves by from the last tap of a frame to the first of the next."""
        return self.frame - sum((loop.count - 1) * loop.at for loop in self.loops)

    def values(self, axis: str) -> np.ndarray:
        """int64 (taps,): an axis at every tap of a frame."""
        found = np.array([self.origin(axis)], np.int64)
        for loop in self.loops:
            found = (found[:, None] + np.arange(loop.count) * loop.step(axis)).reshape(-1)
        return found

    @cached_property
    def taps(self) -> np.ndarray:
        """int64 (taps,): the element that each tap of a frame reads, -1 where it is padding."""
        if self.table is not None:
            return self.table
        at = self.values("at")
        if self.height is None or self.width is None:
            return at
        y, x = self.values("y"), self.values("x")
        return np.where((y >= 0) & (y < self.height) & (x >= 0) & (x < self.width), at, -1)

    @cached_property
    def all_padding(self) -> bool:
        """Whether every tap is padding, as where dilation steps over a single pixel."""
        return bool(np.all(self.taps < 0))

    @cached_property
    def waits(self) -> np.ndarray:
        """int64 (taps,): the element that each tap waits for, -1 where for none. What sees nothing but padding waits
        for the frame's first, or it would never stop."""
        return np.zeros_like(self.taps) if self.all_padding else self.taps

    @cached_property
    def limits(self) -> np.ndarray:
        """int64 (taps,): while at a tap, so many elements of this frame and the next may have been written."""
        return self.depth + np.maximum(self.values("keep"), 0)


def merged(loops: list[Loop]) -> tuple[Loop, ...]:
    """Loops without those of one round; two that together step evenly on every axis become one."""
    found: list[Loop] = []
    for loop in loops:
        if loop.count == 1:
            continue
        last = found[-1] if found else None
        if last and all(last.step(a) == loop.count * loop.step(a) for a in AXES):
            found[-1] = Loop(loop.name, last.count * loop.count, *(loop.step(a) for a in AXES))
        else:
            found.append(loop)
    return tuple(found) or (Loop("only", 1, 0),)


def windows(window: Window, shape: tuple[int, ...], inner: list[Loop]) -> LineBuffer:
    """A line buffer of windows over an image of `shape`, words of a pixel last. `inner` loops run within a window,
    their `at`, `y` and `x` relative to it. One-dimensional images are columns: a pixel is a row."""
    channels = shape[-1]
    tall = window.rank == 2
    height, width = (shape[0], shape[1]) if tall else (shape[0], 1)
    row = width * channels
    top, left = window.padding[0][0], window.padding[1][0] if tall else 0
    rows, columns = (*window.output(shape), 1)[:2]
    down, right = window.stride[0], window.stride[1] if tall else 1
    outer = [Loop("oy", rows, down * row, y=down, keep=down * row), Loop("ox", columns, right * channels, x=right)]
    padded = any(sum(p) for p in window.padding)
    span = window.span[0]
    # Rows that the last windows hold, and those that the first windows of the next frame want by then.
    last = (rows - 1) * down - top
    depth = max(span + down, height - max(last, 0) + span - top)
    return LineBuffer(merged([*outer, *inner]), height * row, min(depth, 2 * height) * row,
                      -top * row - left * channels, -top, -left, -top * row,
                      height if padded else None, width if padded else None)


def kernel_loops(window: Window, shape: tuple[int, ...]) -> list[Loop]:
    """The loops over the positions of a window on an image of `shape`, words of a pixel last."""
    channels = shape[-1]
    row = channels * (shape[1] if window.rank == 2 else 1)
    found = [Loop("ky", window.kernel[0], window.dilation[0] * row, y=window.dilation[0])]
    if window.rank == 2:
        found.append(Loop("kx", window.kernel[1], window.dilation[1] * channels, x=window.dilation[1]))
    return found


def whole(size: int, inner: list[Loop]) -> LineBuffer:
    """A line buffer of whole frames of `size` elements, the next one arriving while one is read."""
    return LineBuffer(merged(inner), size, 2 * size)
