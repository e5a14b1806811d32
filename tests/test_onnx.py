"""Float .onnx files: the same function as a graph of nn layers, whatever exporter wrote them."""

from __future__ import annotations

import logging
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx_files import floats, model, node, saved
from torch import nn
from torch.nn import functional as F

from toolkit.api import Data, compress
from toolkit.capture import capture, load_model
from toolkit.capture.onnx import OnnxModule, load_onnx
from toolkit.compress import Settings
from toolkit.utils.errors import InputError

IMAGE = ("N", 3, 8, 8)
LAST = ("N", 8, 8, 3)


def run(path: Path, samples: np.ndarray, batch: int | None = None) -> np.ndarray:
    """What onnxruntime makes of samples, `batch` at a time."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    parts = np.split(samples, len(samples) // batch) if batch else [samples]
    return np.concatenate([session.run(None, {name: part})[0] for part in parts])


def captured(path: Path) -> tuple[torch.fx.GraphModule, tuple[int, ...]]:
    """The graph, and how a sample's axes of the file become the graph's."""
    loaded = load_onnx(path)
    assert isinstance(loaded, OnnxModule)
    return capture(loaded, loaded.sample_shape), loaded.sample_axes


def close(path: Path, shape: tuple[int, ...], batch: int | None = None, count: int = 6) -> torch.fx.GraphModule:
    """Assert that the graph computes what onnxruntime does; returns it."""
    graph, axes = captured(path)
    samples = floats(count, *shape, seed=1)
    with torch.no_grad():
        ours = graph(torch.from_numpy(samples).permute(0, *(a + 1 for a in axes))).numpy()
    theirs = run(path, samples, batch)
    assert ours.shape == theirs.shape
    assert np.allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    return graph


def kinds(graph: torch.fx.GraphModule) -> list[str]:
    return [type(graph.get_submodule(str(n.target))).__name__ for n in graph.graph.nodes if n.op == "call_module"]


def dense(*sizes: int, seed: int = 0) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """MatMul, Add, Relu over and over, as Keras exports them."""
    nodes, constants, source = [], {}, "x"
    for i, (a, b) in enumerate(pairwise(sizes)):
        constants |= {f"w{i}": floats(a, b, seed=seed + i), f"b{i}": floats(b, seed=seed + 9 + i)}
        nodes += [node("MatMul", f"{source} w{i}", f"m{i}"), node("Add", f"m{i} b{i}", f"a{i}"),
                  node("Relu", f"a{i}", f"r{i}")]
        source = f"r{i}"
    return nodes, constants


def test_matmul_add_relu_become_linears_with_a_bias(tmp_path: Path):
    nodes, constants = dense(6, 5, 4)
    graph = close(saved(model(nodes, ("N", 6), constants), tmp_path), (6,))
    assert kinds(graph) == ["Linear", "ReLU", "Linear", "ReLU"]


@pytest.mark.parametrize("opset", range(7, 24))
def test_every_opset_from_7_to_23(opset: int, tmp_path: Path):
    nodes, constants = dense(6, 5)
    if opset < 11:
        nodes.append(node("Clip", "r0", "y", min=0.25, max=2.0))
    else:
        constants |= {"low": np.float32(0.25), "high": np.float32(2)}
        nodes.append(node("Clip", "r0 low high", "y"))
    close(saved(model(nodes, ("N", 6), constants, opset), tmp_path), (6,))


@pytest.mark.parametrize("batch", [1, 3])
def test_a_batch_size_that_is_baked_in_is_forgotten(batch: int, tmp_path: Path):
    nodes = [node("Reshape", "x s", "h"), node("Gemm", "h w b", "y", transB=1, alpha=0.5, beta=2.0)]
    constants = {"s": np.array([batch, 12], np.int64), "w": floats(5, 12), "b": floats(1, 5)}
    path = saved(model(nodes, (batch, 3, 2, 2), constants), tmp_path)
    graph = close(path, (3, 2, 2), batch)
    assert graph(torch.zeros(7, 3, 2, 2)).shape == (7, 5)


def test_a_final_softmax_is_left_out_with_a_note(tmp_path: Path):
    nodes, constants = dense(6, 4)
    path = saved(model([*nodes, node("Softmax", "r0", "y")], ("N", 6), constants), tmp_path)
    graph, _ = captured(path)
    assert graph.meta["notes"] == ["the final softmax is left out: it does not move the argmax"]
    x = floats(5, 6)
    assert np.allclose(torch.softmax(graph(torch.from_numpy(x)), 1).detach().numpy(), run(path, x), atol=1e-6)


@pytest.mark.parametrize("keep", [0, 1])
def test_a_final_argmax_stays(keep: int, tmp_path: Path):
    nodes, constants = dense(6, 4)
    made = model([*nodes, node("ArgMax", "r0", "y", axis=1, keepdims=keep)], ("N", 6), constants)
    made.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    path = saved(made, tmp_path)
    graph, _ = captured(path)
    x = floats(50, 6)
    assert np.array_equal(graph(torch.from_numpy(x)).numpy().reshape(-1), run(path, x).reshape(-1))


def test_a_batch_norm_folds_and_a_normalised_input_goes_into_the_weights(tmp_path: Path):
    nodes = [node("Sub", "x mean", "c"), node("Div", "c spread", "n"), node("MatMul", "n w", "m"),
             node("BatchNormalization", "m g o e v", "y")]
    constants = {"mean": floats(6), "spread": np.abs(floats(6, seed=1)) + 0.5, "w": floats(6, 5),
                 "g": floats(5, seed=2),
                 "o": floats(5, seed=3), "e": floats(5, seed=4), "v": np.abs(floats(5, seed=5)) + 0.5}
    assert kinds(close(saved(model(nodes, ("N", 6), constants), tmp_path), (6,))) == ["Linear"]


def channels_last() -> tuple[list[onnx.NodeProto], dict[str, Any]]:
    """A CNN as Keras exports it: Transposes around every image operator, Reshape or Flatten in the file's order."""
    nodes = [node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
             node("Conv", "t w0 b0", "c0", auto_pad="SAME_UPPER", strides=[2, 2]), node("Relu", "c0", "r0"),
             node("Transpose", "r0", "u", perm=[0, 2, 3, 1]), node("Mul", "u scale", "us"),
             node("Transpose", "us", "t1", perm=[0, 3, 1, 2]), node("MaxPool", "t1", "p", kernel_shape=[2, 2]),
             node("Transpose", "p", "q", perm=[0, 2, 3, 1]), node("Identity", "q", "i"), node("Reshape", "i s", "f"),
             node("MatMul", "f w1", "m"), node("Add", "m b1", "y")]
    constants = {"w0": floats(4, 3, 3, 3), "b0": floats(4), "scale": floats(4, seed=3),
                 "s": np.array([-1, 36], np.int64),
                 "w1": floats(36, 5), "b1": floats(5)}
    return nodes, constants


