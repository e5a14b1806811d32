"""Functions of one activation, element by element, and what several of them make of one and the same."""

from __future__ import annotations

import numpy as np

from toolkit.capture.curve import MOST, Op, joined
from toolkit.capture.onnx.file import Node
from toolkit.capture.onnx.steps import Affine, Clip, Elementwise, Function, Slope, Step
from toolkit.capture.onnx.translator import Handler, Translator
from toolkit.capture.onnx.values import Value

Ops = tuple[Op, ...]
PLAIN = {"Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Reciprocal": "reciprocal", "Sin": "sin", "Cos": "cos",
         "Tan": "tan", "Asin": "asin", "Acos": "acos", "Atan": "atan", "Sinh": "sinh", "Cosh": "cosh", "Asinh": "asinh",
         "Acosh": "acosh", "Atanh": "atanh", "Sign": "sign", "Floor": "floor", "Ceil": "ceil", "Round": "round"}
COMPARED = {"Greater": ("gt", "lt"), "GreaterOrEqual": ("ge", "le"), "Less": ("lt", "gt"), "LessOrEqual": ("le", "ge"),
            "Equal": ("eq", "eq")}
"""Comparisons with a number behind them, and with one before them."""
PAIRS = {"Mul": "mul", "Div": "div", "Add": "add", "Sub": "sub", "Max": "maximum", "Min": "minimum", "Pow": "pow"}
STRAIGHT = ("relu", "clamp", "leaky_relu", "affine", "abs", "neg", "add", "maximum", "minimum", "constant")
"""Of straight lines: they cost no table."""


def _ops(step: Step | None) -> Ops | None:
    """A step as functions of what it reads; None for one that is no function of single elements."""
    if isinstance(step, Elementwise):
        return step.ops
    if isinstance(step, Clip):
        return (Op("clamp", (0,), (step.low, step.high)),)
    if isinstance(step, Affine) and np.ptp(step.scale) == 0 and np.ptp(step.offset) == 0:
        return (Op("affine", (0,), (float(step.scale.flat[0]), float(step.offset.flat[0]))),)
    if isinstance(step, Slope) and np.ptp(step.slopes) == 0:
        return (Op("leaky_relu", (0,), (float(step.slopes.flat[0]),)),)
    if isinstance(step, Function):
        numbers = {"leaky": ("leaky_relu", (step.alpha,)), "elu": ("elu", (step.alpha,)), "softplus": (
            "softplus", (1.0, 20.0))}.get(step.function, (step.function, ()))
        return None if step.function == "hardsigmoid" and abs(step.alpha - 1 / 6) > 1e-4 else (
            Op(numbers[0], (0,), numbers[1]),)
    return None


def of(t: Translator, x: Value) -> tuple[str, Ops]:
    """What a value is a function of, and that function."""
    chain: list[Ops] = []
    name = x.name
    while (found := _ops(t.made.get(name))) is not None and sum(map(len, chain)) < MOST // 2:
        chain.append(found)
        name = t.made[name].inputs[0]
    ops: Ops = ()
    for found in reversed(chain):
        start = len(ops)
        ops += tuple(Op(op.name, tuple(start if i == 0 else start + i for i in op.reads), op.numbers) for op in found)
    return name, ops


def number(t: Translator, node: Node, index: int) -> float | None:
    """An input that is a constant of one and the same number everywhere."""
    given = t.given(node, index)
    return float(given.flat[0]) if isinstance(given, np.ndarray) and given.size and (given == given.flat[0]).all() \
        else None


def fused(t: Translator, node: Node, name: str, operands: tuple[Value | float, ...], bent: bool = False) -> bool:
    """Let a node be a function of operands that are functions of one activation. False where they are not; with `bent`
    also where none of them is a table's already."""
    found = [of(t, v) if isinstance(v, Value) else v for v in operands]
    like = next(v for v in operands if isinstance(v, Value))
    parts = [f[1] if isinstance(f, tuple) else (Op("constant", (0,), (f,)),) for f in found]
    alike = all(v.shape == like.shape and v.axes == like.axes and (v.order is like.order)
                for v in operands if isinstance(v, Value))
    ops = joined(parts, name)
    if len({f[0] for f in found if isinstance(f, tuple)}) != 1 or not alike or len(ops) > MOST or (
            bent and all(op.name in STRAIGHT for part in parts for op in part)):
        return False
    base = next(f[0] for f in found if isinstance(f, tuple))
    t.set(node, t.like(node, Elementwise, Value(base, like.shape, like.axes, like.order), ops=ops))
    return True


def put(t: Translator, node: Node, x: Value, *ops: Op) -> None:
    """Let a node be a function of x alone."""
    t.set(node, t.like(node, Elementwise, x, ops=ops))


def _plain(t: Translator, node: Node) -> None:
    put(t, node, t.value(node, 0), Op(PLAIN[node.operator], (0,)))


def softsign(t: Translator, node: Node) -> None:
    """x / (1 + |x|)."""
    put(t, node, t.value(node, 0), Op("abs", (0,)), Op("affine", (1,), (1.0, 1.0)), Op("div", (0, 2)))


def thresholded(t: Translator, node: Node) -> None:
    put(t, node, t.value(node, 0), Op("threshold", (0,), (float(node.attributes.get("alpha", 1.0)), 0.0)))


def shrink(t: Translator, node: Node) -> None:
    """What is near zero becomes it; the rest comes nearer by `bias`."""
    least, bias = (float(node.attributes.get(key, default)) for key, default in (("lambd", 0.5), ("bias", 0.0)))
    put(t, node, t.value(node, 0), Op("hardshrink", (0,), (least,)), Op("sign", (1,)), Op("affine", (2,), (-bias, 0.0)),
        Op("add", (1, 3)))


def power(t: Translator, node: Node) -> None:
    base, exponent = number(t, node, 0), number(t, node, 1)
    if exponent == 2:
        t.set(node, t.like(node, Function, t.value(node, 0), function="square"))
    elif exponent is not None:
        put(t, node, t.value(node, 0), Op("pow", (0,), (exponent,)))
    elif base is not None:
        put(t, node, t.value(node, 1), Op("power_of", (0,), (base,)))
    elif not fused(t, node, "pow", (t.value(node, 0), t.value(node, 1))):
        raise node.fail("is a power of two activations; with a number it is a table")


def compared(t: Translator, node: Node) -> None:
    limits = [number(t, node, i) for i in (0, 1)]
    at = next((i for i in (1, 0) if limits[i] is not None), None)
    if at is None:
        raise node.fail("compares two activations; compare one with a number")
    put(t, node, t.value(node, 1 - at), Op(COMPARED[node.operator][1 - at], (0,), (float(limits[at] or 0.0),)))


def choice(t: Translator, node: Node) -> None:
    """Where."""
    operands = []
    for i in range(3):
        constant = number(t, node, i)
        operands.append(t.value(node, i) if constant is None else constant)
    if not any(isinstance(v, Value) for v in operands) or not fused(t, node, "where", tuple(operands)):
        raise node.fail("chooses between activations; functions of one activation, chosen by its own value, are a "
                        "table")


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(PLAIN, _plain), **dict.fromkeys(COMPARED, compared), "Softsign": softsign,
    "ThresholdedRelu": thresholded, "Shrink": shrink, "Pow": power, "Where": choice,
}
