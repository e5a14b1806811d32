"""Operators that move elements by constants: Slice, Split, Gather, Expand and similar, of constants and activations.

Of an activation each is run once on the places of the elements instead of on numbers: what comes out says which element
stands where.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from toolkit.capture.onnx.file import Node
from toolkit.capture.onnx.steps import Picked
from toolkit.capture.onnx.translator import Handler, Translator
from toolkit.capture.onnx.values import Value
from toolkit.utils.errors import InputError
from toolkit.utils.limits import MAX_VALUE

SPARE = 1 << 22
"""Elements that all evaluated constants may have beyond four times those that the file stores."""
SAMPLES = 2
"""Of the batch that is moved to see what an operator does with it."""
MIXES = "mixes samples of the batch; what moves elements within a sample, by constants, is supported"


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """The elements of `source` while the batch does not stand in front: `places` of two samples."""

    source: Value
    places: np.ndarray


def ints(t: Translator, node: Node, name: str, index: int) -> tuple[int, ...] | None:
    """Whole numbers that are an attribute in old opsets and an input in new ones."""
    if name in node.attributes:
        found = node.attributes[name]
        return tuple(found) if isinstance(found, list | tuple) else (int(found),)
    array = t.optional(node, index, name)
    return None if array is None else tuple(int(n) for n in np.asarray(array).reshape(-1))


def small(t: Translator, node: Node, wanted: tuple[int, ...]) -> None:
    """Refuse, before it is made, an array that would be much larger than what the file stores."""
    most = max(SPARE + 4 * t.file.stored - t.evaluated, SAMPLES * MAX_VALUE if not t.all_constant(node) else 0)
    if prod(int(n) for n in wanted) > most or min(wanted, default=0) < 0:
        raise InputError(f"the node {node.label}: makes a constant of shape {tuple(wanted)}, larger than the "
                         f"{max(most, 0):,} elements that are supported here")


def _slice(t: Translator, node: Node, data: np.ndarray) -> list[np.ndarray]:
    starts, ends = ints(t, node, "starts", 1) or (), ints(t, node, "ends", 2) or ()
    axes = ints(t, node, "axes", 3) or tuple(range(len(starts)))
    steps = ints(t, node, "steps", 4) or (1,) * len(starts)
    cut: list[slice] = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # Backwards, an end before the first element is not the last one, as Python has it.
        cut[axis] = slice(start, None if step < 0 and end < -data.shape[axis] else end, step)
    return [data[tuple(cut)]]


def _split(t: Translator, node: Node, data: np.ndarray) -> list[np.ndarray]:
    axis, count = node.attributes.get("axis", 0), len(node.outputs)
    sizes = ints(t, node, "split", 1)
    if sizes is None:
        each = -(-data.shape[axis] // count)
        sizes = (each,) * (count - 1) + (data.shape[axis] - each * (count - 1),)
    if len(sizes) != count or sum(sizes) != data.shape[axis] or min(sizes) < 0:
        raise node.fail(f"splits {data.shape[axis]} elements into {sizes[:20]} for {count} outputs")
    return np.split(data, np.cumsum(sizes)[:-1], axis)


def _gather(t: Translator, node: Node, data: np.ndarray) -> list[np.ndarray]:
    index = t.constant(node, 1, "index")
    axis = node.attributes.get("axis", 0)
    axis += data.ndim if axis < 0 else 0
    small(t, node, (*data.shape[:axis], *index.shape, *data.shape[axis:][1:]))
    return [np.take(data, index.astype(np.int64), axis)]


def _gather_nd(t: Translator, node: Node, data: np.ndarray) -> list[np.ndarray]:
    index = t.constant(node, 1, "index").astype(np.int64)
    if node.attributes.get("batch_dims", 0):
        raise node.fail("gathers with batch_dims, which is not supported")
    small(t, node, (*index.shape[:-1], *data.shape[index.shape[-1]:]))
    return [data[tuple(np.moveaxis(index, -1, 0))]]


def _expand(t: Translator, node: Node, data: np.ndarray) -> list[np.ndarray]:
    wanted = [int(n) for n in t.constant(node, 1, "shape")]
    if not t.all_constant(node) and len(wanted) == data.ndim and wanted[0] in (0, t.file.batch):
        wanted[0] = 1  # the batch, which stays what it is
    shape = np.broadcast_shapes(data.shape, tuple(wanted))
    small(t, node, shape)
    return [np.broadcast_to(data, shape)]


def _tile(t: Translator, node: Node, data: np.ndarray) -> list[np.ndarray]:
    repeats = [int(n) for n in t.constant(node, 1, "repeats")]
    if len(repeats) != data.ndim:
        raise node.fail(f"repeats {data.ndim} axes by {repeats[:20]}")
    small(t, node, tuple(n * r for n, r in zip(data.shape, repeats, strict=True)))
    return [np.tile(data, repeats)]


def _depth_to_space(t: Translator, node: Node, data: np.ndarray) -> list[np.ndarray]:
    b = node.attributes["blocksize"]
    n, c, h, w = data.shape
    crd = node.attributes.get("mode", "DCR") == "CRD"
    parts = data.reshape((n, c // b**2, b, b, h, w) if crd else (n, b, b, c // b**2, h, w))
    return [parts.transpose((0, 1, 4, 2, 5, 3) if crd else (0, 3, 4, 1, 5, 2)).reshape(n, c // b**2, h * b, w * b)]


def _space_to_depth(t: Translator, node: Node, data: np.ndarray) -> list[np.ndarray]:
    b = node.attributes["blocksize"]
    n, c, h, w = data.shape
    parts = data.reshape(n, c, h // b, b, w // b, b)
    return [parts.transpose(0, 3, 5, 1, 2, 4).reshape(n, c * b * b, h // b, w // b)]


def _transpose(t: Translator, node: Node, data: np.ndarray) -> list[np.ndarray]:
    return [data.transpose(node.attributes.get("perm"))]


MOVES: dict[str, Callable[[Translator, Node, np.ndarray], list[np.ndarray]]] = {
    "Slice": _slice, "Split": _split, "Gather": _gather, "GatherND": _gather_nd, "Expand": _expand, "Tile": _tile,
    "DepthToSpace": _depth_to_space, "SpaceToDepth": _space_to_depth, "Transpose": _transpose,
}
"""(translator, node, input 0) to the arrays that the node makes."""


def moved(t: Translator, node: Node) -> None:
    """An activation through one of them."""
    given = t.given(node, 0)
    if isinstance(given, Elsewhere):
        x, places = given.source, given.places
    else:
        x = t.value(node, 0)
        places = np.arange(SAMPLES * x.size).reshape(SAMPLES, *x.seen)
    for output, part in enumerate(MOVES[node.operator](t, node, places)):
        if output < len(node.outputs) and node.outputs[output]:
            front = part.ndim > 0 and len(part) == SAMPLES and part.size and np.array_equal(part[1], part[0] + x.size)
            if front:
                t.set(node, taken(t, node, x, part[0]), output)
            elif node.operator == "Transpose" or isinstance(given, Elsewhere):
                t.values[node.outputs[output]] = Elsewhere(x, part)
            else:
                raise node.fail(MIXES)


def taken(t: Translator, node: Node, x: Value, places: np.ndarray) -> Value:
    """Elements of `x` by their places in what ONNX sees of it, seen in the shape of `places`."""
    if places.size == x.size and np.array_equal(places.reshape(-1), np.arange(x.size)) and places.shape == x.seen:
        return x
    order = x.flat_order()
    axes = tuple(range(places.ndim))
    if places.ndim == len(x.axes) and x.order is None:
        axes, places = x.axes, places.transpose(np.argsort(x.axes))  # it lies as what it was taken from
    index = places.reshape(-1) if order is None else order[places.reshape(-1)]
    if places.ndim == 0:
        return Value(t.step(node, Picked, (x,), (1,), index=index).name, (1,), ())
    return Value(t.step(node, Picked, (x,), places.shape, index=index).name, places.shape, axes)


HANDLERS: dict[str, Handler] = dict.fromkeys((k for k in MOVES if k != "Transpose"), moved)
