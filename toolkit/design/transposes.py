"""Reorderings that are a transpose, of the tensor or of its elements under another shape."""

from __future__ import annotations

import numpy as np


def transpose_of(index: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """(shape, axes) with `arange(n).reshape(shape).transpose(axes)`, flat, equal to `index` (n,), of as few axes as can
    be; None where the reordering is no such thing. Loops are taken off from the inside, each a run of even steps."""
    loops: list[tuple[int, int]] = []
    rest = index
    while len(rest) > 1:
        steps = np.diff(rest)
        uneven = np.flatnonzero(steps != steps[0])
        count = int(uneven[0]) + 1 if len(uneven) else len(rest)
        if len(rest) % count or steps[0] < 1:
            return None
        rounds = rest.reshape(-1, count)
        if not np.array_equal(rounds - rounds[:, :1], np.broadcast_to(np.arange(count) * steps[0], rounds.shape)):
            return None
        loops.insert(0, (count, int(steps[0])))
        rest = rounds[:, 0]
    order = sorted(range(len(loops)), key=lambda i: -loops[i][1])
    size = 1
    for i in reversed(order):
        if loops[i][1] != size:
            return None
        size *= loops[i][0]
    if rest[0] != 0:
        return None
    return tuple(loops[i][0] for i in order), tuple(order.index(j) for j in range(len(loops)))
