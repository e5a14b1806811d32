"""Quantised .onnx files that other tools have written: onnxruntime's quantiser, run here; Brevitas, PyTorch's PT2E and
TFLite (by tf2onnx), whose files lie in tests/quantised/ beside the scripts that made them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from toolkit.api import generate, simulate
from toolkit.capture import capture, load_pt2
from toolkit.capture.onnx import QuantisedModel, load_onnx
from toolkit.commands.exported import save_pt2
from toolkit.hardware import Options
from toolkit.importing import Imported, design_of
from toolkit.utils.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")
FILES = Path(__file__).parent / "quantised"
SAMPLES = 1000


def imported(path: Path) -> tuple[QuantisedModel, Imported]:
    model = load_onnx(path)
    assert isinstance(model, QuantisedModel)
    return model, design_of(model)


def before_the_softmax(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model up to its last Softmax, which a design leaves out."""
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node]
    place = next((i for i, n in enumerate(nodes) if n.op_type == "Softmax"), None)
    if place is not None:
        del model.graph.node[:], model.graph.output[:]
        model.graph.node.extend(nodes[:place])
        model.graph.output.append(onnx.helper.make_tensor_value_info(nodes[place].input[0], 1, None))
    return model


def batched(model: onnx.ModelProto, count: int) -> onnx.ModelProto:
    """The model for so many samples at once: exporters bake the batch in, also into what a Reshape reads."""
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = count
    shapes = {n.input[1] for n in model.graph.node if n.op_type == "Reshape"}
    for tensor in model.graph.initializer:
        if tensor.name in shapes and (found := numpy_helper.to_array(tensor).copy())[0] == 1:
            found[0] = count
            tensor.CopyFrom(numpy_helper.from_array(found, tensor.name))
    del model.graph.value_info[:]
    return model


def executed(path: Path, samples: np.ndarray) -> np.ndarray:
    """What qonnx's executor, or onnxruntime, makes of samples: without optimisations, which replace QDQ by integers."""
    model = batched(before_the_softmax(onnx.load(path)), len(samples))
    if any("qonnx" in node.domain or "brevitas" in node.domain for node in model.graph.node):
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.core.onnx_exec import execute_onnx
        from qonnx.util.cleanup import cleanup_model

        wrapped = ModelWrapper(model)
        wrapped = cleanup_model(wrapped, preserve_qnt_ops=True) or wrapped
        return execute_onnx(wrapped, {wrapped.graph.input[0].name: samples})[wrapped.graph.output[0].name]
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {session.get_inputs()[0].name: samples})[0]


def apart(path: Path, reach: float = 1.2) -> tuple[np.ndarray, Imported]:
    """By how many of its steps each output of the design is from the file's; and what was imported."""
    model, found = imported(path)
    shape, axes = model.file.inputs[model.file.input], model.sample_axes
    samples = np.random.default_rng(1).uniform(-reach, reach, (SAMPLES, *shape)).astype(np.float32)
    given = samples
    if model.file.codes:  # of which the file's own input is: any codes will do
        given = np.random.default_rng(1).integers(-128, 127, samples.shape).astype(model.file.codes)
        entry = found.entry
        assert entry is not None
        samples = ((given.astype(np.int64) + 128 + entry.low) * entry.scale).astype(np.float32)
    theirs = executed(path, given)
    theirs = np.moveaxis(theirs, 1, -1).astype(np.float64) / (found.unit * 2.0**-found.design.output.format.frac)
    ours = found.design.reference(found.codes(samples.transpose(0, *(a + 1 for a in axes))))
    assert len(np.unique(ours)) > 5
    return np.abs(np.rint(theirs.reshape(ours.shape)) - ours), found


EXACT = ["brevitas_mlp_qonnx", "brevitas_binary_qonnx", "brevitas_pools_qcdq", "brevitas_residual_qonnx", "pt2e_mlp",
         "pt2e_conv", "tflite_anomaly"]


@pytest.mark.parametrize("name", EXACT)
def test_no_output_of_1000_samples_differs(name: str):
    steps, found = apart(FILES / f"{name}.onnx")
    assert not steps.any() and found.exact, (int((steps > 0).sum()), found.notes)


@pytest.mark.parametrize("name, share, most", [
    ("brevitas_residual_qcdq", 0.02, 6), ("pt2e_residual", 0.02, 2), ("tflite_images", 0.1, 3)])
def test_where_a_mean_lies_on_a_half_float32_alone_is_off(name: str, share: float, most: int):
    """A mean of 16 or 64 codes often lies on a half; the design rounds halves to even, float32 at random: one code of
    what the last layer reads, so a few of its steps."""
    steps, found = apart(FILES / f"{name}.onnx")
    assert found.exact and 0 < (steps > 0).mean() < share and steps.max() <= most


@pytest.mark.parametrize("name, note", [
    ("brevitas_curves_qcdq", "'node_tanh input': the file does not quantise it"),
    ("tflite_keywords_codes", "so that its codes are up to 1 step from the file's")])
def test_what_is_rounded_on_the_way_is_said_and_is_near(name: str, note: str):
    """A function of sums that nothing quantises; a mean of 30 codes, whose halves no factor rounds to even."""
    steps, found = apart(FILES / f"{name}.onnx")
    assert not found.exact and any(note in told for told in found.notes)
    assert 0 < (steps > 0).mean() < 0.1 and steps.max() <= 4


