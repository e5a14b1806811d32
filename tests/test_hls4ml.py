"""The target hls4ml: its C++ makes every bit that the reference makes, and what it cannot make is refused by name."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from benchmarks.networks import every_layer, integers
from benchmarks.networks.strategies import designs, formats, requantisations
from toolkit.api import Options, generate, simulate
from toolkit.design import (
    LAYERS,
    Add,
    ArgMax,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Dense,
    Design,
    FixedPoint,
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
    Upsample,
    Weights,
    Window,
)
from toolkit.design.layers.multiply import MULTIPLIER
from toolkit.emit.hls4ml import emit
from toolkit.emit.hls4ml.defects import DEFECTS, exponents_mended
from toolkit.emit.hls4ml.exponents import exponents
from toolkit.emit.hls4ml.layers import LAYERS as TRANSLATED
from toolkit.emit.hls4ml.types import Step, Type, cast
from toolkit.emit.target import Job
from toolkit.utils.errors import InputError, ToolMissing


def log2(*shape: int, seed: int = 0, zeros: float = 0.2) -> Weights:
    rng = np.random.default_rng(seed)
    form = Log2Format.of(4)
    index = rng.integers(1, form.levels + 1, shape) * (rng.random(shape) >= zeros)
    return Weights(form, form.encode(rng.choice([-1, 1, 1], shape), index), rng.integers(-1, 2, shape[0]))


def bias(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(-60, 120, count)


def fixed(signed: bool, width: int, frac: int, rounding: Rounding = Rounding.HALF_UP) -> Requantise:
    return Requantise.to(FixedPoint(signed, width, frac), rounding)


def mlp() -> Design:
    """Every rounding and overflow, clips at any code, a sum and a concatenation of different formats."""
    return Design("every mlp", every_layer().input, every_layer().layers[:-1])


def cnn() -> Design:
    """Every layer of images that hls4ml has for both kinds of tensors."""
    x = Tensor("x", (7, 6, 2), FixedPoint(True, 8, 5))
    half = ((1, 1), (0, 1))
    return Design("cnn", x, (
        Conv("c1", ("x",), log2(4, 3, 3, 2), bias(4), 7, Window.of((3, 3), padding=((1, 1),) * 2), 1,
             fixed(False, 6, 3)),
        MaxPool("pool", ("c1",), Window.of((2, 2), (2, 2))),
        Conv("point", ("pool",), log2(4, 1, 1, 4, seed=2), bias(4), 6, Window.of((1, 1)), 1,
             Requantise(FixedPoint(True, 7, 4), -30, 41)),
        Add("residual", ("point", "pool", "point"), fixed(True, 8, 4, Rounding.HALF_EVEN)),
        Leaky("leaky", ("residual",), 3, fixed(True, 7, 5)),
        Conv("depth", ("leaky",), log2(4, 2, 2, 1, seed=3), bias(4), 6, Window.of((2, 2), None, half, (2, 2)), 4,
             fixed(False, 7, 3)),
        Upsample("up", ("depth",), (2, 2)),
        AvgPool("mean", ("up",), Window.of((2, 2), (2, 2)), 1, 2, fixed(False, 6, 3)),
        AvgPool("third", ("up",), Window.of((3, 2), (2, 2), ((1, 1), (0, 0))), *AvgPool.constant(6),
                fixed(False, 6, 3)),
        Concat("both", ("mean", "third"), 2),
        Reorder.transposed("flat", "both", (3, 2, 8), (2, 0, 1), (48,)),
        Dense("out", ("flat",), log2(5, 48, seed=4), bias(5), 8, fixed(True, 10, 4)),
        Lookup.of("sigmoid", ("out",), lambda v: 1 / (1 + np.exp(-v)), "sigmoid", FixedPoint(True, 10, 4),
                  FixedPoint(False, 8, 8)),
    ))


def gated(gate: str = MULTIPLIER) -> Design:
    """Products of two tensors: a squeeze-and-excite block, a map over all channels, a square."""
    point = Window.of((1, 1))
    return Design("gated", Tensor("x", (3, 4, 3), FixedPoint(True, 7, 4)), (
        AvgPool("pooled", ("x",), Window.of((3, 4)), *AvgPool.constant(12), fixed(True, 8, 5)),
        Conv("gates", ("pooled",), log2(3, 1, 1, 3), bias(3), 7, point, 1, fixed(False, 5, 4)),
        Multiply("excited", ("x", "gates"), gate, Requantise(FixedPoint(True, 8, 4), -90, 127)),
        Conv("map", ("x",), log2(1, 1, 1, 3, seed=6), bias(1), 7, point, 1, fixed(True, 6, 4)),
        Multiply("mapped", ("excited", "map"), gate, fixed(True, 8, 4, Rounding.FLOOR)),
        Multiply("squared", ("mapped", "mapped"), gate, fixed(False, 10, 4)),
    ))


def signal() -> Design:
    """One dimension, a transpose at its start, a padded pool of codes without a sign, a convolution whose groups fold
    to less than a lane."""
    x = Tensor("x", (3, 12), FixedPoint(False, 5, 5))
    return Design("signal", x, (
        Reorder.transposed("last", "x", (3, 12), (1, 0), (12, 3)),
        Conv("c1", ("last",), log2(4, 3, 3), bias(4), 7, Window.of((3,), padding=((2, 0),)), 1, fixed(False, 6, 3)),
        MaxPool("pool", ("c1",), Window.of((3,), (2,), ((1, 1),))),
        Conv("c2", ("pool",), log2(4, 2, 2, seed=7), bias(4), 7, Window.of((2,), (2,)), 2, fixed(False, 7, 3)),
        Reshape("flat", ("c2",), (12,)),
        Dense("out", ("flat",), log2(3, 12, seed=9), bias(3), 7, fixed(True, 12, 5))))


def shifts() -> Design:
    """Powers of two alone; zeros only where inputs are never negative."""
    x = Tensor("x", (6, 6, 2), FixedPoint(True, 8, 5))
    return Design("shifts", x, (
        Conv("c1", ("x",), log2(3, 3, 3, 2, zeros=0), bias(3), 7, Window.of((3, 3)), 1, fixed(False, 6, 3)),
        MaxPool("pool", ("c1",), Window.of((2, 2), (2, 2))),
        Conv("c2", ("pool",), log2(4, 2, 2, 3, zeros=0.4), bias(4), 7, Window.of((2, 2)), 1, fixed(False, 6, 3)),
        Reshape("flat", ("c2",), (4,)),
        Dense("out", ("flat",), log2(3, 4, seed=5, zeros=0.3), bias(3), 7, fixed(True, 12, 5))))


def proved(design: Design, folder: Path, vectors: int = 1000, **options) -> dict:
    """The target's entry of a project all of whose bits are right, on vectors that move the outputs."""
    generate(design, folder, targets=("hls4ml",), options=Options(**options), vectors=vectors)
    outputs = np.load(folder / "vectors" / "random_out.npy")
    assert np.mean([len(np.unique(column)) for column in outputs.T]) > 4, "the outputs hardly move"
    found = simulate(folder)
    assert found.ok and found.bit_errors == 0, found.failures
    assert found.bits == vectors * design.output.bits
    return json.loads((folder / "manifest.json").read_text())["targets"]["hls4ml"]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hls4ml") / "project"
    proved(mlp(), folder)
    return folder


