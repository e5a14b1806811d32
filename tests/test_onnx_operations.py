"""What is captured of an nn.Module is captured of the .onnx file that an exporter makes of it, and of files put
together by hand: each beside onnxruntime."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx_files import floats, model, node, saved
from small_models import in_eval_mode
from test_operations import NETWORKS

from toolkit.capture import capture
from toolkit.capture.onnx import OnnxModule, load_onnx
from toolkit.utils.errors import InputError

LEGACY_CANNOT = {"shuffled channels", "computed weights"}
BY_DYNAMO = "channels by a list", "computed weights"
"""The newer exporter takes seconds a network: for what only it can write, and for the Transposes that move the batch
around its GatherND."""
IMAGE, VECTOR, ROWS = ("N", 4, 6, 6), ("N", 8), ("N", 5, 6)


def whole(made: onnx.ModelProto | Path, shape: tuple[int, ...], folder: Path,
          reference: onnx.ModelProto | None = None) -> torch.fx.GraphModule:
    """Assert that the graph of a file computes what onnxruntime does, within 1e-5 of the span; returns it."""
    path = made if isinstance(made, Path) else saved(made, folder)
    session = onnxruntime.InferenceSession((reference or onnx.load(path)).SerializeToString(),
                                           providers=["CPUExecutionProvider"])
    x = floats(7, *shape, seed=3)
    wanted = session.run(None, {session.get_inputs()[0].name: x})[0]
    loaded = load_onnx(path)
    assert isinstance(loaded, OnnxModule)
    graph = capture(loaded, loaded.sample_shape)
    with torch.no_grad():
        found = graph(torch.from_numpy(x).permute(0, *(a + 1 for a in loaded.sample_axes))).numpy()
    found = found.reshape(wanted.shape) if found.shape[1:] == (1,) else found  # a head of one number keeps its axis
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 1e-5 * (wanted.max() - wanted.min())
    return graph


@cache
def network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return in_eval_mode(NETWORKS[name]())


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in LEGACY_CANNOT])
def test_what_pytorch_exports_is_captured_whole(name: str, tmp_path: Path):
    net, path = network(name), tmp_path / "net.onnx"
    opset = 9 + sorted(NETWORKS).index(name) % 9  # each of 9 to 17 several times
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.rand(2, *net.shape),), str(path), dynamo=False, input_names=["x"],
                          opset_version=max(opset, 11) if name == "flipped" else opset, dynamic_axes={"x": {0: "N"}})
    whole(path, net.shape, tmp_path)


@pytest.mark.parametrize("name", BY_DYNAMO)
def test_what_the_newer_exporter_writes_is_captured_whole(name: str, tmp_path: Path):
    net, path = network(name), tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.rand(2, *net.shape),), str(path), dynamo=True, opset_version=20, verbose=False,
                          dynamic_shapes=({0: torch.export.Dim("batch")},), external_data=False)
    whole(path, net.shape, tmp_path)


def whole_numbers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


W, B = floats(6, 3, seed=1), floats(3, seed=2)
CONV = {"k": floats(4, 4, 3, 3, seed=4) / 4}
GRAPHS: dict[str, tuple[tuple[Any, ...], list[onnx.NodeProto], dict[str, Any], int]] = {
    "a slice by attributes": (IMAGE, [node("Slice", "x", "y", starts=[1, -4], ends=[3, 1 << 40], axes=[1, 3])], {}, 9),
    "a slice backwards": (IMAGE, [node("Slice", "x s e a t", "y")],
                          {"s": whole_numbers(-1, 4), "e": whole_numbers(-(1 << 62), 0), "a": whole_numbers(-1, 2),
                           "t": whole_numbers(-1, -2)}, 13),
    "an uneven split": (VECTOR, [onnx.helper.make_node("Split", ["x"], ["a", "b", "c"], axis=1, num_outputs=3),
                                 node("Concat", "c a", "y", axis=1)], {}, 18),
    "a split by attribute": (IMAGE, [onnx.helper.make_node("Split", ["x"], ["a", "b"], axis=1, split=[1, 3]),
                                     node("Relu", "b", "y")], {}, 11),
    "gathered from behind": (IMAGE, [node("Gather", "x i", "y", axis=1)], {"i": whole_numbers(-1, 0, 0)}, 13),
    "one of a vector": (VECTOR, [node("Gather", "x i", "y", axis=1)], {"i": np.array(-2, np.int64)}, 13),
    "gathered by a table": (VECTOR, [node("Gather", "x i", "y", axis=1)], {"i": np.array([[1, 2], [-1, 0]])}, 13),
    "repeated": (IMAGE, [node("Tile", "x r", "y")], {"r": whole_numbers(1, 2, 1, 1)}, 13),
    "expanded": (("N", 3, 1), [node("Expand", "x s", "y")], {"s": whole_numbers(1, 3, 4)}, 13),
    "expanded as its own shape says": (("N", 3, 1), [
        node("Shape", "x", "s"), node("Gather", "s zero", "n", axis=0), node("Concat", "n rest", "wanted", axis=0),
        node("Equal", "wanted minus", "same"), node("Where", "same ones wanted", "fits"),
        node("Expand", "x fits", "y")],
        {"zero": whole_numbers(0), "rest": whole_numbers(-1, 4), "minus": whole_numbers(-1),
         "ones": whole_numbers(1)}, 13),
    "depth to space": (IMAGE, [node("DepthToSpace", "x", "y", blocksize=2)], {}, 13),
    "depth to space, column first": (IMAGE, [node("DepthToSpace", "x", "y", blocksize=2, mode="CRD")], {}, 13),
    "space to depth": (IMAGE, [node("SpaceToDepth", "x", "y", blocksize=3)], {}, 13),
    "a batch that moves and comes back": (ROWS, [node("Transpose", "x", "a", perm=[1, 0, 2]),
                                                 node("Gather", "a i", "b", axis=0),
                                                 node("Transpose", "b", "y", perm=[1, 2, 0])],
                                          {"i": whole_numbers(4, 0)}, 13),
    "a slice of channels last": (("N", 6, 6, 3), [
        node("Transpose", "x", "a", perm=[0, 3, 1, 2]), node("Relu", "a", "r"),
        node("Transpose", "r", "b", perm=[0, 2, 3, 1]), node("Slice", "b s e", "c"), node("MatMul", "c w", "y")],
        {"s": whole_numbers(0, 1, 2), "e": whole_numbers(9, 5, 6), "w": floats(3, 4)}, 13),
    "negated": (VECTOR, [node("Neg", "x", "h"), node("Relu", "h", "y")], {}, 13),
    "a number less itself moved": (IMAGE, [node("Transpose", "x", "a", perm=[0, 1, 3, 2]), node("Sub", "x a", "y")],
                                   {}, 13),
    "less its mean": (IMAGE, [node("ReduceMean", "x", "m", axes=[2, 3]), node("Sub", "x m", "y")], {}, 13),
    "less its mean over the channels": (IMAGE, [node("ReduceMean", "x", "m", axes=[1]), node("Sub", "x m", "y")],
                                        {}, 13),
    "normalised": (IMAGE, [node("Sub", "x m", "a"), node("Div", "a s", "y")],
                   {"m": floats(4, 1, 1), "s": np.abs(floats(1, 4, 1, 1)) + 0.5}, 13),
    "a constant a pixel": (IMAGE, [node("Mul", "x c", "a"), node("Add", "a d", "b"), node("Mul", "b two", "y")],
                           {"c": floats(6, 1), "d": floats(1, 4, 6, 6), "two": np.float32(2)}, 13),
    "constants that were computed": (VECTOR, [
        node("Pow", "v two", "sq"), node("Sqrt", "sq", "a"), node("ReduceSum", "a", "s"), node("Div", "a s", "n"),
        node("Max", "n least", "m"), node("Reciprocal", "m", "r"), node("Mul", "x r", "y")],
        {"v": floats(1, 8), "two": np.float32(2), "least": np.float32(0.1)}, 13),
    "the largest of two": (VECTOR, [node("Neg", "x", "n"), node("Max", "x n", "y")], {}, 13),
    "the least of two": (IMAGE, [node("ReduceMean", "x", "m", axes=[2, 3]), node("Min", "x m", "y")], {}, 13),
    "an absolute value": (VECTOR, [node("Abs", "x", "y")], {}, 13),
    "a sum of three": (VECTOR, [node("Relu", "x", "r"), node("Tanh", "x", "t"), node("Sum", "x r t", "y")], {}, 13),
    "selu": (VECTOR, [node("Selu", "x", "y")], {}, 13),
    "celu": (VECTOR, [node("Celu", "x", "y", alpha=0.5)], {}, 13),
    "a sum over space, axes in an attribute": (IMAGE, [node("ReduceSum", "x", "y", axes=[-1, -2], keepdims=0)], {}, 11),
    "a sum over space, axes in an input": (IMAGE, [node("ReduceSum", "x a", "y")], {"a": whole_numbers(2)}, 13),
    "a mean over space, axes in an input": (IMAGE, [node("ReduceMean", "x a", "y", keepdims=0)],
                                            {"a": whole_numbers(2, 3)}, 18),
    "a maximum over rows": (ROWS, [node("ReduceMax", "x", "y", axes=[1], keepdims=0)], {}, 13),
    "a minimum over everything": (IMAGE, [node("ReduceMin", "x", "y", axes=[1, 2, 3], keepdims=0)], {}, 13),
    "a sum of features": (VECTOR, [node("ReduceSum", "x a", "y", keepdims=0)], {"a": whole_numbers(1)}, 13),
    "the global maximum": (IMAGE, [node("GlobalMaxPool", "x", "y")], {}, 13),
    "the global mean": (IMAGE, [node("GlobalAveragePool", "x", "a"), node("Squeeze", "a s", "y")],
                        {"s": whole_numbers(2, 3)}, 13),
    "a mean without its padding": (IMAGE, [node("AveragePool", "x", "y", kernel_shape=[3, 2], strides=[2, 1],
                                                pads=[1, 0, 1, 1])], {}, 13),
    "a mean with its padding": (IMAGE, [node("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1],
                                             count_include_pad=1)], {}, 13),
    "a norm of rows": (ROWS, [node("BatchNormalization", "x g b m v", "y")],
                       {"g": floats(5, seed=1), "b": floats(5, seed=2), "m": floats(5, seed=3),
                        "v": np.abs(floats(5, seed=4)) + 0.5}, 15),
    "a norm of a vector": (VECTOR, [node("Relu", "x", "r"), node("BatchNormalization", "r g b m v", "y")],
                           {"g": floats(8, seed=1), "b": floats(8, seed=2), "m": floats(8, seed=3),
                            "v": np.abs(floats(8, seed=4)) + 0.5}, 9),
    "rows of features": (ROWS, [node("MatMul", "x w", "h"), node("Add", "h b", "a"), node("Relu", "a", "r"),
                                node("MatMul", "r v", "y")], {"w": W, "b": B, "v": floats(3, 4)}, 13),
    "columns of features": (ROWS, [node("Relu", "x", "r"), node("MatMul", "v r", "h"), node("MatMul", "h w", "y")],
                            {"v": floats(2, 5), "w": W}, 13),
    "rows, flattened": (ROWS, [node("MatMul", "x w", "h"), node("Flatten", "h", "f"), node("Gemm", "f v", "y")],
                        {"w": W, "v": floats(15, 2)}, 13),
    "pixels of features": (("N", 4, 5, 6), [node("MatMul", "x w", "h"), node("Relu", "h", "r"),
                                            node("ReduceMean", "r", "y", axes=[1, 2], keepdims=0)], {"w": W}, 13),
    "a convolution of rows": (ROWS, [node("Conv", "x k", "h"), node("Transpose", "h", "t", perm=[0, 2, 1]),
                                     node("MatMul", "t w", "y")], {"k": floats(6, 5, 3), "w": W}, 13),
    "a head without an axis": (VECTOR, [node("MatMul", "x w", "h"), node("Squeeze", "h a", "s"),
                                        node("Sigmoid", "s", "y")], {"w": floats(8, 1), "a": whole_numbers(-1)}, 13),
    "such a head as a list": (VECTOR, [node("MatMul", "x w", "h"), node("Reshape", "h s", "y")],
                              {"w": floats(8, 1), "s": whole_numbers(-1)}, 13),
    "and back": (VECTOR, [node("MatMul", "x w", "h"), node("Squeeze", "h a", "s"), node("Unsqueeze", "s a", "y")],
                 {"w": floats(8, 1), "a": whole_numbers(1)}, 13),
    "a flatten as a shape": (IMAGE, [
        node("Conv", "x k", "h"), node("Shape", "h", "s"), node("Gather", "s zero", "n", axis=0),
        node("Unsqueeze", "n axis", "u"), node("Concat", "u rest", "wanted", axis=0), node("Reshape", "h wanted", "f"),
        node("Dropout", "f", "d"), node("Identity", "d", "i"), node("Gemm", "i w", "y")],
        CONV | {"zero": np.array(0, np.int64), "axis": whole_numbers(0), "rest": whole_numbers(-1),
                "w": floats(64, 2) / 8}, 13),
    "a shape that allows zeros": (IMAGE, [
        node("Shape", "x", "n", start=0, end=1), node("Concat", "n rest", "s", axis=0),
        node("Reshape", "x s", "y", allowzero=1)], {"rest": whole_numbers(144)}, 19),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_what_is_put_together_by_hand_is_captured_whole(name: str, tmp_path: Path):
    shape, nodes, constants, opset = GRAPHS[name]
    whole(model(nodes, shape, constants, opset), shape[1:], tmp_path)


def test_opset_6_broadcasts_by_its_attributes(tmp_path: Path):
    """onnxruntime begins with opset 7: it gets the constant in the shape that the attributes give it."""
    def network(opset: int, c: np.ndarray, **attributes: int) -> onnx.ModelProto:
        constants = {"c": c, "w": floats(144, 3) / 12, "v": np.float32([1, 2, 4]), "b": floats(3)}
        old = {"broadcast": 1} if attributes else {}
        nodes = [node("Add", "x c", "a", **attributes, **old), node("Flatten", "a", "f"), node("MatMul", "f w", "g"),
                 node("Mul", "g v", "m", **old), node("Gemm", "m i b", "y", **old)]
        return model(nodes, IMAGE, constants | {"i": np.eye(3, dtype=np.float32)}, opset)

    c = np.float32([1, 2, 3, 4])
    whole(network(6, c, axis=1), IMAGE[1:], tmp_path, reference=network(8, c[:, None, None]))


def test_rows_of_features_need_no_transpose(tmp_path: Path):
    shape, nodes, constants, opset = GRAPHS["rows, flattened"]
    graph = whole(model(nodes, shape, constants, opset), shape[1:], tmp_path)
    assert [type(m).__name__ for m in graph.children()] == ["Conv1d", "Flatten", "Linear"]


@pytest.mark.parametrize("nodes, word", [
    ([node("Slice", "x s e a", "y")], "mixes samples"), ([node("Gather", "x s", "y", axis=0)], "mixes samples"),
    ([node("Gather", "x twice", "y", axis=0)], "mixes samples"),
    ([node("Transpose", "x", "t", perm=[1, 0, 2]), node("Relu", "t", "y")], "batch does not stand in front"),
    ([node("ReduceMean", "x", "y", axes=[0])], "behind the batch"),
    ([node("ReduceMean", "x", "y")], "behind the batch"),
    ([node("ReduceMean", "x", "m", axes=[1], keepdims=0), node("Sub", "x m", "y")], "combines shapes"),
    ([node("Tile", "x r", "y")], "makes a constant"), ([node("Gather", "x far", "y", axis=1)], "out of bounds"),
])
def test_what_mixes_samples_or_does_not_fit_is_refused(nodes: list[onnx.NodeProto], word: str, tmp_path: Path):
    constants = {"s": whole_numbers(0), "e": whole_numbers(1), "a": whole_numbers(0), "far": whole_numbers(9),
                 "twice": whole_numbers(0, 0),
                 "r": whole_numbers(1, 1 << 20, 1 << 20)}
    with pytest.raises(InputError, match=word):
        load_onnx(saved(model(nodes, ROWS, constants), tmp_path))


@pytest.mark.parametrize("shape, attributes, opset", [
    (("N", 4), {"axis": 0}, 13), (("N", 4), {"axis": -2}, 13), (("N", 3, 5, 5), {"axis": 2}, 13),
    (("N", 3, 5, 5), {}, 13), (("N", 3, 5, 5), {"axis": -2}, 13), (("N", 3, 5, 5), {"axis": 2}, 11)])
def test_a_softmax_that_moves_the_argmax_is_refused(shape, attributes, opset, tmp_path: Path):
    made = model([node("Relu", "x", "r"), node("Softmax", "r", "y", **attributes)], shape, {}, opset)
    with pytest.raises(InputError, match=r"Softmax.*moves the argmax"):
        load_onnx(saved(made, tmp_path))


@pytest.mark.parametrize("shape, attributes, opset", [
    (("N", 4), {}, 13), (("N", 4), {}, 9), (("N", 4), {"axis": 1}, 13), (("N", 3, 5, 5), {"axis": 1}, 13),
    (("N", 3, 5, 5), {"axis": -3}, 13), (("N", 3, 5, 5), {}, 11), (("N", 1, 1, 4), {}, 13)])
def test_a_softmax_that_does_not_is_left_out(shape, attributes, opset, tmp_path: Path):
    path = saved(model([node("Tanh", "x", "r"), node("Softmax", "r", "y", **attributes)], shape, {}, opset), tmp_path)
    loaded = load_onnx(path)
    assert isinstance(loaded, OnnxModule) and any("left out" in note for note in loaded.notes)
    x, flat = floats(9, *shape[1:]), (9, shape[1] if shape[1] > 1 else 4, -1)
    due = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    found = loaded(torch.from_numpy(x)).numpy()
    assert np.array_equal(found.reshape(flat).argmax(1), due.reshape(flat).argmax(1))