def test_codes_at_both_ends_are_told():
    notes = imported(FILES / "tflite_keywords_codes.onnx")[1].notes
    assert notes[0] == "the file reads codes of int8; a sample here is the numbers that they stand for"
    model = onnx.load(FILES / "tflite_anomaly.onnx")
    last = next(n for n in model.graph.node if n.output[0] == model.graph.output[0].name)
    assert last.op_type == "DequantizeLinear"


def test_an_output_of_codes_is_such_a_code_less_its_zero_point(tmp_path: Path):
    model = onnx.load(FILES / "tflite_anomaly.onnx")
    last = next(n for n in model.graph.node if n.output[0] == model.graph.output[0].name)
    model.graph.output[0].name = last.input[0]
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT8
    model.graph.node.remove(last)
    (tmp_path / "codes.onnx").write_bytes(model.SerializeToString())
    found, whole = imported(tmp_path / "codes.onnx")[1], imported(FILES / "tflite_anomaly.onnx")[1]
    assert "the file gives codes; an output here is such a code less its zero point of" in found.notes[0]
    codes = np.random.default_rng(0).integers(-128, 128, (50, 24))
    assert np.array_equal(found.design.reference(codes), whole.design.reference(codes))


def test_codes_that_something_computes_with_are_refused(tmp_path: Path):
    model = onnx.load(FILES / "tflite_keywords_codes.onnx")
    next(n for n in model.graph.node if n.op_type == "Reshape").op_type = "Floor"
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="works on codes; DequantizeLinear"):
        load_onnx(tmp_path / "net.onnx")


# onnxruntime's own quantiser, run here.

class Small(nn.Module):
    """Convolutions, a skip, a join of two branches, a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.side, self.head = nn.Conv2d(4, 3, 1), nn.Linear(7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x).relu()
        y = torch.cat([(self.second(h) + h).relu(), self.side(h)], 1)
        return self.head(y.mean((2, 3)))


@pytest.fixture(scope="module")
def float_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from onnxruntime.quantization.shape_inference import quant_pre_process

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("float")
    torch.onnx.export(Small().eval(), (torch.zeros(1, 2, 6, 6),), str(folder / "net.onnx"), dynamo=False,
                      input_names=["x"], dynamic_axes={"x": {0: "batch"}}, opset_version=13)
    quant_pre_process(str(folder / "net.onnx"), str(folder / "ready.onnx"))
    return folder / "ready.onnx"


@pytest.mark.parametrize("activations, weights, each", [("QUInt8", "QUInt8", False), ("QInt8", "QInt8", True),
                                                        ("QUInt16", "QInt8", True)])
def test_onnxruntimes_quantiser(activations: str, weights: str, each: bool, float_file: Path, tmp_path: Path):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    batches = iter([{"x": np.random.default_rng(i).uniform(-1, 1, (8, 2, 6, 6)).astype(np.float32)} for i in range(4)])

    class Reader(CalibrationDataReader):
        def get_next(self) -> Any:
            return next(batches, None)

    made = tmp_path / "int8.onnx"
    quantize_static(str(float_file), str(made), Reader(), quant_format=QuantFormat.QDQ, per_channel=each,
                    activation_type=QuantType[activations], weight_type=QuantType[weights])
    steps, found = apart(made)
    wide = "16" in activations
    assert found.exact != wide and any("65" in note for note in found.notes) == wide
    assert steps.max() <= (4 if wide else 1) and (wide or (steps > 0).mean() < 0.02)


# Their hardware.

@pytest.mark.parametrize("name, arch", [("brevitas_mlp_qonnx", "unrolled"), ("brevitas_curves_qcdq", "folded"),
                                        ("pt2e_conv", "folded")])
def test_every_target_is_bit_exact(name: str, arch: str, tmp_path: Path):
    design = imported(FILES / f"{name}.onnx")[1].design
    generate(design, tmp_path / "p", targets=("verilog", "c", "hls"), options=Options(arch=arch), vectors=100)
    found = simulate(tmp_path / "p")
    assert found.ok and found.bit_errors == 0, found.failures


# Other doors than .onnx.

def test_a_pt2_of_pt2e_is_told_to_come_as_onnx(tmp_path: Path):
    save_pt2(nn.Sequential(nn.Linear(4, 3)), (4,), tmp_path / "m.pt2")
    with zipfile.ZipFile(tmp_path / "m.pt2") as old, zipfile.ZipFile(tmp_path / "q.pt2", "w") as new:
        for member in old.namelist():
            new.writestr(member, old.read(member).replace(
                b"torch.ops.aten.linear.default", b"torch.ops.quantized_decomposed.quantize_per_tensor.default"))
    with pytest.raises(InputError, match=r"quantize_per_tensor.*PT2E.*torch\.onnx\.export"):
        load_pt2(tmp_path / "q.pt2")


def test_a_network_of_pt2e_in_python_is_told_the_same():
    from torch.ao.quantization.fx._decomposed import quantized_decomposed_lib  # noqa: F401

    class Quantised(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            codes = torch.ops.quantized_decomposed.quantize_per_tensor(x, 0.1, 0, -128, 127, torch.int8)
            return torch.ops.quantized_decomposed.dequantize_per_tensor(codes, 0.1, 0, -128, 127, torch.int8)

    with pytest.raises(InputError, match=r"PT2E.*torch\.onnx\.export"):
        capture(Quantised(), (4,))


def test_layers_of_brevitas_are_told_to_come_as_onnx():
    layer = type("QuantLinear", (nn.Linear,), {"__module__": "brevitas.nn.quant_linear"})
    with pytest.raises(InputError, match=r"Brevitas.*export_qonnx"):
        capture(nn.Sequential(layer(4, 3)), (4,))
