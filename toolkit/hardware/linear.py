"""What dense, add and clamp layers share: an adder graph, its bias, its requantisation, as one datapath."""

from __future__ import annotations

import numpy as np

from toolkit.design.formats import FixedPoint, Requantise, Rounding
from toolkit.design.layers.base import LayerRange
from toolkit.hardware.adder_graph import AdderGraph, Term
from toolkit.hardware.datapath import Builder, Constant, Datapath, Offset, Quantise, Read, RoundEven, Sum, Widen


def linear(graph: AdderGraph, ports: list[tuple[int, int]], bias: np.ndarray, requantise: Requantise,
           found: LayerRange, adders_per_stage: int) -> Datapath:
    """The datapath of `requantise(graph(x) + bias)`.

    `ports` names (port, element) of each graph input; `bias` is int64 on the accumulator's grid with the rounding half
    added; `found` holds the exact ranges of accumulators and outputs.
    """
    build = Builder()
    offsets, widths = graph.words
    nodes = [build.add(f"x{i}" if port == 0 else f"x{port}_{element}", int(widths[i]),
                       Read(port, element, bool(graph.inputs.low[i] < 0)))
             for i, (port, element) in enumerate(ports)]
    for i, pair in enumerate(graph.adders, graph.input_count):
        a, b = pair
        nodes.append(build.add(f"t{i}", int(widths[i]), Sum((a.shift, b.shift), b.negative),
                               (nodes[a.node], nodes[b.node]), cost=1))
    outputs = []
    for j, term in enumerate(graph.outputs):
        offset = int(bias[j])
        if term is not None:
            offset += (-1 if term.negative else 1) * (int(offsets[term.node]) << term.shift)
        outputs.append(_output(build, j, nodes, term, offset, found, requantise))
    return build.finish(outputs, adders_per_stage)


def constant_outputs(found: LayerRange) -> np.ndarray:
    """bool (outputs,): elements that have one and the same code whatever comes in."""
    return found.output.low == found.output.high


def _output(build: Builder, j: int, nodes: list[int], term: Term | None, constant: int, found: LayerRange,
            requantise: Requantise) -> int:
    """One output element: bias added, then requantised. Returns its signal."""
    assert found.accumulator is not None
    name, width = f"y{j}", requantise.format.width
    if found.output.low[j] == found.output.high[j]:
        return build.add(name, width, Constant(int(found.output.low[j])))
    assert term is not None
    low, high = int(found.accumulator.low[j]), int(found.accumulator.high[j])
    shift = found.acc_frac - requantise.format.frac
    # Bits below the term's own lowest are the constant's alone: where they are shifted away, they are left out.
    even = requantise.rounding is Rounding.HALF_EVEN and shift > 0  # which sees every bit
    drop = 0 if even else min(term.shift, max(shift, 0))
    low, high, shift = low >> drop, high >> drop, shift - drop
    acc_width = signed_width(low, high)
    acc = build.add(f"a{j}", acc_width, Offset(constant >> drop, term.shift - drop, term.negative),
                    (nodes[term.node],), cost=1)
    return rounded(build, j, acc, low, high, shift, requantise)


def rounded(build: Builder, j: int, acc: int, low: int, high: int, shift: int, requantise: Requantise) -> int:
    """Output code j from the signal `acc`: a two's complement accumulator in low..high, the half of its rounding added,
    that moves right by `shift` bits. Returns its signal."""
    if requantise.rounding is Rounding.HALF_EVEN and shift > 0:
        low, high = (v + ((v >> shift) & 1) + (1 << (shift - 1)) - 1 for v in (low, high))
        acc = build.add(f"e{j}", signed_width(low, high), RoundEven(shift), (acc,), cost=1)
    if shift < 0:
        low, high = low << -shift, high << -shift
        acc = build.add(f"w{j}", build.signals[acc].width - shift, Widen(-shift, True), (acc,))
    return build.add(f"y{j}", requantise.format.width, Quantise(requantise, max(shift, 0), low, high), (acc,))


def signed_width(low: int, high: int) -> int:
    """Bits of the two's complement that holds low..high."""
    form = FixedPoint.holding(low, high, 0)
    return form.width + (not form.signed)
