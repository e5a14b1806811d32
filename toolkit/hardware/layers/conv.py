"""Conv over a single pixel, unrolled: a matrix, as a Dense layer has it."""

from __future__ import annotations

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
    x = inputs[0]
    if not pixel(layer, x):
        raise layer.fail("a convolution over more than one pixel has no unrolled hardware; give it --arch folded")
    weights, bias, acc_frac = layer.matrix(x)
    outputs, own = len(weights) // layer.groups, x.size // layer.groups
    matrix = np.zeros((len(weights), x.size), np.int64)
    for group in range(layer.groups):
        rows, columns = (slice(group * n, (group + 1) * n) for n in (outputs, own))
        matrix[rows, columns] = weights[rows]
    return products(matrix, bias + layer.requantise.half(acc_frac), layer.requantise, intervals[0].flat(),
                    found.flat(), options)
