"""Multiply: for each element a multiplier, or the nearest power of two of its gate and a barrel shift."""

from __future__ import annotations

import numpy as np

from toolkit.design.layers import LayerRange, Multiply
from toolkit.design.layers.multiply import MULTIPLIER
from toolkit.design.tensors import Interval, Tensor
from toolkit.hardware.datapath import Barrel, Builder, Constant, Datapath, Place, Plus, Product, Read, Turned, Widen
from toolkit.hardware.gates import Gate
from toolkit.hardware.gates import gate as gate_of
from toolkit.hardware.linear import constant_outputs, rounded, signed_width
from toolkit.hardware.options import Options


def plan(layer: Multiply, inputs: list[Tensor], intervals: list[Interval], found: LayerRange,
         options: Options) -> Datapath:
    """The datapath of one Multiply layer. A gate that is repeated becomes a power of two once."""
    del intervals
    build, gate, flat = Builder(), gate_of(layer, inputs), found.flat()
    assert flat.accumulator is not None
    shape = layer.output(inputs).shape
    places = [np.broadcast_to(np.arange(t.size).reshape(t.shape), shape).reshape(-1).tolist() for t in inputs]
    reads: dict[tuple[int, int], int] = {}
    powers: dict[int, int] = {}
    half, shift = layer.requantise.half(found.acc_frac), found.acc_frac - layer.requantise.format.frac
    fixed = constant_outputs(flat)
    outputs = []

    def read(port: int, element: int) -> int:
        if (port, element) not in reads:
            name = f"x{element}" if port == 0 else f"x{port}_{element}"
            reads[port, element] = build.add(name, inputs[port].format.width, Read(port, element, False))
        return reads[port, element]

    for j, (value, factor) in enumerate(zip(*places, strict=True)):
        if fixed[j]:
            outputs.append(build.add(f"y{j}", layer.requantise.format.width, Constant(int(flat.output.low[j]))))
            continue
        a, g = read(0, value), read(1, factor)
        low, high = gate.low + half, gate.high + half
        if layer.gate == MULTIPLIER:
            signs = inputs[0].format.signed, inputs[1].format.signed
            acc = build.add(f"p{j}", gate.product_bits, Product(signs), (a, g), cost=_levels(inputs))
        else:
            if factor not in powers:
                powers[factor] = _power(build, gate, inputs[1], g, factor)
            acc = build.add(f"p{j}", gate.product_bits, Barrel(),
                            (_turned(build, gate, inputs, a, g, j), powers[factor]), cost=1)
        if half:
            acc = build.add(f"a{j}", signed_width(low, high), Plus(half), (acc,), cost=1)
        outputs.append(rounded(build, j, acc, low, high, shift, layer.requantise))
    return build.finish(outputs, options.adders_per_stage)


def _levels(inputs: list[Tensor]) -> int:
    """Levels of adders in a multiplier, as a tree of its rows."""
    return min(t.format.width for t in inputs).bit_length()


def _power(build: Builder, gate: Gate, factor: Tensor, code: int, element: int) -> int:
    """The nearest power of two of a gate, without its sign."""
    if factor.format.signed:
        code = build.add(f"m{element}", factor.format.width, Turned(True), (code, code), cost=1)
    return build.add(f"k{element}", gate.place_bits + 1, Place(gate.top), (code,), cost=1)


def _turned(build: Builder, gate: Gate, inputs: list[Tensor], value: int, code: int, j: int) -> int:
    """The value in two's complement, with the gate's sign."""
    signed = inputs[0].format.signed
    if inputs[1].format.signed:
        return build.add(f"s{j}", gate.turned_bits, Turned(signed), (value, code), cost=1)
    return value if signed else build.add(f"s{j}", gate.turned_bits, Widen(0, False), (value,))
