"""Quantised files on scales that are no powers of two: every code is the file's, for every sum that can come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.networks.qonnx_files import File, cnv, mlp
from toolkit.api import generate, simulate
from toolkit.capture.onnx import load_onnx
from toolkit.design import FixedPoint
from toolkit.hardware import Options
from toolkit.importing import Imported, design_of
from toolkit.importing.multiply_shift import multiply_shift, thresholds
from toolkit.importing.weights import on_a_grid
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


def test_tensors_of_two_scales_are_not_added(tmp_path: Path):
    made = File((5,))
    first, second = made.quant("x", 6, 0.043), made.quant("x", 6, 0.05)
    made.node("Add", first, second)
    with pytest.raises(InputError, match=r"scales 0.043, 0.05"):
        imported(made, tmp_path)


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

