"""Test vectors: the same by seed, inside the format, and driven to where something can go wrong."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.networks import dense
from benchmarks.networks.strategies import designs
from toolkit.design import Clamp, Design, FixedPoint, Requantise, Tensor
from toolkit.emit import vectors
from toolkit.utils.errors import InputError


def saturating() -> Design:
    """Two layers of random weights; each neuron of the first saturates at both ends for some input."""
    rng = np.random.default_rng(3)
    narrow, wide = Requantise.to(FixedPoint(True, 8, -1)), Requantise.to(FixedPoint(True, 24, 0))
    first = dense(rng.integers(-60, 60, (5, 8)), [0] * 5, narrow, name="fc1")
    second = dense(rng.integers(-60, 60, (3, 5)), [7, 0, -7], wide, name="fc2", source="fc1")
    return Design("net", Tensor("x", (8,), FixedPoint(True, 6, 2)), (first, second))


def boundary(design: Design, count: int = 200, seed: int = 0) -> np.ndarray:
    return vectors.boundary(design, count, np.random.default_rng(seed))


def test_boundary_vectors_saturate_every_neuron_at_both_ends():
    found = saturating().trace(boundary(saturating()))["fc1"]
    assert found.min(axis=0).tolist() == [-128] * 5 and found.max(axis=0).tolist() == [127] * 5


def test_boundary_vectors_take_every_first_sum_to_its_exact_extremes():
    wide = Requantise.to(FixedPoint(True, 24, 0))
    rng = np.random.default_rng(4)
    matrix = rng.integers(-60, 60, (4, 80)).tolist()
    design = Design("net", Tensor("x", (80,), FixedPoint(True, 5, 0)), (dense(matrix, [1, 2, 3, 4], wide),))
    found, claimed = design.reference(boundary(design)), design.ranges["fc"].accumulator
    assert found.min(axis=0).tolist() == claimed.low.tolist()
    assert found.max(axis=0).tolist() == claimed.high.tolist()


def test_boundary_vectors_hold_the_lowest_and_the_highest_input_of_a_small_design():
    design = Design("net", Tensor("x", (2,), FixedPoint(True, 2, 0)),
                    (Clamp("c", ("x",), Requantise.to(FixedPoint(True, 2, 0))),))
    found = {tuple(row) for row in boundary(design).tolist()}
    assert {(-2, -2), (1, 1)} <= found <= set(itertools.product(range(-2, 2), repeat=2))


@given(designs(widest=3, deepest=2), st.integers(10, 60), st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_the_sets_have_the_size_asked_for_and_stay_inside_the_format(design, count, seed):
    made = vectors.make(design, None, count, seed)
    bounds, drawn = made.sets
    assert (bounds.name, drawn.name) == ("boundary", "random")
    assert (len(bounds.inputs), len(drawn.inputs)) == (count // 5, count - count // 5)
    for one in made.sets:
        assert design.input.format.holds(int(one.inputs.min()), int(one.inputs.max()))
        assert one.inputs.shape[1:] == design.input.shape


def test_another_seed_gives_other_vectors():
    first, second = (vectors.make(saturating(), None, 50, seed) for seed in (1, 2))
    assert first.sets[1].inputs.tolist() != second.sets[1].inputs.tolist()


def test_the_given_codes_are_a_set_of_their_own_in_their_order():
    codes = np.random.default_rng(0).integers(-32, 32, (30, 8))
    made = vectors.make(saturating(), codes, 20, 0)
    assert [s.name for s in made.sets] == ["boundary", "random", "test"]
    assert made.sets[2].inputs.tolist() == codes.tolist()
    assert made.sets[2].expected.tolist() == saturating().reference(codes).tolist()


def test_no_given_codes_are_no_set():
    made = vectors.make(saturating(), np.zeros((0, 8), int), 20, 0)
    assert [s.name for s in made.sets] == ["boundary", "random"]


def test_given_codes_outside_the_format_are_refused():
    with pytest.raises(InputError, match="outside"):
        vectors.make(saturating(), np.full((1, 8), 32), 20, 0)


def test_the_traces_are_every_layers_outputs_of_the_boundary_set():
    design = saturating()
    made = vectors.make(design, None, 50, 0)
    traced = design.trace(made.sets[0].inputs[:made.trace_samples])
    assert made.trace_samples == 10
    assert {n: v.tolist() for n, v in made.traces.items()} == {n: traced[n].tolist() for n in ("fc1", "fc2")}


def test_a_wide_network_gets_fewer_vectors_but_never_fewer_than_ten(monkeypatch):
    monkeypatch.setattr(vectors, "MAX_BYTES", 1)
    made = vectors.make(saturating(), None, 100, 0)
    assert [len(s.inputs) for s in made.sets] == [10, 10]


def test_a_wide_network_gets_fewer_traces_but_never_none(monkeypatch):
    monkeypatch.setattr(vectors, "TRACE_BYTES", 1)
    made = vectors.make(saturating(), None, 100, 0)
    assert made.trace_samples == 1 and {len(v) for v in made.traces.values()} == {1}


@pytest.mark.parametrize("count", [-1, 0, 9])
def test_fewer_than_ten_are_refused(count):
    with pytest.raises(InputError, match="ask for 10"):
        vectors.make(saturating(), None, count, 0)


def test_the_search_for_bounds_of_a_large_network_looks_at_few_inputs(monkeypatch: pytest.MonkeyPatch):
    offered = []
    watch = Design.watch
    monkeypatch.setattr(Design, "watch", lambda self, codes, elements: offered.append(len(codes)) or
                        watch(self, codes, elements))
    boundary(saturating())
    assert offered == [offered[0], *[16] * vectors.ROUNDS] and offered[0] > 512
    offered.clear()
    monkeypatch.setattr(vectors, "SEARCH", 4 * 100 * vectors.terms(saturating()))
    found = saturating().trace(boundary(saturating()))["fc1"]
    assert offered == [100, *[16] * (300 // 32)]
    assert found.min() == -128 and found.max() == 127
