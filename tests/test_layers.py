"""Every layer's arithmetic against plain Python integers, and every layer's exact range against brute force."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from exact_formats import nearest_power, requantised
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.networks import dense, network
from benchmarks.networks.strategies import designs, weights
from toolkit.design import (
    Add,
    ArgMax,
    AvgPool,
    Clamp,
    Concat,
    Dense,
    Design,
    Extremum,
    FixedPoint,
    Leaky,
    Log2Format,
    Lookup,
    Multiply,
    Reorder,
    Requantise,
    Reshape,
    Rounding,
    Slopes,
    Tensor,
    Weights,
)
from toolkit.utils.errors import InputError


def exact(design: Design, codes: list[int]) -> dict[str, tuple[list[int], FixedPoint]]:
    """Every tensor of a design for one sample, by fractions alone."""
    env = {design.input.name: (codes, design.input.format)}
    for layer in design.layers:
        values = [[Fraction(c) * Fraction(2) ** -f.frac for c in cs] for cs, f in (env[n] for n in layer.inputs)]
        form = design.tensors[layer.name].format
        if isinstance(layer, Dense):
            integers, frac = layer.weights.integers()
            sums = [sum((Fraction(int(w)) * Fraction(2) ** -frac * v for w, v in zip(row, values[0], strict=True)),
                        Fraction(int(b)) * Fraction(2) ** -layer.bias_frac)
                    for row, b in zip(integers, layer.bias, strict=True)]
            found = [requantised(s, layer.requantise) for s in sums]
        elif isinstance(layer, Add):
            found = [requantised(sum(vs, Fraction(0)), layer.requantise) for vs in zip(*values, strict=True)]
        elif isinstance(layer, Multiply):
            value, gate = (one * (design.tensors[layer.name].size // len(one)) for one in values)
            found = [requantised(v * (g if layer.gate == "multiplier" else nearest_power(g)), layer.requantise)
                     for v, g in zip(value, gate, strict=True)]
        elif isinstance(layer, Clamp):
            found = [requantised(v, layer.requantise) for v in values[0]]
        elif isinstance(layer, Concat):
            found = [int(v * Fraction(2) ** form.frac) for part in values for v in part]
        elif isinstance(layer, ArgMax):
            found = [values[0].index(max(values[0]))]
        elif isinstance(layer, Extremum):
            found = [int((min if layer.least else max)(vs) * Fraction(2) ** form.frac)
                     for vs in zip(*values, strict=True)]
        elif isinstance(layer, Lookup):
            codes_of, source = env[layer.inputs[0]]
            found = [int(layer.table[code - source.min_code]) for code in codes_of]
        elif isinstance(layer, Leaky):
            found = [requantised(v * Fraction(2) ** -layer.slope if v < 0 else v, layer.requantise) for v in values[0]]
        elif isinstance(layer, Slopes):
            found = []
            for i, v in enumerate(values[0]):
                slope = (layer.negative if v < 0 else layer.positive)[i % len(layer.negative)]
                found.append(requantised(v * int(slope) * Fraction(2) ** -layer.frac, layer.requantise))
        else:
            assert isinstance(layer, Reorder | Reshape), layer.kind
            order = layer.index.tolist() if isinstance(layer, Reorder) else range(len(env[layer.inputs[0]][0]))
            found = [env[layer.inputs[0]][0][i] for i in order]
        env[layer.name] = found, form
    return env


@given(designs(widest=5, deepest=3), st.data())
@settings(max_examples=150, deadline=None)
def test_the_reference_equals_exact_fractions_in_every_tensor(design: Design, data):
    form = design.input.format
    codes = data.draw(st.lists(st.integers(form.min_code, form.max_code), min_size=design.input.size,
                               max_size=design.input.size))
    trace = design.trace(np.array([codes]))
    for name, (expected, _) in exact(design, codes).items():
        assert trace[name].ravel().tolist() == expected, name
    assert design.reference(np.array([codes])).ravel().tolist() == trace[design.layers[-1].name].ravel().tolist()


@given(designs(widest=4, deepest=3))
@settings(max_examples=100, deadline=None)
def test_every_value_lies_in_its_claimed_range(design: Design):
    rng = np.random.default_rng(0)
    form = design.input.format
    codes = rng.choice([form.min_code, form.max_code, max(0, form.min_code)], (200, design.input.size))
    trace = design.trace(codes)
    for layer in design.layers:
        claimed = design.ranges[layer.name].output
        found = trace[layer.name]
        assert (found >= claimed.low).all() and (found <= claimed.high).all(), layer.name


@given(weights(3, 2), st.integers(-50, 50))
@settings(max_examples=60, deadline=None)
def test_a_first_layers_accumulator_range_is_met_by_some_input(w: Weights, offset):
    layer = Dense("fc", ("x",), w, np.array([offset, 0, -offset], np.int64), 2,
                  Requantise.to(FixedPoint(True, 40, 10), Rounding.FLOOR))
    x = Tensor("x", (2,), FixedPoint(True, 3, 1))
    design = Design("d", x, (layer,))
    matrix, bias, _ = layer.matrix(x)
    everything = np.array(list(itertools.product(range(-4, 4), repeat=2)))
    sums = everything @ matrix.T + bias
    claimed = design.ranges["fc"].accumulator
    assert claimed is not None
    assert claimed.low.tolist() == sums.min(axis=0).tolist()
    assert claimed.high.tolist() == sums.max(axis=0).tolist()


def test_the_first_of_equal_maxima_wins():
    design = Design("d", Tensor("x", (4,), FixedPoint(True, 4, 0)), (ArgMax("a", ("x",)),))
    assert design.reference(np.array([[1, 3, 3, 2], [-5, -5, -8, -5]])).tolist() == [[1], [0]]


def test_a_reshape_keeps_the_order():
    design = Design("d", Tensor("x", (2, 3), FixedPoint(True, 4, 0)), (Reshape("r", ("x",), (6,)),))
    assert design.reference(np.arange(6).reshape(1, 2, 3)).tolist() == [[0, 1, 2, 3, 4, 5]]


def test_sums_beyond_float64_are_still_exact():
    form = Log2Format.of(8)
    w = Weights(form, np.array([[1, 45]], np.uint8), np.array([0]))
    layer = dense(w, requantise=Requantise.to(FixedPoint(True, 60, 44), Rounding.FLOOR))
    design = network(FixedPoint(True, 12, 0), 2, layer)
    assert design.reference(np.array([[2047, 1]])).item() == (2047 << 44) + 1


def test_a_layer_that_does_not_fit_its_input_is_named():
    layer = dense([[0] * 3] * 2, name="odd one")
    with pytest.raises(InputError, match="odd one"):
        Design("d", Tensor("x", (4,), FixedPoint(True, 8, 0)), (layer,))


def test_an_input_that_no_layer_makes_is_named():
    with pytest.raises(InputError, match="ghost"):
        Design("d", Tensor("x", (4,), FixedPoint(True, 8, 0)), (ArgMax("a", ("ghost",)),))


def test_a_means_constant_is_the_nearest_of_its_bits():
    """1 / 3 and 1 / 5 are the magic numbers of every compiler's division; all others are within half a last place."""
    assert AvgPool.constant(3) == (43691, 17) and AvgPool.constant(5) == (52429, 18)
    for bits in (3, 8, 16):
        for count in range(2, 200):
            factor, frac = AvgPool.constant(count, bits)
            assert factor < 1 << (bits + 1)
            assert abs(Fraction(factor * count, 1 << frac) - 1) <= Fraction(1, 1 << bits), (count, bits)
