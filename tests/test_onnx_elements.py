"""Functions of elements, slopes, extremes, TopK, images with channels last and declared inputs of .onnx files, beside
onnxruntime and beside plain arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from onnx_files import floats, model, node, saved
from test_onnx_operations import whole

from toolkit.capture import capture
from toolkit.capture.onnx import QuantisedModel, load_onnx
from toolkit.design import FixedPoint
from toolkit.importing import design_of
from toolkit.importing.importing import declared
from toolkit.utils.errors import InputError

VECTOR, IMAGE = ("N", 4), ("N", 3, 6, 6)
CHANNELS_LAST = "qonnx.custom_op.channels_last"


def real(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


CASES: dict[str, tuple[tuple, list[onnx.NodeProto], dict[str, np.ndarray]]] = {
    "slopes of features": (VECTOR, [node("PRelu", "x s", "y")], {"s": real(0.1, -0.4, 1.5, 0)}),
    "slopes of channels": (IMAGE, [node("PRelu", "x s", "y")], {"s": real(0.1, -0.4, 1.5).reshape(3, 1, 1)}),
    "slopes of pixels": (IMAGE, [node("PRelu", "x s", "y")], {"s": floats(3, 6, 6)}),
    "one slope": (VECTOR, [node("PRelu", "x s", "y")], {"s": real(0.3)}),
    "slopes behind a flatten": (IMAGE, [node("Flatten", "x", "f"), node("PRelu", "f s", "y")], {"s": floats(108)}),
    **{op: (VECTOR, [node(op, "x", "y")], {}) for op in ("Exp", "Sin", "Cos", "Atan", "Softsign", "Erf", "Abs", "Floor",
                                                         "Round", "Sign")},
    "a root": (VECTOR, [node("Abs", "x", "a"), node("Add", "a c", "b"), node("Sqrt", "b", "y")], {"c": real(0.5)}),
    "one over it": (VECTOR, [node("Exp", "x", "a"), node("Add", "a c", "b"), node("Div", "c b", "y")],
                    {"c": real(0.5)}),
    "a cube": (VECTOR, [node("Pow", "x c", "y")], {"c": real(3)}),
    "shrunk": (VECTOR, [node("Shrink", "x", "y", lambd=0.3, bias=0.1)], {}),
    "a threshold": (VECTOR, [node("ThresholdedRelu", "x", "y", alpha=0.25)], {}),
    "an own hard sigmoid": (VECTOR, [node("HardSigmoid", "x", "y", alpha=-0.3, beta=0.4)], {}),
    "an own SELU": (VECTOR, [node("Selu", "x", "y", alpha=1.5, gamma=1.25)], {}),
    "a quick GELU": (VECTOR, [node("Mul", "x c", "a"), node("Sigmoid", "a", "s"), node("Mul", "x s", "y")],
                     {"c": real(1.702)}),
    "a square": (VECTOR, [node("Mul", "x x", "y")], {}),
    "a choice": (VECTOR, [node("Greater", "x c", "b"), node("Exp", "x", "e"), node("Where", "b x e", "y")],
                 {"c": real(0)}),
    "the larger of constants": (VECTOR, [node("Max", "x c", "y")], {"c": real(-1, 0, 0.5, 1)}),
    "the smaller of channels": (IMAGE, [node("Min", "x c", "y")], {"c": real(-1, 0, 0.5).reshape(3, 1, 1)}),
    "the larger": (VECTOR, [node("Sub", "c x", "a"), node("Max", "a x", "y")], {"c": real(0.25)}),
    "averages without padding": (IMAGE, [node("AveragePool", "x", "y", kernel_shape=[3, 3], strides=[2, 2],
                                              pads=[1, 1, 1, 1])], {}),
    "a sum": (IMAGE, [node("ReduceSum", "x a", "y", keepdims=0)], {"a": np.array([1, 3], np.int64)}),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_file_computes_is_captured_whole(name: str, tmp_path: Path):
    shape, nodes, constants = CASES[name]
    whole(model(nodes, shape, constants, opset=16), shape[1:], tmp_path)


def test_of_topk_the_largest_is_a_maximum_and_its_index_an_argmax(tmp_path: Path):
    one = {"k": np.array([1], np.int64)}
    top = helper.make_node("TopK", ["x", "k"], ["values", "indices"], axis=-1)
    whole(model([top], VECTOR, one, output="values"), VECTOR[1:], tmp_path)
    made, x = model([top], VECTOR, one, output="indices"), floats(9, 4, seed=3)
    loaded = load_onnx(saved(made, tmp_path))
    found = capture(loaded, loaded.sample_shape)(torch.from_numpy(x))
    assert found.tolist() == x.argmax(1).tolist()
    with pytest.raises(InputError, match="2 largest"):
        load_onnx(saved(model([top], VECTOR, {"k": np.array([2], np.int64)}, output="values"), tmp_path))


def test_operators_over_images_with_channels_last_are_those_over_channels_first(tmp_path: Path):
    weight = floats(5, 3, 3, 2)
    attributes = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1]}
    last = [helper.make_node("Conv", ["x", "w"], ["c"], domain=CHANNELS_LAST, group=1, **attributes),
            helper.make_node("BatchNormalization", ["c", "s", "s", "s", "s"], ["b"], domain=CHANNELS_LAST),
            node("Relu", "b", "r"),
            helper.make_node("MaxPool", ["r"], ["y"], domain=CHANNELS_LAST, kernel_shape=[2, 2], strides=[2, 2])]
    first = [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Conv", "t v", "c", **attributes),
             node("BatchNormalization", "c s s s s", "b"), node("Relu", "b", "r"),
             node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]), node("Transpose", "p", "y",
                                                                                  perm=[0, 2, 3, 1])]
    constants = {"w": weight, "v": np.ascontiguousarray(weight.transpose(0, 3, 1, 2)),
                 "s": np.abs(floats(5, seed=1)) + 0.5}
    shape = ("N", 6, 6, 2)
    made = model(last, shape, constants)
    made.opset_import.append(helper.make_opsetid(CHANNELS_LAST, 1))
    whole(made, shape[1:], tmp_path, reference=model(first, shape, constants))


def quantised(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], folder: Path,
              told: str = "") -> QuantisedModel:
    made = model(nodes, ("N", 3), {"one": real(1).reshape(()), "zero": real(0).reshape(()), "bits": real(8).reshape(()),
                                   **constants})
    if told:
        annotation = made.graph.quantization_annotation.add(tensor_name="x")
        annotation.quant_parameter_tensor_names.add(key="finn_datatype", value=told)
    loaded = load_onnx(saved(made, folder))
    assert isinstance(loaded, QuantisedModel)
    return loaded


WEIGHTS = np.array([[1, -2], [3, 0], [-1, 1]], np.float32)
SUMS = [node("MatMul", "x w", "m"), node("Quant", "m one zero bits", "y", signed=1, narrow=0, rounding_mode="ROUND")]


@pytest.mark.parametrize("text, form", [("INT4", FixedPoint(True, 4, 0)), ("UINT3", FixedPoint(False, 3, 0)), (
    "BINARY", FixedPoint(False, 1, 0)), ("FIXED<8,3>", FixedPoint(True, 8, 5)), ("FLOAT32", None), ("", None)])
def test_a_declared_type_is_the_format_of_the_input(text: str, form: FixedPoint | None, tmp_path: Path):
    assert declared(text) == form
    if form is not None:
        imported = design_of(quantised(SUMS, {"w": WEIGHTS}, tmp_path, text))
        assert imported.design.input.format == form and imported.exact


def test_a_bipolar_input_is_one_bit_an_element(tmp_path: Path):
    imported = design_of(quantised(SUMS, {"w": WEIGHTS}, tmp_path, "BIPOLAR"))
    signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T.astype(np.float32)
    codes = imported.codes(signs)
    assert imported.design.input.format == FixedPoint(False, 1, 0) and codes.tolist() == ((signs + 1) / 2).tolist()
    assert imported.design.reference(codes).tolist() == (signs @ WEIGHTS).tolist()


def test_signs_taken_right_at_the_input_are_one_bit_too(tmp_path: Path):
    first = helper.make_node("BipolarQuant", ["x", "half"], ["q"], domain="qonnx.custom_op.general")
    nodes = [first, node("MatMul", "q w", "m"), SUMS[1]]
    imported = design_of(quantised(nodes, {"w": 2 * WEIGHTS, "half": real(0.5).reshape(())}, tmp_path))
    x = floats(20, 3, seed=2) - 0.5
    assert imported.design.input.format == FixedPoint(False, 1, 0)
    assert imported.design.reference(imported.codes(x)).tolist() == (np.where(x >= 0, 1, -1) @ WEIGHTS).tolist()


def test_slopes_of_features_are_exact_in_a_quantised_network(tmp_path: Path):
    nodes = [node("Quant", "x one zero bits", "q", rounding_mode="ROUND"), node("PRelu", "q s", "p"),
             node("Quant", "p one zero bits", "y", rounding_mode="FLOOR")]
    slopes = real(0.3, -1.25, 0.5)
    imported = design_of(quantised(nodes, {"s": slopes}, tmp_path))
    codes = np.random.default_rng(0).integers(-128, 128, (50, 3))
    wanted = np.clip(np.floor(np.where(codes < 0, codes * slopes.astype(np.float64), codes)), -128, 127)
    assert imported.exact and imported.design.reference(codes).tolist() == wanted.tolist()


def test_a_function_before_a_quantiser_is_a_table(tmp_path: Path):
    nodes = [node("Quant", "x eighth zero bits", "q", rounding_mode="ROUND"), node("Softsign", "q", "s"),
             node("Exp", "s", "e"), node("Quant", "e eighth zero bits", "y", rounding_mode="ROUND")]
    imported = design_of(quantised(nodes, {"eighth": real(0.125).reshape(())}, tmp_path))
    codes = np.arange(-128, 128)[:, None].repeat(3, 1)
    x = codes / 8
    assert [layer.kind for layer in imported.design.layers] == ["lookup"]
    assert imported.design.reference(codes).tolist() == np.rint(8 * np.exp(x / (1 + np.abs(x)))).tolist()
