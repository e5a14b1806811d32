"""A quick estimate of adder bits, for a search that cannot afford to share subexpressions thousands of times."""

from __future__ import annotations

import numpy as np

from toolkit.design import Add, Conv, Dense, Design

SHARING = 0.62
"""Adders that are left after sharing, of those that the non-zero weights ask for (measured, see the benchmarks)."""


def adder_bits(design: Design) -> int:
    """Adder bits of an unrolled design, estimated: each signed digit of a weight an adder as wide as half of its row's
    sum and half of its input, less what sharing saves. An estimate: `plan` counts exactly."""
    total = 0.0
    for layer in design.layers:
        if isinstance(layer, Dense | Conv):
            x = design.tensors[layer.inputs[0]]
            live = signed_digits(layer.weights.integers()[0]).reshape(len(layer.weights.codes), -1).sum(axis=1)
            widths = design.ranges[layer.name].widths  # of a Conv: one for every window, each a row of its own
            total += float(np.sum(SHARING * live * (0.5 * widths + 0.5 * x.format.width)))
        elif isinstance(layer, Add):
            total += float(design.ranges[layer.name].widths.sum())
    return round(total)


def signed_digits(values: np.ndarray) -> np.ndarray:
    """How many powers of two, added or taken away, each of int64 `values` needs at the least."""
    return np.bitwise_count(values ^ (3 * values))
