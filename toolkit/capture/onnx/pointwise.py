"""Activations: clips, leaky slopes, and functions that become tables."""

from __future__ import annotations

import math

import numpy as np

from toolkit.capture.curve import Op
from toolkit.capture.onnx import elementwise
from toolkit.capture.onnx.file import Node
from toolkit.capture.onnx.steps import Clip, Extreme, Function, Slope
from toolkit.capture.onnx.translator import Handler, Translator
from toolkit.capture.onnx.values import Value
from toolkit.capture.onnx.weighted import affine, aligned, lying, negated, plus, same_order

SELU = 1.6732632, 1.0507010


def relu(t: Translator, node: Node) -> None:
    t.set(node, t.like(node, Clip, t.value(node, 0), low=0.0, high=math.inf))


def clip(t: Translator, node: Node) -> None:
    """Bounds are attributes up to opset 10 and inputs from 11 on."""
    bounds = []
    for place, name in ((1, "min"), (2, "max")):
        array = t.optional(node, place, "bound")
        bounds.append(float(node.attributes[name]) if name in node.attributes else
                      (-math.inf, math.inf)[place - 1] if array is None else _scalar(node, array))
    low, high = (b if abs(b) < 3e38 else math.copysign(math.inf, b) for b in bounds)
    _clipped(t, node, t.value(node, 0), low, high)


def bound(t: Translator, node: Node) -> None:
    """Min and Max with one constant; of two activations max(a, b) = b + relu(a - b)."""
    places = [i for i in range(len(node.inputs)) if isinstance(t.given(node, i), Value)]
    if len(places) == len(node.inputs) == 2:
        a, b = aligned(t, node, t.value(node, 0), t.value(node, 1))
        largest = node.operator == "Max"
        if elementwise.fused(t, node, elementwise.PAIRS[node.operator], (a, b), bent=True):
            return
        if not t.file.quantised:
            a, b = same_order(t, node, a, b)
            made = t.step(node, Extreme, (a, b), a.shape, least=not largest)
            t.set(node, Value(made.name, a.shape, a.axes, a.order))
            return
        apart = plus(t, node, *((a, negated(t, node, b)) if largest else (b, negated(t, node, a))))
        more = t.like(node, Clip, apart, low=0.0, high=math.inf)
        t.set(node, plus(t, node, b, more if largest else negated(t, node, more)))
        return
    if len(node.inputs) != 2 or len(places) != 1:
        raise node.fail("is supported with one activation and one constant")
    array, x = t.constant(node, 1 - places[0], "bound"), t.value(node, places[0])
    if array.size > 1 and (array != array.flat[0]).any():
        # max(x, c) = relu(x - c) + c, and min(x, c) = c - relu(c - x).
        sign, bounds = (1.0 if node.operator == "Max" else -1.0), array.astype(np.float64)
        over = affine(t, node, x, np.full(1, sign), -sign * bounds)
        t.set(node, affine(t, node, t.like(node, Clip, over, low=0.0, high=math.inf), np.full(1, sign), bounds))
        return
    limit = float(array.flat[0])
    low, high = (limit, math.inf) if node.operator == "Max" else (-math.inf, limit)
    _clipped(t, node, x, low, high)


def _clipped(t: Translator, node: Node, x: Value, low: float, high: float) -> None:
    if not low < high:
        raise node.fail(f"its bounds {low:g}..{high:g} leave nothing")
    t.set(node, x if (low, high) == (-math.inf, math.inf) else t.like(node, Clip, x, low=low, high=high))


def _scalar(node: Node, array: np.ndarray) -> float:
    if array.size != 1:
        raise node.fail(f"a bound of shape {array.shape}; one number is supported")
    return float(array.reshape(()))


def leaky(t: Translator, node: Node) -> None:
    t.set(node, t.like(node, Function, t.value(node, 0), function="leaky",
                       alpha=float(node.attributes.get("alpha", 0.01))))


