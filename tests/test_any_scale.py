"""Quantised files on scales that are no powers of two: every code is the file's, for every sum that can come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from benchmarks.networks.qonnx_files import File, cnv, mlp
from toolkit.api import generate, simulate
from toolkit.capture.onnx import load_onnx
from toolkit.design import FixedPoint
from toolkit.hardware import Options
from toolkit.importing import Imported, design_of
from toolkit.importing.multiply_shift import multiply_shift, slopes, thresholds
from toolkit.importing.weights import on_a_grid
from toolkit.report.report import Network
from toolkit.utils.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")


def imported(made: File, folder: Path) -> Imported:
    path = folder / "net.onnx"
    path.write_bytes(made.model(1).SerializeToString())
    return design_of(load_onnx(path))  # type: ignore[arg-type]


def executed(made: File, samples: np.ndarray) -> np.ndarray:
    """What QONNX's own executor makes of all samples at once."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.util.cleanup import cleanup_model

    wrapped = ModelWrapper(made.model(len(samples)))
    wrapped = cleanup_model(wrapped, preserve_qnt_ops=True) or wrapped
    return execute_onnx(wrapped, {wrapped.graph.input[0].name: samples})[wrapped.graph.output[0].name]


def differing(made: File, folder: Path, count: int = 1000, low: float = -1.0) -> tuple[int, Imported]:
    """How many samples have an output that is not the file's, in steps of the design's output."""
    found = imported(made, folder)
    samples = np.random.default_rng(1).uniform(low, 1, (count, *made.shape)).astype(np.float32)
    theirs = np.moveaxis(executed(made, samples), 1, -1)
    step = found.unit * 2.0**-found.design.output.format.frac
    apart = np.rint(theirs / step) != found.design.reference(found.codes(samples))
    return int(apart.reshape(count, -1).any(axis=1).sum()), found


@pytest.mark.parametrize("made", [
    mlp((60, 16, 16, 5), 1, 1), mlp((60, 16, 16, 5), 1, 2, seed=1), mlp((60, 16, 16, 5), 2, 2, seed=2),
    mlp((60, 32, 1), 3, 3, seed=3), mlp((40, 24, 24, 6), 4, 4, seed=4, relu=True), mlp((30, 16, 3), 8, 8, seed=5)],
    ids=["w1a1", "w1a2", "w2a2", "w3a3", "w4a4 relu", "w8a8"])
def test_no_output_of_an_mlp_of_the_zoos_kind_differs(made: File, tmp_path: Path):
    assert differing(made, tmp_path)[0] == 0


def test_no_output_of_a_small_cnv_differs(tmp_path: Path):
    count, found = differing(cnv(16, (6, 6, 8, 8), 2, 2), tmp_path, 100)
    assert count == 0
    assert "an output is its code times" in found.notes[-1]


@pytest.mark.parametrize("zero, mode, signed", [(0, "ROUND", True), (3, "ROUND", False), (7, "FLOOR", False),
                                                (0, "CEIL", True), (5, "HALF_UP", False)])
def test_zero_points_and_roundings_on_any_scale(zero: int, mode: str, signed: bool, tmp_path: Path):
    made = File((12,), 3)
    made.quant("x", 6, 0.043)
    made.node("MatMul", made.last, made.weights((12, 7), 4))
    made.batch_norm(7, 2.0)
    made.quant(made.last, 4, 0.37, zero=zero, mode=mode, signed=signed)
    assert differing(made, tmp_path)[0] == 0


def test_clips_means_and_values_that_two_layers_read(tmp_path: Path):
    made = File((2, 6, 6), 5)
    made.quant("x", 6, 0.043)
    source = made.last
    made.node("Conv", source, made.weights((3, 2, 3, 3), 4), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    made.node("Relu", made.last)
    shared = made.last
    first = made.quant(shared, 4, 0.21, signed=False)
    made.node("AveragePool", shared, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1], count_include_pad=1)
    second = made.quant(made.last, 5, 0.21, signed=False)
    made.node("Add", first, second)
    made.quant(made.last, 4, 0.53, signed=False)
    assert differing(made, tmp_path, 300)[0] == 0


