"""Activations of one operand: clamps, LeakyReLU, and the functions that become tables."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import fx, nn

from toolkit.capture import curves
from toolkit.capture.builder import Builder, Handler, argument
from toolkit.capture.curve import joined
from toolkit.capture.slopes import Slopes

LEAST_SLOPE, MOST_SLOPE = 2.0**-16, 2.0**10


def clamp(b: Builder, node: fx.Node, name: str) -> None:
    """A clip by numbers."""
    if name == "hardtanh":
        low, high = argument(node, 1, "min_val", -1.0), argument(node, 2, "max_val", 1.0)
    elif name == "clamp_min":
        low, high = argument(node, 1, "min"), None
    elif name == "clamp_max":
        low, high = None, argument(node, 1, "max")
    else:
        low, high = argument(node, 1, "min"), argument(node, 2, "max")
    layer: nn.Module
    if low == 0 and high is None:
        layer = nn.ReLU()
    elif low == 0 and high == 6:
        layer = nn.ReLU6()
    else:
        bounds = float("-inf") if low is None else float(low), float("inf") if high is None else float(high)
        if not bounds[0] < bounds[1]:
            raise b.refuse(node, f"its bounds {bounds[0]:g}..{bounds[1]:g} leave nothing")
        layer = nn.Hardtanh(*bounds)
    b.element(node, layer)


def _activation(kind: Callable[[], nn.Module]) -> Callable[[Builder, fx.Node, str], None]:
    return lambda b, node, name: b.element(node, kind())


def _leaky(b: Builder, node: fx.Node, name: str) -> None:
    """A slope that is not a power of two goes to the nearest one, and a note says so."""
    slope = float(argument(node, 1, "negative_slope", 0.01))
    if abs(slope) > MOST_SLOPE:
        raise b.refuse(node, f"a slope of {slope:g} is outside -{MOST_SLOPE:g}..{MOST_SLOPE:g}; use one such as 0.125")
    if slope != 0 and not LEAST_SLOPE <= slope <= 1:
        b.element(node, Slopes(torch.full((1,), slope)))
        return
    lower = 2.0 ** math.floor(math.log2(slope)) if slope else 0.0
    near = lower if slope - lower <= 2 * lower - slope else 2 * lower
    layer = nn.LeakyReLU(near) if slope else nn.ReLU()
    b.element(node, layer)
    if near != slope:
        b.notes.append(f"the slope {slope:g} of the LeakyReLU '{b.place(node)}' became {near:g}, the nearest power of "
                       "two")


def _prelu(b: Builder, node: fx.Node, name: str) -> None:
    slopes = b.parameter(node.args[1], node)
    assert slopes is not None
    if slopes.numel() not in (1, *b.shape(node)[:1]):
        raise b.refuse(node, f"{slopes.numel()} slopes do not fit {b.shape(node)[:1]} channels; use as many, or one")
    same = bool((slopes == slopes.reshape(-1)[0]).all())
    if same:
        b.element(node, Slopes(slopes.reshape(-1)[:1]))
    else:
        b.module(node, Slopes(slopes), b.value(node.args[0], node))


def _abs(b: Builder, node: fx.Node, name: str) -> None:
    b.element(node, Slopes(torch.full((1,), -1.0)))


def gated(b: Builder, node: fx.Node, operands: list[fx.Node]) -> bool:
    """Let `node` be a SiLU or a Hardswish where it is x * sigmoid(x) or x * hardsigmoid(x): functions of one element;
    False where it is neither."""
    for gate, x in (operands, reversed(operands)):
        if gate.op == "call_module" and gate.all_input_nodes == [x]:
            module = b.root.get_submodule(str(gate.target))
            if isinstance(module, nn.Sigmoid | nn.Hardsigmoid):
                b.module(node, nn.SiLU() if isinstance(module, nn.Sigmoid) else nn.Hardswish(), x)
                base, ops = curves.of(b, x)
                b.curves[b.env[node]] = base, joined([ops], "silu" if isinstance(module, nn.Sigmoid) else "hardswish")
                return True
    return False


def _gelu(b: Builder, node: fx.Node, name: str) -> None:
    b.element(node, nn.GELU(str(argument(node, 1, "approximate", "none"))))


def _softplus(b: Builder, node: fx.Node, name: str) -> None:
    b.element(node, nn.Softplus(float(argument(node, 1, "beta", 1.0)), float(argument(node, 2, "threshold", 20.0))))


def _elu(b: Builder, node: fx.Node, name: str) -> None:
    if float(argument(node, 2, "scale", 1.0)) != 1 or float(argument(node, 3, "input_scale", 1.0)) != 1:
        raise b.refuse(node, "an ELU with scales of its own; use nn.ELU or nn.SELU")
    b.element(node, nn.ELU(float(argument(node, 1, "alpha", 1.0))))


def _plain(kind: Callable[[], nn.Module]) -> Handler:
    return lambda b, node, name: b.element(node, kind())


HANDLERS: dict[str, Handler] = {
    "hardtanh": clamp,
    "special_expit": _plain(nn.Sigmoid),
    "relu": _plain(nn.ReLU), "relu6": _plain(nn.ReLU6), "leaky_relu": _leaky, "sigmoid": _plain(nn.Sigmoid),
    "tanh": _plain(nn.Tanh), "hardsigmoid": _plain(nn.Hardsigmoid), "hardswish": _plain(nn.Hardswish),
    "silu": _plain(nn.SiLU), "gelu": _gelu, "softplus": _softplus, "elu": _elu, "selu": _plain(nn.SELU),
    "mish": _plain(nn.Mish), "prelu": _prelu, "_prelu_kernel": _prelu, "abs": _abs, "absolute": _abs,
}
