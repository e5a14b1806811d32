"""Dense, unrolled: the weight matrix is an adder graph with shared subexpressions."""

from __future__ import annotations

import numpy as np

from toolkit.design.formats import Requantise
from toolkit.design.layers import Dense, LayerRange
from toolkit.design.tensors import Interval, Tensor
from toolkit.hardware.datapath import Datapath
from toolkit.hardware.linear import constant_outputs, linear
from toolkit.hardware.options import Options
from toolkit.hardware.sharing import share
from toolkit.utils.errors import InputError


def plan(layer: Dense, inputs: list[Tensor], intervals: list[Interval], found: LayerRange,
         options: Options) -> Datapath:
    """The datapath of one Dense layer."""
    matrix, bias, acc_frac = layer.matrix(inputs[0])
    try:
        return products(matrix, bias + layer.requantise.half(acc_frac), layer.requantise, intervals[0], found, options)
    except InputError as error:
        raise layer.fail(str(error)) from None


def products(matrix: np.ndarray, bias: np.ndarray, requantise: Requantise, x: Interval,
             found: LayerRange, options: Options) -> Datapath:
    """The datapath of `requantise(matrix @ x + bias)`: int64 (outputs, inputs) and (outputs,) on the accumulator's
    grid, the rounding half in the bias."""
    # An input that is always the same belongs to the bias; an output that is, needs no adders.
    fixed = x.low == x.high
    bias = bias + matrix[:, fixed] @ x.low[fixed]
    needed = np.where(constant_outputs(found)[:, None] | fixed, 0, matrix)
    graph = share(needed, x, options.sharing_tries)
    ports = [(0, i) for i in range(matrix.shape[1])]
    return linear(graph, ports, bias, requantise, found, options.adders_per_stage)
