"""Concat, Reshape and Reorder: wires, and shifts to the common grid."""

from __future__ import annotations

import numpy as np

from toolkit.design.layers import Concat, Layer, LayerRange, Reorder
from toolkit.design.tensors import Interval, Tensor
from toolkit.hardware.datapath import Builder, Datapath, Read, Widen
from toolkit.hardware.options import Options


def plan(layer: Layer, inputs: list[Tensor], intervals: list[Interval], found: LayerRange,
         options: Options) -> Datapath:
    """A datapath without registers: where each element of the output comes from."""
    del intervals, found, options
    places = [np.arange(t.size).reshape(t.shape) for t in inputs]
    ports = [np.full(t.shape, i) for i, t in enumerate(inputs)]
    axis = layer.axis if isinstance(layer, Concat) else 0
    shifts = layer.shifts(inputs) if isinstance(layer, Concat) else [0]
    width = layer.output(inputs).format.width
    port_of, place_of = (np.concatenate(parts, axis).reshape(-1) for parts in (ports, places))
    if isinstance(layer, Reorder):
        port_of, place_of = port_of[layer.index], place_of[layer.index]
    build = Builder()
    read: dict[tuple[int, int], int] = {}
    outputs = []
    for j, at in enumerate(zip(port_of.tolist(), place_of.tolist(), strict=True)):
        port, place = at
        form = inputs[port].format
        if at not in read:
            read[at] = build.add(f"x{port}_{place}", form.width, Read(port, place, False))
        outputs.append(build.add(f"y{j}", width, Widen(shifts[port], form.signed), (read[at],)))
    return build.wires(outputs)
