"""Operators over images: pools, padding, reductions over the spatial axes, nearest resizing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolkit.capture.onnx.constants import ints
from toolkit.capture.onnx.file import Node
from toolkit.capture.onnx.steps import Pool, Repeated, Reshaped
from toolkit.capture.onnx.translator import Handler, Translator
from toolkit.capture.onnx.values import Value
from toolkit.capture.onnx.window import window


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
    if mean and not counted:
        raise node.fail("leaves its padding out of the mean, so that it divides by another number at the edge; use "
                        "count_include_pad=1, or no padding")
    padding = found.padding
    if node.attributes.get("ceil_mode", 0):
        short = [-(n + sum(p) - (k - 1) * d - 1) % s for n, p, k, d, s in
                 zip(x.shape[1:], padding, found.kernel, found.dilation, found.stride, strict=True)]
        if mean and any(short):
            raise node.fail("its ceil_mode lets the last windows divide by another number; use ceil_mode=0")
        padding = tuple((a, b + more) for (a, b), more in zip(padding, short, strict=True))
        sides = [side for both in zip(*padding, strict=True) for side in both]
        longer = {**node.attributes, "pads": sides, "auto_pad": "NOTSET"}
        found = window(replace(node, attributes=longer), x.shape, kernel)
    t.set(node, t.step(node, Pool, (x,), (x.shape[0], *found.outputs), kind="mean" if mean else "max",
                       kernel=found.kernel, stride=found.stride, padding=padding, dilation=found.dilation))


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
    """ReduceMean and ReduceMax over spatial axes, wherever ONNX sees them."""
    x = t.value(node, 0)
    rank = len(x.seen) + 1
    axes = tuple(a % rank for a in ints(t, node, "axes", 1) or range(rank))
    if 0 in axes or len(x.shape) not in (2, 3) or any(x.axes[a - 1] == 0 for a in axes) or x.order is not None:
        raise node.fail(f"reduces axes {axes} of a sample of shape {x.seen}; spatial axes are supported")
    along = tuple(any(x.axes[a - 1] == i for a in axes) for i in range(1, len(x.shape)))
    _reduced(t, node, x, along, "mean" if node.operator == "ReduceMean" else "max", node.attributes.get("keepdims", 1))


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
    **dict.fromkeys(("ReduceMean", "ReduceMax"), reduce), "Pad": pad, **dict.fromkeys(("Resize", "Upsample"), resize),
}
