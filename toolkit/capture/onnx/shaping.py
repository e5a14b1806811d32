"""Operators that move no number but its place: Transpose, Reshape and similar, Concat, and those that do nothing."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx

from toolkit.capture.onnx import moving
from toolkit.capture.onnx.file import Node
from toolkit.capture.onnx.moving import ints
from toolkit.capture.onnx.steps import Join, Largest, Reshaped
from toolkit.capture.onnx.tensors import shown
from toolkit.capture.onnx.translator import Handler, Translator
from toolkit.capture.onnx.values import Value


def same(t: Translator, node: Node) -> None:
    """Identity, and Dropout in evaluation mode."""
    t.set(node, t.value(node, 0))


def cast(t: Translator, node: Node) -> None:
    """A Cast between floats."""
    if node.attributes.get("to") not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
        raise node.fail("converts an activation to another type than float32; export the model in float32")
    same(t, node)


def transpose(t: Translator, node: Node) -> None:
    """Nothing moves: ONNX only sees the value under other axes. A batch that moves must come back."""
    if isinstance(t.given(node, 0), moving.Elsewhere):
        moving.moved(t, node)
        return
    x = t.value(node, 0)
    rank = len(x.seen) + 1
    perm = tuple(node.attributes.get("perm", range(rank)[::-1]))
    if sorted(perm) != list(range(rank)):
        raise node.fail(f"transposes by {perm}, which does not fit a sample of shape {x.seen}")
    if perm[0] != 0:
        moving.moved(t, node)
        return
    t.set(node, Value(x.name, x.shape, tuple(x.axes[p - 1] for p in perm[1:]), x.order))


def flatten(t: Translator, node: Node) -> None:
    """All features of a sample in one row; axis 0 does so where the batch is one."""
    x = t.value(node, 0)
    axis = node.attributes.get("axis", 1)
    axis += len(x.seen) + 1 if axis < 0 else 0
    if not 0 <= axis <= len(x.seen) + 1 or (t.file.batch != 1 if axis == 0 else prod(x.seen[:axis - 1]) != 1):
        raise node.fail(f"flattens from axis {axis}, which mixes samples; flatten what follows the batch")
    t.set(node, t.vector(node, x))


def reshape(t: Translator, node: Node) -> None:
    """A new shape of each sample; the batch stays in front."""
    x = t.value(node, 0)
    wanted = [int(n) for n in (node.attributes["shape"] if "shape" in node.attributes
                               else t.constant(node, 1, "shape").reshape(-1))]
    if node.attributes.get("allowzero", 0) and 0 in wanted[1:]:
        raise node.fail("its shape holds a 0 that stands for nothing (allowzero)")
    if len(wanted) == 1 and x.size == 1 and wanted[0] in (-1, 0, t.file.batch):
        _one(t, node, x)
        return
    before = (None, *x.seen)
    if any(n == 0 and i >= len(before) for i, n in enumerate(wanted)) or min(wanted, default=0) < -1:
        raise node.fail(f"the shape {wanted} does not fit a sample of shape {x.seen}")
    rest = [before[i] if n == 0 else n for i, n in enumerate(wanted) if i]
    known = prod(n for n in rest if n != -1 and n is not None)
    if rest.count(-1) == 1 and known and x.size % known == 0:
        rest = [x.size // known if n == -1 else n for n in rest]
    batch = wanted[0] if wanted else 1
    if not rest or prod(n or 0 for n in rest) != x.size or -1 in rest or batch not in (-1, 0, 1, t.file.batch):
        raise node.fail(f"reshapes a sample of shape {x.seen} to {wanted[1:]}, which does not keep the batch in front "
                        "or the number of elements")
    reshaped(t, node, x, tuple(int(n) for n in rest if n is not None))


def squeeze(t: Translator, node: Node) -> None:
    """Axes of one element are dropped."""
    x = t.value(node, 0)
    axes = ints(t, node, "axes", 1)
    rank = len(x.seen) + 1
    if axes is None:
        axes = tuple(i + 1 for i, n in enumerate(x.seen) if n == 1)
    axes = tuple(a % rank for a in axes)
    if 0 in axes or any(x.seen[a - 1] != 1 for a in axes):
        raise node.fail(f"squeezes axes {axes} of a sample of shape {x.seen}, which are the batch or hold more than "
                        "one element")
    kept = tuple(n for i, n in enumerate(x.seen) if i + 1 not in axes)
    reshaped(t, node, x, kept)


def unsqueeze(t: Translator, node: Node) -> None:
    """Axes of one element are put in."""
    x = t.value(node, 0)
    axes = ints(t, node, "axes", 1) or ()
    rank = len(x.seen) + 1 + len(axes)
    axes = tuple(a % rank for a in axes)
    if 0 in axes or len(set(axes)) != len(axes):
        raise node.fail(f"puts axes {axes} in, the batch's own place among them")
    seen = iter(x.seen)
    reshaped(t, node, x, tuple(1 if i in axes else next(seen) for i in range(1, rank)))


def _one(t: Translator, node: Node, x: Value) -> None:
    """One number a sample, without an axis of its own."""
    t.set(node, Value(t.vector(node, x).name, (1,), ()))


def reshaped(t: Translator, node: Node, x: Value, wanted: tuple[int, ...]) -> None:
    """`x` seen as `wanted`. Where only axes of one element come or go, no element moves."""
    if wanted == x.seen:
        t.set(node, x)
    elif not wanted:
        _one(t, node, x)
    elif len(wanted) == 1:
        t.set(node, t.vector(node, x))
    elif x.order is None and (axes := _refitted(x, wanted)) is not None:
        shape = [0] * len(wanted)
        for i, a in enumerate(axes):
            shape[a] = wanted[i]
        made = t.step(node, Reshaped, (x,), tuple(shape))
        t.set(node, Value(made.name, made.shape, axes))
    else:
        x = t.plain(node, x)
        t.set(node, t.step(node, Reshaped, (x,), wanted))


def _refitted(x: Value, wanted: tuple[int, ...]) -> tuple[int, ...] | None:
    """Axes for a shape that differs from what is seen of `x` in axes of one element alone, such that the others lie
    in the order in which they do; None where it differs in more."""
    if [n for n in wanted if n > 1] != [n for n in x.seen if n > 1]:
        return None
    lying = [x.axes[i] for i, n in enumerate(x.seen) if n > 1]  # of each larger axis that is seen, where it lies
    ranks = {a: r for r, a in enumerate(sorted(lying))}
    large = [i for i, n in enumerate(wanted) if n > 1]
    if lying == sorted(lying):
        return tuple(range(len(wanted)))
    # The larger axes that are seen take the places of the larger axes, in the order in which they lie.
    places = {i: large[ranks[a]] for i, a in zip(large, lying, strict=True)}
    return tuple(places.get(i, i) for i in range(len(wanted)))


def concat(t: Translator, node: Node) -> None:
    """Activations joined along one axis."""
    parts = [t.value(node, i) for i in range(len(node.inputs))]
    rank = len(parts[0].seen)
    axis = node.attributes["axis"]
    axis += rank + 1 if axis < 0 else 0
    if not 1 <= axis <= rank:
        raise node.fail("concatenates samples of the batch; a feature or channel axis is supported")
    if any(len(p.seen) != rank or p.seen[:axis - 1] + p.seen[axis:] != parts[0].seen[:axis - 1] + parts[0].seen[axis:]
           for p in parts):
        raise node.fail(f"concatenates shapes {', '.join(str(p.seen) for p in parts)}, which differ beside that axis")
    if len(parts) == 1:
        t.set(node, parts[0])
        return
    if len({p.axes for p in parts}) > 1:
        parts = [t.plain(node, p) for p in parts]
    axes = parts[0].axes
    lies = axes[axis - 1]
    total = sum(p.shape[lies] for p in parts)
    shape = tuple(total if a == lies else n for a, n in enumerate(parts[0].shape))
    order = None
    if any(p.order is not None for p in parts):
        starts = np.cumsum([0, *(p.size for p in parts)])
        order = np.concatenate([s + (np.arange(p.size) if p.order is None else p.order)
                                for s, p in zip(starts, parts, strict=False)])
    made = t.step(node, Join, tuple(parts), shape, axis=lies)
    t.set(node, Value(made.name, shape, axes, order))


def softmax(t: Translator, node: Node) -> None:
    """A softmax at the end is left out, where it does not move the argmax over the classes."""
    behind = list(t.file.users.get(node.outputs[0], []))
    for user in behind:
        if user.operator in ("Quant", "QuantizeLinear", "DequantizeLinear"):
            behind += t.file.users.get(user.outputs[0], [])
            t.left_out.update(user.outputs)
        elif user.operator not in ("ArgMax", "Identity"):
            raise node.fail("is only supported at the end, where it is left out")
    x = t.value(node, 0)
    rank = len(x.seen) + 1
    axis = node.attributes.get("axis", -1 if t.file.opset >= 13 else 1)
    axis += rank if axis < 0 else 0
    # Up to opset 12 it is over all axes from that one on; later over that one alone.
    over = x.seen[axis - 1:axis] if t.file.opset >= 13 else x.seen[axis - 1:]
    if axis < 1 or (axis != 1 and prod(over) != x.size):
        raise node.fail(f"over axis {axis} of a sample of shape {x.seen} moves the argmax; only a softmax over the "
                        "features or channels (axis 1) does not, and is left out at the end")
    of = f" of the output {shown(node.outputs[0])}" if len(t.file.outputs) > 1 else ""
    t.notes.append(f"the final {node.operator.lower()}{of} is left out: it does not move the argmax")
    t.set(node, x)


def argmax(t: Translator, node: Node) -> None:
    """The index of the largest feature, at the end."""
    x = t.value(node, 0)
    axis = node.attributes.get("axis", 0)
    axis += len(x.seen) + 1 if axis < 0 else 0
    if axis != 1 or len(x.seen) != 1 or node.attributes.get("select_last_index", 0):
        raise node.fail("is supported over the features of (batch, features), the first of equals winning")
    if any(u.operator not in ("Cast", "Identity", "Squeeze", "Reshape") for u in t.file.users.get(node.outputs[0], [])):
        raise node.fail("is only supported as the last operation")
    if len(t.file.outputs) > 1:
        raise node.fail("is only supported as a network's one output; of several outputs, give the scores")
    x = t.plain(node, x)
    t.set(node, t.step(node, Largest, (x,), (1,)))


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("Identity", "Dropout"), same), "Cast": cast, "Transpose": transpose, "Flatten": flatten,
    "Reshape": reshape, "Squeeze": squeeze, "Unsqueeze": unsqueeze, "Concat": concat,
    **dict.fromkeys(("Softmax", "LogSoftmax"), softmax), "ArgMax": argmax,
}