def test_every_bit_of_an_mlp_is_right(project: Path):
    entry = json.loads((project / "manifest.json").read_text())["targets"]["hls4ml"]
    assert (entry["backend"], entry["io"], entry["weights"]) == ("Vitis", "io_parallel", "fixed")


def test_every_bit_of_an_mlp_is_right_in_streams(tmp_path: Path):
    entry = proved(mlp(), tmp_path / "p", hls4ml_backend="vivado", hls4ml_io="io_stream")
    assert (entry["backend"], entry["io"]) == ("Vivado", "io_stream")


def test_every_bit_of_a_cnn_is_right(tmp_path: Path):
    entry = proved(cnn(), tmp_path / "p", arch="unrolled")
    assert {layer["strategy"] for layer in entry["layers"]} == {"Latency"}


def test_every_bit_of_a_folded_cnn_is_right_in_streams(tmp_path: Path):
    entry = proved(cnn(), tmp_path / "p", hls4ml_io="io_stream", arch="folded", max_lanes=2)
    assert {layer["strategy"] for layer in entry["layers"] if layer["name"] in ("c1", "depth", "out")} == {"Resource"}


def test_reuse_factors_are_the_cycles_that_a_lane_works_within_what_hls4ml_does_right(tmp_path: Path):
    lanes = (("c*", 2), ("out", 1))
    entry = proved(signal(), tmp_path / "p", hls4ml_backend="vivado", arch="folded", lanes=lanes)
    factors = {layer["name"]: layer["reuse_factor"] for layer in entry["layers"] if layer["strategy"] == "Resource"}
    # c1 works 2 folds of 9 taps, but a factor above its taps is wrong in hls4ml; c2 2 groups of 4; out 3 outputs of 12.
    assert factors == {"c1": 9, "c2": 8, "out": 36}


