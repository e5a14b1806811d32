"""Lookup: a table for each element, read by the bits of its code."""

from __future__ import annotations

import numpy as np

from toolkit.design.layers import LayerRange, Lookup
from toolkit.design.tensors import Interval, Tensor
from toolkit.hardware.datapath import Builder, Datapath, Entry, Read
from toolkit.hardware.options import Options

BITS_OF_AN_ADDER = 2
"""Bits of the input of a table that take about as long as one level of adders."""


def plan(layer: Lookup, inputs: list[Tensor], intervals: list[Interval], found: LayerRange,
         options: Options) -> Datapath:
    """The datapath of one Lookup layer."""
    del intervals, found
    x, build = inputs[0], Builder()
    # The negative half comes last, as the bits of its codes do.
    table = np.roll(layer.table, -len(layer.table) // 2) if x.format.signed else layer.table
    entry = Entry(tuple(table.tolist()))
    outputs = []
    for j in range(x.size):
        read = build.add(f"x{j}", x.format.width, Read(0, j, False))
        outputs.append(build.add(f"y{j}", layer.format.width, entry, (read,),
                                 cost=max(x.format.width // BITS_OF_AN_ADDER, 1)))
    return build.finish(outputs, options.adders_per_stage)
