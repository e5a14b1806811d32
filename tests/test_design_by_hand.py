"""Designs by hand: one layer of each kind, saved and loaded, at the edges of exactness, and refused in one sentence."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.networks import dense, integers
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
    Interval,
    Layer,
    Leaky,
    Log2Format,
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
    TwoTermFormat,
    Upsample,
    Weights,
    Window,
    reference,
)
from toolkit.design.layers import LAYERS
from toolkit.utils.errors import InputError

BYTE = FixedPoint(True, 8, 0)
WIDE = Requantise.to(FixedPoint(True, 62, 0))
ODD = Requantise(FixedPoint(True, 9, 2), -100, 99, Rounding.HALF_EVEN)
WRAP = Requantise.to(FixedPoint(False, 5, 1), Rounding.FLOOR, Overflow.WRAP)
LOOK = Window((2, 3), (1, 2), ((1, 0), (0, 1)), (2, 1))


def scaled(*rows: list, bits: int = 5) -> Weights:
    """Integers, each output's scale twice that of the one before."""
    return integers(rows, bits, range(-1, len(rows) - 1))


DENSE = Dense("l", ("x",), Weights(Log2Format(4, 5), np.array([[1, 5, 9], [0, 2, 13]], np.uint8), np.array([2, -3])),
              np.array([7, -9]), 3, ODD)
