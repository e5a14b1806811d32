"""A transposed convolution as a convolution and a reordering: each of the stride's phases of an output pixel is a
channel of its own, with the taps that reach it.

Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from toolkit.design import Weights, Window


@dataclass(frozen=True)
class Phases:
    """One axis. Output pixel o is phase (o + shift) % stride of position (o + shift) // stride. `taps`, int64 (stride,
    kernel): the weight that a phase has at a position of the convolution's kernel, -1 where none."""

    outputs: int
    stride: int
    shift: int
    positions: int
    before: int
    after: int
    dilation: int
    taps: np.ndarray


def phases(size: int, kernel: int, stride: int, crop: tuple[int, int], dilation: int) -> Phases:
    """The phases of an axis of `size` pixels: of all ways to begin, the one with the fewest products."""
    outputs = (size - 1) * stride + dilation * (kernel - 1) + 1 - sum(crop)
    shifts = dict.fromkeys((0, crop[0] % stride, -outputs % stride))
    found = [_phases(size, kernel, stride, crop[0], dilation, outputs, shift) for shift in shifts]
    return min(found, key=lambda one: one.positions * one.taps.shape[1])


def _phases(size: int, kernel: int, stride: int, before: int, dilation: int, outputs: int, shift: int) -> Phases:
    positions = (outputs - 1 + shift) // stride + 1
    behind = positions - size
    # Output o sums weight[k] * x[i] where o + before = i * stride + k * dilation: i lies `back` pixels before o's
    # position.
    ahead = np.arange(kernel) * dilation - before + shift
    phase, back = ahead % stride, ahead // stride
    most, least = max(int(back.max()), 0, behind), min(int(back.min()), 0, behind)
    if stride == 1 and (most, least) == (back[-1], back[0]):
        return Phases(outputs, 1, shift, positions, most, behind - least, dilation, np.arange(kernel)[None, ::-1])
    taps = np.full((stride, most - least + 1), -1, np.int64)
    taps[phase, most - back] = np.arange(kernel)
    return Phases(outputs, stride, shift, positions, most, behind - least, 1, taps)


def as_convolution(weights: Weights, bias: np.ndarray, axes: list[Phases], groups: int) -> tuple[Weights, np.ndarray,
                                                                                                 Window]:
    """The weights, biases and window of the convolution: `weights` (out, in / groups, *kernel) become (out * phases,
    *kernel, in / groups), of each group phase by phase. A tap that a phase does not have is the code 0, which is zero
    in every format."""
    codes, rank = weights.codes, len(axes)
    for axis, one in enumerate(axes):
        at = 2 + 2 * axis
        none = np.zeros_like(codes.take([0], at))
        # Place -1 is the zero behind the last tap; the axis becomes phases and positions of the kernel.
        codes = np.concatenate([codes, none], at).take(one.taps.reshape(-1), at, mode="wrap")
        codes = codes.reshape(*codes.shape[:at], *one.taps.shape, *codes.shape[at + 1:])
    split = codes.reshape(groups, -1, *codes.shape[1:])  # groups, out, in, then phase and kernel of each axis
    order = (0, *(3 + 2 * i for i in range(rank)), 1, *(4 + 2 * i for i in range(rank)), 2)
    made = split.transpose(order)
    count = prod(made.shape[:rank + 2])

    def spread(values: np.ndarray) -> np.ndarray:
        """What each channel has, for every phase of it."""
        rows = values.reshape(groups, *(1,) * rank, -1)
        return np.broadcast_to(rows, made.shape[:rank + 2]).reshape(count).copy()

    window = Window(tuple(one.taps.shape[1] for one in axes), (1,) * rank,
                    tuple((one.before, one.after) for one in axes), tuple(one.dilation for one in axes))
    return (Weights(weights.format, np.ascontiguousarray(made.reshape(count, *made.shape[rank + 2:])),
                    spread(weights.exponents)), spread(bias), window)


def shuffled(axes: list[Phases], groups: int, channels: int) -> np.ndarray:
    """int64 (*outputs, channels), flat: where the convolution's output holds each element of the transposed one's."""
    parts = [np.arange(one.outputs) + one.shift for one in axes]
    share = channels // groups
    phase, place = np.zeros((1,) * (len(axes) + 1), np.int64), np.zeros((1,) * (len(axes) + 1), np.int64)
    for i, (at, one) in enumerate(zip(parts, axes, strict=True)):
        lifted = at.reshape(*(-1 if j == i else 1 for j in range(len(axes) + 1)))
        phase = phase * one.stride + lifted % one.stride
        place = place * one.positions + lifted // one.stride
    count = prod(one.stride for one in axes)
    channel = np.arange(channels)
    of = (channel // share * count + phase) * share + channel % share
    return (place * count * channels + of).reshape(-1)
