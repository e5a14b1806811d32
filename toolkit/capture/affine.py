"""Sums, differences and products with constants: scales and offsets, which are taken as a BatchNorm is."""

from __future__ import annotations

import operator
from math import prod
from typing import Any

import torch
from torch import fx, nn

from toolkit.capture import curves
from toolkit.capture.builder import Builder, Handler, argument
from toolkit.capture.curve import joined
from toolkit.capture.multiplied import multiplied

Number = float | torch.Tensor
ALONE = "with what a layer made; a constant, or the sum or difference of two tensors, is supported"


def _add(b: Builder, node: fx.Node, name: str) -> None:
    """x + y, x - y and their reverse, with a factor `alpha` of the second."""
    first, second = node.args[:2]
    if name == "rsub":
        first, second = second, first
    sign = -1.0 if name in ("sub", "subtract", "rsub") else 1.0
    factors = 1.0, sign * float(argument(node, 2, "alpha", 1))
    constants = [constant(b, v, node) for v in (first, second)]
    if constants[0] is None and constants[1] is None:
        if factors == (1.0, 1.0) and curves.bent(b, first, second) and curves.fused(b, node, "add", first, second):
            return
        if factors == (1.0, -1.0) and curves.bent(b, first, second) and curves.fused(b, node, "sub", first, second):
            return
        parts = [_scaled(b, node, v, f, 0.0) for v, f in zip((first, second), factors, strict=True)]
        b.env[node] = b.graph.call_function(operator.add, tuple(parts))
        return
    at = 0 if constants[0] is None else 1
    _scaled(b, node, (first, second)[at], factors[at], factors[1 - at] * constants[1 - at])  # type: ignore[operator]


def _mul(b: Builder, node: fx.Node, name: str) -> None:
    """A product with a constant, or of two tensors."""
    first, second = node.args[:2]
    c = constant(b, second, node)
    if c is None:
        first, c = second, constant(b, first, node)
    if c is None:
        multiplied(b, node, *node.args[:2])
    else:
        _scaled(b, node, first, c, 0.0)


def _div(b: Builder, node: fx.Node, name: str) -> None:
    c = constant(b, node.args[1], node)
    if argument(node, 2, "rounding_mode") is None and c is None and curves.fused(b, node, "div", *node.args[:2]):
        return
    if c is None or argument(node, 2, "rounding_mode") is not None:
        raise b.refuse(node, "a division " + (ALONE if c is None else "that rounds; divide by a constant without"))
    if bool((torch.as_tensor(c) == 0).any()):
        raise b.refuse(node, "a division by zero; divide by another constant")
    _scaled(b, node, node.args[0], 1.0 / c, 0.0)


def _neg(b: Builder, node: fx.Node, name: str) -> None:
    _scaled(b, node, node.args[0], -1.0, 0.0)


def constant(b: Builder, value: Any, node: fx.Node) -> Number | None:
    """A number, or a stored tensor in float64; None for an activation."""
    if isinstance(value, int | float):
        return float(value)
    if value in b.parameters:
        return b.parameters[value].double()
    if value not in b.env:
        raise b.refuse(node, "an operand is neither the input, nor what a layer made of it, nor a constant; compute "
                             "it of the input, or store it as a buffer")
    return None


def _scaled(b: Builder, node: fx.Node, x: Any, scale: Number, offset: Number) -> fx.Node:
    """Let `node` be `scale * x + offset`, of the shape of `node`; returns what stands for it."""
    shape, wanted = b.shape(x) or (1,), b.shape(node) or (1,)
    source = b.value(x, node)
    if shape != wanted:
        places = torch.arange(prod(shape)).reshape(1, *(1,) * (len(wanted) - len(b.shape(x))), *b.shape(x))
        if len(b.shape(x)) < len(b.shape(node)) and b.shape(x):
            raise b.refuse(node, f"it combines samples of the shapes {b.shape(x)} and {b.shape(node)}, of which the "
                                 "batch is another axis; give them equally many axes")
        b.pick(node, source, shape, places.expand(1, *wanted).reshape(-1), wanted)
        source = b.env[node]
    both = [_spread(b, node, torch.as_tensor(v, dtype=torch.float64), wanted) for v in (scale, offset)]
    if bool((both[0] == 1).all()) and not bool(both[1].any()):
        b.same(node, source)
    else:
        affine(b, node, source, wanted, *both)
        numbers = [float(v.reshape(-1)[0]) for v in both]
        if all(bool((v == n).all()) for v, n in zip(both, numbers, strict=True)):
            base, ops = curves.of(b, source)
            b.curves[b.env[node]] = base, joined([ops], "affine", (numbers[0], numbers[1]))
    return b.env[node]


def aligned(b: Builder, node: fx.Node, x: Any) -> fx.Node:
    """`x` as it meets another operand of `node`: its axes of one element repeated."""
    return _scaled(b, node, x, 1.0, 0.0)


def negated(b: Builder, node: fx.Node, source: fx.Node, shape: tuple[int, ...]) -> fx.Node:
    """What stands for `-source`, of the shape `shape` of a sample, on the way to `node`."""
    signs = torch.full(shape, -1.0, dtype=torch.float64)
    affine(b, node, source, shape, signs, torch.zeros_like(signs))
    return b.env[node]


def _spread(b: Builder, node: fx.Node, value: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """A constant as it meets each element of a sample of `shape`."""
    if value.ndim > len(shape):
        if value.ndim != len(shape) + 1 or len(value) != 1:
            raise b.refuse(node, f"a constant of shape {tuple(value.shape)} differs from sample to sample; "
                                 "use one for all samples")
        value = value[0]
    return value.expand(shape)


def affine(b: Builder, node: fx.Node, source: fx.Node, shape: tuple[int, ...], scale: torch.Tensor,
           offset: torch.Tensor, *, fine: bool = False) -> None:
    """Let `node` be `scale * source + offset`, both of the shape `shape` of a sample: a BatchNorm over its channels, or
    over all its elements where they differ within a channel. `fine`: as a layer of its own it has finer constants than
    weights are."""
    rows = [v.reshape(shape[0], -1) for v in (scale, offset)]
    flat = len(shape) > 3 or not all(bool((r == r[:, :1]).all()) for r in rows)
    if flat and len(shape) > 1:
        b.reshape(node, source, shape, (prod(shape),))
        source, rows = b.env[node], [r.reshape(-1, 1) for r in rows]
    inner = (prod(shape),) if flat else shape
    layer = (nn.BatchNorm2d if len(inner) == 3 else nn.BatchNorm1d)(inner[0], eps=0.0)
    layer.fine = fine  # type: ignore[assignment]
    with torch.no_grad():
        layer.weight.copy_(rows[0][:, 0])
        layer.bias.copy_(rows[1][:, 0])
    b.module(node, layer, source)
    b.env[node].meta["shape"] = inner
    if flat:
        b.reshape(node, b.env[node], inner, shape)


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("add", "sub", "subtract", "rsub"), _add), **dict.fromkeys(("mul", "multiply"), _mul),
    **dict.fromkeys(("div", "divide", "true_divide"), _div), **dict.fromkeys(("neg", "negative"), _neg),
}
