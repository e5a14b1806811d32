"""Activations: clips, leaky slopes, and functions that become tables."""

from __future__ import annotations

import math

import numpy as np

from toolkit.capture.onnx.file import Node
from toolkit.capture.onnx.steps import Clip, Function
from toolkit.capture.onnx.translator import Handler, Translator
from toolkit.capture.onnx.values import Value
from toolkit.capture.onnx.weighted import affine, aligned, negated, plus

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
        apart = plus(t, node, *((a, negated(t, node, b)) if largest else (b, negated(t, node, a))))
        more = t.like(node, Clip, apart, low=0.0, high=math.inf)
        t.set(node, plus(t, node, b, more if largest else negated(t, node, more)))
        return
    if len(node.inputs) != 2 or len(places) != 1:
        raise node.fail("is supported with one activation and one constant")
    limit = _scalar(node, t.constant(node, 1 - places[0], "bound"))
    low, high = (limit, math.inf) if node.operator == "Max" else (-math.inf, limit)
    _clipped(t, node, t.value(node, places[0]), low, high)


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
    slopes = t.constant(node, 1, "slope")
    if slopes.size == 0 or (slopes != slopes.reshape(-1)[0]).any():
        raise node.fail("has a slope for each channel; one slope for all is supported")
    t.set(node, t.like(node, Function, t.value(node, 0), function="leaky", alpha=float(slopes.reshape(-1)[0])))


def hard_sigmoid(t: Translator, node: Node) -> None:
    """clip(alpha * x + beta, 0, 1). PyTorch's slope is 1/6; another one is taken into the weights before it, unless
    they are quantised and the function becomes a table as it is."""
    alpha, beta = (float(node.attributes.get(key, default)) for key, default in (("alpha", 0.2), ("beta", 0.5)))
    if abs(beta - 0.5) > 1e-6 or not alpha > 0:
        raise node.fail(f"is clip({alpha:g} * x + {beta:g}, 0, 1); a positive slope and an offset of 0.5 are supported")
    x = t.value(node, 0)
    if not t.file.quantised and abs(alpha - 1 / 6) > 1e-4:
        x, alpha = affine(t, node, x, np.full(1, 6 * alpha), np.zeros(1)), 1 / 6
    t.set(node, t.like(node, Function, x, function="hardsigmoid", alpha=alpha))


def absolute(t: Translator, node: Node) -> None:
    """relu(x) + relu(-x)."""
    x = t.value(node, 0)
    parts = [t.like(node, Clip, one, low=0.0, high=math.inf) for one in (x, negated(t, node, x))]
    t.set(node, plus(t, node, *parts))


def selu(t: Translator, node: Node) -> None:
    found = [float(node.attributes.get(key, default)) for key, default in zip(("alpha", "gamma"), SELU, strict=True)]
    if any(abs(a - b) > 1e-4 for a, b in zip(found, SELU, strict=True)):
        raise node.fail(f"has an alpha of {found[0]:g} and a gamma of {found[1]:g}; the usual ones are supported")
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


def power(t: Translator, node: Node) -> None:
    """A square; x**1 as well."""
    exponent = _scalar(node, t.constant(node, 1, "exponent"))
    if exponent not in (1, 2):
        raise node.fail(f"raises to the power {exponent:g}; squares are supported, and products of two activations")
    x = t.value(node, 0)
    t.set(node, x if exponent == 1 else t.like(node, Function, x, function="square"))


def _function(name: str, default: float = 0.0) -> Handler:
    def run(t: Translator, node: Node) -> None:
        t.set(node, t.like(node, Function, t.value(node, 0), function=name,
                           alpha=float(node.attributes.get("alpha", default))))
    return run


HANDLERS: dict[str, Handler] = {
    "Relu": relu, "Clip": clip, **dict.fromkeys(("Min", "Max"), bound), "LeakyRelu": leaky, "PRelu": prelu,
    "HardSigmoid": hard_sigmoid, "Pow": power, "Abs": absolute, "Selu": selu, "Celu": celu, "Gelu": gelu,
    "Sigmoid": _function("sigmoid"), "Tanh": _function("tanh"),
    "HardSwish": _function("hardswish"), "Elu": _function("elu", 1.0), "Softplus": _function("softplus"),
    "Mish": _function("mish"), "Erf": _function("erf"),
}