def test_a_vector_that_lies_channels_last_gets_the_factors_of_its_elements(tmp_path: Path):
    made = File((2, 3, 3), 9)
    made.quant("x", 6, 0.043)
    made.constants["shape"] = np.array([-1, 18], np.int64)
    made.node("Reshape", made.last, "shape")
    made.batch_norm(18, 1.0)
    made.quant(made.last, 5, 0.071)
    source = made.last
    made.node("MatMul", source, made.weights((18, 3), 4))
    made.quant(made.last, 6, 0.31)
    assert differing(made, tmp_path)[0] == 0


def test_a_quantiser_of_the_same_scale_and_fewer_codes_clips_and_one_of_as_many_is_no_layer(tmp_path: Path):
    made = File((12,), 3)
    made.quant("x", 6, 0.043)
    made.node("MatMul", made.last, made.weights((12, 7), 4))
    made.quant(made.last, 5, 0.37)
    made.quant(made.last, 5, 0.37)
    count, found = differing(made, tmp_path)
    layers = len(found.design.layers)
    made.quant(made.last, 3, 0.37)
    narrower, found = differing(made, tmp_path)
    assert (count, narrower) == (0, 0) and len(found.design.layers) > layers == 4


def test_an_output_with_a_scale_for_each_channel_is_rounded_and_says_how_far(tmp_path: Path):
    made = File((12,), 7)
    made.quant("x", 6, 0.043)
    made.node("MatMul", made.last, made.weights((12, 4), 4, per_channel=True, axis=1))
    found = imported(made, tmp_path)
    note, = (n for n in found.notes if "does not quantise it" in n)
    most = float(note.split("at most ")[1].split()[0])
    samples = np.random.default_rng(0).uniform(-1, 1, (500, 12)).astype(np.float32)
    apart = np.abs(found.design.output.format.value(found.design.reference(found.codes(samples)))
                   - executed(made, samples))
    assert 0 < apart.max() <= most < 1e-3


def test_a_report_says_exactly_only_of_what_is_exact(tmp_path: Path):
    def heading(made: File) -> str:
        return Network.imported("net", imported(made, tmp_path)).scheme

    assert heading(mlp((12, 6, 3), 2, 2)) == "quantised .onnx, exactly the file's"
    made = mlp((12, 6, 3), 2, 2)
    made.node("Add", made.last, made.constant([0.1, 0.2, 0.3]))
    assert heading(made) == "quantised .onnx, approximated: see the notes"
    no_input = File((12,))
    no_input.node("MatMul", "x", no_input.weights((12, 3), 4))
    no_input.quant(no_input.last, 4, 0.3)
    assert heading(no_input) == "quantised .onnx, approximated: see the notes"


def test_tensors_of_two_scales_are_added_where_a_quant_says_in_what_steps(tmp_path: Path):
    made = File((5,))
    source = made.quant("x", 6, 0.043)
    made.node("MatMul", source, made.weights((5, 4), 4))
    first = made.quant(made.last, 5, 0.043)
    made.node("MatMul", source, made.weights((5, 4), 4))
    second = made.quant(made.last, 5, 0.05)
    made.node("Add", first, second)
    with pytest.raises(InputError, match=r"scales 0.043, 0.05, and no Quant follows it"):
        imported(made, tmp_path)
    made.quant(made.last, 6, 0.071)
    assert differing(made, tmp_path)[0] == 0


@pytest.mark.parametrize("arch", ["unrolled", "folded"])
def test_every_target_is_bit_exact(arch: str, tmp_path: Path):
    design = imported(mlp((10, 6, 4), 2, 2, seed=8), tmp_path).design
    targets = ("verilog", "c", "hls")
    generate(design, tmp_path / "p", targets=targets, options=Options(arch=arch), vectors=400)
    found = simulate(tmp_path / "p")
    assert found.ok and found.bit_errors == 0, found.failures


# The factors.

