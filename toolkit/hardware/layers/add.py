"""Add: a tree of adders an element, the operands shifted to the finest grid."""

from __future__ import annotations

import numpy as np

from toolkit.design.layers import Add, LayerRange
from toolkit.design.tensors import Interval, Tensor
from toolkit.hardware.adder_graph import AdderGraph, Term
from toolkit.hardware.datapath import Datapath
from toolkit.hardware.linear import linear
from toolkit.hardware.options import Options


def plan(layer: Add, inputs: list[Tensor], intervals: list[Interval], found: LayerRange,
         options: Options) -> Datapath:
    """The datapath of one Add layer."""
    size, count = inputs[0].size, len(inputs)
    both = Interval(np.concatenate([i.low.reshape(-1) for i in intervals]),
                    np.concatenate([i.high.reshape(-1) for i in intervals]))
    adders: list[tuple[Term, Term]] = []
    outputs = []
    for i in range(size):
        terms = [Term(port * size + i, shift, False) for port, shift in enumerate(layer.shifts(inputs))]
        while len(terms) > 1:  # the two oldest: a balanced tree
            adders.append((terms[0], terms[1]))
            terms = [*terms[2:], Term(count * size + len(adders) - 1, 0, False)]
        outputs.append(terms[0])
    graph = AdderGraph(both, tuple(adders), tuple(outputs))
    half = np.full(size, layer.requantise.half(found.acc_frac), np.int64)
    ports = [(port, i) for port in range(count) for i in range(size)]
    return linear(graph, ports, half, layer.requantise, found.flat(), options.adders_per_stage)
