"""Dense, unrolled: the weight matrix is an adder graph with shared subexpressions."""

from __future__ import annotations

import numpy as np

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
    x = intervals[0]
    # An input that is always the same belongs to the bias; an output that is, needs no adders.
    fixed = x.low == x.high
    bias = bias + layer.requantise.half(acc_frac) + matrix[:, fixed] @ x.low[fixed]
    needed = np.where(constant_outputs(found)[:, None] | fixed, 0, matrix)
    try:
        graph = share(needed, x, options.sharing_tries)
    except InputError as error:
        raise layer.fail(str(error)) from None
    ports = [(0, i) for i in range(inputs[0].size)]
    return linear(graph, ports, bias, layer.requantise, found, options.adders_per_stage)
