"""Conv over a single pixel, or over one window, unrolled: a matrix, as a Dense layer has it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolkit.design.layers import Conv, LayerRange
from toolkit.design.tensors import Interval, Tensor
from toolkit.hardware.datapath import Datapath
from toolkit.hardware.layers.dense import products
from toolkit.hardware.options import Options


def pixel(layer: Conv, x: Tensor) -> bool:
    """Whether a layer reads one pixel and writes one: without neighbours, it is a matrix of its groups' weights."""
    return x.size == x.shape[-1] and layer.window.positions == 1 and layer.window.output(x.shape) == x.shape[:-1]


def plan(layer: Conv, inputs: list[Tensor], intervals: list[Interval], found: LayerRange,
         options: Options) -> Datapath:
    """The datapath of one Conv layer over a single pixel."""
    if not pixel(layer, inputs[0]):
        raise layer.fail("a convolution over more than one pixel has no unrolled hardware; give it --arch folded")
    return of_window(layer, inputs[0], intervals[0], found, options)


def of_window(layer: Conv, x: Tensor, interval: Interval, found: LayerRange, options: Options) -> Datapath:
    """The datapath from one window, position by position, channels fastest, to the pixel that it makes; right for all
    windows over an image whose elements lie in `interval`."""
    weights, bias, acc_frac = layer.matrix(x)
    outputs, channels, positions = len(weights) // layer.groups, x.shape[-1], layer.window.positions
    own = channels // layer.groups
    matrix = np.zeros((len(weights), positions, channels), np.int64)
    for group in range(layer.groups):
        rows, columns = (slice(group * n, (group + 1) * n) for n in (outputs, own))
        matrix[rows, :, columns] = weights[rows].reshape(outputs, positions, own)
    low, high = interval.low.reshape(-1, channels).min(axis=0), interval.high.reshape(-1, channels).max(axis=0)
    if any(map(any, layer.window.padding)):
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    assert found.accumulator is not None
    of_channel = replace(found, output=_of_channels(found.output, len(weights)),
                         accumulator=_of_channels(found.accumulator, len(weights)))
    return products(matrix.reshape(len(weights), -1), bias + layer.requantise.half(acc_frac), layer.requantise,
                    Interval(np.tile(low, positions), np.tile(high, positions)), of_channel, options)


def _of_channels(interval: Interval, channels: int) -> Interval:
    """What bounds each channel, whatever its pixel."""
    return Interval(interval.low.reshape(-1, channels).min(axis=0), interval.high.reshape(-1, channels).max(axis=0))