@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_factor_agrees_with_the_chain_for_every_sum(data):
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels, reach = draw(st.integers(1, 4)), draw(st.sampled_from([3, 40, 3000]))
    low, high = -rng.integers(0, reach, channels), rng.integers(1, reach, channels)
    gain, offset = rng.normal(size=channels), rng.normal(size=channels) * draw(st.sampled_from([0, 1, 9]))
    gain[rng.random(channels) < 0.2] = 0
    codes = draw(st.sampled_from([(0, 1), (-2, 1), (0, 15), (-128, 127)]))

    def chain(sums: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(gain[:, None] * sums + offset[:, None]), *codes).astype(np.int64)

    found = thresholds(chain, low, high)
    made = multiply_shift(found, gain)
    assert made.exact.all() and made.difference == 0
    for c in range(channels):
        sums = np.arange(low[c], high[c] + 1)
        ours = np.clip((sums * made.factor[c] + made.offset[c]) >> made.shift[c], found.first.min(), found.last.max())
        due = chain(np.broadcast_to(sums, (channels, len(sums))))[c]
        assert np.array_equal(ours, due)


def test_where_no_factor_agrees_the_difference_is_the_largest_of_all_sums():
    table = np.sort(np.random.default_rng(2).integers(0, 9, 40))

    def chain(sums: np.ndarray) -> np.ndarray:
        return table[sums]

    found = thresholds(chain, np.array([0]), np.array([39]))
    made = multiply_shift(found, np.array([0.2]))
    ours = np.clip((np.arange(40) * made.factor[0] + made.offset[0]) >> made.shift[0], table[0], table[-1])
    assert not made.exact.any() and made.difference == np.abs(ours - table).max() > 0


def test_more_codes_than_can_be_looked_for_are_refused():
    with pytest.raises(ValueError, match="5,001 codes"):
        thresholds(lambda sums: sums, np.array([0]), np.array([5000]))


def test_weights_on_a_grid_are_whole_numbers_times_a_gain():
    whole = np.array([[3, -7, 0, 1], [0, 0, 0, 0], [-1, 1, 1, 0]], np.float64)
    scales = np.float32([[0.0371], [1.0], [0.9]])
    found, gains = on_a_grid((whole.astype(np.float32) * scales).astype(np.float64))  # type: ignore[misc]
    assert np.array_equal(found, whole) and np.allclose(gains, [0.0371, 1, 0.9], rtol=1e-6)
    assert on_a_grid(np.array([[1.0, np.pi, np.e]])) is None


def test_an_input_on_any_scale_has_whole_codes(tmp_path: Path):
    made = mlp((6, 4, 2), 2, 2)
    found = imported(made, tmp_path)
    assert found.design.input.format == FixedPoint(True, 8, 0)
    real = np.float32([[-1, -0.004, 0, 0.003, 0.5, 9]])
    assert found.codes(real).tolist() == [[-127, -1, 0, 0, 64, 127]]



# FINN's MultiThreshold.

def thresholded(made: File, steps: int, *, scale: float = 1.0, bias: float = 0.0, dtype: str = "INT4",
                uneven: bool = False) -> str:
    """Thresholds of a uniform quantiser behind a BatchNormalization, as FINN writes it, on the last value of 7
    channels."""
    gain, first = made.rng.uniform(0.3, 0.9, (7, 1)), made.rng.normal(size=(7, 1))
    places = np.arange(steps) - (steps - 1) / 2
    found = first + (np.sort(made.rng.normal(size=(7, steps))) if uneven else gain * places)
    return made.node("MultiThreshold", made.last, made.constant(found), domain="qonnx.custom_op.general",
                     out_dtype=dtype, out_scale=scale, out_bias=bias)


def with_thresholds(steps: int, **rest: float | str | bool) -> File:
    made = File((12,), 3)
    made.quant("x", 6, 0.043)
    made.node("MatMul", made.last, made.weights((12, 7), 4))
    thresholded(made, steps, **rest)  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize("steps, rest", [(1, {}), (3, {"bias": -2.0}), (15, {"scale": 0.25, "bias": -2.0}),
                                         (7, {"scale": 0.3, "bias": -1.2}),
                                         (1, {"scale": 2.0, "bias": -1.0, "dtype": "BIPOLAR"}),
                                         (3, {"scale": 0.7, "bias": -1.05})])
