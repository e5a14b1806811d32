"""QONNX files: the design equals the dialect's own executor, number for number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_files import executed, floats, model, node, quant, saved

from toolkit.api import Data, build, compress
from toolkit.capture.onnx import QuantisedModel, load_onnx
from toolkit.design import Conv, Dense, Design, FixedPoint, IntegerFormat, Log2Format
from toolkit.importing import Imported, InputRange, design_of
from toolkit.utils.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")


def imported(path: Path, requantise: bool = False, **options: Any) -> Imported:
    loaded = load_onnx(path, requantise=requantise)
    assert isinstance(loaded, QuantisedModel)
    return design_of(loaded, **options)


def samples(design: Design, shape: tuple[int, ...], count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Input codes, and the real samples (channels first) that they stand for; the corners among them."""
    form = design.input.format
    codes = np.random.default_rng(0).integers(form.min_code, form.max_code, (count, *design.input.shape), endpoint=True)
    codes[:2] = np.array([form.min_code, form.max_code]).reshape(2, *(1,) * len(design.input.shape))
    return codes, form.value(np.moveaxis(codes, -1, 1))


def exact(nodes: list[onnx.NodeProto], shape: tuple[int, ...], constants: dict[str, Any], folder: Path,
          **options: Any) -> Design:
    """Assert that the design of a network equals the executor on real numbers; returns it."""
    path = saved(model(nodes, (1, *shape), constants, 11), folder)
    design = imported(path, **options).design
    codes, real = samples(design, shape)
    ours = np.moveaxis(design.output.format.value(design.reference(codes)), -1, 1)
    theirs = executed(path, real.reshape(-1, *shape))
    assert ours.shape == theirs.shape
    assert np.array_equal(ours, theirs)
    return design


def weights(name: str, shape: tuple[int, ...], constants: dict[str, Any], seed: int = 0, **rest: Any) -> onnx.NodeProto:
    """A quantised constant of 4 bits, a quarter apart unless said otherwise."""
    constants[f"{name}_f"] = floats(*shape, seed=seed)
    return quant(name, f"{name}_f", constants, **rest)


def mlp(constants: dict[str, Any], bias: bool = True) -> list[onnx.NodeProto]:
    """5-6-3 with a Quant everywhere but at the output."""
    nodes = [quant("xq", "x", constants, bits=6, scale=0.125), weights("w", (5, 6), constants),
             node("MatMul", "xq w", "m")]
    last = "m"
    if bias:
        nodes += [weights("b", (6,), constants, bits=6, scale=2.0**-6), node("Add", "m b", "a")]
        last = "a"
    return [*nodes, node("Relu", last, "r"), quant("rq", "r", constants, bits=5, scale=0.25, signed=0),
            weights("v", (6, 3), constants, seed=3, narrow=1), node("MatMul", "rq v", "y")]


def test_a_quantised_mlp_is_exact_and_its_formats_are_the_files(tmp_path: Path):
    constants: dict[str, Any] = {}
    design = exact(mlp(constants), (5,), constants, tmp_path)
    assert design.input.format == FixedPoint(True, 6, 3)
    assert [layer.kind for layer in design.layers] == ["dense", "dense"]
    assert design.tensors[design.layers[0].name].format == FixedPoint(False, 5, 2)
    assert design.layers[0].weights.format == IntegerFormat(4)  # type: ignore[attr-defined]


@pytest.mark.parametrize("rounding", ["ROUND", "HALF_EVEN", "FLOOR", "DOWN", "HALF_UP"])
@pytest.mark.parametrize("bias", [True, False])
def test_every_rounding_that_has_hardware_is_exact_behind_a_relu(rounding: str, bias: bool, tmp_path: Path):
    constants: dict[str, Any] = {}
    nodes = mlp(constants, bias)
    place = next(i for i, n in enumerate(nodes) if n.output[0] == "rq")
    nodes[place] = quant("rq", "r", constants, bits=5, scale=1.0, signed=0, rounding_mode=rounding)
    exact(nodes, (5,), constants, tmp_path)


@pytest.mark.parametrize("attributes", [{"signed": 1}, {"signed": 1, "narrow": 1}, {"signed": 0},
                                        {"zero": 2, "signed": 0},
                                        {"bits": 1, "signed": 1}, {"bits": 1, "signed": 0}, {"bits": 2, "scale": 4.0},
                                        {"rounding_mode": "FLOOR", "zero": 3, "signed": 0}])
