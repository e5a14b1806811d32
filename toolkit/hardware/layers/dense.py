"""Dense, unrolled: the weight matrix is an adder graph with shared subexpressions."""

from __future__ import annotations

import numpy as np

from toolkit.design.layers import Dense, LayerRange
from toolkit.design.tensors import Interval, Tensor
from toolkit.hardware.datapath import Datapath
from toolkit.hardware.linear import constant_outputs, linear
from toolkit.hardware.options import Options
from toolkit.hardware.sharing import share


def plan(layer: Dense, inputs: list[Tensor], intervals: list[Interval], found: LayerRange,
         options: Options) -> Datapath:
    """The datapath of one Dense layer."""
    matrix, bias, acc_frac = layer.matrix(inputs[0])
    needed = np.where(constant_outputs(found)[:, None], 0, matrix)
    graph = share(needed, intervals[0], options.sharing_tries)
    bias = bias + layer.requantise.half(acc_frac)
    ports = [(0, i) for i in range(inputs[0].size)]
    return linear(graph, ports, bias, layer.requantise, found, options.adders_per_stage)