def test_thresholds_of_a_uniform_quantiser_are_exact(steps: int, rest: dict[str, float], tmp_path: Path):
    made = with_thresholds(steps, **rest)
    source = made.last
    made.node("MatMul", source, made.weights((7, 3), 4))
    made.quant(made.last, 6, 0.31)
    assert differing(made, tmp_path)[0] == 0


def test_thresholds_that_no_factor_puts_in_their_places_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="unevenly spaced"):
        imported(with_thresholds(15, uneven=True), tmp_path)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_the_slope_of_any_line_is_found_from_its_thresholds_alone(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    gain, offset = rng.uniform(0.001, 3, (3, 1)), rng.normal(size=(3, 1)) * 5

    def chain(sums: np.ndarray) -> np.ndarray:
        return np.clip(np.floor(gain * sums + offset), -8, 7).astype(np.int64)

    found = thresholds(chain, np.array([-500] * 3), np.array([499] * 3))
    assert multiply_shift(found, slopes(found)).exact.all()

@pytest.mark.parametrize("gain", [2.0**27, 1e12, -1e30, 1e300])
def test_a_line_so_steep_that_one_sum_passes_all_codes_has_a_factor(gain: float):
    found = thresholds(lambda sums: np.clip(np.floor(gain * sums + 0.5), -8, 7).astype(np.int64), np.array([-50]),
                       np.array([49]))
    made = multiply_shift(found, np.array([gain]))
    assert made.exact.all() and made.difference == 0
    sums = np.arange(-50, 50)
    assert np.array_equal(np.clip((sums * made.factor + made.offset) >> made.shift, -8, 7),
                          np.clip(np.floor(gain * sums + 0.5), -8, 7))


# ONNX's own QuantizeLinear and DequantizeLinear.

def coded(made: File, source: str, scale: float, zero: int, kind: type = np.int8,
          clip: tuple[int, int] | None = None) -> str:
    """QuantizeLinear, a Clip where one is wanted, DequantizeLinear."""
    names = [f"q{len(made.nodes)}_s", f"q{len(made.nodes)}_z"]
    made.constants |= {names[0]: np.float32(scale), names[1]: np.array(zero, kind)}
    made.node("QuantizeLinear", source, *names)
    if clip is not None:
        ends = [f"{names[1]}_{end}" for end in clip]
        made.constants |= {name: np.array(end, kind) for name, end in zip(ends, clip, strict=True)}
        made.node("Clip", made.last, *ends)
    return made.node("DequantizeLinear", made.last, *names)


def stored(made: File, shape: tuple[int, ...], axis: int | None = None) -> str:
    """Weights of 8 bits behind a DequantizeLinear, one scale for all or for each index of an axis."""
    count = 1 if axis is None else shape[axis]
    names = [f"w{len(made.nodes)}{part}" for part in "qsz"]
    scales = made.rng.uniform(0.002, 0.01, count).astype(np.float32)
    made.constants |= {names[0]: made.rng.integers(-127, 128, shape).astype(np.int8),
                       names[1]: scales if axis is not None else scales[0],
                       names[2]: np.zeros(count if axis is not None else (), np.int8)}
    return made.node("DequantizeLinear", *names, **({} if axis is None else {"axis": axis}))


def differences(made: File, folder: Path, count: int = 1000) -> tuple[np.ndarray, Imported]:
    """By how many steps each output differs from that of ONNX's reference executor in float64. (In float32, executors
    differ from each other where a value lies within their own rounding of half a step.)"""
    found = imported(made, folder)
    entry = found.entry
    assert entry is not None
    codes = np.random.default_rng(2).integers(entry.low, entry.high, (count, *found.design.input.shape), endpoint=True)
    model = made.model(count)
    model.opset_import[0].version = 21  # the least whose QuantizeLinear the executor has
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float64),
                                                         tensor.name))
    theirs = ReferenceEvaluator(model).run(None, {"x": np.moveaxis(codes * entry.scale, -1, 1)})[0]
    step = found.unit * 2.0**-found.design.output.format.frac
    return np.abs(np.rint(np.moveaxis(theirs, 1, -1) / step) - found.design.reference(codes)), found


