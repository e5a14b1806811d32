"""Layers over images against loops in plain Python: every element read by its index, every sum an exact fraction."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from math import prod

import numpy as np
import pytest
from exact_formats import nearest_power, requantised
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.networks import corners, dense, integers, network, random_weights
from benchmarks.networks.strategies import formats, image_designs, requantisations, windows
from toolkit.design import (
    Add,
    ArgMax,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Dense,
    Design,
    Extremum,
    FixedPoint,
    IntegerFormat,
    Layer,
    Leaky,
    Lookup,
    MaxPool,
    Multiply,
    Overflow,
    Reorder,
    Requantise,
    Reshape,
    Rounding,
    Slopes,
    Tensor,
    Upsample,
    Window,
)
from toolkit.utils.errors import InputError

BYTE = FixedPoint(True, 8, 0)
WIDE = Requantise.to(FixedPoint(True, 40, 0))


def read_by(window: Window, shape: tuple[int, ...], place: tuple[int, ...]) -> list[tuple[int, ...] | None]:
    """Pixels that the window at output `place` covers, row by row; None where it is padding."""
    found: list[tuple[int, ...] | None] = []
    for taps in itertools.product(*(range(k) for k in window.kernel)):
        pixel = tuple(p * s + t * d - before for p, s, t, d, (before, _) in
                      zip(place, window.stride, taps, window.dilation, window.padding, strict=True))
        found.append(pixel if all(0 <= i < n for i, n in zip(pixel, shape[:-1], strict=True)) else None)
    return found


def places(window: Window, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Every place at which the window starts and ends inside the padded image, counted up one by one."""
    axes = []
    for size, k, s, d, (before, after) in zip(shape, window.kernel, window.stride, window.dilation, window.padding,
                                              strict=False):
        start, count = 0, 0
        while start + (k - 1) * d < before + size + after:
            start, count = start + s, count + 1
        axes.append(range(count))
    return list(itertools.product(*axes))


def value(codes: np.ndarray, form: FixedPoint, index: tuple[int, ...]) -> Fraction:
    return Fraction(int(codes[index])) * Fraction(2) ** -form.frac


