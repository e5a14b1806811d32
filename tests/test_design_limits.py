"""What a design may hold, at the edge of it and one beyond; and the words that its file is written in."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest

from benchmarks.networks import dense, integers
from toolkit.design import (
    ArgMax,
    Clamp,
    Conv,
    Design,
    FixedPoint,
    IntegerFormat,
    Interval,
    Log2Format,
    Overflow,
    Requantise,
    Reshape,
    Rounding,
    Tensor,
    TwoTermFormat,
    Weights,
    Window,
    weight_format,
)
from toolkit.design.layers import LAYERS
from toolkit.design.reference import number_type
from toolkit.utils.errors import InputError

BYTE = FixedPoint(True, 8, 0)
WIDEST = Requantise.to(FixedPoint(True, 62, 0))


def single(layer, size: int = 1, form: FixedPoint = BYTE, name: str = "d", source: str = "x") -> Design:
    return Design(name, Tensor(source, (size,), form), (layer,))


def test_the_words_of_the_file_format_do_not_change():
    assert [r.value for r in Rounding] == ["floor", "half_up", "half_even"]
    assert [o.value for o in Overflow] == ["saturate", "wrap"]
    assert list(LAYERS) == ["dense", "conv", "maxpool", "avgpool", "upsample", "add", "multiply", "concat", "reshape",
                            "reorder", "clamp", "leaky", "lookup", "argmax", "extremum", "slopes"]
    assert all(LAYERS[kind].kind == kind for kind in LAYERS)


@pytest.mark.parametrize("form, text", [
    (Log2Format(4, 7), "log2:4"), (Log2Format(4, 5), "log2:4,levels=5"), (TwoTermFormat(5, 15), "log2x2:5"),
    (TwoTermFormat(5, 3), "log2x2:5,levels=3"), (IntegerFormat(6), "int:6")])
def test_a_weight_format_prints_its_name_and_is_found_by_it(form, text):
    assert str(form) == text and form.kind == text.partition(":")[0]
    assert weight_format(form.kind, form.bits, getattr(form, "levels", None)) == form


@pytest.mark.parametrize("form, codes, mantissas, exponents", [
    (Log2Format(3, 3), [0, 1, 3, 4, 5, 7], [0, 1, 1, 0, -1, -1], [0, 0, -2, 0, 0, -2]),
    (TwoTermFormat(3, 3), [0, 1, 3, 4, 5, 7], [0, 1, 3, 0, -1, -3], [0] * 6),
    (IntegerFormat(3), [0, 1, 3, 4, 5, 7], [0, 1, 3, -4, -3, -1], [0] * 6)])
def test_codes_stand_for_a_mantissa_and_a_power(form, codes, mantissas, exponents):
    found = form.terms(np.array(codes, np.uint8))
    assert [a.tolist() for a in found] == [mantissas, exponents]
    assert all(a.dtype == np.int64 and a.shape == (6,) for a in found)


@pytest.mark.parametrize("make, good, bad, word", [
    (lambda n: FixedPoint(True, n, 0), (1, 62), (0, 63), "outside 1..62"),
    (lambda n: FixedPoint(True, 8, n), (-1000, 1000), (-1001, 1001), "outside -1000..1000"),
    (lambda n: Log2Format(n, 1), (2, 8), (1, 9), "outside 2..8"), (lambda n: Log2Format(4, n), (1, 7), (0, 8), "1..7"),
    (lambda n: TwoTermFormat(n, 2), (3, 8), (2, 9), "outside 3..8"),
    (lambda n: TwoTermFormat(4, n), (2, 7), (1, 8), "2..7"),
    (lambda n: IntegerFormat(n), (2, 28), (1, 29), "outside 2..28"),
    (lambda n: Weights(IntegerFormat(4), np.ones((1, 1), np.uint8), np.array([n])), (-500, 500), (-501, 501),
     "-500..500")])
def test_a_number_at_the_edge_is_taken_and_one_beyond_is_refused(make, good, bad, word):
    for number in good:
        make(number)
    for number in bad:
        with pytest.raises(InputError, match=word.replace("..", r"\.\.")):
            make(number)


@pytest.mark.parametrize("codes, exponents, word", [
    (np.zeros((2, 2), np.uint16), [0, 0], "uint8"), (np.zeros(2, np.uint8), [0, 0], "matrix"),
    (np.zeros((0, 2), np.uint8), [], "non-empty"), (np.zeros((2, 2), np.uint8), [0], "as many exponents"),
    (np.full((2, 2), 16, np.uint8), [0, 0], "outside int:4")])
def test_weights_that_are_none_are_refused(codes, exponents, word):
    with pytest.raises(InputError, match=word):
        Weights(IntegerFormat(4), codes, np.array(exponents, np.int64))


def test_codes_of_more_than_eight_bits_are_two_bytes_wide_and_of_more_than_sixteen_four():
    assert IntegerFormat(8).encode(np.array([-1])).dtype == np.uint8
    assert IntegerFormat(9).encode(np.array([-1])).dtype == IntegerFormat(16).encode(np.array([-1])).dtype == np.uint16
    widest = Weights(IntegerFormat(28), IntegerFormat(28).encode(np.array([[-1 << 27, (1 << 27) - 1]])), np.array([0]))
    assert widest.codes.dtype == np.uint32 and widest.values().tolist() == [[-1 << 27, (1 << 27) - 1]]
    wide = Weights(IntegerFormat(9), IntegerFormat(9).encode(np.array([[-256, 255]])), np.array([0]))
    assert wide.values().tolist() == [[-256, 255]] and wide.bits == 18
    with pytest.raises(InputError, match="uint16"):
        Weights(IntegerFormat(9), np.zeros((1, 1), np.uint8), np.array([0]))


@pytest.mark.parametrize("length, fine", [(1, True), (200, True), (201, False), (0, False)])
def test_names_have_up_to_two_hundred_characters(length, fine):
    for design in (lambda n: single(Clamp("c", ("x",), Requantise.to(BYTE)), name=n),
                   lambda n: single(Clamp(n, ("y",), Requantise.to(BYTE)), source="y"),
                   lambda n: single(Clamp("c", (n,), Requantise.to(BYTE)), source=n)):
        if fine:
            design("n" * length)
        else:
            with pytest.raises(InputError, match=f"name of {length} characters is outside 1..200"):
                design("n" * length)


def test_a_design_has_layers_and_every_tensor_a_name_of_its_own():
    with pytest.raises(InputError, match="'d' has no layers"):
        Design("d", Tensor("x", (1,), BYTE), ())
    clamp = Clamp("x", ("x",), Requantise.to(BYTE))
    with pytest.raises(InputError, match="two tensors of the name 'x'"):
        single(clamp)


def test_weights_of_one_layer_span_fifty_powers_of_two_and_no_more():
    def spanning(powers: int) -> np.ndarray:
        form = Log2Format.of(4)
        return Weights(form, np.array([[1], [1]], np.uint8), np.array([0, -powers])).values()

    assert spanning(50).tolist() == [[1.0], [2.0**-50]]
    with pytest.raises(InputError, match="span 51 powers of two; 50"):
        spanning(51)


@pytest.mark.parametrize("bias, bias_frac, fine", [(1, 45, True), (1, 46, True), (1, 47, False), (2**60, 0, True),
                                                   (2**61, 0, False), (-(2**61), 0, False), (2**50, 10, False)])
def test_weights_and_bias_share_a_grid_of_61_bits(bias, bias_frac, fine):
    """A weight of 16384 is 2**14: with bias_frac more fractional bits it takes 15 + bias_frac bits."""
    layer = dense(integers([[16384]], 16), [bias], Requantise(FixedPoint(True, 62, 0), -1, 1), bias_frac=bias_frac)
    x = Tensor("x", (1,), FixedPoint(False, 1, 0))
    if fine:
        values, offset, frac = layer.matrix(x)
        assert (values.item(), frac) == (16384 << bias_frac, bias_frac) and offset.item() == bias
    else:
        if bias_frac == 10:
            values, offset, frac = layer.matrix(x)  # a bias as fine as its grid is not moved
            assert offset.item() == bias
            return
        with pytest.raises(InputError, match=r"'fc'.*bits on one grid; 61"):
            layer.matrix(x)


def test_the_bound_of_partial_sums_is_that_of_the_row_with_the_largest():
    layer = dense(integers([[0, 0], [300, -300], [1, 1]], 16), [7, -9, 2], Requantise(FixedPoint(False, 1, 0), 0, 1))
    assert single(layer, 2).ranges["fc"].bound >= 600 * 128 + 9


def test_the_grid_of_a_layers_sums_is_the_finer_of_products_and_bias():
    x = Tensor("x", (2,), FixedPoint(True, 8, 3))
    for bias_frac, wanted in ((2, 5), (9, 9)):
        layer = dense(integers([[1, 3]], 16, [-2]), [1], WIDEST, bias_frac=bias_frac)
        assert layer.acc_frac(x) == wanted == layer.matrix(x)[2]
        conv = Conv("c", ("x",), integers(np.ones((1, 2, 1), int), 4, [-2]), np.array([1]), bias_frac,
                    Window.of((2,)), 1, Requantise.to(FixedPoint(True, 40, 0)))
        image = Tensor("x", (4, 1), FixedPoint(True, 8, 3))
        assert conv.acc_frac(image) == wanted == conv.matrix(image)[2]


def test_a_layer_with_two_inputs_where_it_takes_one_is_named():
    for layer in (dense(integers([[1]], 16), [0], WIDEST), ArgMax("fc", ("x",)), Reshape("fc", ("x",), (1,))):
        twice = type(layer)(**{**vars(layer), "inputs": ("x", "x")})
        with pytest.raises(InputError, match=r"'fc'.*takes one input, not 2"):
            single(twice)


def test_an_interval_knows_its_ends():
    found = Interval(np.array([[-5, 2]]), np.array([[3, 4]]))
    assert found.bound == 5 and Interval(np.array([-1]), np.array([9])).bound == 9
    assert found.flat().low.tolist() == [-5, 2] and found.flat().high.tolist() == [3, 4]
    assert found.shifted(2).low.tolist() == [[-20, 8]] and found.shifted(2).high.tolist() == [[12, 16]]
    full = Interval.full((2, 1), FixedPoint(True, 3, 0))
    assert (full.low.tolist(), full.high.tolist()) == ([[-4], [-4]], [[3], [3]])
    assert full.low.dtype == full.high.dtype == np.int64
    assert Tensor("t", (2, 3), FixedPoint(False, 5, 0)).bits == 30


@pytest.mark.parametrize("low, high", [(2, 1), (-1, 3), (0, 16)])
def test_clamp_bounds_lie_in_their_format_and_in_order(low, high):
    with pytest.raises(InputError, match=f"bounds {low}..{high} do not fit"):
        Requantise(FixedPoint(False, 4, 0), low, high)


def test_a_shift_to_the_right_of_62_bits_leaves_the_sign_and_of_63_is_refused():
    r = Requantise.to(FixedPoint(True, 8, 0), Rounding.FLOOR)
    assert r.apply(np.array([-1, 1]), 62).tolist() == [-1, 0]
    with pytest.raises(InputError, match="63 bits leaves nothing"):
        r.apply(np.array([1]), 63)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_has_no_code_and_infinity_saturates(value):
    form = FixedPoint(True, 4, 0)
    if not np.isnan(value):
        assert form.quantise(np.array([value])).tolist() == [7 if value > 0 else -8]
    with pytest.raises(InputError, match="has no code"):
        form.quantise(np.array([0.0, value]), overflow=Overflow.WRAP)


def test_a_saved_design_may_be_read_by_everyone(tmp_path: Path):
    single(Clamp("c", ("x",), Requantise.to(BYTE))).save(tmp_path / "d.swd")
    assert stat.S_IMODE((tmp_path / "d.swd").stat().st_mode) == 0o644
    assert [p.name for p in tmp_path.iterdir()] == ["d.swd"]


@pytest.mark.parametrize("bound", [1, (1 << 24) - 1, 1 << 24, (1 << 24) + 1, (1 << 25) + 1, (1 << 53) - 1, 1 << 53,
                                   (1 << 53) + 1, (1 << 62) - 1])
def test_a_number_type_counts_one_by_one_up_to_its_bound(bound):
    kind = number_type(bound).type
    assert all(int(kind(n)) == n for n in range(max(bound - 3, 0), bound + 1))
    assert (bound < 1 << 24) == (kind is np.float32)  # the fastest that is exact
