"""How a tensor travels between folded layers: so many elements of a pixel a cycle."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod

import numpy as np


@dataclass(frozen=True)
class Words:
    """A tensor of `shape` as words of `elements` neighbours along the last axis, a word a cycle. Where the axis is no
    multiple of a word, the last word of each of its rows holds fewer; what stands in its upper places means nothing."""

    shape: tuple[int, ...]
    elements: int = 1

    @property
    def row(self) -> int:
        """Words of one row of the last axis: of a pixel."""
        return -(-self.shape[-1] // self.elements)

    @property
    def count(self) -> int:
        """Words of a sample."""
        return prod(self.shape[:-1]) * self.row

    @property
    def as_shape(self) -> tuple[int, ...]:
        """The tensor's shape, counted in words."""
        return (*self.shape[:-1], self.row)

    @property
    def filled(self) -> np.ndarray:
        """int64 (row,): elements in each word of a row."""
        return np.minimum(self.elements, self.shape[-1] - np.arange(self.row) * self.elements)

    def to(self, elements: int) -> Words:
        """The same tensor in other words."""
        return Words(self.shape, elements)

    def conversions(self, elements: int) -> list[Words]:
        """The words that this stream becomes, one after the other, on its way to `elements` a cycle: at once where one
        divides the other or holds a whole row, else narrower, to a common divisor, then wider."""
        if elements == self.elements:
            return []
        after, common = self.to(elements), gcd(self.elements, elements)
        wide = after if elements > self.elements else self
        return [after] if wide.row == 1 or common in (elements, self.elements) else [self.to(common), after]

    def parts(self, narrow: Words) -> np.ndarray:
        """int64 (count,): how many words of `narrow` each word of a sample holds."""
        return np.tile(-(-self.filled // narrow.elements), self.count // self.row)
