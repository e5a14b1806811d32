"""Activations of one operand: clamps, LeakyReLU, and the functions that become tables."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import fx, nn

from toolkit.capture.builder import Builder, Handler, argument

LEAST_SLOPE = 2.0**-16


def _clamp(b: Builder, node: fx.Node, name: str) -> None:
    if name == "hardtanh":
        low, high = argument(node, 1, "min_val", -1.0), argument(node, 2, "max_val", 1.0)
    elif name == "clamp_min":
        low, high = argument(node, 1, "min"), None
    elif name == "clamp_max":
        low, high = None, argument(node, 1, "max")
    else:
        low, high = argument(node, 1, "min"), argument(node, 2, "max")
    if any(isinstance(v, fx.Node) for v in (low, high)):
        raise b.refuse(node, "a clip with bounds that are tensors; use numbers")
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
    b.module(node, layer, b.value(node.args[0], node))


def _activation(kind: Callable[[], nn.Module]) -> Callable[[Builder, fx.Node, str], None]:
    return lambda b, node, name: b.module(node, kind(), b.value(node.args[0], node))


def _leaky(b: Builder, node: fx.Node, name: str) -> None:
    """A slope that is not a power of two goes to the nearest one, and a note says so."""
    slope = float(argument(node, 1, "negative_slope", 0.01))
    if slope != 0 and not LEAST_SLOPE <= slope <= 1:
        raise b.refuse(node, f"a slope of {slope:g} is outside 2**-16..1; use one such as 0.125")
    lower = 2.0 ** math.floor(math.log2(slope)) if slope else 0.0
    near = lower if slope - lower <= 2 * lower - slope else 2 * lower
    layer = nn.LeakyReLU(near) if slope else nn.ReLU()
    b.module(node, layer, b.value(node.args[0], node))
    if near != slope:
        b.notes.append(f"the slope {slope:g} of the LeakyReLU '{b.place(node)}' became {near:g}, the nearest power of "
                       "two")


def gated(b: Builder, node: fx.Node, operands: list[fx.Node]) -> bool:
    """Let `node` be a SiLU or a Hardswish where it is x * sigmoid(x) or x * hardsigmoid(x): functions of one element;
    False where it is neither."""
    for gate, x in (operands, reversed(operands)):
        if gate.op == "call_module" and gate.all_input_nodes == [x]:
            module = b.root.get_submodule(str(gate.target))
            if isinstance(module, nn.Sigmoid | nn.Hardsigmoid):
                b.module(node, nn.SiLU() if isinstance(module, nn.Sigmoid) else nn.Hardswish(), x)
                return True
    return False


def _gelu(b: Builder, node: fx.Node, name: str) -> None:
    b.module(node, nn.GELU(str(argument(node, 1, "approximate", "none"))), b.value(node.args[0], node))


def _softplus(b: Builder, node: fx.Node, name: str) -> None:
    b.module(node, nn.Softplus(float(argument(node, 1, "beta", 1.0)), float(argument(node, 2, "threshold", 20.0))),
             b.value(node.args[0], node))


def _elu(b: Builder, node: fx.Node, name: str) -> None:
    if float(argument(node, 2, "scale", 1.0)) != 1 or float(argument(node, 3, "input_scale", 1.0)) != 1:
        raise b.refuse(node, "an ELU with scales of its own; use nn.ELU or nn.SELU")
    b.module(node, nn.ELU(float(argument(node, 1, "alpha", 1.0))), b.value(node.args[0], node))


def _plain(kind: Callable[[], nn.Module]) -> Handler:
    return lambda b, node, name: b.module(node, kind(), b.value(node.args[0], node))


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("clamp", "clip", "hardtanh", "clamp_min", "clamp_max"), _clamp),
    "relu": _plain(nn.ReLU), "relu6": _plain(nn.ReLU6), "leaky_relu": _leaky, "sigmoid": _plain(nn.Sigmoid),
    "tanh": _plain(nn.Tanh), "hardsigmoid": _plain(nn.Hardsigmoid), "hardswish": _plain(nn.Hardswish),
    "silu": _plain(nn.SiLU), "gelu": _gelu, "softplus": _softplus, "elu": _elu, "selu": _plain(nn.SELU),
    "mish": _plain(nn.Mish),
}