def test_a_channels_last_network_loses_its_transposes(tmp_path: Path):
    nodes, constants = channels_last()
    path = saved(model(nodes, LAST, constants), tmp_path)
    graph = close(path, (8, 8, 3))
    assert "permute" not in str(graph.graph) and graph.meta["input_shape"] == (3, 8, 8)
    assert kinds(graph)[-2:] == ["Flatten", "Linear"]


def test_the_reshape_of_a_transposed_image_is_taken_into_the_weights_behind_it(tmp_path: Path):
    nodes = [node("Transpose", "x", "t", perm=[0, 2, 3, 1]), node("Flatten", "t", "f"), node("Relu", "f", "r"),
             node("Add", "r c", "a"), node("MatMul", "a w", "y")]
    path = saved(model(nodes, IMAGE, {"w": floats(192, 4), "c": floats(192, seed=4)}), tmp_path)
    close(path, (3, 8, 8))


@pytest.mark.parametrize("nodes, constants", [
    ([node("Conv", "x w b", "y", strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2])],
     {"w": floats(4, 3, 3, 2), "b": floats(4)}),
    ([node("Conv", "x w", "y", group=3)], {"w": floats(6, 1, 3, 3)}),
    ([node("Conv", "x w", "y", auto_pad="SAME_LOWER")], {"w": floats(2, 3, 2, 2)}),
    ([node("Pad", "x p", "h"), node("Conv", "h w", "y", strides=[2, 2])],
     {"p": np.array([0, 0, 0, 1, 0, 0, 1, 0], np.int64), "w": floats(2, 3, 3, 3)}),
    ([node("Relu", "x", "h"), node("MaxPool", "h", "y", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")],
     {}),
    ([node("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], {}),
    ([node("MaxPool", "x", "y", kernel_shape=[2, 2], dilations=[2, 1], strides=[1, 2])], {}),
    ([node("AveragePool", "x", "y", kernel_shape=[2, 4], strides=[2, 2])], {}),
    ([node("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)], {}),
    ([node("GlobalAveragePool", "x", "h"), node("Squeeze", "h a", "f"), node("MatMul", "f w", "y")],
     {"a": np.array([2, 3], np.int64), "w": floats(3, 4)}),
    ([node("GlobalMaxPool", "x", "h"), node("Flatten", "h", "y")], {}),
    ([node("ReduceMean", "x", "y", axes=[2, 3], keepdims=0)], {}),
    ([node("ReduceMax", "x", "h", axes=[-1], keepdims=1), node("Conv", "h w", "y")], {"w": floats(2, 3, 1, 1)}),
    ([node("Resize", "x r s", "h", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
      node("Conv", "h w", "y")], {"r": np.zeros(0, np.float32), "s": np.array([1, 1, 2, 3], np.float32),
                                  "w": floats(2, 3, 1, 1)}),
    ([node("Conv", "x w", "h"), node("Conv", "x v", "g"), node("Concat", "h g", "c", axis=1), node("Relu", "c", "y")],
     {"w": floats(2, 3, 1, 1), "v": floats(3, 3, 1, 1)}),
    ([node("Conv", "x w", "h"), node("Add", "h x", "s"), node("BatchNormalization", "s g o e v", "n"),
      node("Conv", "n u", "y")], {"w": floats(3, 3, 1, 1), "u": floats(2, 3, 2, 2), "g": floats(3), "o": floats(3),
                                  "e": floats(3), "v": np.ones(3, np.float32)}),
    ([node("Conv", "x w", "h"), node("Add", "h b", "s"), node("Mul", "s c", "y")],
     {"w": floats(4, 3, 3, 3), "b": floats(4, 1, 1), "c": floats(1, 4, 1, 1)}),
    ([node("Conv", "x w", "h"), node("Shape", "h", "s"), node("Gather", "s zero", "n"),
      node("Unsqueeze", "n first", "u"),
      node("Concat", "u rest", "t", axis=0), node("Reshape", "h t", "f"), node("MatMul", "f m", "y")],
     {"w": floats(2, 3, 1, 1), "zero": np.array(0), "first": np.array([0]), "rest": np.array([-1]),
      "m": floats(128, 3)}),
])
def test_images(nodes: list[onnx.NodeProto], constants: dict[str, Any], tmp_path: Path):
    close(saved(model(nodes, IMAGE, constants), tmp_path), (3, 8, 8))


def test_one_dimensional_convolutions_that_an_exporter_made_two_dimensional(tmp_path: Path):
    nodes = [node("Transpose", "x", "t", perm=[0, 2, 1]), node("Unsqueeze", "t a", "u"), node("Conv", "u w", "c"),
             node("Squeeze", "c a", "s"), node("Relu", "s", "r"), node("Transpose", "r", "q", perm=[0, 2, 1]),
             node("Flatten", "q", "f"), node("MatMul", "f m", "y")]
    constants = {"a": np.array([2], np.int64), "w": floats(4, 3, 1, 3), "m": floats(32, 5)}
    close(saved(model(nodes, ("N", 10, 3), constants), tmp_path), (10, 3))


@pytest.mark.parametrize("activation, attributes", [
    ("Sigmoid", {}), ("Tanh", {}), ("HardSigmoid", {"alpha": 1 / 6}), ("HardSigmoid", {}), ("HardSwish", {}),
    ("LeakyRelu", {"alpha": 0.125}), ("Elu", {"alpha": 0.5}), ("Softplus", {}), ("Mish", {}), ("Gelu", {}),
    ("Gelu", {"approximate": "tanh"})])
def test_activations(activation: str, attributes: dict[str, Any], tmp_path: Path):
    nodes = [node("MatMul", "x w", "h"), node(activation, "h", "y", **attributes)]
    close(saved(model(nodes, ("N", 6), {"w": floats(6, 5)}, 20), tmp_path), (6,))


@pytest.mark.parametrize("nodes", [
    [node("Sigmoid", "h", "s"), node("Mul", "h s", "y")],
    [node("Add", "h three", "a"), node("Clip", "a zero six", "c"), node("Div", "c six", "d"), node("Mul", "h d", "y")],
    [node("Softplus", "h", "p"), node("Tanh", "p", "t"), node("Mul", "t h", "y")],
    [node("Div", "h root", "d"), node("Erf", "d", "e"), node("Add", "e one", "a"), node("Mul", "h a", "m"),
     node("Mul", "m half", "y")],
    [node("Max", "h zero", "r"), node("Min", "r six", "y")], [node("PRelu", "h half", "y")]])
def test_activations_that_exporters_spell_out(nodes: list[onnx.NodeProto], tmp_path: Path):
    constants = {"w": floats(6, 5), "three": np.float32(3), "zero": np.float32(0), "six": np.float32(6),
                 "one": np.float32(1), "half": np.float32(0.5), "root": np.float32(2**0.5)}
    graph = close(saved(model([node("MatMul", "x w", "h"), *nodes], ("N", 6), constants), tmp_path), (6,))
    assert len(kinds(graph)) <= 3


class Residual(nn.Module):
    """What PyTorch users write: BatchNorm, a depthwise branch, a skip, pools, a view by size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.depth = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        h = self.stem(x)
        h = F.avg_pool2d(F.silu(self.depth(h)) + h, 4)
        return self.head(F.dropout(h.view(h.size(0), -1), 0.5, self.training))


@pytest.mark.parametrize("opset, dynamic", [(11, True), (17, False)])
def test_an_export_of_pytorch_keeps_its_names(opset: int, dynamic: bool, tmp_path: Path):
    torch.manual_seed(0)
    made = Residual()
    made.stem[1].running_mean.normal_()
    made.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        torch.onnx.export(made, (torch.zeros(1, 3, 8, 8),), tmp_path / "net.onnx", opset_version=opset, dynamo=False,
                          input_names=["x"], dynamic_axes={"x": {0: "n"}} if dynamic else None)
        logging.disable(logging.NOTSET)
    graph = close(tmp_path / "net.onnx", (3, 8, 8), None if dynamic else 1)
    assert {"stem.0", "depth", "head"} <= set(graph.meta["paths"].values())


def test_an_imported_network_is_compressed_as_any_other(tmp_path: Path):
    nodes, constants = channels_last()
    loaded = load_model(str(saved(model(nodes, LAST, constants), tmp_path)))
    data = Data.uniform((8, 8, 3), -1, 1)
    done = compress(loaded, data, "log2:4", Settings(qat_epochs=1))
    assert done.design is not None and done.design.input.shape == (8, 8, 3)
    # What the hardware takes is a sample of the file, its axes as they are there.
    assert np.array_equal(done.test_codes, done.design.input.format.quantise(data.x_test))
    assert any("uniform over -1..1" in note for note in done.notes)


def test_samples_of_another_shape_are_refused(tmp_path: Path):
    nodes, constants = dense(6, 4)
    loaded = load_model(str(saved(model(nodes, ("N", 6), constants), tmp_path)))
    with pytest.raises(InputError, match=r"samples of shape \(7,\), the model takes \(6,\)"):
        compress(loaded, Data.uniform((7,), -1, 1), "log2:4", Settings(qat_epochs=0))