def test_signs_narrow_ranges_zero_points_and_single_bits(attributes: dict[str, Any], tmp_path: Path):
    constants: dict[str, Any] = {}
    nodes = [weights("w", (5, 6), constants), node("MatMul", "x w", "m"),
             quant("q", "m", constants, **({"bits": 3, "scale": 0.5} | attributes)),
             weights("v", (6, 3), constants, seed=1), node("MatMul", "q v", "y")]
    exact(nodes, (5,), constants, tmp_path)


def test_a_bias_that_is_not_quantised_is_exact_where_a_quantiser_follows(tmp_path: Path):
    """Below the grid of the products, all that a rounding sees of a bias is that there is something."""
    constants: dict[str, Any] = {"b": floats(6, seed=7)}
    nodes = [quant("xq", "x", constants, bits=6), weights("w", (5, 6), constants), node("MatMul", "xq w", "m"),
             node("Add", "m b", "a"), quant("y", "a", constants, bits=6, scale=0.125)]
    design = exact(nodes, (5,), constants, tmp_path)
    assert design.layers[0].bias_frac <= 5  # type: ignore[attr-defined]


@pytest.mark.parametrize("bits, scale, form", [
    (2, 0.5, Log2Format), (3, 0.5, IntegerFormat), (8, 2.0**-7, IntegerFormat), (9, 2.0**-7, IntegerFormat),
    (14, 2.0**-12, IntegerFormat), (16, 2.0**-13, IntegerFormat)])
def test_weights_of_any_width_keep_their_values(bits: int, scale: float, form: type, tmp_path: Path):
    constants: dict[str, Any] = {}
    nodes = [weights("w", (5, 30), constants, bits=bits, scale=scale, narrow=bits == 2), node("MatMul", "x w", "y")]
    design = exact(nodes, (5,), constants, tmp_path)
    found = design.layers[0].weights  # type: ignore[attr-defined]
    assert isinstance(found.format, form) and found.format.bits <= bits
    design.save(tmp_path / "kept.swd")
    codes, _ = samples(design, (5,))
    assert np.array_equal(Design.load(tmp_path / "kept.swd").reference(codes), design.reference(codes))


def test_bipolar_weights_and_activations(tmp_path: Path):
    constants: dict[str, Any] = {"wf": floats(5, 6), "s": np.float32(0.5), "one": np.float32(1.0), "vf": floats(6, 3)}
    nodes = [node("BipolarQuant", "wf s", "w"), node("MatMul", "x w", "m"), node("BipolarQuant", "m one", "q"),
             node("BipolarQuant", "vf s", "v"), node("MatMul", "q v", "y")]
    design = exact(nodes, (5,), constants, tmp_path)
    assert [layer.kind for layer in design.layers] == ["dense", "lookup", "dense"]
    assert design.layers[0].weights.format.kind == "log2"  # type: ignore[attr-defined]


def cnn(constants: dict[str, Any]) -> list[onnx.NodeProto]:
    """A quantised CNN: padding, stride, groups, a residual, both pools, a Flatten before the last weights."""
    constants |= {"c": floats(4, 1, 1, seed=5).round(1), "k": np.array([-1, 16], np.int64)}
    return [quant("xq", "x", constants, bits=6, scale=0.125), weights("w", (4, 2, 3, 3), constants),
            node("Conv", "xq w", "c0", pads=[1, 1, 1, 1]), node("Relu", "c0", "r0"),
            quant("q0", "r0", constants, bits=4, signed=0), weights("d", (4, 1, 3, 3), constants, seed=1),
            node("Conv", "q0 d", "c1", group=4, pads=[1, 1, 1, 1]), quant("q1", "c1", constants, bits=5, scale=0.5),
            node("Add", "q0 q1", "s"), quant("q2", "s", constants, bits=5, scale=0.5),
            node("MaxPool", "q2", "p", kernel_shape=[2, 2], strides=[2, 2]),
            node("AveragePool", "p", "a", kernel_shape=[2, 2], strides=[2, 2]),
            quant("q3", "a", constants, bits=6, scale=0.25), node("Reshape", "q3 k", "f"),
            weights("v", (16, 3), constants, seed=2), node("MatMul", "f v", "y")]


def test_a_quantised_cnn_is_exact_with_its_channels_last(tmp_path: Path):
    constants: dict[str, Any] = {}
    design = exact(cnn(constants), (2, 8, 8), constants, tmp_path)
    assert design.input.shape == (8, 8, 2)
    assert "reorder" not in [layer.kind for layer in design.layers]