def test_every_bit_of_products_of_two_tensors_is_right_in_streams(tmp_path: Path):
    proved(gated(), tmp_path / "p", hls4ml_io="io_stream", arch="folded", max_lanes=2)


def test_a_gate_that_is_a_power_of_two_is_refused_by_name():
    with pytest.raises(InputError, match=r"'excited' \(multiply\): hls4ml has no .*--gate multiplier"):
        emit(Job(gated("power-of-two"), Options(arch="folded")))


def test_every_bit_of_a_folded_cnn_is_right_for_quartus(tmp_path: Path):
    layers = cnn().layers[:-1]  # it has no tables there
    entry = proved(Design("cnn", cnn().input, layers), tmp_path / "p", hls4ml_backend="quartus", arch="folded",
                   max_lanes=2)
    assert entry["include"] == "hls4ml/firmware/ac_types"


def test_weights_are_shifts_on_request_and_zeros_too(tmp_path: Path):
    entry = proved(shifts(), tmp_path / "p", hls4ml_weights="exponent")
    firmware = tmp_path / "p" / "hls4ml" / "firmware"
    assert entry["weights"] == "exponent"
    assert "product = nnet::product::weight_exponential" in (firmware / "parameters.h").read_text()
    assert (shifts().layers[2].weights.values() == 0).any()


def test_roundings_that_drop_every_bit_are_right(tmp_path: Path):
    x = Tensor("x", (3,), FixedPoint(True, 3, 4))
    even = Rounding.HALF_EVEN
    design = Design("tiny", x, (
        Clamp("a", ("x",), fixed(True, 4, -1, even)), Leaky("b", ("x",), 4, fixed(True, 5, 1)),
        Add("c", ("x", "x"), fixed(True, 4, -2)), Dense("d", ("x",), log2(3, 3), bias(3), 2, fixed(True, 9, -9)),
        Concat("out", ("a", "b", "c", "d"))))
    generate(design, tmp_path / "p", targets=("hls4ml",), vectors=500, options=Options(arch="unrolled"))
    found = simulate(tmp_path / "p")
    assert found.ok, found.failures


def test_a_weight_that_was_changed_is_found(project: Path, tmp_path: Path):
    copy = Path(shutil.copytree(project, tmp_path / "copy"))
    path = next((copy / "hls4ml" / "firmware" / "weights").glob("b*.txt"))
    first, rest = path.read_text().split(",", 1)
    path.write_text(f"{float(first) + 0.25},{rest}")
    assert any("differs from what was generated" in line for line in simulate(copy, vectors=200).failures)
    found = simulate(copy, vectors=200, allow_edited=True)
    assert not found.ok and found.bit_errors > 0


