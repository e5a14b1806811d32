"""Adder graphs and datapaths: every word exact, every width enough, every tensor on time."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.networks.strategies import designs
from toolkit.design import Design, Interval
from toolkit.hardware import Options, plan
from toolkit.hardware.adder_graph import AdderGraph
from toolkit.hardware.datapath import Constant, Offset, Quantise, Read, RoundEven, Sum
from toolkit.hardware.sharing import share


@st.composite
def problems(draw) -> tuple[np.ndarray, Interval]:
    """A matrix and the intervals of its inputs; no input is constant."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    matrix = rng.choice([-1, 1], (rows, columns)) << rng.integers(0, 6, (rows, columns))
    matrix = np.where(rng.random(matrix.shape) < 0.3, 0, matrix)
    if draw(st.booleans()):
        matrix = rng.integers(-100, 100, (rows, columns))
    low = rng.integers(-100, 50, columns)
    return matrix, Interval(low, low + rng.integers(1, 200, columns))


def words(graph: AdderGraph, x: np.ndarray) -> list[int]:
    """The unsigned word of every node, as hardware makes it: modulo its width."""
    offsets, widths = graph.words
    found = [int(v - o) for v, o in zip(x, offsets, strict=False)]
    for _i, (a, b) in enumerate(graph.adders, graph.input_count):
        second = (found[b.node] << b.shift) * (-1 if b.negative else 1)
        if b.negative:
            second += 1 << int(widths[b.node] + b.shift)
        found.append((found[a.node] << a.shift) + second)
    return found


@given(problems(), st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_every_word_fits_its_width_and_gives_the_product(problem, seed):
    matrix, inputs = problem
    graph = share(matrix, inputs, tries=1)
    assert (graph.matrix() == matrix).all()
    rng = np.random.default_rng(seed)
    offsets, widths = graph.words
    for ends in (True, False):
        x = np.where(rng.random(len(inputs.low)) < 0.5, inputs.low, inputs.high) if ends \
            else rng.integers(inputs.low, inputs.high, endpoint=True)
        found = words(graph, x)
        assert all(0 <= w < 1 << int(width) for w, width in zip(found, widths, strict=True))
        for row, term in zip(matrix @ x, graph.outputs, strict=True):
            value = 0 if term is None else (found[term.node] + int(offsets[term.node])) << term.shift
            assert (-value if term is not None and term.negative else value) == row


def test_sharing_needs_fewer_adders_than_rows_alone():
    matrix = np.tile([1, 2, 4, -8], (4, 1))
    graph = share(matrix, Interval(np.full(4, -8), np.full(4, 7)))
    assert len(graph.adders) == 3


@given(designs(widest=5, deepest=3), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_no_stage_holds_more_adders_in_a_row_than_asked(design: Design, depth):
    for layer in plan(design, Options(depth, 1)).layers:
        path = layer.datapath
        chain: dict[int, int] = {}
        for i, signal in enumerate(path.signals):
            here = [chain[o] for o in signal.operands if path.stage(o) == path.stage(i)]
            chain[i] = max(here, default=0) + isinstance(signal.op, Sum | Offset | RoundEven)
            assert chain[i] <= depth


@given(designs(widest=5, deepest=4))
@settings(max_examples=40, deadline=None)
def test_all_inputs_of_a_layer_are_there_when_it_starts(design: Design):
    made = plan(design, Options(sharing_tries=1))
    ready = {design.input.name: 0} | {p.layer.name: p.ready for p in made.layers}
    for p in made.layers:
        assert [ready[n] + d for n, d in zip(p.layer.inputs, p.delays, strict=True)] == [p.start] * len(p.delays)
        assert all(made.holds.get(n, 0) >= d for n, d in zip(p.layer.inputs, p.delays, strict=True))
    assert made.latency == ready[design.layers[-1].name]


def test_a_constant_output_costs_no_adder():
    from benchmarks.networks import tiny

    design = tiny([[1, 2], [0, 0]], bias=[0, 5])
    signals = plan(design).layers[0].datapath.signals
    assert sum(isinstance(s.op, Constant) for s in signals) == 1
    assert sum(isinstance(s.op, Quantise) for s in signals) == 1
    assert sum(isinstance(s.op, Read) for s in signals) == 2
