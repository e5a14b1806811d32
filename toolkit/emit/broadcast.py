"""Loops over tensors of which some have one element where the others have several."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True)
class Axis:
    """A loop of `count` rounds; `strides`: how far each tensor's element moves with every one of them."""

    count: int
    strides: tuple[int, ...]


def walk(shapes: list[tuple[int, ...]]) -> tuple[Axis, ...]:
    """As few nested loops as walk over tensors of `shapes`, of equally many axes, the last axis fastest; outermost
    first, one at the least. Where a tensor has one element along an axis, it stays where it is."""
    found: list[Axis] = []
    for axis in range(len(shapes[0])):
        count = max(shape[axis] for shape in shapes)
        strides = tuple(prod(shape[axis + 1:]) if shape[axis] == count else 0 for shape in shapes)
        if count == 1:
            continue
        if found and all(outer == count * inner for outer, inner in zip(found[-1].strides, strides, strict=True)):
            found[-1] = Axis(found[-1].count * count, strides)
        else:
            found.append(Axis(count, strides))
    return tuple(found) or (Axis(1, (0,) * len(shapes)),)
