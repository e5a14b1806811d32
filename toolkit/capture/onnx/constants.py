"""Operators whose inputs are all constants, evaluated: weights that a file transposes, shapes that it puts together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from toolkit.capture.onnx.file import Node
from toolkit.capture.onnx.moving import MOVES, SPARE, ints, small
from toolkit.capture.onnx.translator import Translator
from toolkit.utils.errors import InputError

BATCH = 0
"""The batch in a shape that a file computes: Reshape reads a 0 as the input's own size, wherever the batch stands."""
MOST = 16
"""How often what a file stores may be evaluated: transposed, scaled, converted, one after the other."""


def constant(t: Translator, node: Node) -> None:
    """A Constant node."""
    a = node.attributes
    if "value" in a:
        t.set(node, t.attribute(node, "value"))
    elif kind := next((k for k in ("value_int", "value_ints", "value_float", "value_floats") if k in a), None):
        t.set(node, np.array(a[kind], np.int64 if "int" in kind else np.float32))
    else:
        raise node.fail("holds no tensor")


def shape(t: Translator, node: Node) -> None:
    """Shape: the batch stands for itself."""
    seen = np.array((BATCH, *t.value(node, 0).seen), np.int64)
    t.set(node, seen[node.attributes.get("start", 0):node.attributes.get("end", len(seen))])


def evaluate(t: Translator, node: Node) -> bool:
    """Evaluate a node of constants; False where it is none that is known."""
    made, moves = FUNCTIONS.get(node.operator), MOVES.get(node.operator)
    if (made is None and moves is None) or node.domain not in ("", "ai.onnx"):
        return False
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused where a layer takes it
            found = [made(t, node)] if made else moves(t, node, t.constant(node, 0, "input"))  # type: ignore[misc]
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, ZeroDivisionError) as error:
        raise node.fail(f"its constants do not fit: {str(error)[:120]}") from error
    t.evaluated += sum(np.asarray(one).size for one in found)
    if t.evaluated > SPARE + MOST * t.file.stored:
        raise InputError(f"the node {node.label}: evaluates constants to many times what the file stores; evaluate "
                         "them when it is exported")
    for output, one in enumerate(found[:len(node.outputs)]):
        t.set(node, np.asarray(one), output)
    return True


def _inputs(t: Translator, node: Node) -> list[np.ndarray]:
    return [t.constant(node, i, "input") for i, name in enumerate(node.inputs) if name]


def _binary(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[Translator, Node], np.ndarray]:
    def run(t: Translator, node: Node) -> np.ndarray:
        a, b = _inputs(t, node)
        small(t, node, np.broadcast_shapes(a.shape, b.shape))
        return function(a, b)
    return run


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a // b if a.dtype.kind in "iu" else a / b


def _reshape(t: Translator, node: Node) -> np.ndarray:
    data, wanted = _inputs(t, node)
    return data.reshape([data.shape[i] if n == 0 else int(n) for i, n in enumerate(wanted)])


def _squeeze(t: Translator, node: Node) -> np.ndarray:
    axes = ints(t, node, "axes", 1)
    return np.squeeze(t.constant(node, 0, "input"), axes)


def _unsqueeze(t: Translator, node: Node) -> np.ndarray:
    return np.expand_dims(t.constant(node, 0, "input"), ints(t, node, "axes", 1) or ())


def _cast(t: Translator, node: Node) -> np.ndarray:
    kind = node.attributes["to"]
    if kind not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.INT32, onnx.TensorProto.INT64,
                    onnx.TensorProto.BOOL):
        raise node.fail("converts a constant to a type that is not supported; use float32")
    return t.constant(node, 0, "input").astype(onnx.helper.tensor_dtype_to_np_dtype(kind))


def _concat(t: Translator, node: Node) -> np.ndarray:
    parts = _inputs(t, node)
    small(t, node, (sum(part.size for part in parts),))
    return np.concatenate(parts, node.attributes["axis"])


def _filled(t: Translator, node: Node) -> np.ndarray:
    wanted = tuple(int(n) for n in t.constant(node, 0, "shape"))
    small(t, node, wanted)
    fill = t.attribute(node, "value").reshape(-1)[0] if "value" in node.attributes else np.float32(0)
    return np.full(wanted, fill)


