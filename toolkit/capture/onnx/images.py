"""Operators over images: pools, padding, reductions over the spatial axes, nearest resizing."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from toolkit.capture.onnx.file import Node
from toolkit.capture.onnx.moving import ints, taken
from toolkit.capture.onnx.shaping import reshaped
from toolkit.capture.onnx.steps import Largest, Pool, Repeated, Reshaped
from toolkit.capture.onnx.translator import Handler, Translator
from toolkit.capture.onnx.values import Value
from toolkit.capture.onnx.weighted import affine, negated
from toolkit.capture.onnx.window import Found, window


def pool(t: Translator, node: Node) -> None:
    """MaxPool and AveragePool."""
    if len(node.outputs) > 1 and any(t.file.users.get(o) for o in node.outputs[1:]):
        raise node.fail("outputs the indices of its maxima, which have no hardware here")
    x = t.value(node, 0)
    mean = node.operator == "AveragePool"
    pads, x = x.pads, _image(t, node, replace(x, pads=None))
    kernel = tuple(node.attributes.get("kernel_shape", ()))
    found = window(node, x.shape, kernel, pads)
    counted = node.attributes.get("count_include_pad", 0) or not any(sum(p) for p in
                                                                     window(node, x.shape, kernel).padding)
    padding = found.padding
    ceil = bool(node.attributes.get("ceil_mode", 0))
    if mean and (ceil or not counted) and not t.file.quantised and not pads and all(p == q for p, q in padding):
        outputs = found.outputs
        if ceil:
            outputs = tuple(_ceiled(n, k, s, p[0]) for n, k, s, p in zip(x.shape[1:], found.kernel, found.stride,
                                                                      padding, strict=True))
        if max(found.dilation) == 1:
            t.set(node, t.step(node, Pool, (x,), (x.shape[0], *outputs), kind="mean", kernel=found.kernel,
                               stride=found.stride, padding=padding, dilation=found.dilation, counted=bool(counted),
                               ceil=ceil))
            return
    if ceil:
        short = [-(n + sum(p) - (k - 1) * d - 1) % s for n, p, k, d, s in
                 zip(x.shape[1:], padding, found.kernel, found.dilation, found.stride, strict=True)]
        if mean and any(short):
            raise node.fail("its ceil_mode lets the last windows divide by another number; use ceil_mode=0")
        padding = tuple((a, b + more) for (a, b), more in zip(padding, short, strict=True))
        sides = [side for both in zip(*padding, strict=True) for side in both]
        longer = {**node.attributes, "pads": sides, "auto_pad": "NOTSET"}
        found = window(replace(node, attributes=longer), x.shape, kernel)
    made = t.step(node, Pool, (x,), (x.shape[0], *found.outputs), kind="mean" if mean else "max",
                  kernel=found.kernel, stride=found.stride, padding=padding, dilation=found.dilation)
    if mean and not counted:
        made = affine(t, node, made, _fewer(x.shape, found, pads), np.zeros(1))
    t.set(node, made)


def _ceiled(size: int, kernel: int, stride: int, pad: int) -> int:
    """Windows along an axis where the last may reach beyond the padding, but not begin there."""
    count = -(-(size + 2 * pad - kernel) // stride) + 1
    return count - ((count - 1) * stride >= size + pad)


def _fewer(shape: tuple[int, ...], found: Found, pads: tuple[tuple[int, int], ...] | None) -> np.ndarray:
    """What makes a mean over a window one over those of its elements that are not its own padding; zeros that a Pad
    has put there count."""
    counts = np.ones(())
    for axis, (n, k, s, d, padding) in enumerate(zip(shape[1:], found.kernel, found.stride, found.dilation,
                                                     found.padding, strict=True)):
        more = pads[axis] if pads else (0, 0)
        starts = np.arange(found.outputs[axis]) * s - padding[0]
        places = starts[:, None] + np.arange(k) * d
        inside = ((places >= -more[0]) & (places < n + more[1])).sum(axis=1)
        counts = counts[..., None] * (k / np.maximum(inside, 1))
    return np.asarray(counts[None])


def _image(t: Translator, node: Node, x: Value) -> Value:
    x = t.plain(node, x)
    if len(x.shape) not in (2, 3):
        raise node.fail(f"takes (channels, length) or (channels, height, width), not a sample of shape {x.shape}")
    return x


def whole(t: Translator, node: Node) -> None:
    """GlobalAveragePool and GlobalMaxPool."""
    x = _image(t, node, t.value(node, 0))
    _reduced(t, node, x, (True,) * (len(x.shape) - 1), "mean" if "Average" in node.operator else "max", True)


def reduce(t: Translator, node: Node) -> None:
    """ReduceMean, ReduceSum, ReduceMax and ReduceMin, over any axes of a sample."""
    x = t.value(node, 0)
    rank = len(x.seen) + 1
    given = ints(t, node, "axes", 1)
    if not given and node.attributes.get("noop_with_empty_axes", 0):
        t.set(node, x)
        return
    axes = tuple(a + rank if a < 0 else a for a in given or range(rank))
    if not all(0 < a < rank for a in axes) or len(set(axes)) != len(axes):
        raise node.fail(f"reduces axes {axes} of a sample of shape {x.seen}; the axes behind the batch are supported")
    keep = node.attributes.get("keepdims", 1)
    kind = "max" if node.operator in ("ReduceMax", "ReduceMin") else \
        "sum" if node.operator == "ReduceSum" and not t.file.quantised else "mean"
    if node.operator == "ReduceMin":
        x = negated(t, node, x)
    if len(x.shape) in (2, 3) and all(x.axes[a - 1] != 0 for a in axes):
        along = tuple(any(x.axes[a - 1] == i for a in axes) for i in range(1, len(x.shape)))
        _reduced(t, node, x, along, kind, keep)
    else:
        _rows(t, node, x, tuple(a - 1 for a in axes), kind, keep)
    made = t.values[node.outputs[0]]
    if node.operator == "ReduceSum" and kind == "mean":
        t.set(node, affine(t, node, made, np.full(1, float(x.size // made.size)), np.zeros(1)))
    elif node.operator == "ReduceMin":
        t.set(node, negated(t, node, made))


def top(t: Translator, node: Node) -> None:
    """TopK of the one largest: its value, and its index at the end."""
    count = node.attributes.get("k") or int(t.constant(node, 1, "k").reshape(()))
    x = t.value(node, 0)
    rank = len(x.seen) + 1
    axis = node.attributes.get("axis", -1) % rank
    if count != 1 or axis == 0:
        raise node.fail(f"takes the {count} largest along axis {axis}; the one largest (k of 1) of a sample is "
                        "supported")
    if not node.attributes.get("largest", 1):
        x = negated(t, node, x)
    values, indices = ([*node.outputs, "", ""])[:2]
    if indices and (t.file.users.get(indices) or indices in t.file.outputs):
        if len(x.seen) != 1 or any(u.operator not in ("Cast", "Identity", "Squeeze", "Reshape", "Flatten")
                                   for u in t.file.users.get(indices, [])):
            raise node.fail("its index is supported over the features of (batch, features), at the end")
        t.set(node, t.step(node, Largest, (t.plain(node, x),), (1,)), 1)
    if values and (t.file.users.get(values) or values in t.file.outputs):
        _rows(t, node, x, (axis - 1,), "max", 1)
        if not node.attributes.get("largest", 1):
            t.set(node, negated(t, node, t.values[values]))


def _rows(t: Translator, node: Node, x: Value, axes: tuple[int, ...], kind: str, keep: int) -> None:
    """A reduction of axes among which the channels are: they become the length of a signal, the others its channels."""
    kept = [i for i in range(len(x.seen)) if i not in axes]
    shape = prod(x.seen[i] for i in kept), prod(x.seen[i] for i in axes)
    rows = taken(t, node, x, np.arange(x.size).reshape(x.seen).transpose(*kept, *axes).reshape(shape))
    made = t.step(node, Pool, (t.plain(node, rows),), (shape[0], 1), kind=kind, kernel=shape[1:], stride=(1,),
                  padding=((0, 0),), dilation=(1,))
    wanted = tuple(1 if i in axes else n for i, n in enumerate(x.seen) if keep or i not in axes)
    reshaped(t, node, made, wanted)


def _reduced(t: Translator, node: Node, x: Value, along: tuple[bool, ...], kind: str, keep: int) -> None:
    kernel = tuple(n if a else 1 for n, a in zip(x.shape[1:], along, strict=True))
    shape = (x.shape[0], *(n // k for n, k in zip(x.shape[1:], kernel, strict=True)))
    ones = (1,) * len(kernel)
    made = t.step(node, Pool, (x,), shape, kind=kind, kernel=kernel, stride=ones, padding=((0, 0),) * len(kernel),
                  dilation=ones)
    made = Value(made.name, shape, x.axes)
    if keep:
        t.set(node, made)
        return
    kept = tuple(n for n, a in zip(x.axes, [not (a and along[a - 1]) for a in x.axes], strict=True) if a)
    if len(kept) == 1:
        t.set(node, t.vector(node, made))
    else:
        lies = sorted(kept)
        smaller = t.step(node, Reshaped, (made,), tuple(shape[a] for a in lies))
        t.set(node, Value(smaller.name, smaller.shape, tuple(lies.index(a) for a in kept)))


def pad(t: Translator, node: Node) -> None:
    """Zeros around an image, which the convolution or mean behind it takes as its own padding."""
    x = t.value(node, 0)
    if node.attributes.get("mode", "constant") != "constant":
        raise node.fail(f"pads by '{str(node.attributes['mode'])[:40]}'; only zeros are supported")
    fill = t.optional(node, 2, "padding value")
    if float(node.attributes.get("value", 0.0)) != 0 or (fill is not None and np.any(fill != 0)):
        raise node.fail("pads with another number than zero; only zeros are supported")
    pads = ints(t, node, "pads", 1) or ()
    rank = len(x.seen) + 1
    if t.optional(node, 3, "axes") is not None:
        given = ints(t, node, "axes", 3) or ()
        both = {a % rank: (p, q) for a, p, q in zip(given, pads[:len(given)], pads[len(given):], strict=True)}
        pads = tuple(both.get(a, (0, 0))[side] for side in (0, 1) for a in range(rank))
    if len(pads) != 2 * rank or min(pads) < 0 or max(pads) > 1 << 20:
        raise node.fail(f"pads by {pads}, which does not fit a sample of shape {x.seen}")
    sides = dict(zip(x.axes, zip(pads[1:rank], pads[rank + 1:], strict=True), strict=True))
    if pads[0] or pads[rank] or any(sides[0]) or len(x.shape) not in (2, 3) or x.order is not None:
        if not any(pads):
            t.set(node, x)
            return
        raise node.fail("pads the batch or the channels; the spatial axes of an image are supported")
    t.set(node, replace(x, pads=tuple(sides[a] for a in range(1, len(x.shape)))))


def resize(t: Translator, node: Node) -> None:
    """Resize and Upsample by whole factors, every pixel repeated."""
    a = node.attributes
    x = t.value(node, 0)
    if a.get("mode", "nearest") != "nearest":
        raise node.fail(f"resizes by '{str(a['mode'])[:40]}'; only nearest is supported")
    if "scales" in a:
        scales = np.array(a["scales"], np.float64)
    else:
        place = 1 if node.operator == "Upsample" or t.file.opset < 11 else 2
        found = t.optional(node, place, "scales")
        sizes = t.optional(node, 3, "sizes")
        if (found is None or not found.size) and sizes is not None:
            seen = np.array(x.seen, np.float64)
            scales = np.array([1.0, *(sizes.reshape(-1)[1:] / seen)]) if sizes.size == len(seen) + 1 else np.zeros(0)
        else:
            scales = np.zeros(0) if found is None else found.astype(np.float64).reshape(-1)
    if scales.shape != (len(x.seen) + 1,) or (scales != np.rint(scales)).any() or scales.min() < 1 \
            or scales.max() > 1 << 12 or scales[0] != 1:
        raise node.fail("is supported by whole factors of the spatial axes alone")
    factors = dict(zip(x.axes, (int(s) for s in scales[1:]), strict=True))
    if factors[0] != 1 or len(x.shape) not in (2, 3) or x.order is not None:
        raise node.fail("is supported by whole factors of the spatial axes alone")
    how = a.get("coordinate_transformation_mode", "half_pixel" if t.file.opset >= 11 else "asymmetric")
    rounding = a.get("nearest_mode", "round_prefer_floor" if t.file.opset >= 11 else "floor")
    if (how, rounding) not in (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"),
                               ("half_pixel", "round_prefer_ceil"), ("half_pixel_symmetric", "round_prefer_floor")):
        raise node.fail(f"its nearest pixel ({how[:30]}, {rounding[:30]}) is not the one that repeats every pixel; use "
                        "asymmetric and floor")
    scale = tuple(factors[i] for i in range(1, len(x.shape)))
    shape = (x.shape[0], *(n * s for n, s in zip(x.shape[1:], scale, strict=True)))
    made = t.step(node, Repeated, (x,), shape, scale=scale)
    t.set(node, Value(made.name, shape, x.axes))


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("MaxPool", "AveragePool"), pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), whole),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"), reduce), "Pad": pad,
    **dict.fromkeys(("Resize", "Upsample"), resize), "TopK": top,
}