def test_onnxruntime_differs_from_it_by_no_more_than_its_float32_does(tmp_path: Path):
    import onnxruntime

    made = File((20,), 4)
    source = coded(made, "x", 1 / 117.3, 5)
    made.node("MatMul", source, stored(made, (20, 12), 1))
    source = coded(made, made.last, 0.023, 0)
    made.node("MatMul", source, stored(made, (12, 4)))
    coded(made, made.last, 0.017, 0)
    found = imported(made, tmp_path)
    samples = np.random.default_rng(2).uniform(-1, 1, (2000, 20)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(made.model(len(samples)).SerializeToString(), options)
    theirs = np.rint(session.run(None, {"x": samples})[0] / found.unit)
    apart = np.abs(theirs - found.design.reference(found.codes(samples))).max(axis=1)
    assert apart.max() <= 1 and (apart > 0).sum() <= 10


@pytest.mark.parametrize("kind, zero, clip", [(np.int8, 0, None), (np.int8, -7, None), (np.uint8, 131, None),
                                              (np.int8, 0, (-8, 7)), (np.uint8, 3, (0, 15))])
def test_a_qdq_mlp_equals_the_executor(kind: type, zero: int, clip: tuple[int, int] | None, tmp_path: Path):
    made = File((20,), 4)
    source = coded(made, "x", 1 / 117.3, 5)
    made.node("MatMul", source, stored(made, (20, 12), 1))
    made.node("Add", made.last, made.constant(made.rng.normal(size=12) * 0.2))
    made.node("Relu", made.last)
    source = coded(made, made.last, 0.023 if clip is None else 0.21, zero, kind, clip)
    made.node("MatMul", source, stored(made, (12, 4)))
    coded(made, made.last, 0.017, zero, kind)
    assert not differences(made, tmp_path)[0].any()


def test_a_qdq_residual_of_two_scales_equals_the_executor(tmp_path: Path):
    made = File((3, 8, 8), 6)
    source = coded(made, "x", 1 / 117.3, 0)
    made.node("Conv", source, stored(made, (4, 3, 3, 3), 0), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    made.node("Relu", made.last)
    first = coded(made, made.last, 0.0171, -128)
    made.node("Conv", first, stored(made, (4, 4, 3, 3), 0), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    second = coded(made, made.last, 0.0293, 11)
    made.node("Add", first, second)
    made.node("Relu", made.last)
    source = coded(made, made.last, 0.0347, -128)
    made.node("GlobalAveragePool", source)
    coded(made, made.last, 0.0119, -128)
    apart, found = differences(made, tmp_path, 300)
    assert not apart.any()
    assert not [note for note in found.notes if "step" in note]


def test_channels_of_two_scales_are_joined(tmp_path: Path):
    made = File((6,), 8)
    source = coded(made, "x", 1 / 117.3, 0)
    made.node("MatMul", source, stored(made, (6, 3)))
    first = coded(made, made.last, 0.013, 4)
    made.node("MatMul", source, stored(made, (6, 5), 1))
    second = coded(made, made.last, 0.031, -9)
    made.node("Concat", first, second, axis=1)
    coded(made, made.last, 0.027, 1)
    assert not differences(made, tmp_path)[0].any()


def test_what_works_on_codes_is_refused(tmp_path: Path):
    made = File((6,))
    made.constants |= {"s": np.float32(0.1), "z": np.int8(0)}
    made.node("QuantizeLinear", "x", "s", "z")
    made.node("Relu", made.last)
    made.node("DequantizeLinear", made.last, "s", "z")
    with pytest.raises(InputError, match="works on codes; DequantizeLinear is to stand before it"):
        imported(made, tmp_path)
    made = File((6,))
    made.constants |= {"s": np.float32(0.1), "z": np.int8(0), "t": np.float32(0.2)}
    made.node("QuantizeLinear", "x", "s", "z")
    made.node("DequantizeLinear", made.last, "t", "z")
    with pytest.raises(InputError, match="no QuantizeLinear of its own scale"):
        imported(made, tmp_path)
