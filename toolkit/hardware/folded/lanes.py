"""The ROM words and offsets of a folded layer, from its weights."""

from __future__ import annotations

import numpy as np

from toolkit.design.formats import FixedPoint, Rounding
from toolkit.design.layers import Conv, Dense, LayerRange
from toolkit.design.tensors import Tensor
from toolkit.design.weights import Log2Format
from toolkit.hardware.folded.node import Lanes
from toolkit.hardware.linear import signed_width
from toolkit.hardware.workload import Parallel, Workload, work


def lanes(layer: Dense | Conv, x: Tensor, found: LayerRange, output: Tensor, parallel: Parallel) -> Lanes:
    """The constants of `layer` on `parallel.pe` lanes of `parallel.simd` taps.

    Each channel sums on the grid of its own smallest weight; its sum moves to the accumulator's grid on the way out.
    """
    assert found.accumulator is not None
    shape = work(layer, [x], output)
    weights, bias, acc_frac = layer.matrix(x)
    channels = len(weights)
    odd = np.where(weights == 0, 1 << 62, weights & -weights)
    moves = np.log2(np.minimum(odd.min(axis=1), 1 << 61)).astype(np.int64)
    moves[~weights.any(axis=1)] = 0
    own = weights >> moves[:, None]
    power = bool(np.all((own == 0) | (np.abs(own) & (np.abs(own) - 1) == 0)))
    requantise = layer.requantise
    offsets = bias + requantise.half(acc_frac)
    sums_low = found.accumulator.low.reshape(-1, channels).min(axis=0) - offsets
    sums_high = found.accumulator.high.reshape(-1, channels).max(axis=0) - offsets
    if power and isinstance(layer.weights.format, Log2Format):
        span = int(np.log2(np.abs(own).max(initial=1)))
        field_bits = max(layer.weights.format.bits - 1, int(span + 1).bit_length())
        index = np.where(own == 0, (1 << field_bits) - 1, np.log2(np.maximum(np.abs(own), 1)).astype(np.int64))
        negative = own < 0
        codes = (negative.astype(np.int64) << field_bits) | index
        bits = field_bits + 1
        # A negative weight adds the inverse of its term, which is one too few: the offset gives it back.
        missing = negative.sum(axis=1).astype(np.int64)
    else:
        span = 0
        bits = max(signed_width(int(own.min()), int(own.max())), 2)
        codes, missing = own & ((1 << bits) - 1), np.zeros(channels, np.int64)
    low, high = (sums_low >> moves) - missing, (sums_high >> moves) - missing
    sum_bits = max(signed_width(int(min(a, 0)), int(max(b, 0))) for a, b in zip(low, high, strict=True))
    shift = acc_frac - requantise.format.frac
    even = requantise.rounding is Rounding.HALF_EVEN and shift > 0
    drop = 0 if even else min(int(moves.min()), max(shift, 0))
    whole = (offsets >> drop) + (missing << (moves - drop))
    zero = (1 << (bits - 1)) - 1 if power and isinstance(layer.weights.format, Log2Format) else 0
    kernel, own = (1, shape.taps) if shape.windowed(parallel.simd) else (shape.kernel, shape.own)
    words = _words(codes.reshape(shape.groups, shape.outputs, kernel, own), zero, shape, parallel)
    acc = found.accumulator
    return Lanes(parallel.pe, words.shape[1], words.shape[2], words.shape[4], shape.across(parallel.pe),
                 x.format.width + (not x.format.signed), bits, zero > 0, span, words.astype(np.uint64), sum_bits, whole,
                 moves - drop, drop, int(acc.low.min()) >> drop, int(acc.high.max()) >> drop)


def _words(codes: np.ndarray, zero: int, shape: Workload, parallel: Parallel) -> np.ndarray:
    """The ROM's fields (groups, folds, words, lanes, taps of a lane) from codes (groups, outputs, kernel, own), `zero`
    where a lane has nothing to do."""
    groups, outputs, kernel, own = codes.shape
    if shape.across(parallel.pe):  # every channel's outputs are lanes of their own, each with one tap a cycle
        codes = codes.reshape(1, groups * outputs, kernel, 1)
        groups, outputs = 1, groups * outputs
    folds, row = -(-outputs // parallel.pe), -(-own // parallel.simd)
    padded = np.full((groups, folds * parallel.pe, kernel, row * parallel.simd), zero, np.int64)
    padded[:, :outputs, :, :own] = codes
    fields = padded.reshape(groups, folds, parallel.pe, kernel * row, parallel.simd)
    return fields.swapaxes(2, 3)


def word_width(low: int, high: int) -> int:
    """Bits of the two's complement that holds low..high."""
    return FixedPoint.holding(min(low, -1), high, 0).width