def computed(layer: Layer, xs: list[tuple[np.ndarray, FixedPoint]]) -> list[int]:
    """The output codes of one layer for one sample, element by element in their order."""
    x, form = xs[0]
    if isinstance(layer, Conv):
        integers, frac = layer.weights.integers()
        per_group, out = x.shape[-1] // layer.groups, len(integers) // layer.groups
        found = []
        for place in places(layer.window, x.shape):
            seen = read_by(layer.window, x.shape, place)
            for o, weights in enumerate(integers.reshape(len(integers), len(seen), per_group)):
                total = Fraction(int(layer.bias[o])) * Fraction(2) ** -layer.bias_frac
                for pixel, taps in zip(seen, weights, strict=True):
                    for c, weight in enumerate(taps.tolist()):
                        if pixel is not None:
                            at = (*pixel, o // out * per_group + c)
                            total += Fraction(weight) * Fraction(2) ** -frac * value(x, form, at)
                found.append(requantised(total, layer.requantise))
        return found
    if isinstance(layer, MaxPool | AvgPool):
        found = []
        for place in places(layer.window, x.shape):
            seen = read_by(layer.window, x.shape, place)
            for c in range(x.shape[-1]):
                if isinstance(layer, MaxPool):
                    found.append(max(form.min_code if p is None else int(x[(*p, c)]) for p in seen))
                else:
                    total = sum((value(x, form, (*p, c)) for p in seen if p is not None), Fraction(0))
                    mean = total * layer.factor / Fraction(2) ** layer.factor_frac
                    found.append(requantised(mean, layer.requantise))
        return found
    if isinstance(layer, Upsample):
        return [int(x[(*(i // s for i, s in zip(at, layer.scale, strict=True)), c)])
                for at in itertools.product(*(range(n * s) for n, s in zip(x.shape, layer.scale, strict=False)))
                for c in range(x.shape[-1])]
    if isinstance(layer, Concat):
        fracs = max(f.frac for _, f in xs)
        moved = [(codes.astype(object) * 2 ** (fracs - f.frac)).tolist() for codes, f in xs]
        return flattened(joined(moved, layer.axis))
    if isinstance(layer, Multiply):
        (x, form), (gate, other) = xs
        shape = tuple(max(n, m) for n, m in zip(x.shape, gate.shape, strict=True))
        found = []
        for at in itertools.product(*map(range, shape)):
            v, g = (value(codes, f, tuple(min(i, n - 1) for i, n in zip(at, codes.shape, strict=True)))
                    for codes, f in ((x, form), (gate, other)))
            found.append(requantised(v * (g if layer.gate == "multiplier" else nearest_power(g)), layer.requantise))
        return found
    values = [[Fraction(int(c)) * Fraction(2) ** -f.frac for c in codes.reshape(-1)] for codes, f in xs]
    if isinstance(layer, Leaky):
        slope = Fraction(1, 2 ** layer.slope)
        return [requantised(v if v >= 0 else v * slope, layer.requantise) for v in values[0]]
    if isinstance(layer, Slopes):
        sides = [(Fraction(int(layer.negative[c]), 2**layer.frac), Fraction(int(layer.positive[c]), 2**layer.frac))
                 for c in (i % len(layer.negative) for i in range(len(values[0])))]
        return [requantised(v * (below if v < 0 else above), layer.requantise)
                for v, (below, above) in zip(values[0], sides, strict=True)]
    if isinstance(layer, Extremum):
        finest = max(f.frac for _, f in xs)
        return [int((min if layer.least else max)(vs) * 2**finest) for vs in zip(*values, strict=True)]
    if isinstance(layer, Lookup):
        return [int(layer.table[int(c) - form.min_code]) for c in x.reshape(-1)]
    if isinstance(layer, Clamp):
        return [requantised(v, layer.requantise) for v in values[0]]
    if isinstance(layer, Add):
        return [requantised(sum(vs, Fraction(0)), layer.requantise) for vs in zip(*values, strict=True)]
    if isinstance(layer, Reorder):
        return [int(x.reshape(-1)[i]) for i in layer.index]
    if isinstance(layer, Reshape):
        return [int(c) for c in x.reshape(-1)]
    if isinstance(layer, ArgMax):
        return [values[0].index(max(values[0]))]
    assert isinstance(layer, Dense)
    integers, frac = layer.weights.integers()
    return [requantised(sum((Fraction(int(w)) * Fraction(2) ** -frac * v for w, v in zip(row, values[0], strict=True)),
                            Fraction(int(b)) * Fraction(2) ** -layer.bias_frac), layer.requantise)
            for row, b in zip(integers, layer.bias, strict=True)]


def joined(parts: list, axis: int) -> list:
    if axis == 0:
        return [item for part in parts for item in part]
    return [joined(list(items), axis - 1) for items in zip(*parts, strict=True)]


def flattened(nested: list) -> list[int]:
    return [i for item in nested for i in (flattened(item) if isinstance(item, list) else [item])]


@given(image_designs(deepest=3))
@settings(max_examples=60, deadline=None)
def test_every_layer_over_images_equals_loops_over_exact_fractions(design: Design):
    for codes in corners(design, 4):
        trace = design.trace(codes[None])
        for layer in design.layers:
            xs = [(trace[n][0], design.tensors[n].format) for n in layer.inputs]
            assert trace[layer.name][0].reshape(-1).tolist() == computed(layer, xs), layer
            assert trace[layer.name][0].shape == design.tensors[layer.name].shape
        assert design.reference(codes[None])[0].tolist() == trace[design.layers[-1].name][0].tolist()


@given(image_designs(deepest=3))
@settings(max_examples=60, deadline=None)
def test_no_image_leaves_the_range_of_any_layer(design: Design):
    trace = design.trace(corners(design, 60))
    for layer in design.layers:
        claimed = design.ranges[layer.name].output
        assert (trace[layer.name] >= claimed.low).all() and (trace[layer.name] <= claimed.high).all(), layer
        assert design.ranges[layer.name].bound >= max(abs(int(trace[layer.name].min())),
                                                      abs(int(trace[layer.name].max())))


@given(design=image_designs(deepest=4))
@settings(max_examples=60, deadline=None)
def test_a_design_of_images_is_the_same_after_it_was_saved(tmp_path_factory, design: Design):
    path = tmp_path_factory.mktemp("kept") / "d.swd"
    design.save(path)
    again, codes = Design.load(path), corners(design, 10)
    assert [layer.attributes() for layer in again.layers] == [layer.attributes() for layer in design.layers]
    assert (again.reference(codes) == design.reference(codes)).all()


def every(design: Design) -> np.ndarray:
    form = design.input.format
    every_code = range(form.min_code, form.max_code + 1)
    return np.array(list(itertools.product(every_code, repeat=design.input.size))).reshape(-1, *design.input.shape)


def met(design: Design) -> None:
    """The range of the only layer is met at both ends by some input, in every element."""
    claimed, found = design.ranges[design.layers[0].name], design.reference(every(design))
    assert claimed.output.low.tolist() == found.min(axis=0).tolist()
    assert claimed.output.high.tolist() == found.max(axis=0).tolist()


SMALL = st.builds(FixedPoint, st.booleans(), st.just(2), st.integers(-1, 2))


def saturating(r: Requantise) -> Requantise:
    return Requantise(r.format, r.low, r.high, r.rounding)


@given(SMALL, requantisations(6), windows((2, 2, 1)).filter(bool), st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_the_range_of_a_convolution_is_met_by_some_image(form, r, window, seed):
    rng = np.random.default_rng(seed)
    weights = random_weights(IntegerFormat(4), (2, *window.kernel, 1), rng, (-2, 1))
    met(network(form, (2, 2, 1), Conv("c", ("x",), weights, rng.integers(-9, 9, 2), 1, window, 1, saturating(r))))


@given(SMALL, requantisations(6), windows((2, 2, 1)).filter(bool))
@settings(max_examples=60, deadline=None)
def test_the_range_of_each_pool_is_met_by_some_image(form, r, window):
    met(network(form, (2, 2, 1), MaxPool("m", ("x",), window)))
    met(network(form, (2, 2, 1), AvgPool("a", ("x",), window, *AvgPool.constant(window.positions), saturating(r))))


@given(st.builds(FixedPoint, st.booleans(), st.integers(1, 5), st.integers(-2, 4)), requantisations(6),
       st.integers(0, 6), st.integers(0, 2**16))
@settings(max_examples=60, deadline=None)
def test_the_range_of_a_leaky_step_and_of_a_monotone_table_is_met(form, r, slope, seed):
    met(network(form, 1, Leaky("l", ("x",), slope, saturating(r))))
    table = np.random.default_rng(seed).integers(-8, 8, 1 << form.width)
    met(network(form, 1, Lookup("t", ("x",), table, FixedPoint(True, 4, 0))))


def test_a_table_behind_a_clamp_has_the_range_of_the_entries_that_can_be_read():
    table = np.array([7, -7, 3, 1, 2, 5, -8, 6], np.int64)
    design = Design("d", Tensor("x", (1,), FixedPoint(True, 3, 0)), (
        Clamp("c", ("x",), Requantise(FixedPoint(True, 3, 0), -1, 1)),
        Lookup("t", ("c",), table, FixedPoint(True, 4, 0))))
    claimed = design.ranges["t"].output
    assert (claimed.low.tolist(), claimed.high.tolist()) == ([1], [5])  # entries 3, 4 and 5 of the table


@given(st.integers(1, 300), st.integers(4, 20))
@settings(max_examples=200, deadline=None)
def test_the_constant_of_a_mean_is_the_nearest_of_its_bits(count, bits):
    factor, frac = AvgPool.constant(count, bits)
    found = Fraction(factor, 2**frac)
    if count & (count - 1) == 0:
        assert found == Fraction(1, count)
    else:
        assert factor % 2 == 1  # no bit is wasted
        step = Fraction(1, 2 ** (bits + count.bit_length() - 1))
        assert abs(found - Fraction(1, count)) <= step / 2
        assert bits - 1 <= (Fraction(1, count) / step).__floor__().bit_length() <= bits


def test_a_mean_of_three_is_the_nearest_of_sixteen_bits_not_the_one_below():
    # 1/3 = 0.0101..b: 43690.67 / 2**17, and 43691 is nearer than 43690.
    assert AvgPool.constant(3) == (43691, 17)
    assert AvgPool.constant(6) == (43691, 18)
    assert AvgPool.constant(8) == (1, 3)
    assert AvgPool.constant(1) == (1, 0)


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("overflow", Overflow)
def test_a_mean_rounds_halves_as_it_is_told(rounding, overflow):
    r = Requantise.to(FixedPoint(True, 4, 0), rounding, overflow)
    design = network(FixedPoint(True, 4, 0), (4, 1), AvgPool("a", ("x",), Window.of((4,)), 1, 2, r))
    for codes in ([1, 1, 0, 0], [3, 1, 1, 1], [-1, -1, 0, 0], [-3, -1, -1, -1], [7, 7, 7, 7], [-8, -8, -8, -8]):
        wanted = requantised(Fraction(sum(codes), 4), r)
        assert design.reference(np.array(codes).reshape(1, 4, 1)).reshape(-1).tolist() == [wanted]


@given(windows((5, 4, 2)).filter(bool))
@settings(max_examples=60, deadline=None)
def test_a_window_names_the_pixel_of_every_place_and_minus_one_for_padding(window):
    sources = window.sources((5, 4, 2))
    assert sources.shape == (*window.output((5, 4, 2)), *window.kernel)
    for place in places(window, (5, 4, 2)):
        wanted = [-1 if p is None else p[0] * 4 + p[1] for p in read_by(window, (5, 4, 2), place)]
        assert sources[place].reshape(-1).tolist() == wanted


def test_windows_fill_padding_with_what_they_are_told():
    seen = Window.of((2,), padding=((1, 0),)).patches(np.array([[[4], [5]]]), 9)
    assert seen[0, :, :, 0].tolist() == [[9, 4], [4, 5]]


def test_a_window_is_one_pixel_a_step_without_padding_unless_it_is_told_otherwise():
    plain = Window.of((2, 3))
    assert (plain.stride, plain.padding, plain.dilation) == ((1, 1), ((0, 0), (0, 0)), (1, 1))
    assert (plain.rank, plain.positions, plain.span) == (2, 6, (2, 3))
    assert Window.of((3,), dilation=(4,)).span == (9,)


@pytest.mark.parametrize("window, shape, word", [
    (Window.of((2, 2, 2)), (4, 4, 4, 1), "3 axes"), (Window.of(()), (1,), "0 axes"),
    (Window((2,), (1, 1), ((0, 0),), (1,)), (4, 1), "axes"), (Window((2,), (1,), ((0, 0),) * 2, (1,)), (4, 1), "axes"),
    (Window((2,), (1,), ((0, 0),), (1, 1)), (4, 1), "axes"), (Window.of((2,)), (4, 4, 1), "image of 2 axes"),
    (Window.of((2, 2)), (4, 1), "image of 3 axes"), (Window.of((0,)), (4, 1), "1 or more"),
    (Window.of((2,), (0,)), (4, 1), "1 or more"), (Window.of((2,), dilation=(0,)), (4, 1), "1 or more"),
    (Window.of((2,), padding=((-1, 0),)), (4, 1), "1 or more"), (Window.of((2,), padding=((0, -1),)), (4, 1), "1 or"),
    (Window.of((2, 2), padding=((0, 0), (0, -1))), (4, 4, 1), "1 or"),
    (Window.of((5,)), (4, 1), "5 pixels does not fit an axis of 4"),
    (Window.of((1, 5)), (9, 4, 1), "5 pixels does not fit an axis of 4"),
    (Window.of((3,), dilation=(2,)), (4, 1), "5 pixels"),
    (Window.of((2,), padding=((2, 0),)), (4, 1), "nothing but padding"),
    (Window.of((2,), padding=((0, 2),)), (4, 1), "nothing but padding")])
def test_a_window_that_does_not_fit_says_why(window, shape, word):
    assert word in (window.problem(shape) or "")
    with pytest.raises(InputError, match=f"'m'.*{word}"):
        network(BYTE, shape, MaxPool("m", ("x",), window))


@pytest.mark.parametrize("window, shape", [
    (Window.of((4,)), (4, 1)), (Window.of((4,), padding=((1, 1),)), (2, 1)), (Window.of((2,), dilation=(3,)), (4, 1)),
    (Window.of((2,), padding=((1, 1),)), (4, 1)), (Window.of((1, 1)), (1, 1, 1))])
def test_a_window_that_just_fits_is_taken(window, shape):
    assert window.problem(shape) is None


def conv(weights: tuple[int, ...], bias: np.ndarray, groups: int = 1) -> Conv:
    return Conv("c", ("x",), integers(np.ones(weights, int), 4), bias, 0, Window.of((2,)), groups, WIDE)


@pytest.mark.parametrize("layer, shape, word", [
    (conv((2, 2, 3), np.zeros(2, np.int64)), (4, 2), "shape"),
    (conv((2, 3, 2), np.zeros(2, np.int64)), (4, 2), "would"),
    (conv((2, 2, 2), np.zeros(3, np.int64)), (4, 2), "bias"), (conv((2, 2, 2), np.zeros(2, np.int32)), (4, 2), "bias"),
    (conv((2, 2, 2), np.zeros(2, np.int64), 0), (4, 2), "0 groups"),
    (conv((4, 2, 1), np.zeros(4, np.int64), 2), (4, 3), "2 groups"),
    (conv((3, 2, 2), np.zeros(3, np.int64), 2), (4, 4), "2 groups"),
    (Upsample("c", ("x",), (2,)), (4,), "scales"), (Upsample("c", ("x",), (2, 2)), (4, 1), "scales"),
    (Upsample("c", ("x",), (0,)), (4, 1), "scales"), (Upsample("c", ("x",), (1, 1, 1)), (2, 2, 2, 1), "scales"),
    (Upsample("c", ("x",), (1, 0)), (2, 2, 1), "scales"),
    (AvgPool("c", ("x",), Window.of((2,)), 0, 1, WIDE), (4, 1), "not a mean"),
    (AvgPool("c", ("x",), Window.of((2,)), 1 << 30, 30, WIDE), (4, 1), "not a mean"),
    (AvgPool("c", ("x",), Window.of((2,)), 1, -1, WIDE), (4, 1), "not a mean"),
    (AvgPool("c", ("x",), Window.of((2,)), 1, 61, WIDE), (4, 1), "not a mean"),
    (Leaky("c", ("x",), -1, WIDE), (4,), "slope"), (Leaky("c", ("x",), 17, WIDE), (4,), "slope"),
    (Slopes("c", ("x",), np.ones(3, np.int64), np.ones(3, np.int64), 0, WIDE), (4,), "one or 4"),
    (Slopes("c", ("x",), np.ones(4, np.int64), np.ones(1, np.int64), 0, WIDE), (4,), "one or 4"),
    (Slopes("c", ("x",), np.ones(4, np.int32), np.ones(4, np.int32), 0, WIDE), (4,), "int64"),
    (Slopes("c", ("x",), np.full(4, 1 << 30), np.ones(4, np.int64), 0, WIDE), (4,), "beyond"),
    (Slopes("c", ("x",), np.ones(4, np.int64), np.ones(4, np.int64), 41, WIDE), (4,), "41 fractional"),
    (Extremum("c", ("x",)), (4,), "two inputs"),
    (Lookup("c", ("x",), np.zeros(255, np.int64), BYTE), (4,), r"shape \(256,\)"),
    (Lookup("c", ("x",), np.zeros(256, np.int32), BYTE), (4,), "int64"),
    (Lookup("c", ("x",), np.full(256, 128), BYTE), (4,), "outside"),
    (Lookup("c", ("x",), np.full(256, -129), BYTE), (4,), "outside"),
    (Reorder("c", ("x",), np.arange(4, dtype=np.int32), (4,)), (4,), "int64"),
    (Reorder("c", ("x",), np.arange(3), (4,)), (4,), "4 elements"),
    (Reorder("c", ("x",), np.zeros(0, np.int64), (0,)), (4,), "0 elements"),
    (Reorder("c", ("x",), np.array([0, 4]), (2,)), (4,), "leaves"),
    (Reorder("c", ("x",), np.array([-1, 0]), (2,)), (4,), "leaves"),
    (Reshape("c", ("x",), (3,)), (4,), "cannot become"), (Reshape("c", ("x",), (-2, -2)), (4,), "cannot become"),
    (ArgMax("c", ("x",)), (2, 2), "flatten"), (Add("c", ("x",), WIDE), (4,), "two inputs"),
    (Concat("c", ("x", "x"), 1), (4,), "axis 1"), (Concat("c", ("x", "x"), -1), (4,), "axis -1"),
    (Clamp("c", ("x", "x"), WIDE), (4,), "one input, not 2")])
def test_a_layer_that_does_not_fit_is_refused_by_its_name(layer, shape, word):
    with pytest.raises(InputError, match=f"layer 'c' \\({layer.kind}\\): .*{word}"):
        network(BYTE, shape, layer)


@pytest.mark.parametrize("layer, shape", [
    (AvgPool("c", ("x",), Window.of((2,)), (1 << 30) - 1, 60, Requantise.to(FixedPoint(True, 8, 8))), (4, 1)),
    (AvgPool("c", ("x",), Window.of((2,)), 1, 0, WIDE), (4, 1)), (Leaky("c", ("x",), 16, WIDE), (4,)),
    (Leaky("c", ("x",), 0, WIDE), (4,)), (Upsample("c", ("x",), (1, 3)), (2, 2, 1)),
    (Lookup("c", ("x",), np.arange(-128, 128), BYTE), (4,)), (Reorder("c", ("x",), np.array([3, 0, 3]), (3, 1)), (4,)),
    (conv((4, 2, 1), np.zeros(4, np.int64), 2), (4, 2))])
def test_a_layer_at_the_end_of_what_is_supported_is_taken(layer, shape):
    assert network(BYTE, shape, layer).output.size


def test_a_table_reads_sixteen_bits_and_no_more():
    assert network(FixedPoint(True, 16, 0), 1, Lookup("t", ("x",), np.zeros(1 << 16, np.int64), BYTE)).output.size == 1
    with pytest.raises(InputError, match="17 bits; 16 is"):
        network(FixedPoint(True, 17, 0), 1, Lookup("t", ("x",), np.zeros(1 << 17, np.int64), BYTE))


def test_a_table_of_a_function_holds_the_nearest_code_of_every_input():
    source, form = FixedPoint(True, 5, 2), FixedPoint(True, 6, 3)
    layer = Lookup.of("t", ("x",), lambda x: x * x - 1, "parabola", source, form)
    wanted = [requantised(Fraction(c, 4) ** 2 - 1, Requantise.to(form)) for c in range(-16, 16)]
    assert layer.table.tolist() == wanted and layer.function == "parabola" and layer.format == form


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
def test_a_transpose_moves_every_element_to_its_place(axes):
    shape = (2, 3, 4)
    layer = Reorder.transposed("t", "x", shape, axes, tuple(shape[a] for a in axes))
    codes = np.arange(prod(shape)).reshape(1, *shape)
    found = network(BYTE, shape, layer).reference(codes)[0]
    for at in itertools.product(*(range(n) for n in shape)):
        assert found[tuple(at[a] for a in axes)] == codes[(0, *at)]


@given(formats(8), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_an_argmax_counts_its_elements_in_as_few_bits_as_that_takes(form, size):
    output = network(form, size, ArgMax("a", ("x",))).output
    assert output.shape == (1,) and output.format == FixedPoint.holding(0, max(size - 1, 1), 0)


def test_an_argmax_whose_later_element_is_as_good_as_the_first_never_names_it():
    r = Requantise(FixedPoint(True, 4, 0), 3, 3)
    design = Design("d", Tensor("x", (2,), FixedPoint(True, 3, 0)), (Clamp("c", ("x",), r), ArgMax("a", ("c",))))
    assert design.reference(every(design)).max() == 0
    claimed = design.ranges["a"].output
    assert claimed.low.tolist() == [0] and claimed.high.tolist() in ([0], [1])


@pytest.mark.parametrize("inputs", [4000, 70_000])
def test_a_sum_of_thousands_of_inputs_is_exact(inputs):
    """Whole sums of codes of 8 bits and weights of 8 bits pass 2**24, what float32 counts exactly."""
    rng = np.random.default_rng(0)
    weights = np.where(np.arange(inputs) < inputs // 2, 127, -127)[None]
    layer = dense(weights, [1], Requantise.to(FixedPoint(True, 40, 0)))
    design = network(BYTE, inputs, layer)
    codes = np.concatenate([np.full((1, inputs), 127), rng.integers(-128, 128, (3, inputs)),
                            127 - np.arange(inputs)[None] % 2])
    wanted = [sum(w * x for w, x in zip(weights[0].tolist(), row, strict=True)) + 1 for row in codes.tolist()]
    assert design.reference(codes).reshape(-1).tolist() == wanted


def test_partial_sums_that_cancel_count_in_the_bound():
    """Output clipped to 0..1 and a total of 0: only the bound of the partial sums forbids float32."""
    half = 1000
    weights = np.concatenate([np.full(half, 127), np.full(half, -127)])[None]
    layer = dense(weights, [0], Requantise(FixedPoint(False, 1, 0), 0, 1))
    bound = network(FixedPoint(False, 8, 0), 2 * half, layer).ranges["fc"].bound
    assert bound >= 2 * half * 127 * 255 > 1 << 24


def test_partial_sums_of_a_convolution_and_of_a_mean_count_in_their_bounds():
    plain = conv((1, 2, 3), np.array([5]))
    layer = replace(plain, requantise=Requantise(FixedPoint(False, 1, 0), 0, 1), weights=replace(
        plain.weights, codes=plain.weights.format.encode(np.array([[[1, -1, 1], [-1, 1, -1]]]))))
    assert network(BYTE, (4, 3), layer).ranges["c"].bound >= 6 * 128 + 5
    clipped = AvgPool("a", ("x",), Window.of((2,)), 43691, 17, Requantise(FixedPoint(False, 1, 0), 0, 1))
    assert network(BYTE, (4, 3), clipped).ranges["a"].bound >= 2 * 128 * 43691
    leaky = Leaky("l", ("x",), 7, Requantise(FixedPoint(False, 1, 0), 0, 1))
    assert network(BYTE, 4, leaky).ranges["l"].bound >= 128 << 7
    added = Add("s", ("x", "x"), Requantise(FixedPoint(False, 1, 0), 0, 1))
    assert network(BYTE, 4, added).ranges["s"].bound >= 256


def test_sums_that_a_later_input_takes_back_count_in_the_bound_of_an_add():
    between = [Clamp(n, ("x",), Requantise(BYTE, low, high)) for n, low, high in
               (("a", 100, 127), ("b", 100, 127), ("c", -100, -100))]
    design = Design("d", Tensor("x", (1,), BYTE), (*between, Add("s", ("a", "b", "c"), Requantise(
        FixedPoint(False, 1, 0), 0, 1))))
    assert design.ranges["s"].accumulator.high.tolist() == [154]
    assert design.ranges["s"].bound >= 254
