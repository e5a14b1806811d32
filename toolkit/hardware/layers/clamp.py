"""Clamp: no adder but the one of the rounding."""

from __future__ import annotations

import numpy as np

from toolkit.design.layers import Clamp, LayerRange
from toolkit.design.tensors import Interval, Tensor
from toolkit.hardware.adder_graph import AdderGraph, Term
from toolkit.hardware.datapath import Datapath
from toolkit.hardware.linear import linear
from toolkit.hardware.options import Options


def plan(layer: Clamp, inputs: list[Tensor], intervals: list[Interval], found: LayerRange,
         options: Options) -> Datapath:
    """The datapath of one Clamp layer."""
    x = inputs[0]
    graph = AdderGraph(intervals[0].flat(), (), tuple(Term(i, 0, False) for i in range(x.size)))
    half = np.full(x.size, layer.requantise.half(x.format.frac), np.int64)
    return linear(graph, [(0, i) for i in range(x.size)], half, layer.requantise, found.flat(),
                  options.adders_per_stage)
