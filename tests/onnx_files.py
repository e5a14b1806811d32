"""Small .onnx files for the tests, put together by hand, and what their reference executors make of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

QONNX = "qonnx.custom_op.general"


def node(operator: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    """A node; inputs separated by spaces."""
    domain = QONNX if operator in ("Quant", "BipolarQuant", "Trunc") else ""
    return helper.make_node(operator, inputs.split(" "), [output], name=f"{operator}_{output}", domain=domain,
                            **attributes)


def model(nodes: list[onnx.NodeProto], shape: tuple[Any, ...], constants: dict[str, Any] | None = None,
          opset: int = 13, kind: int = TensorProto.FLOAT, output: str | None = None) -> onnx.ModelProto:
    """A model of one input 'x' and the last node's output."""
    graph = helper.make_graph(
        nodes, "tested", [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(output or nodes[-1].output[0], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v, getattr(np.asarray(v), "dtype", np.float32)), k)
         for k, v in (constants or {}).items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(QONNX, 1)],
                             ir_version=8)


def saved(made: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def quant(name: str, source: str, constants: dict[str, Any], scale: float | np.ndarray = 0.25, bits: int = 4,
          zero: float = 0, **attributes: Any) -> onnx.NodeProto:
    """A Quant node that makes `name`; its parameters go into `constants`."""
    constants |= {f"{name}_s": np.asarray(scale, np.float32), f"{name}_z": np.float32(zero),
                  f"{name}_b": np.float32(bits)}
    rest = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"} | attributes
    return node("Quant", f"{source} {name}_s {name}_z {name}_b", name, **rest)


def executed(path: Path, samples: np.ndarray, tensor: str | None = None) -> np.ndarray:
    """What QONNX's own executor makes of samples, one by one: the output, or the tensor named; float64."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.util.cleanup import cleanup_model

    wrapped = ModelWrapper(str(path))
    proto = wrapped.model
    if not proto.graph.input[0].type.tensor_type.shape.dim[0].HasField("dim_value"):
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    wrapped = cleanup_model(wrapped, preserve_qnt_ops=True)
    wrapped = wrapped if wrapped is not None else ModelWrapper(str(path))
    found = []
    name = wrapped.graph.input[0].name
    for sample in samples.astype(np.float32):
        context = execute_onnx(wrapped, {name: sample[None]}, return_full_exec_context=True)
        found.append(context[wrapped.graph.output[0].name if tensor is None else tensor][0])
    return np.stack(found).astype(np.float64)