def _range(t: Translator, node: Node) -> np.ndarray:
    start, limit, delta = (part.reshape(()).item() for part in _inputs(t, node))
    small(t, node, (max(-int(-(limit - start) // delta), 0),))
    return np.arange(start, limit, delta).astype(t.constant(node, 0, "input").dtype)


def _matmul(t: Translator, node: Node) -> np.ndarray:
    a, b = _inputs(t, node)
    small(t, node, (a.size, b.shape[-1] if b.ndim > 1 else 1))  # as many products
    return np.matmul(a, b)


def _reduced(function: Callable[..., np.ndarray]) -> Callable[[Translator, Node], np.ndarray]:
    def run(t: Translator, node: Node) -> np.ndarray:
        axes = ints(t, node, "axes", 1) or None
        data = t.constant(node, 0, "input")
        if axes is None and node.attributes.get("noop_with_empty_axes", 0):
            return data
        return np.asarray(function(data, axis=axes, keepdims=bool(node.attributes.get("keepdims", 1))))
    return run


def _each(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[Translator, Node], np.ndarray]:
    return lambda t, node: function(t.constant(node, 0, "input"))


def _clip(t: Translator, node: Node) -> np.ndarray:
    low, high = (node.attributes.get(name, t.optional(node, i, name)) for i, name in ((1, "min"), (2, "max")))
    return np.clip(t.constant(node, 0, "input"), low, high)


def _flat(t: Translator, node: Node) -> np.ndarray:
    data, axis = t.constant(node, 0, "input"), node.attributes.get("axis", 1)
    return data.reshape(int(np.prod(data.shape[:axis], dtype=np.int64)), -1)


def _where(t: Translator, node: Node) -> np.ndarray:
    condition, a, b = _inputs(t, node)
    small(t, node, np.broadcast_shapes(condition.shape, a.shape, b.shape))
    return np.where(condition != 0, a, b)


FUNCTIONS: dict[str, Callable[[Translator, Node], np.ndarray]] = {
    "Identity": _each(lambda x: x), "Dropout": _each(lambda x: x), "Flatten": _flat,
    "Reshape": _reshape, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Cast": _cast, "Concat": _concat,
    "ConstantOfShape": _filled, "Range": _range, "Where": _where, "Clip": _clip, "MatMul": _matmul,
    "Add": _binary(np.add), "Sub": _binary(np.subtract), "Mul": _binary(np.multiply), "Div": _binary(_divide),
    "Pow": _binary(np.power), "Max": _binary(np.maximum), "Min": _binary(np.minimum), "Mod": _binary(np.mod),
    "Equal": _binary(np.equal), "Greater": _binary(np.greater), "Less": _binary(np.less),
    "And": _binary(np.logical_and), "Or": _binary(np.logical_or), "Not": _each(np.logical_not),
    "Sqrt": _each(np.sqrt), "Neg": _each(np.negative), "Abs": _each(np.abs), "Exp": _each(np.exp), "Log": _each(np.log),
    "Sign": _each(np.sign), "Floor": _each(np.floor), "Ceil": _each(np.ceil), "Round": _each(np.round),
    "Reciprocal": _each(np.reciprocal), "Tanh": _each(np.tanh), "Relu": _each(lambda x: np.maximum(x, 0)),
    "Sigmoid": _each(lambda x: 1 / (1 + np.exp(-x))), "Softplus": _each(lambda x: np.logaddexp(0, x)),
    "ReduceSum": _reduced(np.sum), "ReduceMean": _reduced(np.mean), "ReduceMax": _reduced(np.max),
    "ReduceMin": _reduced(np.min), "ReduceProd": _reduced(np.prod),
    "ReduceSumSquare": _reduced(lambda x, **axes: np.sum(x * x, **axes)),
    "ReduceL1": _reduced(lambda x, **axes: np.sum(np.abs(x), **axes)),
    "ReduceL2": _reduced(lambda x, **axes: np.sqrt(np.sum(x * x, **axes))),
}
"""Each returns the array; numpy's own errors become one sentence that names the node. `moving.MOVES` has further ones,
those that move elements."""
