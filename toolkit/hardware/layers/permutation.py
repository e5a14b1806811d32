"""Concat and Reshape: wires, and shifts to the common grid."""

from __future__ import annotations

import numpy as np

from toolkit.design.layers import Concat, Layer, LayerRange
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
    build = Builder()
    outputs = []
    for j, (port, place) in enumerate(zip(np.concatenate(ports, axis).reshape(-1).tolist(),
                                          np.concatenate(places, axis).reshape(-1).tolist(), strict=True)):
        form = inputs[port].format
        read = build.add(f"x{port}_{place}", form.width, Read(port, place, False))
        outputs.append(build.add(f"y{j}", width, Widen(shifts[port], form.signed), (read,)))
    return build.wires(outputs)
