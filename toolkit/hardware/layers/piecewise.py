"""Leaky and Slopes: both sides in signed digits, and a choice by the sign."""

from __future__ import annotations

import numpy as np

from toolkit.design.layers import LayerRange, Leaky, Slopes
from toolkit.design.tensors import Interval, Tensor
from toolkit.hardware.csd import csd_terms
from toolkit.hardware.datapath import Builder, Constant, Datapath, Greater, Offset, Read, Select, Sum, Widen
from toolkit.hardware.linear import rounded, signed_width
from toolkit.hardware.options import Options


def plan(layer: Leaky | Slopes, inputs: list[Tensor], intervals: list[Interval], found: LayerRange,
         options: Options) -> Datapath:
    """The datapath of one layer."""
    x, span, known = inputs[0], intervals[0].flat(), found.flat()
    if isinstance(layer, Leaky):
        below, above = np.ones(1, np.int64), np.full(1, 1 << layer.slope, np.int64)
    else:
        below, above = layer.negative, layer.positive
    negative, positive = (np.resize(side, x.size).tolist() for side in (below, above))
    assert known.accumulator is not None
    build, outputs = Builder(), []
    half, shift = layer.requantise.half(found.acc_frac), found.acc_frac - layer.requantise.format.frac
    for j in range(x.size):
        if known.output.low[j] == known.output.high[j]:
            outputs.append(build.add(f"y{j}", layer.requantise.format.width, Constant(int(known.output.low[j]))))
            continue
        ends = int(known.accumulator.low[j]), int(known.accumulator.high[j])
        width = signed_width(*ends)
        read = build.add(f"x{j}", x.format.width, Read(0, j, False))
        wide = build.add(f"s{j}", width, Widen(0, x.format.signed), (read,))
        sides = [_product(build, f"{name}{j}", wide, width, factor) if able else None for name, able, factor in (
            ("p", span.high[j] >= 0, positive[j]), ("n", span.low[j] < 0, negative[j]))]
        chosen = [side for side in sides if side is not None]
        if len(chosen) == 2:
            zero = build.add(f"z{j}", x.format.width, Constant(0))
            sign = build.add(f"b{j}", 1, Greater(True), (read, zero))
            chosen = [build.add(f"c{j}", width, Select(), (sign, *chosen), cost=1)]
        total = build.add(f"a{j}", width, Offset(half, 0, False), chosen, cost=1) if half else chosen[0]
        outputs.append(rounded(build, j, total, *ends, shift, layer.requantise))
    return build.finish(outputs, options.adders_per_stage)


def _product(build: Builder, name: str, wide: int, width: int, factor: int) -> int:
    """A value times a constant, in two's complement of `width` bits. Returns its signal."""
    total, first = None, 0
    for number, (shift, sign) in enumerate(sorted(csd_terms(factor), key=lambda term: -term[1])):
        if total is None and sign > 0:
            total, first = wide, shift
            continue
        before = build.add(f"{name}_0", width, Constant(0)) if total is None else total
        total = build.add(f"{name}_{number}", width, Sum((first, shift), sign < 0), (before, wide), cost=1)
        first = 0
    if total is None:
        return build.add(f"{name}_0", width, Constant(0))
    return build.add(f"{name}_up", width, Widen(first, True), (total,)) if first else total
