"""ArgMax: a tournament of comparators; of equals the first wins."""

from __future__ import annotations

from toolkit.design.layers import ArgMax, LayerRange
from toolkit.design.tensors import Interval, Tensor
from toolkit.hardware.datapath import Builder, Constant, Datapath, Greater, Read, Select
from toolkit.hardware.options import Options


def plan(layer: ArgMax, inputs: list[Tensor], intervals: list[Interval], found: LayerRange,
         options: Options) -> Datapath:
    """The datapath of one ArgMax layer: pairs of (value, index), the greater goes on."""
    del intervals, found
    form = inputs[0].format
    index_width = layer.output(inputs).format.width
    build = Builder()
    players = [(build.add(f"x{i}", form.width, Read(0, i, False)), build.add(f"i{i}", index_width, Constant(i)))
               for i in range(inputs[0].size)]
    count = 0
    while len(players) > 1:
        winners = []
        for (a, ia), (b, ib) in zip(players[::2], players[1::2], strict=False):
            better = build.add(f"g{count}", 1, Greater(form.signed), (a, b), cost=1)
            winners.append((build.add(f"v{count}", form.width, Select(), (better, a, b)),
                            build.add(f"k{count}", index_width, Select(), (better, ia, ib))))
            count += 1
        if len(players) % 2:
            winners.append(players[-1])
        players = winners
    return build.finish([players[0][1]], options.adders_per_stage)