def test_a_program_with_every_bit_wrong_has_a_ber_of_one(project: Path, tmp_path: Path):
    copy = Path(shutil.copytree(project, tmp_path / "copy"))
    entry = json.loads((copy / "manifest.json").read_text())["targets"]["hls4ml"]
    path, right = copy / entry["source"], "out[i] = to_code(outputs[i]);"
    assert path.read_text().count(right) == 1
    path.write_text(path.read_text().replace(right, "out[i] = out_word_t(~to_code(outputs[i]));"))
    found = simulate(copy, vectors=200, allow_edited=True)
    assert not found.ok and found.hardware_ber == 1.0 and not found.data["faults"]


def test_the_folder_stands_alone(project: Path):
    told = subprocess.run([sys.executable, "-I", "sim/run.py", ".", "--target", "hls4ml", "--vectors", "50"],
                          cwd=project, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert re.search(r"csim \(g\+\+, Vitis\)", told.stdout)
    assert re.search(r"hardware BER 0 \(0 of [1-9][\d,]* bits\): PASS", told.stdout), told.stdout


@pytest.mark.parametrize("options", [{}, {"hls4ml_backend": "vivado", "hls4ml_io": "io_stream"}])
def test_no_file_names_a_folder_of_the_machine_that_made_it(options: dict):
    made = emit(Job(cnn(), Options(**options)))
    assert not any(b"/tmp" in data for name, data in made.files.items() if "ap_types" not in name)


def test_names_that_mean_something_in_its_code_are_changed():
    design = Design("std", Tensor("input", (2,), FixedPoint(True, 4, 2)), (
        Clamp("result", ("input",), fixed(True, 4, 2)), Clamp("Result", ("result",), fixed(True, 4, 1)),
        Clamp("../while", ("Result",), fixed(True, 3, 1))))
    made = emit(Job(design, Options()))
    names = [layer["name"] for layer in made.entry["layers"]]
    assert made.entry["top"] == "std_net" and len(set(names)) == len(names) == 4
    assert not set(names) & {"input", "result", "while"}


def refused(layers: tuple[Layer, ...], x: Tensor, tmp_path: Path, **options) -> str:
    with pytest.raises(InputError) as error:
        generate(Design("d", x, layers), tmp_path / "p", targets=("hls4ml",), options=Options(**options), vectors=10)
    assert not (tmp_path / "p").exists()
    return str(error.value)


VECTOR = Tensor("x", (4,), FixedPoint(True, 8, 4))
IMAGE = Tensor("x", (4, 4, 2), FixedPoint(True, 8, 4))


def test_every_kind_of_layer_has_its_translation_or_its_refusal():
    assert set(TRANSLATED) == set(LAYERS.values())


def test_an_argmax_is_refused(tmp_path: Path):
    assert re.match(r"layer 'class' \(argmax\): hls4ml has no argmax; end the design",
                    refused((ArgMax("class", ("x",)),), VECTOR, tmp_path))


def test_a_gather_is_refused_unless_its_columns_can_move(tmp_path: Path):
    index = np.array([3, 1, 0, 0])
    told = refused((Reorder("pick", ("x",), index, (4,)), Clamp("clip", ("pick",), fixed(True, 4, 2))), VECTOR,
                   tmp_path)
    assert told.startswith("layer 'pick' (reorder): hls4ml has no gather, and layer 'clip' (clamp) reads it")
    dense = Dense("fc", ("pick",), log2(2, 4), bias(2), 6, fixed(True, 8, 4))
    made = emit(Job(Design("d", VECTOR, (Reorder("pick", ("x",), index, (4,)), dense)), Options(arch="unrolled")))
    weights = [float(word) for word in made.files["hls4ml/firmware/weights/w2.txt"].split(b",")]
    want = np.zeros((2, 4))
    np.add.at(want.T, index, dense.weights.values().T)
    assert np.array_equal(np.reshape(weights, (4, 2)).T, want)


def test_a_pool_of_streams_that_overlaps_is_refused(tmp_path: Path):
    told = refused((MaxPool("pool", ("x",), Window.of((2, 2), (1, 1))),), IMAGE, tmp_path, hls4ml_io="io_stream")
    assert told.startswith("layer 'pool' (maxpool): hls4ml pools streams in windows side by side") \
        and "io_parallel works" in told


def test_what_only_some_backends_have_is_refused_by_the_others(tmp_path: Path):
    told = refused(cnn().layers, cnn().input, tmp_path, hls4ml_backend="quartus")
    assert told == ("layer 'sigmoid' (lookup): hls4ml's project for Quartus has no tables; --hls4ml vitis "
                    "works")
    told = refused(shifts().layers, shifts().input, tmp_path, hls4ml_backend="quartus", hls4ml_weights="exponent")
    assert told.startswith("layer 'c1' (conv): hls4ml's project for Quartus has no convolution by exponents")
    wide = Tensor("pins", (2,), FixedPoint(True, 25, 4))
    told = refused((Clamp("out", ("pins",), fixed(True, 8, 4)),), wide, tmp_path, hls4ml_backend="vivadoaccelerator")
    assert told.startswith("input 'pins': hls4ml's VivadoAccelerator moves it as float32")


def test_a_constant_beyond_a_float64_is_refused(tmp_path: Path):
    wide = Dense("fc", ("x",), log2(1, 4), np.array([2**55 + 1]), 8, fixed(True, 60, 8))
    assert "layer 'fc' (dense)" in refused((wide,), VECTOR, tmp_path)


@pytest.mark.parametrize(("weights", "why"), [
    (integers(np.full((2, 4), 3), 4),
     "8 of its weights are not powers of two"),
    (Weights(Log2Format.of(4), np.array([[0, 1, 2, 3]] * 2, np.uint8), np.zeros(2, int)),
     "2 of its weights are zero, which hls4ml's exponents cannot say for inputs that can be negative")])
def test_weights_that_are_no_exponents_are_refused(weights: Weights, why: str, tmp_path: Path):
    told = refused((Dense("fc", ("x",), weights, bias(2), 6, fixed(True, 8, 4)),), VECTOR, tmp_path,
                   hls4ml_weights="exponent")
    assert told.startswith(f"layer 'fc' (dense): {why}") and told.endswith("--hls4ml fixed works")


@pytest.mark.parametrize("option", ["hls4ml_backend", "hls4ml_io", "hls4ml_weights"])
def test_an_option_that_is_unknown_is_refused(option: str):
    with pytest.raises(InputError, match=f"unknown {option} 'none'; known are"):
        Options(**{option: "none"})


def test_the_command_line_takes_its_options_in_any_order():
    assert Options.parse_hls4ml("exponent, Vivado") == {"hls4ml_weights": "exponent", "hls4ml_backend": "vivado"}
    with pytest.raises(InputError, match="'vitis' is one too many"):
        Options.parse_hls4ml("vivado,vitis")
    with pytest.raises(InputError, match="'oneapi' is unknown; one of each is known: vitis, vivado"):
        Options.parse_hls4ml("oneapi")


def test_without_hls4ml_the_package_is_named_before_any_work(monkeypatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "hls4ml", None)
    with pytest.raises(ToolMissing, match=r"pip install 'shiftwright\[hls4ml\]'"):
        generate(mlp(), tmp_path / "p", targets=("hls4ml",))
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("name", DEFECTS)
def test_hls4ml_still_has_the_defect(name: str):
    what, workaround = DEFECTS[name].what, DEFECTS[name].workaround
    assert DEFECTS[name].present(), f"hls4ml mended it ({what}): remove the workaround ({workaround}) and this entry"


def test_hls4ml_is_left_as_it_was():
    from hls4ml.model.types import ExponentWeightVariable

    before = dict(ExponentWeightVariable.__dict__)
    with pytest.raises(KeyError), exponents_mended():
        assert ExponentWeightVariable.__dict__["__iter__"] is not before["__iter__"]
        raise KeyError
    assert dict(ExponentWeightVariable.__dict__) == before


def assigned(type: Type, codes: np.ndarray, frac: int) -> np.ndarray:
    """What ap_fixed makes of codes with `frac` fractional bits."""
    low = type.format.min_code + (type.overflow == "SAT_SYM")
    if type.overflow == "WRAP":
        return Requantise.to(type.format, type.rounding, Overflow.WRAP).apply(codes, frac)
    return Requantise(type.format, low, type.format.max_code, type.rounding).apply(codes, frac)


def stepped(step: Step, codes: np.ndarray) -> np.ndarray:
    return assigned(step.type, step.sign * codes + step.constant, step.type.format.frac)


@given(r=requantisations(), up=st.integers(-3, 6), seed=st.integers(0, 2**32 - 1))
def test_a_cast_and_its_clips_are_the_requantisation(r: Requantise, up: int, seed: int):
    frac = r.format.frac + up
    codes = np.random.default_rng(seed).integers(-(2**16), 2**16, 400)
    type, steps = cast(r)
    found = assigned(type, codes, frac)
    for step in steps:
        found = stepped(step, found)
    assert np.array_equal(found, r.apply(codes, frac)) and type.format.width <= r.format.width


@given(x=formats(), low=st.integers(-12, 6), span=st.integers(0, 8), zero=st.booleans(), seed=st.integers(0, 99))
def test_the_exponents_are_wide_enough_for_every_product(x: FixedPoint, low: int, span: int, zero: bool, seed: int):
    assume(not (zero and x.signed))
    layer = Clamp("a", ("x",), fixed(True, 4, 2))
    found = exponents(layer, np.array([1, -(1 << span)] + [0] * zero), -low, x)
    half = found.width + x.width  # hls4ml's product has as many bits before the point as behind it
    codes = [int(c) for c in np.random.default_rng(seed).integers(x.min_code, x.max_code + 1, 50)]
    for shift, sign in ((low, 1), (low + span, -1), *(((found.zero, 0),) if zero else ())):
        assert -(2 ** (found.width - 1)) <= shift < 2 ** (found.width - 1) and x.frac <= half
        for code in codes:
            held = code << (half - x.frac)
            moved = held << shift if shift >= 0 else held >> -shift
            made = -moved if sign < 0 else moved
            assert made == sign * Fraction(2) ** shift * held and -(2 ** (2 * half - 1)) <= made < 2 ** (2 * half - 1)


@pytest.mark.soak
@settings(max_examples=40, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(design=designs(), stream=st.booleans(), vivado=st.booleans(), folded=st.booleans())
def test_random_networks_come_out_right(tmp_path_factory, design: Design, stream: bool, vivado: bool, folded: bool):
    if isinstance(design.layers[-1], ArgMax):
        design = Design(design.name, design.input, design.layers[:-1])
    # What is refused by name is not a network for hls4ml.
    design = Design(design.name, design.input, tuple(
        replace(layer, gate=MULTIPLIER) if isinstance(layer, Multiply) else layer for layer in design.layers))
    assume(all(t.shape == design.tensors[layer.name].shape for layer in design.layers if isinstance(layer, Multiply)
               for t in design.inputs_of(layer)))
    assume(all((layer.positive == 1 << layer.frac).all() for layer in design.layers if isinstance(layer, Slopes)))
    folder = tmp_path_factory.mktemp("random") / "p"
    options = Options(hls4ml_io="io_stream" if stream else "io_parallel", max_lanes=2,
                      hls4ml_backend="vivado" if vivado else "vitis", arch="folded" if folded else "unrolled")
    generate(design, folder, targets=("hls4ml",), options=options, vectors=1000)
    found = simulate(folder)
    assert found.ok, found.failures
    shutil.rmtree(folder)
