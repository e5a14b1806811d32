"""Adder graphs: every input of small matrices is tried; words, bounds and terms are what the contract says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.networks.strategies import weights
from toolkit.design import Interval
from toolkit.hardware.adder_graph import AdderGraph
from toolkit.hardware.sharing import share


@st.composite
def graphs(draw) -> tuple[np.ndarray, AdderGraph]:
    """A matrix of log2 or integer weights and its graph, over inputs of few codes each."""
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    matrix = draw(weights(rows, columns)).integers()[0]
    low = draw(st.lists(st.integers(-5, 3), min_size=columns, max_size=columns))
    span = draw(st.lists(st.integers(1, 4), min_size=columns, max_size=columns))
    inputs = Interval(np.array(low), np.array(low) + np.array(span))
    return matrix, share(matrix, inputs, tries=2)


def every_input(inputs: Interval) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(a, b + 1) for a, b in zip(inputs.low, inputs.high, strict=True))))


def node_values(graph: AdderGraph, x: tuple[int, ...]) -> list[int]:
    """Every node's value by its terms, in Python integers."""
    found = [int(v) for v in x]
    for pair in graph.adders:
        found.append(sum((found[t.node] << t.shift) * (-1 if t.negative else 1) for t in pair))
    return found


def node_words(graph: AdderGraph, x: tuple[int, ...]) -> list[int]:
    """Every node's unsigned word, as hardware makes it from words alone."""
    offsets, widths = (a.tolist() for a in graph.words)
    found = [int(v) - o for v, o in zip(x, offsets, strict=False)]
    for a, b in graph.adders:
        second = (1 << widths[b.node]) - found[b.node] if b.negative else found[b.node]
        found.append((found[a.node] << a.shift) + (second << b.shift))
    return found


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_the_outputs_are_the_matrix_times_every_input(case):
    matrix, graph = case
    for x in every_input(graph.inputs):
        values = node_values(graph, x)
        found = [0 if t is None else (values[t.node] << t.shift) * (-1 if t.negative else 1) for t in graph.outputs]
        assert found == [sum(int(m) * v for m, v in zip(row, x, strict=True)) for row in matrix]


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_every_word_is_its_value_less_its_offset_and_fits_its_width(case):
    _, graph = case
    offsets, widths = (a.tolist() for a in graph.words)
    for x in every_input(graph.inputs):
        words = node_words(graph, x)
        assert words == [v - o for v, o in zip(node_values(graph, x), offsets, strict=True)]
        assert all(0 <= word < 1 << width for word, width in zip(words, widths, strict=True))


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_the_bounds_of_every_node_are_met_by_some_input(case):
    _, graph = case
    columns = list(zip(*(node_values(graph, x) for x in every_input(graph.inputs)), strict=True))
    assert graph.bounds.low.tolist() == [min(c) for c in columns]
    assert graph.bounds.high.tolist() == [max(c) for c in columns]


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_only_the_second_term_of_an_adder_is_negative_and_no_shift_is(case):
    _, graph = case
    for a, b in graph.adders:
        assert not a.negative and min(a.shift, b.shift) >= 0
    assert all(t is None or t.shift >= 0 for t in graph.outputs)


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_every_adder_is_needed_and_reads_only_what_stands_before_it(case):
    _, graph = case
    read = {t.node for t in graph.outputs if t is not None} | {t.node for pair in graph.adders for t in pair}
    for i, pair in enumerate(graph.adders, graph.input_count):
        assert i in read and all(t.node < i for t in pair)


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_a_depth_is_the_longest_chain_of_adders(case):
    _, graph = case

    def longest(node: int) -> int:
        if node < graph.input_count:
            return 0
        return 1 + max(longest(t.node) for t in graph.adders[node - graph.input_count])

    assert graph.depths.tolist() == [longest(i) for i in range(len(graph.depths))]


def bounds(count: int) -> Interval:
    return Interval(np.full(count, -8), np.full(count, 7))


def test_a_row_of_zeros_is_no_term():
    assert share(np.array([[0, 0], [1, 0]]), bounds(2)).outputs[0] is None


def test_a_matrix_of_zeros_has_no_adder():
    graph = share(np.zeros((3, 2), np.int64), bounds(2))
    assert graph.adders == () and graph.outputs == (None, None, None)


@pytest.mark.parametrize("weight", [1, 2, 64, -1, -32])
def test_a_power_of_two_is_wiring(weight):
    assert share(np.array([[weight]]), bounds(1)).adders == ()


def test_equal_opposite_and_doubled_rows_share_one_adder():
    assert len(share(np.array([[1, 2], [-1, -2], [4, 8]]), bounds(2)).adders) == 1


def test_more_tries_never_cost_adder_bits():
    matrix = np.random.default_rng(1).integers(-20, 20, (5, 6))
    one, many = (int(share(matrix, bounds(6), tries).adder_bits.sum()) for tries in (1, 6))
    assert many <= one
