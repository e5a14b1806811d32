"""Operators whose inputs are all constants, evaluated: weights that a file transposes, shapes that it puts together."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np
import onnx

from toolkit.capture.onnx.file import Node
from toolkit.capture.onnx.translator import Translator
from toolkit.utils.errors import InputError

BATCH = 0
"""The batch in a shape that a file computes: Reshape reads a 0 as the input's own size, wherever the batch stands."""
SPARE = 1 << 22
"""Elements that all evaluated constants may have beyond four times those that the file stores."""

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
    made = FUNCTIONS.get(node.operator)
    if made is None or node.domain not in ("", "ai.onnx"):
        return False
    try:
        found = made(t, node)
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, ZeroDivisionError) as error:
        raise node.fail(f"its constants do not fit: {str(error)[:120]}") from error
    t.evaluated += np.asarray(found).size
    if t.evaluated > SPARE + MOST * t.file.stored:
        raise InputError(f"the node {node.label}: evaluates constants to many times what the file stores; evaluate "
                         "them when it is exported")
    t.set(node, np.asarray(found))
    return True


def _inputs(t: Translator, node: Node) -> list[np.ndarray]:
    return [t.constant(node, i, "input") for i, name in enumerate(node.inputs) if name]


def ints(t: Translator, node: Node, name: str, index: int) -> tuple[int, ...] | None:
    """Whole numbers that are an attribute in old opsets and an input in new ones."""
    if name in node.attributes:
        found = node.attributes[name]
        return tuple(found) if isinstance(found, list | tuple) else (int(found),)
    array = t.optional(node, index, name)
    return None if array is None else tuple(int(n) for n in np.asarray(array).reshape(-1))


def _binary(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[Translator, Node], np.ndarray]:
    def run(t: Translator, node: Node) -> np.ndarray:
        a, b = _inputs(t, node)
        _small(t, node, np.broadcast_shapes(a.shape, b.shape))
        return function(a, b)
    return run


def _small(t: Translator, node: Node, wanted: tuple[int, ...]) -> None:
    """Refuse, before it is made, an array that would be much larger than what the file stores."""
    most = SPARE + 4 * t.file.stored - t.evaluated
    if prod(int(n) for n in wanted) > most or min(wanted, default=0) < 0:
        raise InputError(f"the node {node.label}: makes a constant of shape {tuple(wanted)}, larger than the "
                         f"{max(most, 0):,} elements that are supported here")


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
    if kind not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.INT32, onnx.TensorProto.INT64):
        raise node.fail("converts a constant to a type that is not supported; use float32")
    return t.constant(node, 0, "input").astype(onnx.helper.tensor_dtype_to_np_dtype(kind))


def _concat(t: Translator, node: Node) -> np.ndarray:
    parts = _inputs(t, node)
    _small(t, node, (sum(part.size for part in parts),))
    return np.concatenate(parts, node.attributes["axis"])


def _gather(t: Translator, node: Node) -> np.ndarray:
    data, index = _inputs(t, node)
    axis = node.attributes.get("axis", 0)
    _small(t, node, (*data.shape[:axis], *index.shape, *data.shape[axis:][1:]))
    return np.take(data, index.astype(np.int64), axis)


def _slice(t: Translator, node: Node) -> np.ndarray:
    data = t.constant(node, 0, "input")
    starts, ends = ints(t, node, "starts", 1) or (), ints(t, node, "ends", 2) or ()
    axes = ints(t, node, "axes", 3) or tuple(range(len(starts)))
    steps = ints(t, node, "steps", 4) or (1,) * len(starts)
    cut: list[slice] = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut[axis] = slice(start, end, step)
    return data[tuple(cut)]


def _filled(t: Translator, node: Node) -> np.ndarray:
    wanted = tuple(int(n) for n in t.constant(node, 0, "shape"))
    _small(t, node, wanted)
    fill = t.attribute(node, "value").reshape(-1)[0] if "value" in node.attributes else np.float32(0)
    return np.full(wanted, fill)


def _expand(t: Translator, node: Node) -> np.ndarray:
    data, wanted = _inputs(t, node)
    shape = np.broadcast_shapes(data.shape, tuple(int(n) for n in wanted))
    _small(t, node, shape)
    return np.broadcast_to(data, shape)


FUNCTIONS: dict[str, Callable[[Translator, Node], np.ndarray]] = {
    "Identity": lambda t, node: t.constant(node, 0, "input"),
    "Transpose": lambda t, node: t.constant(node, 0, "input").transpose(node.attributes.get("perm")),
    "Reshape": _reshape, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Cast": _cast, "Concat": _concat,
    "Gather": _gather, "Slice": _slice, "ConstantOfShape": _filled, "Expand": _expand,
    "Add": _binary(np.add), "Sub": _binary(np.subtract), "Mul": _binary(np.multiply), "Div": _binary(_divide),
    "Sqrt": lambda t, node: np.sqrt(t.constant(node, 0, "input")),
    "Neg": lambda t, node: -t.constant(node, 0, "input"),
}
"""Each returns the array; numpy's own errors become one sentence that names the node."""
