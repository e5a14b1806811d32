"""The reference: plain big integers give the same codes, one sample or many, and bad codes are refused."""

from __future__ import annotations

import numpy as np
import pytest
from exact_formats import limited
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.networks import corners, dense, every_image_layer, network
from benchmarks.networks.strategies import designs, formats, weights
from toolkit.design import Add, Clamp, Concat, Dense, FixedPoint, Overflow, Requantise, Reshape, Rounding, reference
from toolkit.utils.errors import InputError


def shifted(acc: int, shift: int, rounding: Rounding) -> int:
    """`acc / 2**shift`, rounded, by Python's integers alone."""
    if shift <= 0:
        return acc << -shift
    floor, rest = divmod(acc, 1 << shift)
    half = 1 << (shift - 1)
    up = {Rounding.FLOOR: False, Rounding.HALF_UP: rest >= half,
          Rounding.HALF_EVEN: rest > half or (rest == half and floor % 2 == 1)}[rounding]
    return floor + up


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("rounding", Rounding)
@given(w=weights(2, 3), bias=st.lists(st.integers(-999, 999), min_size=2, max_size=2), bias_frac=st.integers(-3, 12),
       form=formats(12), out=formats(12))
@settings(max_examples=40, deadline=None)
def test_a_dense_layer_equals_big_integers(rounding, overflow, w, bias, bias_frac, form, out):
    layer = Dense("fc", ("x",), w, np.array(bias, np.int64), bias_frac, Requantise.to(out, rounding, overflow))
    design = network(form, 3, layer)
    values, frac = w.integers()
    grid = max(form.frac + frac, bias_frac, 0)
    codes = corners(design, 4)
    for xs, ys in zip(codes.tolist(), design.reference(codes).tolist(), strict=True):
        for row, b, y in zip(values.tolist(), bias, ys, strict=True):
            acc = sum(v * x for v, x in zip(row, xs, strict=True)) << (grid - form.frac - frac)
            acc += b << (grid - bias_frac)
            assert y == limited(shifted(acc, grid - out.frac, rounding), out, overflow)


@pytest.mark.parametrize("rounding, expected", [
    (Rounding.FLOOR, [-2, -2, -1, -1, 0, 0, 1, 1]),
    (Rounding.HALF_UP, [-2, -1, -1, 0, 0, 1, 1, 2]),
    (Rounding.HALF_EVEN, [-2, -2, -1, 0, 0, 0, 1, 2]),
])
def test_halves_round_as_the_rounding_says(rounding, expected):
    design = network(FixedPoint(True, 4, 1), 1, Clamp("c", ("x",), Requantise.to(FixedPoint(True, 4, 0), rounding)))
    assert design.reference(np.arange(-4, 4)[:, None]).ravel().tolist() == expected


def test_a_saturating_layer_stops_at_its_bounds():
    design = network(FixedPoint(True, 4, 0), 1, dense([[3]], [0], Requantise(FixedPoint(True, 6, 0), -5, 9)))
    assert design.reference(np.array([[-8], [-1], [1], [7]])).ravel().tolist() == [-5, -3, 3, 9]


def test_a_wrapping_layer_keeps_the_low_bits():
    r = Requantise.to(FixedPoint(True, 4, 0), overflow=Overflow.WRAP)
    design = network(FixedPoint(True, 4, 0), 1, dense([[3]], [0], r))
    assert design.reference(np.array([[3], [-4], [7]])).ravel().tolist() == [-7, 4, 5]


def test_an_add_aligns_its_inputs_to_the_finest():
    coarse = Clamp("coarse", ("x",), Requantise.to(FixedPoint(True, 8, 0), Rounding.FLOOR))
    design = network(FixedPoint(True, 8, 3), 1, coarse,
                     Add("sum", ("x", "coarse"), Requantise.to(FixedPoint(True, 12, 3))))
    assert design.reference(np.array([[13], [-13]])).ravel().tolist() == [13 + 8, -13 - 16]


def test_an_add_of_a_tensor_and_itself_is_twice_it():
    design = network(FixedPoint(True, 4, 0), 2, Add("sum", ("x", "x"), Requantise.to(FixedPoint(True, 6, 0))))
    assert design.reference(np.array([[-8, 7]])).tolist() == [[-16, 14]]


def test_an_add_takes_more_than_two():
    design = network(FixedPoint(True, 4, 0), 1, Add("sum", ("x", "x", "x"), Requantise.to(FixedPoint(True, 6, 0))))
    assert design.reference(np.array([[-8]])).tolist() == [[-24]]


def test_a_concat_brings_every_part_to_the_common_format():
    coarse = Clamp("coarse", ("x",), Requantise.to(FixedPoint(True, 6, 0), Rounding.FLOOR))
    design = network(FixedPoint(True, 6, 2), 1, coarse, Concat("both", ("x", "coarse")))
    assert design.output.format == FixedPoint(True, 8, 2)
    assert design.reference(np.array([[-7]])).tolist() == [[-7, -8]]


