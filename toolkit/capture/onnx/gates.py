"""Products of a value and a function of it: SiLU, Hardswish, Mish and GELU, as exporters spell them out."""

from __future__ import annotations

import math

from toolkit.capture.onnx.steps import Affine, Clip, Function, Step
from toolkit.capture.onnx.translator import Translator
from toolkit.capture.onnx.values import Value


def gated(t: Translator, gate: Value, x: Value) -> tuple[str, float, Value] | None:
    """(function, factor, argument) where `gate * x` is factor * function(argument); None where it is none known."""
    made = t.made
    outer, inside = _unscaled(made, gate.name)
    factor, source = _unscaled(made, x.name)
    found = _known(made, made.get(inside), source)
    if found is None:
        return None
    return found[0], found[1] * outer * factor, Value(source, x.shape, x.axes, x.order)


def _known(made: dict[str, Step], gate: Step | None, source: str) -> tuple[str, float] | None:
    if isinstance(gate, Function):
        if gate.inputs == (source,) and gate.function == "sigmoid":
            return "silu", 1.0
        if gate.inputs == (source,) and gate.function == "hardsigmoid" and abs(gate.alpha - 1 / 6) < 1e-4:
            return "hardswish", 1.0
        inner = made.get(gate.inputs[0])
        if gate.function == "tanh" and isinstance(inner, Function) and inner.function == "softplus" \
                and inner.inputs == (source,):
            return "mish", 1.0
    if isinstance(gate, Clip) and (gate.low, gate.high) == (0, 6):
        inner = made.get(gate.inputs[0])
        if isinstance(inner, Affine) and inner.inputs == (source,) and (inner.scale == 1).all() \
                and (inner.offset == 3).all():
            return "hardswish", 6.0
    if isinstance(gate, Affine) and (gate.scale == gate.offset).all() and (gate.scale == gate.scale.flat[0]).all():
        inner = made.get(gate.inputs[0])
        if isinstance(inner, Function) and inner.function == "erf":
            scale, argument = _unscaled(made, inner.inputs[0])
            if argument == source and abs(scale - math.sqrt(0.5)) < 1e-4:
                return "gelu", 2 * float(gate.scale.flat[0])
    return None


def _unscaled(made: dict[str, Step], name: str) -> tuple[float, str]:
    """(factor, value) such that `name` is the value times the factor."""
    step, factor = made.get(name), 1.0
    most = 8  # scales in a row: more stand in no function that is known
    while most and isinstance(step, Affine) and not step.offset.any() and (step.scale == step.scale.flat[0]).all():
        factor, name = factor * float(step.scale.flat[0]), step.inputs[0]
        step, most = made.get(name), most - 1
    return factor, name
