"""Dense and Conv for C: packed rows of codes, and per channel what the accumulator starts from and is shifted by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.design import Conv, Dense, LayerRange, Rounding
from toolkit.design.tensors import Interval, Tensor
from toolkit.emit.c.codebook import Codebook, codebook, packed
from toolkit.emit.c.requantise import limits, requantisation
from toolkit.emit.c.types import CType, signed
from toolkit.utils.errors import InputError


@dataclass(frozen=True)
class Linear:
    """`codes`: bytes (groups, taps, row bytes). A channel's sum starts from `start`; `up` is empty where a shift right
    by `down` makes it the output; else it is shifted left by `up`, `bias` is added, and `lines` round it."""

    codebook: Codebook
    codes: np.ndarray
    channels: int
    start: np.ndarray
    down: np.ndarray
    up: np.ndarray
    bias: np.ndarray
    acc: CType
    type: CType
    lines: tuple[str, ...]


def linear(layer: Dense | Conv, x: Tensor, interval: Interval, range: LayerRange) -> Linear:
    """All constants of a layer of weights. Raises InputError for weights that have no code."""
    matrix, bias, acc_frac = layer.matrix(x)
    outputs = len(matrix)
    groups = layer.groups if isinstance(layer, Conv) else 1
    zeros = _trailing_zeros(matrix)
    relative = matrix >> zeros[:, None]
    try:
        found, codes = codebook(relative, layer.weights.format.kind == "int")
    except InputError as error:
        raise layer.fail(str(error)) from error
    rows = codes.reshape(groups, outputs // groups, -1).swapaxes(1, 2)
    octets = packed(rows.reshape(-1, outputs // groups), found.bits).reshape(groups, rows.shape[1], -1)
    r = layer.requantise
    shift = acc_frac - r.format.frac
    # floor((s * 2**up + b) / 2**shift) is floor((s + floor(b / 2**up)) / 2**(shift - up)): the sum stays narrow.
    narrow = (r.rounding is not Rounding.HALF_EVEN or shift <= 0) and bool(np.all(shift >= zeros))
    start = (bias + r.half(acc_frac)) >> zeros if narrow else np.zeros_like(bias)
    most = _largest_sum(layer, relative, start, interval)
    acc = signed(max(most, found.largest * max(interval.bound, 1)), 16)
    nothing = np.zeros(0, np.int64)
    if narrow:
        type = signed(max(1 << (acc.bits - 2), range.output.bound, *map(abs, (r.low, r.high))))
        down = np.minimum(shift - zeros, type.bits - 1)
        return Linear(found, octets, outputs, start, down, nothing, nothing, acc, type, limits(r, range, type))
    type = signed(max(range.bound, 1 << (acc.bits - 2)))
    return Linear(found, octets, outputs, start, nothing, zeros, bias, acc, type, requantisation(r, range, type).lines)


def _trailing_zeros(matrix: np.ndarray) -> np.ndarray:
    """For each row, the power of two that divides all of it; 0 for a row of zeros."""
    bits = np.bitwise_or.reduce(matrix, axis=1)
    lowest = bits & -bits
    return np.where(bits != 0, np.log2(np.maximum(lowest, 1)).astype(np.int64), 0)


def _largest_sum(layer: Dense | Conv, relative: np.ndarray, start: np.ndarray, interval: Interval) -> int:
    """The largest magnitude that any sum can reach on its way, in whatever order."""
    if isinstance(layer, Conv):
        channels = interval.low.shape[-1]
        low, high = interval.low.reshape(-1, channels).min(axis=0), interval.high.reshape(-1, channels).max(axis=0)
        each = [np.tile(side.reshape(layer.groups, -1), (1, layer.window.positions)) for side in (low, high)]
        low, high = (np.repeat(side, len(relative) // layer.groups, axis=0) for side in each)
    else:
        low, high = interval.low[None], interval.high[None]
    ends = relative * low, relative * high
    least = start + np.minimum(np.minimum(*ends), 0).sum(axis=1)
    most = start + np.maximum(np.maximum(*ends), 0).sum(axis=1)
    return max(abs(int(least.min())), abs(int(most.max())))