@pytest.mark.parametrize("axis", [0, 1])
def test_a_concat_joins_along_its_axis(axis):
    design = network(FixedPoint(True, 8, 0), (2, 3), Concat("both", ("x", "x"), axis))
    codes = np.arange(6).reshape(1, 2, 3)
    one = codes[0].tolist()
    assert design.reference(codes)[0].tolist() == (one + one if axis == 0 else [row + row for row in one])


@given(designs(widest=4, deepest=3))
@settings(max_examples=30, deadline=None)
def test_each_sample_is_computed_alone(design):
    codes = corners(design, 7)
    together = design.reference(codes)
    assert [design.reference(codes[i:i + 1])[0].tolist() for i in range(7)] == together.tolist()


def test_more_samples_than_one_chunk_give_the_same(monkeypatch):
    design = network(FixedPoint(True, 4, 0), 2, dense([[3, -2]], [1], Requantise.to(FixedPoint(True, 8, 0))))
    codes = corners(design, 100)
    whole = design.reference(codes).tolist()
    monkeypatch.setattr(reference, "CACHE_BYTES", 1)
    assert design.reference(codes).tolist() == whole == [[3 * a - 2 * b + 1] for a, b in codes.tolist()]


def test_no_samples_give_no_outputs():
    design = network(FixedPoint(True, 4, 0), (2, 3), Reshape("r", ("x",), (6,)))
    assert design.reference(np.zeros((0, 2, 3), int)).shape == (0, 6)


def test_the_callers_codes_are_left_alone():
    design = network(FixedPoint(True, 4, 1), 2, Clamp("c", ("x",), Requantise(FixedPoint(True, 4, 0), 0, 1)))
    codes = np.array([[-8, 7]])
    design.reference(codes)
    assert codes.tolist() == [[-8, 7]]


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8])
def test_codes_of_any_integer_type_give_the_same(dtype):
    design = network(FixedPoint(False, 7, 0), 1, dense([[-127]], [5], Requantise.to(FixedPoint(True, 20, 0))))
    assert design.reference(np.array([[127]], dtype)).tolist() == [[-127 * 127 + 5]]


@pytest.mark.parametrize("codes, word", [
    (np.zeros((1, 3), int), "shape"), (np.zeros(2, int), "shape"), (np.zeros((1, 2)), "integer"),
    (np.array([[0, 8]]), "outside"), (np.array([[-9, 0]]), "outside"),
])
def test_codes_that_are_no_input_are_refused(codes, word):
    design = network(FixedPoint(True, 4, 0), 2, dense([[1, 1]], [0], Requantise.to(FixedPoint(True, 8, 0))))
    with pytest.raises(InputError, match=word):
        design.reference(codes)


@pytest.mark.parametrize("bound", [(1 << 24) - 1, 1 << 24, (1 << 53) - 1, 1 << 53, 1 << 61])
def test_the_number_type_tells_the_bound_from_the_code_below_it(bound):
    kind = reference.number_type(bound).type
    assert int(kind(bound)) == bound and int(kind(-bound + 1)) == -bound + 1


@pytest.mark.parametrize("form", [FixedPoint(True, 24, 0), FixedPoint(True, 25, 0), FixedPoint(True, 53, 0)])
def test_codes_at_the_edge_of_a_float_pass_unchanged(form):
    design = network(form, 1, Clamp("c", ("x",), Requantise.to(form)))
    codes = np.array([form.min_code, form.min_code + 1, -1, form.max_code - 1, form.max_code])[:, None]
    assert design.reference(codes).tolist() == codes.tolist()


@pytest.mark.parametrize("count, weight, form", [
    (2000, 51, FixedPoint(False, 8, 0)), (2000, 65, FixedPoint(False, 8, 0)), (600, 127, FixedPoint(False, 37, 0))])
def test_sums_that_pass_a_floats_integers_on_their_way_are_exact(count, weight, form):
    """A bias brings the result back to where a float32 (a float64) would hold it; the sum before it is twice as large,
    and odd."""
    top = form.max_code
    bias = -weight * count * top // 2
    fits = Requantise(FixedPoint(True, abs(bias).bit_length() + 1, 0), bias, -bias)
    design = network(form, count, dense([[weight] * count], [bias], fits))
    codes = np.random.default_rng(0).integers(top - 56, top, (20, count), endpoint=True)
    codes[:, 0] = top - (codes[:, 1:].sum(axis=1) + top + 1) % 2
    assert all(sum(row) % 2 for row in codes.tolist())
    assert design.reference(codes).ravel().tolist() == [weight * sum(row) + bias for row in codes.tolist()]


def test_watched_elements_are_those_of_the_trace_whatever_the_chunks():
    design = every_image_layer()
    rng = np.random.default_rng(0)
    form = design.input.format
    codes = rng.integers(form.min_code, form.max_code, (150, *design.input.shape), endpoint=True)
    elements = {layer.name: rng.permutation(design.tensors[layer.name].size)[:i % 4]
                for i, layer in enumerate(design.layers)}
    trace = design.trace(codes)
    wanted = [trace[name].reshape(150, -1)[:, chosen] for name, chosen in elements.items()]
    assert np.array_equal(design.watch(codes, elements), np.concatenate(wanted, 1))