def prelu(t: Translator, node: Node) -> None:
    slopes, x = t.constant(node, 1, "slope").astype(np.float64), t.value(node, 0)
    if not slopes.size:
        raise node.fail("has no slope")
    if (slopes == slopes.flat[0]).all():
        if t.file.quantised:
            t.set(node, t.like(node, Function, x, function="leaky", alpha=float(slopes.flat[0])))
        else:
            t.set(node, t.like(node, Slope, x, slopes=slopes.reshape(-1)[:1]))
        return
    if t.file.opset < 7 and slopes.ndim == 1 and len(x.seen) > 1:
        slopes = slopes.reshape(-1, *(1,) * (len(x.seen) - 1))  # of the channels, wherever they stand
    t.set(node, t.like(node, Slope, x, slopes=lying(node, x, slopes)))


def hard_sigmoid(t: Translator, node: Node) -> None:
    """clip(alpha * x + beta, 0, 1). PyTorch's slope is 1/6; another one is taken into the weights before it, unless
    they are quantised and the function becomes a table as it is."""
    alpha, beta = (float(node.attributes.get(key, default)) for key, default in (("alpha", 0.2), ("beta", 0.5)))
    x = t.value(node, 0)
    if abs(beta - 0.5) > 1e-6 or not alpha > 0:
        elementwise.put(t, node, x, Op("affine", (0,), (alpha, beta)), Op("clamp", (1,), (0.0, 1.0)))
        return
    if not t.file.quantised and abs(alpha - 1 / 6) > 1e-4:
        x, alpha = affine(t, node, x, np.full(1, 6 * alpha), np.zeros(1)), 1 / 6
    t.set(node, t.like(node, Function, x, function="hardsigmoid", alpha=alpha))


def absolute(t: Translator, node: Node) -> None:
    """relu(x) + relu(-x)."""
    x = t.value(node, 0)
    if not t.file.quantised:
        t.set(node, t.like(node, Slope, x, slopes=np.full(1, -1.0)))
        return
    parts = [t.like(node, Clip, one, low=0.0, high=math.inf) for one in (x, negated(t, node, x))]
    t.set(node, plus(t, node, *parts))


def selu(t: Translator, node: Node) -> None:
    found = [float(node.attributes.get(key, default)) for key, default in zip(("alpha", "gamma"), SELU, strict=True)]
    if any(abs(a - b) > 1e-4 for a, b in zip(found, SELU, strict=True)):
        elementwise.put(t, node, t.value(node, 0), Op("elu", (0,), (found[0],)), Op("affine", (1,), (found[1], 0.0)))
        return
    t.set(node, t.like(node, Function, t.value(node, 0), function="selu"))


def celu(t: Translator, node: Node) -> None:
    """alpha * elu(x / alpha)."""
    alpha = float(node.attributes.get("alpha", 1.0))
    if not alpha > 0:
        raise node.fail(f"has an alpha of {alpha:g}; it must be positive")
    inner = affine(t, node, t.value(node, 0), np.full(1, 1 / alpha), np.zeros(1))
    made = t.like(node, Function, inner, function="elu", alpha=1.0)
    t.set(node, affine(t, node, made, np.full(1, alpha), np.zeros(1)))


def gelu(t: Translator, node: Node) -> None:
    kind = "gelu_tanh" if node.attributes.get("approximate", "none") == "tanh" else "gelu"
    t.set(node, t.like(node, Function, t.value(node, 0), function=kind))


def _function(name: str, default: float = 0.0) -> Handler:
    def run(t: Translator, node: Node) -> None:
        t.set(node, t.like(node, Function, t.value(node, 0), function=name,
                           alpha=float(node.attributes.get("alpha", default))))
    return run


HANDLERS: dict[str, Handler] = {
    **elementwise.HANDLERS,
    "Relu": relu, "Clip": clip, **dict.fromkeys(("Min", "Max"), bound), "LeakyRelu": leaky, "PRelu": prelu,
    "HardSigmoid": hard_sigmoid, "Abs": absolute, "Selu": selu, "Celu": celu, "Gelu": gelu,
    "Sigmoid": _function("sigmoid"), "Tanh": _function("tanh"),
    "HardSwish": _function("hardswish"), "Elu": _function("elu", 1.0), "Softplus": _function("softplus"),
    "Mish": _function("mish"), "Erf": _function("erf"),
}
