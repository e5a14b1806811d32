"""Whole windows, one a cycle: rows of the image in memories of their own, of which a column is read in each cycle, and
registers that hold the columns of a window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from toolkit.design.windows import Window


@dataclass(frozen=True)
class Along:
    """Windows of `kernel` pixels `dilation` apart, one every `stride`, along an axis of `size` pixels with `before`
    pixels of padding in front of it; `windows` of them."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    windows: int

    @property
    def span(self) -> int:
        return (self.kernel - 1) * self.dilation + 1

    def covered(self, position: int) -> tuple[int, int]:
        """The first and the last window whose position number `position` lies in the image."""
        offset = self.before - position * self.dilation
        return max(-(-offset // self.stride), 0), min((self.size - 1 + offset) // self.stride, self.windows - 1)


@dataclass(frozen=True)
class Rows:
    """Windows over an image with the axes `y` and `x`, whose pixels come one a cycle.

    A frame is a walk over places: in each of the passes, one for each row of windows, a column of the pass's rows is
    read in every place, and shifted into the window. A window stands when its last column is in. Where that lies in the
    padding, the columns of the next pass shift it on, and behind the last pass places that read nothing; or, if an
    image is so narrow that windows of two passes would stand at once (not `merged`), such places end every pass.

    With room `ahead`, the rows that a frame's first windows want come while the last ones of the frame before are read:
    for layers that need longer for a window than a pixel takes to come.
    """

    y: Along
    x: Along
    ahead: bool = False

    @classmethod
    def of(cls, window: Window, shape: tuple[int, ...], ahead: bool = False) -> Rows:
        """Those of a window over an image of `shape`, channels last. One-dimensional images are one row."""
        counts = window.output(shape)
        axes = [Along(*one) for one in zip(shape, window.kernel, window.stride, window.dilation,
                                           (p[0] for p in window.padding), counts, strict=False)]
        return cls(axes[0], axes[1], ahead) if window.rank == 2 else cls(Along(1, 1, 1, 1, 0, 1), axes[0], ahead)

    @property
    def banks(self) -> int:
        """Rows that are kept: a pixel may be overwritten as soon as it was read for the last time."""
        if not self.ahead:
            return self.y.span
        last = (self.y.windows - 1) * self.y.stride - self.y.before
        return max(self.y.span, self.y.size - last + self.y.span - 1 - self.y.before)

    @property
    def first(self) -> int:
        """The column with which the first window of a pass is complete."""
        return self.x.span - 1 - self.x.before

    @property
    def final(self) -> int:
        """The column with which the last one is."""
        return self.first + (self.x.windows - 1) * self.x.stride

    @property
    def merged(self) -> bool:
        beyond = max(self.final - self.x.size + 1, 0)
        return self.first >= beyond and self.first < self.x.size

    @property
    def places(self) -> int:
        """Of a pass."""
        return min(self.final + 1, self.x.size) if self.merged else self.final + 1

    @property
    def flush(self) -> int:
        """Places behind the last pass."""
        return self.final + 1 - self.places

    @property
    def length(self) -> int:
        """Places of a frame."""
        return self.y.windows * self.places + self.flush

    @property
    def frame(self) -> int:
        """Pixels of an image."""
        return self.y.size * self.x.size

    @property
    def top(self) -> int:
        """The row in which the first windows begin; negative in the padding."""
        return -self.y.before

    @cached_property
    def _walk(self) -> tuple[np.ndarray, np.ndarray]:
        """(pass, column) of each place."""
        passes = np.repeat(np.arange(self.y.windows), self.places)
        columns = np.tile(np.arange(self.places), self.y.windows)
        extra = np.arange(self.places, self.places + self.flush)
        return np.append(passes, np.full(self.flush, self.y.windows - 1)), np.append(columns, extra)

    @property
    def taps(self) -> np.ndarray:
        """int64 (places,): the pixel that each place waits for, the lowest of its column; -1 where it reads nothing."""
        passes, columns = self._walk
        lowest = np.minimum(passes * self.y.stride + self.top + self.y.span - 1, self.y.size - 1)
        return np.where(columns < self.x.size, lowest * self.x.size + columns, -1)

    waits = taps

    @property
    def limits(self) -> np.ndarray:
        """int64 (places,): while at a place, so many pixels of this frame and the next may have been written."""
        passes, columns = self._walk
        return (passes * self.y.stride + self.top + self.banks) * self.x.size + np.minimum(columns, self.x.size)

    @property
    def last(self) -> np.ndarray:
        """bool (places,): whether a window stands with the column of the place."""
        found = np.zeros(self.length, bool)
        found[self.stands] = True
        return found

    @property
    def stands(self) -> np.ndarray:
        """int64 (windows,): the place of each window, row by row."""
        rows = np.arange(self.y.windows)[:, None] * self.places
        return (rows + self.first + np.arange(self.x.windows) * self.x.stride).reshape(-1)
