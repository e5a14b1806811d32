"""A tiny network of each operator of ONNX that is captured."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from toolkit.capture.onnx.elementwise import COMPARED, PLAIN
from toolkit.capture.onnx.file import LINEAR

QONNX = "qonnx.custom_op.general"
VECTOR, IMAGE = (4,), (4, 4, 4)
ROUND: dict[str, Any] = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}


def real(values: Any) -> np.ndarray:
    return np.asarray(values, np.float32)


ONE = real(1)


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.25, 1, shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


Inputs = list[np.ndarray | str]
CASES: dict[str, tuple[tuple[int, ...], Inputs, dict[str, Any]]] = {
    "MatMul": (VECTOR, ["x", floats(4, 3)], {}), "Gemm": (VECTOR, ["x", floats(4, 3), floats(3)], {}),
    "Conv": (IMAGE, ["x", floats(2, 4, 3, 3)], {}),
    "ConvTranspose": (IMAGE, ["x", floats(4, 2, 3, 3)], {"strides": [2, 2]}),
    "BatchNormalization": (IMAGE, ["x", floats(4), floats(4), floats(4), floats(4)], {}),
    **{op: (VECTOR, ["x", floats(4)], {}) for op in ("Add", "Sub", "Mul", "Div")},
    **{op: (VECTOR, ["x"], {}) for op in (
        "Neg", "Relu", "LeakyRelu", "HardSigmoid", "Abs", "Selu", "Celu", "Gelu", "Sigmoid", "Tanh", "HardSwish", "Elu",
        "Softplus", "Mish", *PLAIN, "Softsign", "ThresholdedRelu", "Shrink")},
    **{op: (VECTOR, ["x", real(0.5)], {}) for op in ("Pow", *COMPARED)},
    "Acosh": (VECTOR, ["a"], {}), "Where": (VECTOR, ["b", "x", real(0.25)], {}), "TopK": (VECTOR, ["x", ints(1)], {}),
    "LeakyRelu": (VECTOR, ["x"], {"alpha": 0.125}), "PRelu": (VECTOR, ["x", real([0.125, -0.5, 0.3, 1.5])], {}),
    "Sum": (VECTOR, ["x", "h"], {}), "Max": (VECTOR, ["x", "h"], {}), "Min": (VECTOR, ["x", "h"], {}),
    "Pow": (VECTOR, ["x", real(2.0)], {}),
    "Clip": (VECTOR, ["x", real(0.25), real(0.75)], {}),
    **{op: (IMAGE, ["x"], {"kernel_shape": [2, 2], "strides": [2, 2]}) for op in ("MaxPool", "AveragePool")},
    **{op: (IMAGE, ["x"], {}) for op in ("GlobalMaxPool", "GlobalAveragePool")},
    **{op: (IMAGE, ["x", ints(2, 3)], {"keepdims": 0})
       for op in ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin")},
    "Pad": (IMAGE, ["x", ints(0, 0, 1, 1, 0, 0, 1, 1)], {}),
    "Resize": (IMAGE, ["x", "", real([1, 1, 2, 2])],
               {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    "Upsample": (IMAGE, ["x", real([1, 1, 2, 2])], {}),
    "Identity": (VECTOR, ["h"], {}), "Dropout": (VECTOR, ["h"], {}), "Cast": (VECTOR, ["h"], {"to": TensorProto.FLOAT}),
    "Transpose": (IMAGE, ["r"], {"perm": [0, 2, 1, 3]}), "Flatten": (IMAGE, ["r"], {}),
    "Reshape": (IMAGE, ["r", ints(-1, 8, 8)], {}), "Squeeze": ((4, 1), ["r", ints(2)], {}),
    "Unsqueeze": (VECTOR, ["r", ints(1)], {}), "Concat": (VECTOR, ["x", "h"], {"axis": 1}),
    "Softmax": (VECTOR, ["h"], {}), "LogSoftmax": (VECTOR, ["h"], {}),
    "ArgMax": (VECTOR, ["h"], {"axis": 1, "keepdims": 0}), "Slice": (VECTOR, ["r", ints(1), ints(3), ints(1)], {}),
    "Split": (VECTOR, ["r"], {"axis": 1, "num_outputs": 2}), "Gather": (VECTOR, ["r", ints(2, 0)], {"axis": 1}),
    "GatherND": (VECTOR, ["r", ints(2, 0)], {}), "Expand": ((4, 1), ["r", ints(1, 4, 3)], {}),
    "Tile": (VECTOR, ["r", ints(1, 2)], {}), "DepthToSpace": (IMAGE, ["r"], {"blocksize": 2}),
    "SpaceToDepth": (IMAGE, ["r"], {"blocksize": 2}),
    "Quant": (VECTOR, ["h", real(0.5), real(0), real(4)], ROUND),
    "BipolarQuant": (VECTOR, ["x", ONE], {}), "Trunc": (VECTOR, ["q", ONE, real(0), real(4), real(2)],
                                                        {"rounding_mode": "FLOOR"}),
    "MultiThreshold": (VECTOR, ["q", real([[-1.5, -0.5, 0.5]])], {"out_dtype": "INT2", "out_bias": -2.0}),
    **{op: (VECTOR, ["h", real(0.3), np.array(3, np.int8)], {}) for op in LINEAR},
}
"""Samples' shape, inputs (arrays, `x`, `h` or `r` for what a Gemm or a Relu makes of it, `a` of an addition, `b` of a
comparison, `q` what a quantised layer does), attributes. What only moves elements reads `r`: wires alone are no
network."""
OLD = {"Upsample": 9}
"""Of another opset than 20."""


def network(operator: str) -> onnx.ModelProto:
    """A model of one operator: what leaves nothing of itself stands behind a Gemm, a Pad before a Conv."""
    shape, inputs, attributes = CASES[operator]
    constants = {f"c{i}": v for i, v in enumerate(inputs) if isinstance(v, np.ndarray)}
    names = [v if isinstance(v, str) else f"c{i}" for i, v in enumerate(inputs)]
    nodes = []
    if names[0] == "h":
        constants["w"] = np.eye(4, dtype=np.float32) if operator in ("Quant", *LINEAR) else floats(4, 3)
        nodes.append(helper.make_node("Gemm", ["x", "w"], ["h"]))
    elif "h" in names or names[0] == "r":
        nodes.append(helper.make_node("Relu", ["x"], ["h" if "h" in names else "r"]))
    if names[0] == "a":
        constants["more"] = real(1.25)
        nodes.append(helper.make_node("Add", ["x", "more"], ["a"]))
    if names[0] == "b":
        constants["half"] = real(0.5)
        nodes.append(helper.make_node("Greater", ["x", "half"], ["b"]))
    if names[0] == "q":
        constants |= {"one": ONE, "zero": real(0), "bits": real(4)}
        constants["w"] = np.eye(4, dtype=np.float32)
        nodes += [helper.make_node("Quant", ["x", "one", "zero", "bits"], ["a"], domain=QONNX, **ROUND),
                  helper.make_node("MatMul", ["a", "w"], ["q"])]
    if operator == "GatherND":  # as torch writes x[:, [2, 0]]
        constants["c1"] = ints(2, 0).reshape(2, 1)
        nodes += [helper.make_node("Transpose", ["r"], ["t"], perm=[1, 0]),
                  helper.make_node("GatherND", ["t", "c1"], ["g"]),
                  helper.make_node("Transpose", ["g"], ["y"], perm=[1, 0])]
    elif operator in LINEAR:
        nodes += [helper.make_node("QuantizeLinear", names, ["codes"]),
                  helper.make_node("DequantizeLinear", ["codes", *names[1:]], ["y"])]
    else:
        outputs = ["y", "z"] if operator in ("Split", "TopK") else ["y"]
        domain = QONNX if operator in ("Quant", "BipolarQuant", "Trunc", "MultiThreshold") else ""
        nodes.append(helper.make_node(operator, names, outputs, domain=domain, **attributes))
    if operator == "Pad":
        constants["w"] = floats(2, 4, 2, 2)
        nodes.append(helper.make_node("Conv", ["y", "w"], ["end"]))
    graph = helper.make_graph(
        nodes, operator, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", *shape))],
        [helper.make_tensor_value_info("end" if operator == "Pad" else "y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()])
    opset = OLD.get(operator, 20)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(QONNX, 1)],
                             ir_version=8)