EACH = [
    (DENSE, (3,)),
    (Dense("l", ("x",), Weights(TwoTermFormat(4, 6), np.array([[1, 6]], np.uint8), np.array([1])), np.array([0]), -2,
           WRAP), (2,)),
    (Dense("l", ("x",), scaled([300, -300], bits=10), np.array([5]), 1, WIDE), (2,)),
    (Conv("l", ("x",), scaled([[[1], [2], [-3]], [[4], [5], [6]]], [[[0], [1], [0]], [[7], [-7], [1]]]),
          np.array([3, -4]), 2, LOOK, 2, ODD), (4, 5, 2)),
    (MaxPool("l", ("x",), LOOK), (4, 5, 2)), (AvgPool("l", ("x",), LOOK, 43691, 18, ODD), (4, 5, 2)),
    (Upsample("l", ("x",), (2, 3)), (2, 3, 2)), (Add("l", ("x", "x", "x"), WRAP), (2, 3)),
    (Concat("l", ("x", "x"), 1), (2, 3)), (Reshape("l", ("x",), (3, 2)), (2, 3)),
    (Reorder("l", ("x",), np.array([5, 0, 3]), (3, 1)), (2, 3)), (Clamp("l", ("x",), ODD), (2, 3)),
    (Leaky("l", ("x",), 3, ODD), (2, 3)), (ArgMax("l", ("x",)), (6,)),
    (Extremum("l", ("x", "x"), True), (2, 3)), (Multiply("l", ("x", "x"), "multiplier", ODD), (2, 3)),
    (Slopes("l", ("x",), np.array([3, -1, 0]), np.array([4, 4, 9]), 2, ODD), (2, 3)),
    (Lookup("l", ("x",), np.arange(256)[::-1] // 2, FixedPoint(False, 7, 9), "backwards"), (2, 3)),
]


def single(layer: Layer, shape: tuple[int, ...], form: FixedPoint = BYTE) -> Design:
    return Design("the net", Tensor("x", shape, form), (layer,))


def test_each_kind_of_layer_is_tried_here():
    assert {layer.kind for layer, _ in EACH} == set(LAYERS)


@pytest.mark.parametrize("layer, shape", EACH, ids=lambda v: getattr(v, "kind", ""))
def test_a_layer_of_each_kind_comes_back_as_it_was_saved(layer: Layer, shape, tmp_path: Path):
    design = single(layer, shape)
    design.save(tmp_path / "d.swd")
    again = Design.load(str(tmp_path / "d.swd"))
    (loaded,) = again.layers
    assert (again.name, again.input, type(loaded)) == ("the net", design.input, type(layer))
    for key, value in vars(layer).items():
        found = getattr(loaded, key)
        if isinstance(value, Weights):
            assert found.format == value.format
            assert found.codes.tolist() == value.codes.tolist() and found.codes.dtype == value.codes.dtype
            assert found.exponents.tolist() == value.exponents.tolist()
        elif isinstance(value, np.ndarray):
            assert found.tolist() == value.tolist() and found.dtype == value.dtype
        else:
            assert found == value, key
    codes = np.random.default_rng(0).integers(-128, 128, (9, *shape))
    assert again.reference(codes).tolist() == design.reference(codes).tolist()


def test_a_design_file_says_what_it_holds_in_these_words_and_its_members_have_no_date(tmp_path: Path):
    single(DENSE, (3,)).save(tmp_path / "d.swd")
    with zipfile.ZipFile(tmp_path / "d.swd") as archive:
        assert archive.namelist() == ["design.json", "arrays/0_codes.npy", "arrays/0_exponents.npy",
                                      "arrays/0_bias.npy"]
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_DEFLATED}
        assert json.loads(archive.read("design.json")) == {
            "schema": 1, "name": "the net", "input": {"name": "x", "shape": [3], "format": "fixed<8,8>"},
            "layers": [{"kind": "dense", "name": "l", "inputs": ["x"],
                        "weights": {"kind": "log2", "bits": 4, "levels": 5}, "bias_frac": 3,
                        "requantise": {"format": "fixed<9,7>", "low": -100, "high": 99, "rounding": "half_even",
                                       "overflow": "saturate"}}]}


def altered(path: Path, place: list, value) -> Path:
    """The design at `path` with one entry of its JSON another; None: gone."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    document = json.loads(members["design.json"])
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    if value is None:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    with zipfile.ZipFile(path, "w") as new:
        for name, data in members.items():
            new.writestr(name, json.dumps(document) if name == "design.json" else data)
    return path


@pytest.mark.parametrize("place, value, told", [
    (["schema"], 4, "has schema version 4; this version reads 1 to 3"),
    (["name"], None, "damaged one: 'name' is missing"),
    (["layers"], {}, "has no list of at most 2,000 layers"), (["layers"], [], "cannot be used: design 'the net' has"),
    (["layers"], [0] * 2001, "has no list of at most 2,000 layers"),
    (["input", "shape"], [], r"impossible shape \(\)"), (["input", "shape"], [3, 0], r"impossible shape \(3, 0\)"),
    (["input", "format"], "real", "cannot be used: 'real' is no fixed-point format"),
    (["layers", 0, "kind"], "magic", "cannot be used: layer 'l' is of the unknown kind 'magic'"),
    (["layers", 0, "inputs"], "x", "cannot be used: layer 'l' has no list of inputs"),
    (["layers", 0, "inputs"], ["x", "x"], r"cannot be used: layer 'l' \(dense\): takes one input, not 2"),
    (["layers", 0, "weights", "levels"], 4, "cannot be used: a weight code is outside log2:4,levels=4"),
    (["layers", 0, "requantise"], None, "damaged one: 'requantise' is missing"),
    (["layers", 0, "requantise", "rounding"], "up", "damaged one: 'up' is not a valid Rounding")])
def test_what_is_wrong_with_a_design_file_is_told_once_with_its_path(place, value, told, tmp_path: Path):
    single(DENSE, (3,)).save(tmp_path / "d.swd")
    with pytest.raises(InputError, match=told) as caught:
        Design.load(altered(tmp_path / "d.swd", place, value))
    assert str(caught.value).startswith(f"the design '{tmp_path / 'd.swd'}' ")
    assert str(caught.value).count("the design '") == 1


def test_a_design_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path):
    (tmp_path / "there").mkdir()
    for path in (tmp_path / "there", tmp_path / "none" / "d.swd"):
        with pytest.raises(InputError, match=f"cannot write '{path}': "):
            single(DENSE, (3,)).save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize("layer, shape", [(layer, shape) for layer, shape in EACH if len(layer.inputs) == 1],
                         ids=lambda v: getattr(v, "kind", ""))
def test_a_layer_of_one_input_refuses_two_by_its_name(layer: Layer, shape):
    twice = type(layer)(**{**vars(layer), "inputs": ("x", "x")})
    with pytest.raises(InputError, match=rf"layer 'l' \({layer.kind}\): takes one input, not 2"):
        single(twice, shape)


def test_a_name_that_two_tensors_have_is_told():
    clamps = tuple(Clamp(name, ("x",), ODD) for name in ("a", "b", "b", "c"))
    with pytest.raises(InputError, match="two tensors of the name 'b'"):
        Design("d", Tensor("x", (1,), BYTE), clamps)


@pytest.mark.parametrize("fracs, width, fine", [((0, 40), 22, True), ((0, 40), 23, False), ((-20, 20), 22, True),
                                                ((-20, 20), 23, False), ((5, 5), 62, True)])
def test_what_is_joined_fits_62_bits_on_the_finest_grid(fracs, width, fine):
    first, second = (FixedPoint(True, width, frac) for frac in fracs)
    layers = (Clamp("y", ("x",), Requantise(second, 0, 0)), Concat("l", ("x", "y")))
    if fine:
        made = Design("d", Tensor("x", (2,), first), layers).output
        assert made.format == FixedPoint(True, width + fracs[1] - fracs[0], fracs[1])
    else:
        with pytest.raises(InputError, match=r"'l'.*no format of 62 bits holds all its inputs"):
            Design("d", Tensor("x", (2,), first), layers)


def test_the_range_of_a_convolution_is_exact_beyond_what_a_float_counts():
    form = FixedPoint(True, 57, 0)
    weights = integers([[[3], [-1]]], 4)
    design = single(Conv("l", ("x",), weights, np.array([1]), 0, Window.of((2,)), 1, WIDE), (3, 1), form)
    found, least, most = design.ranges["l"], -(2**56), 2**56 - 1
    assert found.accumulator.low.tolist() == [[3 * least - most + 1]] * 2
    assert found.accumulator.high.tolist() == [[3 * most - least + 1]] * 2
    assert design.reference(np.array([[[most], [least], [least]]])).tolist() == [[[3 * most - least + 1],
                                                                                 [3 * least - least + 1]]]


def test_the_bound_of_one_bit_inputs_is_the_sum_of_the_weights():
    """Twice as much would still be exact, in a slower number type."""
    weights = integers([[1000, -500], [0, 1]], 12)
    layer = dense(weights, [0, 1], Requantise(FixedPoint(False, 1, 0), 0, 1), name="l")
    assert 1501 <= single(layer, (2,), FixedPoint(False, 1, 0)).ranges["l"].bound < 1510


def test_minus_one_and_zero_are_one_bit():
    pairs = [(-1, 0), (0, 0), (0, 1), (-1, 1), (-2, 1), (-2, 2), (-3, 0), (1, 4)]
    low, high = (np.array(side) for side in zip(*pairs, strict=True))
    assert Interval(low, high).widths().tolist() == [1, 1, 1, 2, 2, 3, 3, 3]


def test_samples_are_computed_together_and_not_one_by_one(monkeypatch):
    sizes = []
    kernel = Clamp.kernel

    def counted(self, *args):
        run = kernel(self, *args)
        return lambda xs: sizes.append(len(xs[0])) or run(xs)

    monkeypatch.setattr(Clamp, "kernel", counted)
    assert single(Clamp("l", ("x",), WIDE), (2,)).reference(np.zeros((1000, 2), int)).shape == (1000, 2)
    assert sizes == [1000]
    monkeypatch.setattr(reference, "CACHE_BYTES", 0)
    sizes.clear()
    single(Clamp("l", ("x",), WIDE), (2,)).reference(np.zeros((40, 2), int))
    assert sizes == [16, 16, 8]


@pytest.mark.parametrize("form, largest", [(Log2Format(4, 3), 3), (TwoTermFormat(4, 5), 5), (IntegerFormat(3), 7)])
def test_one_code_that_is_none_among_good_ones_is_refused(form, largest):
    Weights(form, np.array([[0, largest]], np.uint8), np.array([0]))
    for bad in (largest + 1, 255):
        with pytest.raises(InputError, match=f"a weight code is outside {form}"):
            Weights(form, np.array([[0, bad]], np.uint8), np.array([0]))
