"""Quantised .onnx files of the shapes of the public QONNX model zoo, and a residual network as onnxruntime's quantiser
writes it: how many outputs of the imported design are not the file's."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from benchmarks.networks.qonnx_files import File, cnv, mlp
from benchmarks.results import Figure
from toolkit.capture.onnx import load_onnx
from toolkit.design import AvgPool, MaxPool
from toolkit.hardware import Options, choose
from toolkit.hardware.folded import plan_folded
from toolkit.importing import Imported, design_of
from toolkit.utils.progress import bar

SAMPLES = 1000
LANES = 16
IMAGE = (3, 32, 32)
NETWORKS = {
    "MLP 784-64-64-64-10, w1a1": lambda: mlp((784, 64, 64, 64, 10), 1, 1),
    "MLP 784-64-64-64-10, w1a2": lambda: mlp((784, 64, 64, 64, 10), 1, 2),
    "MLP 784-64-64-64-10, w2a2": lambda: mlp((784, 64, 64, 64, 10), 2, 2),
    "MLP 593-64-64-64-1, w2a2": lambda: mlp((593, 64, 64, 64, 1), 2, 2),
    "MLP 490-256-256-256-12, w3a3": lambda: mlp((490, 256, 256, 256, 12), 3, 3),
    "CNV of 6 convolutions on 32 x 32, w2a2": lambda: cnv(32, (8, 8, 16, 16, 32, 32), 2, 2),
}


def measure() -> list[Figure]:
    """Networks with random weights and scales that are not powers of two, beside QONNX's executor and onnxruntime."""
    figures = []
    with bar("quantised .onnx files", len(NETWORKS) + 1) as advance, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, made in NETWORKS.items():
            advance(note=name)
            wrong = _differing(made())
            figures.append(Figure(f"QONNX {name}", f"{wrong} of {SAMPLES:,} samples differ", "qonnx", "0", wrong == 0))
        advance(note="resnet8")
        figures += _residual()
        advance()
    return figures


def _imported(model: onnx.ModelProto) -> Imported:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        path.write_bytes(model.SerializeToString())
        return design_of(load_onnx(path))  # type: ignore[arg-type]


def _differing(made: File) -> int:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.util.cleanup import cleanup_model

    samples = np.random.default_rng(1).uniform(-1, 1, (SAMPLES, *made.shape)).astype(np.float32)
    found = _imported(made.model(1))
    wrapped = ModelWrapper(made.model(SAMPLES))
    wrapped = cleanup_model(wrapped, preserve_qnt_ops=True) or wrapped
    theirs = execute_onnx(wrapped, {wrapped.graph.input[0].name: samples})[wrapped.graph.output[0].name]
    return int(_apart(found, samples, theirs).any(axis=1).sum())


def _apart(found: Imported, samples: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """By how many of the output's steps each output differs, (samples, outputs)."""
    ours = np.concatenate([found.design.reference(found.codes(samples[i:i + 100]))
                           for i in range(0, len(samples), 100)])
    step = found.unit * 2.0**-found.design.output.format.frac
    return np.abs(np.rint(theirs / step) - ours).reshape(len(samples), -1)


class Block(nn.Module):
    """Two convolutions of 3 x 3 beside one of 1 x 1, or nothing."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1), nn.BatchNorm2d(after))
        self.beside = nn.Conv2d(before, after, 1, stride) if before != after else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.second(self.first(x)) + self.beside(x))


def resnet8() -> nn.Sequential:
    """MLPerf Tiny's resnet8 in shape, with random weights, for images (3, 32, 32) of 10 classes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), Block(16, 16, 1), Block(16, 32, 2),
                         Block(32, 64, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)).eval()


def _residual() -> list[Figure]:
    """MLPerf Tiny's resnet8 in shape, quantised by onnxruntime: int8, a scale for each channel of the weights."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    net = resnet8()
    rng = np.random.default_rng(3)
    calibration = iter([{"x": rng.uniform(-1, 1, (8, *IMAGE)).astype(np.float32)} for _ in range(4)])

    class Reader(CalibrationDataReader):
        def get_next(self) -> Any:
            return next(calibration, None)

    with tempfile.TemporaryDirectory() as folder:
        plain, ready, made = (Path(folder) / f"{name}.onnx" for name in ("float", "ready", "int8"))
        torch.onnx.export(net, (torch.zeros(1, *IMAGE),), str(plain), dynamo=False, input_names=["x"],
                          dynamic_axes={"x": {0: "batch"}}, opset_version=13)
        quant_pre_process(str(plain), str(ready))
        quantize_static(str(ready), str(made), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        model = onnx.load(str(made))
    found = _imported(model)
    session = onnxruntime.SessionOptions()
    session.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    samples = rng.uniform(-1, 1, (SAMPLES, *IMAGE)).astype(np.float32)
    theirs = onnxruntime.InferenceSession(model.SerializeToString(), session).run(None, {"x": samples})[0]
    apart = _apart(found, samples, theirs)
    notes = sum("step" in note for note in found.notes)
    options = Options(arch="folded", max_lanes=LANES)
    plan = plan_folded(found.design, choose(found.design, options), options)
    pools = sum(node.buffer_bits for node in plan.nodes if isinstance(node.layer, MaxPool | AvgPool))
    return [Figure("QDQ resnet8 (int8, random weights)",
                   f"{int((apart > 0).sum())} of {apart.size:,} outputs differ, by {int(apart.max())} step at the most",
                   "onnxruntime", "at most 1 step", bool(apart.max() <= 1)),
            Figure("the same: layers whose scales are not exact", f"{notes} of {len(found.design.layers)}", "", "",
                   None),
            Figure(f"the same, folded to {LANES} lanes: buffers and FIFOs", f"{plan.buffer_bits:,} bits, {pools:,} of "
                   "them its global mean's", "", "", None)]
