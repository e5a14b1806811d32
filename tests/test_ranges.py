"""Exact ranges: every input of a tiny design is tried, and what is claimed is what is found."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.networks import dense, network
from benchmarks.networks.strategies import designs, requantisations, weights
from toolkit.design import (
    Add,
    ArgMax,
    Clamp,
    Concat,
    Design,
    FixedPoint,
    Interval,
    Overflow,
    Requantise,
    Reshape,
    Rounding,
    Weights,
)
from toolkit.utils.errors import InputError

TINY = st.builds(FixedPoint, st.booleans(), st.integers(1, 3), st.integers(-1, 3))


def every_input(design: Design) -> np.ndarray:
    form = design.input.format
    return np.array(list(itertools.product(range(form.min_code, form.max_code + 1), repeat=design.input.size)))


def signed_values(w: Weights) -> list[list[int]]:
    return [[int(v) for v in row] for row in w.integers()[0]]


@given(weights(2, 3), st.lists(st.integers(-99, 99), min_size=2, max_size=2), requantisations(), TINY)
@settings(max_examples=80, deadline=None)
def test_the_accumulator_range_is_met_exactly_by_some_input(w, bias, r, form):
    design = network(form, w.codes.shape[1:], dense(w, bias, r, bias_frac=1))
    claimed = design.ranges["fc"]
    frac = form.frac + w.integers()[1]
    half = r.half(claimed.acc_frac)
    for row, (values, b) in enumerate(zip(signed_values(w), bias, strict=True)):
        sums = [(sum(v * int(x) for v, x in zip(values, xs, strict=True)) << (claimed.acc_frac - frac))
                + (b << (claimed.acc_frac - 1)) + half for xs in every_input(design)]
        assert (claimed.accumulator.low[row], claimed.accumulator.high[row]) == (min(sums), max(sums))


@given(weights(2, 2), st.lists(st.integers(-99, 99), min_size=2, max_size=2), requantisations(), TINY)
@settings(max_examples=80, deadline=None)
def test_a_saturating_output_range_is_met_exactly_by_some_input(w, bias, r, form):
    saturating = Requantise(r.format, r.low, r.high, r.rounding)
    design = network(form, w.codes.shape[1:], dense(w, bias, saturating, bias_frac=1))
    claimed, found = design.ranges["fc"].output, design.reference(every_input(design))
    assert claimed.low.tolist() == found.min(axis=0).tolist()
    assert claimed.high.tolist() == found.max(axis=0).tolist()


@given(TINY, requantisations(6))
@settings(max_examples=100, deadline=None)
def test_a_clamps_output_range_holds_every_code_and_a_saturating_one_is_met(form, r):
    design = network(form, 1, Clamp("c", ("x",), r))
    claimed, found = design.ranges["c"].output, design.reference(every_input(design)).ravel()
    assert claimed.low[0] <= found.min() and found.max() <= claimed.high[0]
    if r.overflow is Overflow.SATURATE:
        assert (claimed.low[0], claimed.high[0]) == (found.min(), found.max())


@given(designs(widest=3, deepest=3).filter(lambda d: d.input.size * d.input.format.width <= 9))
@settings(max_examples=60, deadline=None)
def test_no_input_at_all_leaves_the_range_of_a_deeper_layer(design):
    trace = design.trace(every_input(design))
    for layer in design.layers:
        claimed = design.ranges[layer.name].output
        assert (trace[layer.name] >= claimed.low).all() and (trace[layer.name] <= claimed.high).all(), layer.name


@given(designs(widest=4, deepest=3))
@settings(max_examples=60, deadline=None)
def test_every_output_range_lies_inside_the_outputs_format(design):
    for layer in design.layers:
        claimed, form = design.ranges[layer.name].output, design.tensors[layer.name].format
        assert form.holds(int(claimed.low.min()), int(claimed.high.max()))
        assert (claimed.low <= claimed.high).all()


def test_an_add_of_independent_elements_has_the_sum_of_their_ranges():
    wide = Requantise.to(FixedPoint(True, 12, 0))
    halves = [Reshape(n, ("x",), (2,)) for n in "ab"]
    design = network(FixedPoint(True, 3, 0), 2, *halves, Add("sum", ("a", "b"), wide))
    assert design.ranges["sum"].output.low.tolist() == [-8, -8]
    assert design.ranges["sum"].output.high.tolist() == [6, 6]


def test_a_concat_keeps_each_elements_own_range():
    clip = Clamp("c", ("x",), Requantise(FixedPoint(True, 4, 0), 0, 5))
    design = network(FixedPoint(True, 4, 0), 1, clip, Concat("both", ("x", "c")))
    assert design.ranges["both"].output.low.tolist() == [-8, 0]
    assert design.ranges["both"].output.high.tolist() == [7, 5]


def test_an_argmax_never_names_an_element_that_cannot_win():
    claimed = network(FixedPoint(True, 3, 0), 1, dense([[0]] * 3, [0, 9, 3]), ArgMax("a", ("fc",))).ranges["a"].output
    assert (claimed.low.tolist(), claimed.high.tolist()) == ([1], [1])


def test_a_wrap_that_no_value_reaches_keeps_the_range():
    r = Requantise.to(FixedPoint(True, 8, 0), overflow=Overflow.WRAP)
    claimed = network(FixedPoint(True, 3, 0), 1, Clamp("c", ("x",), r)).ranges["c"].output
    assert (claimed.low.tolist(), claimed.high.tolist()) == ([-4], [3])


def test_a_wrap_that_is_crossed_can_come_out_anywhere():
    r = Requantise.to(FixedPoint(True, 2, 0), overflow=Overflow.WRAP)
    claimed = network(FixedPoint(True, 3, 0), 1, Clamp("c", ("x",), r)).ranges["c"].output
    assert (claimed.low.tolist(), claimed.high.tolist()) == ([-2], [1])


def test_the_added_half_belongs_to_the_accumulator():
    found = network(FixedPoint(True, 4, 3), 1,
                   Clamp("c", ("x",), Requantise.to(FixedPoint(True, 4, 1), Rounding.HALF_UP))).ranges["c"]
    assert (found.accumulator.low.tolist(), found.accumulator.high.tolist()) == ([-8 + 2], [7 + 2])


def bits_for(low: int, high: int) -> int:
    """The fewest bits, found by trying them."""
    for bits in range(1, 70):
        least, most = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if low < 0 else (0, (1 << bits) - 1)
        if least <= low and high <= most:
            return bits
    raise AssertionError


@given(st.integers(-(2**61), 2**61), st.integers(0, 2**61))
@settings(max_examples=300, deadline=None)
def test_a_width_is_the_fewest_bits_that_hold_the_interval(low, span):
    high = min(low + span, 2**61)
    assert Interval(np.array([low]), np.array([high])).widths().tolist() == [bits_for(low, high)]


def test_a_sum_beyond_62_bits_is_refused_by_name():
    far = Clamp("far", ("x",), Requantise.to(FixedPoint(True, 40, 50)))
    with pytest.raises(InputError, match="'far'"):
        _ = network(FixedPoint(True, 20, 0), 1, far).ranges