def test_a_channels_last_file_is_exact_without_a_transpose(tmp_path: Path):
    constants: dict[str, Any] = {}
    nodes = [quant("xq", "x", constants, bits=6, scale=0.125), node("Transpose", "xq", "t", perm=[0, 3, 1, 2]),
             weights("w", (4, 2, 3, 3), constants), node("Conv", "t w", "c"),
             quant("q", "c", constants, bits=6, scale=0.5),
             node("Transpose", "q", "u", perm=[0, 2, 3, 1]), node("Flatten", "u", "f"),
             weights("v", (64, 3), constants, seed=2), node("MatMul", "f v", "y")]
    path = saved(model(nodes, (1, 6, 6, 2), constants, 11), tmp_path)
    design = imported(path).design
    codes, _ = samples(design, (2, 6, 6))
    assert np.array_equal(design.output.format.value(design.reference(codes)),
                          executed(path, design.input.format.value(codes)))
    assert [layer.kind for layer in design.layers] == ["conv", "reshape", "dense"]


@pytest.mark.parametrize("version", [1, 2])
def test_a_trunc_behind_a_mean_drops_its_low_bits(version: int, tmp_path: Path):
    constants: dict[str, Any] = {"s": np.float32(0.25), "z": np.float32(0), "i": np.float32(8), "o": np.float32(6),
                                 "t": np.float32(1.0), "four": np.float32(4)}
    nodes = [quant("xq", "x", constants, bits=6), node("AveragePool", "xq", "a", kernel_shape=[2, 2], strides=[2, 2]),
             node("Mul", "a four", "sum"), node("Trunc", "sum s z i o" if version == 1 else "sum s z i t o", "y",
                                                rounding_mode="FLOOR")]
    made = model(nodes, (1, 2, 4, 4), constants, 11)
    made.opset_import[1].version = version
    path = saved(made, tmp_path)
    design = imported(path).design
    codes, real = samples(design, (2, 4, 4))
    ours = np.moveaxis(design.output.format.value(design.reference(codes)), -1, 1)
    assert np.array_equal(ours, executed(path, real))


def test_functions_become_tables_where_they_are_quantised_on_both_sides(tmp_path: Path):
    constants: dict[str, Any] = {}
    nodes = [weights("w", (5, 6), constants), node("MatMul", "x w", "m"),
             quant("q", "m", constants, bits=7, scale=0.125),
             node("Sigmoid", "q", "g"), quant("h", "g", constants, bits=6, scale=2.0**-6, signed=0),
             node("Tanh", "h", "k"), quant("y", "k", constants, bits=6, scale=2.0**-5)]
    design = exact(nodes, (5,), constants, tmp_path)
    assert [layer.kind for layer in design.layers] == ["dense", "lookup", "lookup"]


def test_concatenation_clips_and_a_value_that_two_layers_read(tmp_path: Path):
    constants: dict[str, Any] = {"low": np.float32(-0.5), "high": np.float32(0.75)}
    nodes = [quant("xq", "x", constants, bits=6), weights("w", (5, 6), constants), node("MatMul", "xq w", "m"),
             node("Clip", "m low high", "c"), quant("p", "c", constants, bits=4, scale=0.125),
             quant("q", "m", constants, bits=4, scale=1.0), node("Concat", "p q xq", "j", axis=1),
             weights("v", (17, 3), constants, seed=2), node("MatMul", "j v", "y")]
    exact(nodes, (5,), constants, tmp_path)


@pytest.mark.parametrize("low, high", [(-0.5, 0.7), (-0.3, 0.75), (-0.5, 0.7500001)])
def test_a_clip_off_the_grid_of_what_it_clips_is_refused(tmp_path: Path, low: float, high: float):
    """Products here are whole 1/32: no code stands for such a bound, and no Quant behind it rounds it to one."""
    constants: dict[str, Any] = {"low": np.float32(low), "high": np.float32(high)}
    nodes = [quant("xq", "x", constants, bits=6, scale=0.125), weights("w", (5, 6), constants),
             node("MatMul", "xq w", "m"), node("Clip", "m low high", "y")]
    path = saved(model(nodes, (1, 5), constants, 11), tmp_path)
    with pytest.raises(InputError, match=r"a clip at .* that no Quant takes up; quantise behind it"):
        imported(path)


def test_a_clip_on_the_grid_of_what_it_clips_is_exact(tmp_path: Path):
    constants: dict[str, Any] = {"low": np.float32(-0.46875), "high": np.float32(0.75)}
    nodes = [quant("xq", "x", constants, bits=6, scale=0.125), weights("w", (5, 6), constants),
             node("MatMul", "xq w", "m"), node("Clip", "m low high", "y")]
    design = exact(nodes, (5,), constants, tmp_path)
    codes = design.reference(samples(design, (5,), 400)[0])
    assert (codes.min(), codes.max()) == (-15, 24) and design.output.format.frac == 5


