"""Extremum: a comparator and a choice for each element."""

from __future__ import annotations

from toolkit.design.layers import Extremum, LayerRange
from toolkit.design.tensors import Interval, Tensor
from toolkit.hardware.datapath import Builder, Datapath, Greater, Read, Select, Widen
from toolkit.hardware.options import Options


def plan(layer: Extremum, inputs: list[Tensor], intervals: list[Interval], found: LayerRange,
         options: Options) -> Datapath:
    """The datapath of one Extremum layer."""
    del intervals, found
    form, shifts = layer.output(inputs).format, layer.shifts(inputs)
    build, outputs = Builder(), []
    for j in range(inputs[0].size):
        best = -1
        for port, (t, shift) in enumerate(zip(inputs, shifts, strict=True)):
            read = build.add(f"x{port}_{j}", t.format.width, Read(port, j, False))
            here = build.add(f"w{port}_{j}", form.width, Widen(shift, t.format.signed), (read,))
            if port:
                pair = (here, best) if layer.least else (best, here)
                better = build.add(f"g{port}_{j}", 1, Greater(form.signed), pair, cost=1)
                best = build.add(f"b{port}_{j}", form.width, Select(), (better, best, here))
            else:
                best = here
        outputs.append(best)
    return build.finish(outputs, options.adders_per_stage)
