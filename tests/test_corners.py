"""Corners where something was once wrong: each is what it should be."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.networks import dense, network, tiny
from toolkit.design import Clamp, Dense, Design, FixedPoint, Log2Format, Overflow, Requantise, Rounding, Tensor, Weights
from toolkit.emit import vectors
from toolkit.emit.packing import hex_text
from toolkit.hardware import plan
from toolkit.utils.errors import InputError
from toolkit.utils.identifiers import MAX_LENGTH, identifier, identifiers
from toolkit.utils.output_folder import output_folder


def clamped(requantise: Requantise, x: FixedPoint) -> Design:
    return network(x, 1, Clamp("c", ("x",), requantise))


def test_a_clamp_to_codes_beyond_float32_is_exact():
    low = 2**24 + 1
    design = clamped(Requantise(FixedPoint(True, 40, 0), low, 2**30), FixedPoint(True, 4, 0))
    assert design.reference(np.array([[-8], [7]])).ravel().tolist() == [low, low]


def test_a_wrap_to_a_wide_code_is_exact():
    design = clamped(Requantise.to(FixedPoint(False, 30, 0), overflow=Overflow.WRAP), FixedPoint(True, 4, 0))
    assert design.reference(np.array([[-1]])).item() == 2**30 - 1


@pytest.mark.parametrize("name", ["build", "__pycache__"])
def test_a_foreign_folder_of_any_name_is_not_lost(tmp_path: Path, name):
    (tmp_path / "mine" / name).mkdir(parents=True)
    (tmp_path / "mine" / name / "thesis.c").write_text("years of work")
    with pytest.raises(InputError, match="not written by shiftwright"), output_folder(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine" / name / "thesis.c").read_text() == "years of work"


def test_a_folder_that_cannot_be_moved_leaves_nothing_behind(tmp_path: Path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError), output_folder("."):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["here"]


def test_a_damaged_design_is_always_one_sentence(tmp_path: Path):
    path = tmp_path / "net.swd"
    tiny([[1, -2], [3, 4]], [5, 6]).save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 300):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            Design.load(path)
        except InputError as error:
            assert "\n" not in str(error)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch):
    from toolkit.design import file

    path = tmp_path / "net.swd"
    tiny([[1]], [0]).save(path)
    monkeypatch.setattr(file, "SPARE", 2)
    monkeypatch.setattr(file, "PER_BYTE", 0)
    with pytest.raises(InputError, match="unpacks to"):
        Design.load(path)


def test_the_least_int64_is_no_bias(tmp_path: Path):
    design = tiny([[1]], [0])
    layer = design.layers[0]
    assert isinstance(layer, Dense)
    worst = Dense("fc", ("x",), layer.weights, np.array([-2**63], np.int64), 0, layer.requantise)
    with pytest.raises(InputError, match="fc"):
        _ = Design("d", design.input, (worst,)).ranges


def test_weights_that_span_more_bits_than_can_be_shared_are_added_one_by_one():
    form = Log2Format.of(8)
    weights = Weights(form, np.array([[1, 31], [31, 30]], np.uint8), np.array([0, -2]))
    layer, = plan(network(FixedPoint(True, 4, 0), 2, dense(weights))).layers
    assert layer.adders == 2


def test_a_fine_bias_does_not_count_as_wide_weights():
    form = Log2Format.of(3)
    weights = Weights(form, np.array([[1, 2]], np.uint8), np.array([0]))
    layer = dense(weights, [12345], Requantise.to(FixedPoint(True, 8, 2)), bias_frac=30)
    assert plan(network(FixedPoint(True, 4, 0), 2, layer)).latency > 0


@pytest.mark.parametrize("width", [54, 60, 62])
@pytest.mark.parametrize("signed", [False, True])
def test_the_widest_codes_saturate_at_their_ends(width, signed):
    form = FixedPoint(signed, width, 0)
    assert form.quantise(np.array([1e30, -1e30, np.inf, -np.inf])).tolist() == [
        form.max_code, form.min_code, form.max_code, form.min_code]


def test_nan_has_no_code():
    with pytest.raises(InputError, match="NaN"):
        FixedPoint(True, 8, 0).quantise(np.array([0.0, np.nan]))


def test_the_smallest_negative_number_floors_to_minus_one():
    assert FixedPoint(True, 8, -10).quantise(np.array(-5e-324), Rounding.FLOOR) == -1


@pytest.mark.parametrize("width", [53, 58, 62])
def test_vectors_of_wide_inputs_stay_in_their_format(width):
    form = FixedPoint(True, width, 0)
    design = clamped(Requantise.to(FixedPoint(True, 8, 0)), FixedPoint(True, min(width, 58), 0))
    assert form.width >= design.input.format.width
    for one in vectors.make(design, None, 60, 0).sets:
        assert one.inputs.min() >= design.input.format.min_code and one.inputs.max() <= design.input.format.max_code


def test_few_boundary_vectors_hold_minima_as_well_as_maxima():
    design = tiny([[1], [1], [1], [1]], [0, 0, 0, 0])
    found = design.reference(vectors.boundary(design, 8, np.random.default_rng(0)))
    assert found.min() == -8 and found.max() == 7


def test_names_stay_short_and_single_spaced():
    assert len(identifier("9" * 60)) <= MAX_LENGTH
    assert identifiers(["reg", "REG"])["REG"] == "reg_2"


def test_a_newline_in_a_name_does_not_break_the_sentence():
    assert "\n" not in str(tiny([[1]], [0]).layers[0].fail("a\nb"))


def test_no_samples_are_no_text():
    assert hex_text(np.zeros((0, 2)), Tensor("x", (2,), FixedPoint(True, 4, 0))) == b""


def test_a_format_with_blanks_inside_is_none():
    with pytest.raises(InputError):
        FixedPoint.parse("f i x e d<8,3>")


def test_an_encrypted_design_is_one_sentence(tmp_path: Path):
    path = tmp_path / "net.swd"
    tiny([[1]], [0]).save(path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        offset = archive.infolist()[0].header_offset
    data[offset + 6] |= 1
    directory = data.find(b"PK\x01\x02")
    data[directory + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(InputError):
        Design.load(path)