def test_a_batch_norm_of_powers_of_two_goes_into_the_weights(tmp_path: Path):
    constants: dict[str, Any] = {"g": np.array([2, 0.5, 1, 4, 1, 1], np.float32), "o": floats(6).round(),
                                 "e": np.zeros(6, np.float32), "n": np.ones(6, np.float32)}
    nodes = [quant("xq", "x", constants, bits=6), weights("w", (5, 6), constants), node("MatMul", "xq w", "m"),
             node("BatchNormalization", "m g o e n", "a", epsilon=0.0), quant("y", "a", constants, bits=6)]
    exact(nodes, (5,), constants, tmp_path)


@given(st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_chain_of_quantised_layers_is_exact(tmp_path_factory, data):
    draw = data.draw
    constants: dict[str, Any] = {}
    size = draw(st.integers(1, 5))
    nodes, last = [], "x"
    for i in range(draw(st.integers(1, 3))):
        out = draw(st.integers(1, 5))
        bits = draw(st.integers(2, 10))
        nodes += [weights(f"w{i}", (size, out), constants, seed=draw(st.integers(0, 99)), bits=bits,
                          scale=2.0 ** draw(st.integers(-6, 1)), narrow=draw(st.integers(0, 1))),
                  node("MatMul", f"{last} w{i}", f"m{i}")]
        last, size = f"m{i}", out
        if draw(st.booleans()):
            nodes += [weights(f"b{i}", (out,), constants, bits=8, scale=2.0 ** draw(st.integers(-9, 0))),
                      node("Add", f"{last} b{i}", f"a{i}")]
            last = f"a{i}"
        if draw(st.booleans()):
            nodes.append(node("Relu", last, f"r{i}"))
            last = f"r{i}"
        nodes.append(quant(f"q{i}", last, constants, bits=draw(st.integers(1, 8)),
                           scale=2.0 ** draw(st.integers(-5, 3)),
                           signed=draw(st.integers(0, 1)), narrow=draw(st.integers(0, 1)),
                           rounding_mode=draw(st.sampled_from(["ROUND", "FLOOR"]))))
        last = f"q{i}"
    first = next(n for n in nodes if n.op_type == "MatMul")
    given_size = constants[first.input[1] + "_f"].shape[0]
    exact(nodes, (given_size,), constants, tmp_path_factory.mktemp("chain"), input=InputRange(5, -2.0, 2.0))


def refused(nodes: list[onnx.NodeProto], constants: dict[str, Any], folder: Path, *words: str,
            shape: tuple[int, ...] = (5,)) -> None:
    with pytest.raises(InputError) as caught:
        imported(saved(model(nodes, (1, *shape), constants, 11), folder))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_what_is_not_exact_or_has_no_hardware_is_refused_by_name(tmp_path: Path):
    c: dict[str, Any] = {}
    start = [weights("w", (5, 3), c, scale=0.5), node("MatMul", "x w", "m")]
    refused([*start, quant("y", "m", c, scale=0.00001, bits=16, rounding_mode="FLOOR")], c, tmp_path, "'Quant_y'",
            "12 bits are the most")
    refused([*start, quant("y", "m", c, scale=np.array([0.5, 1, 2]))], c, tmp_path, "scale for each channel")
    refused([*start, quant("y", "m", c, scale=2.0, rounding_mode="CEIL")], c, tmp_path, "CEIL")
    refused([*start, quant("y", "m", c, scale=2.0, rounding_mode="SOMEHOW")], c, tmp_path, "SOMEHOW")
    refused([*start, quant("y", "m", c, scale=2.0, zero=1)], c, tmp_path, "odd zero point")
    refused([*start, quant("y", "m", c, scale=-1.0)], c, tmp_path, "not positive")
    refused([*start, quant("y", "m", c, bits=99)], c, tmp_path, "bit width of 99")
    refused([*start, quant("q", "m", c, bits=4), node("Sigmoid", "q", "y")], c, tmp_path, "'Sigmoid_y'", "no Quant")
    raw = {**c, "v": floats(3, 2)}
    refused([*start, quant("q", "m", raw, bits=4), node("MatMul", "q v", "y")], raw, tmp_path, "'MatMul_y'", "16 bits")
    apart = [quant("p", "m", c, scale=0.3), quant("q", "m", c, scale=0.7), node("Add", "p q", "y")]
    refused([*start, *apart], c, tmp_path, "'Add_y' (Add)", "scales 0.3, 0.7", "no Quant follows")


def test_with_requantise_scales_are_approximated_and_reported(tmp_path: Path):
    constants: dict[str, Any] = {}
    nodes = [quant("xq", "x", constants, bits=6, scale=0.11), weights("w", (5, 6), constants, scale=0.3, bits=6),
             node("MatMul", "xq w", "m"), node("Relu", "m", "r"),
             quant("rq", "r", constants, bits=7, scale=0.09, signed=0),
             weights("v", (6, 3), constants, scale=0.25), node("MatMul", "rq v", "y")]
    path = saved(model(nodes, (1, 5), constants, 11), tmp_path)
    found = imported(path, requantise=True)
    assert len([note for note in found.notes if "approximated" in note]) == 3
    real = floats(40, 5, seed=3)
    ours = found.design.output.format.value(found.design.reference(found.codes(real)))
    theirs = executed(path, real)
    assert np.abs(ours - theirs).max() < 0.1 * np.abs(theirs).max()


def test_an_input_that_the_file_does_not_quantise_gets_the_declared_format(tmp_path: Path):
    constants: dict[str, Any] = {}
    path = saved(model([weights("w", (5, 3), constants), node("MatMul", "x w", "y")], (1, 5), constants, 11), tmp_path)
    assert imported(path).design.input.format == FixedPoint(True, 8, 7)
    found = imported(path, input=InputRange(6, 0.0, 10.0))
    assert found.design.input.format == FixedPoint(False, 6, 2)
    assert any("ufixed<6,4>" in note and "does not quantise its input" in note for note in found.notes)
    with pytest.raises(InputError, match="holds nothing"):
        InputRange(8, 1.0, 1.0)


def test_samples_become_the_codes_that_the_file_itself_makes(tmp_path: Path):
    constants: dict[str, Any] = {}
    nodes = [quant("xq", "x", constants, bits=4, narrow=1), weights("w", (5, 3), constants),
             node("MatMul", "xq w", "y")]
    path = saved(model(nodes, (1, 5), constants, 11), tmp_path)
    found = imported(path)

    real = np.concatenate([np.arange(-20, 20).reshape(8, 5) / 8, floats(8, 5)])
    ours = found.design.output.format.value(found.design.reference(found.codes(real)))
    assert np.array_equal(ours, executed(path, real))


def test_a_qonnx_file_takes_no_scheme_but_builds(tmp_path: Path):
    constants: dict[str, Any] = {}
    loaded = load_onnx(saved(model(mlp(constants), (1, 5), constants, 11), tmp_path))
    with pytest.raises(InputError, match="quantised already"):
        compress(loaded, Data.uniform((5,), -1, 1), "log2:4")  # type: ignore[arg-type]
    built = build(loaded, None, "log2:4", tmp_path / "out", vectors=500)
    assert built.report.ok and built.simulation is not None and built.simulation.hardware_ber == 0
    assert "no data were given" in (tmp_path / "out" / "report.txt").read_text()


@pytest.mark.parametrize("head", [
    [node("Mul", "xq two", "a"), node("Sub", "a one", "h")], [node("Add", "xq one", "a"), node("Div", "a two", "h")]])
@pytest.mark.parametrize("between, counts", [(False, [24]), (True, [8, 24])])
def test_an_input_that_is_scaled_and_moved_has_one_weight_an_element_or_none(head, between, counts, tmp_path: Path):
    constants: dict[str, Any] = {"one": np.float32(1), "two": np.float32(2)}
    nodes = [quant("xq", "x", constants, bits=6, scale=0.125), *head]
    if between:
        nodes.append(quant("hq", "h", constants, bits=5, scale=0.25))
    nodes += [weights("w", (8, 3), constants), node("MatMul", f"{'hq' if between else 'h'} w", "m"),
              quant("y", "m", constants, bits=8)]
    design = exact(nodes, (8,), constants, tmp_path)
    assert [layer.weights.codes.size for layer in design.layers if isinstance(layer, Dense | Conv)] == counts


def test_a_softmax_over_the_batch_is_refused(tmp_path: Path):
    nodes = [*mlp(constants := {}), node("Softmax", "y", "end", axis=0)]
    nodes[-1].input[0] = nodes[-2].output[0]
    with pytest.raises(InputError, match="moves the argmax"):
        load_onnx(saved(model(nodes, ("N", 5), constants), tmp_path))
