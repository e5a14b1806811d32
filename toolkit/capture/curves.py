"""Functions of one tensor, element by element, however many operations they are made of: one table each."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from toolkit.capture.builder import Builder, Handler, argument
from toolkit.capture.curve import MOST, Curve, Op, joined
from toolkit.capture.product import Square
from toolkit.capture.slopes import Slopes

COMPARED = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge", "eq": "eq", "ne": "ne"}
"""Comparisons, and what each is with its sides exchanged."""
NUMBERS: dict[str, tuple[tuple[int, str, float], ...]] = {
    "softshrink": ((1, "lambd", 0.5),), "hardshrink": ((1, "lambd", 0.5),), "celu": ((1, "alpha", 1.0),),
    "threshold": ((1, "threshold", 0.0), (2, "value", 0.0)), "logit": ((1, "eps", -1.0),)}
"""Numbers of some functions: the place of the argument, its name, its default."""
PLAIN = ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "sign",
         "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erf", "floor", "ceil",
         "trunc", "round", "log_sigmoid")
Ops = tuple[Op, ...]


def of(b: Builder, x: fx.Node) -> tuple[fx.Node, Ops]:
    """What a new node is a function of, and that function; of itself where it is none known."""
    return b.curves.get(x, (x, ()))


def _put(b: Builder, node: fx.Node, base: fx.Node, ops: Ops) -> None:
    b.module(node, Curve(ops), base)
    b.curves[b.env[node]] = base, ops


def function(b: Builder, node: fx.Node, x: Any, name: str, numbers: tuple[float, ...] = ()) -> None:
    """Let `node` be a function of UNARY of `x`: of what `x` is a function of, at once."""
    source = b.value(x, node)
    base, ops = of(b, source)
    if len(ops) >= MOST:
        base, ops = source, ()
    _put(b, node, base, joined([ops], name, numbers))


def fused(b: Builder, node: fx.Node, name: str, *operands: Any) -> bool:
    """Let `node` be a function of BINARY, or `where`, of operands that are functions of one tensor; numbers are
    functions of it too. False where they are not."""
    bases: set[fx.Node] = set()
    parts: list[Ops] = []
    for value in operands:
        if isinstance(value, fx.Node) and value in b.env:
            if b.shape(value) != b.shape(node):
                return False
            base, ops = of(b, b.env[value])
            bases.add(base)
            parts.append(ops)
        else:
            number = _number(b, value)
            if number is None:
                return False
            parts.append((Op("constant", (0,), (number,)),))
    ops = joined(parts, name)
    if len(bases) != 1 or len(ops) > MOST:
        return False
    _put(b, node, bases.pop(), ops)
    return True


def bent(b: Builder, *operands: Any) -> bool:
    """Whether some operand is a table's already, so that one table can do what would be a table and a layer."""
    return any(isinstance(v, fx.Node) and v in b.env and any(op.name not in STRAIGHT for op in of(b, b.env[v])[1])
               for v in operands)


STRAIGHT = ("relu", "clamp", "leaky_relu", "affine", "abs", "neg", "add", "maximum", "minimum", "constant")
"""Of straight lines: they cost no table."""


def _number(b: Builder, value: Any) -> float | None:
    """A number that is the same for every element; None for what is none."""
    if isinstance(value, int | float):
        return float(value)
    found = b.parameters.get(value)
    return float(found.reshape(-1)[0]) if found is not None and found.numel() and bool(
        (found == found.reshape(-1)[0]).all()) else None


def _plain(b: Builder, node: fx.Node, name: str) -> None:
    if name == "round" and argument(node, 1, "decimals", 0) != 0:
        raise b.refuse(node, "it rounds to decimals; round to whole numbers, or scale before it")
    function(b, node, node.args[0], name)


def _numbered(b: Builder, node: fx.Node, name: str) -> None:
    given = [argument(node, place, key, default) for place, key, default in NUMBERS[name]]
    function(b, node, node.args[0], name, tuple(-1.0 if v is None else float(v) for v in given))


def squared(b: Builder, node: fx.Node, x: Any) -> None:
    """Let `node` be `x * x`."""
    source = b.value(x, node)
    base, ops = of(b, source)
    b.module(node, Square(), source)
    b.curves[b.env[node]] = base, joined([ops], "square")


def _square(b: Builder, node: fx.Node, name: str) -> None:
    squared(b, node, node.args[0])


def _pow(b: Builder, node: fx.Node, name: str) -> None:
    base, power = (_number(b, v) for v in node.args[:2])
    if power == 2:
        squared(b, node, node.args[0])
    elif power is not None:
        function(b, node, node.args[0], "pow", (power,))
    elif base is not None:
        function(b, node, node.args[1], "power_of", (base,))
    elif not fused(b, node, "pow", *node.args[:2]):
        raise b.refuse(node, "a power of two tensors; of one tensor, with a number, it is a table")


def _compare(b: Builder, node: fx.Node, name: str) -> None:
    first, second = node.args[:2]
    limit = _number(b, second)
    if limit is None:
        name, first, limit = COMPARED[name], second, _number(b, first)
    if limit is None:
        raise b.refuse(node, "a comparison of two tensors; compare one with a number")
    function(b, node, first, name, (limit,))


def _where(b: Builder, node: fx.Node, name: str) -> None:
    if not fused(b, node, "where", *node.args[:3]):
        raise b.refuse(node, "a choice between tensors; functions of one tensor, chosen by its own value, are a table")


def _rrelu(b: Builder, node: fx.Node, name: str) -> None:
    """In evaluation a LeakyReLU, its slope the middle of its bounds."""
    low, high = (float(argument(node, place, key, default)) for place, key, default in (
        (1, "lower", 1 / 8), (2, "upper", 1 / 3)))
    b.element(node, Slopes(torch.full((1,), (low + high) / 2)))


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(PLAIN, _plain), **dict.fromkeys(NUMBERS, _numbered), **dict.fromkeys(COMPARED, _compare),
    "square": _square, "pow": _pow, "where": _where, "rrelu": _rrelu,
}
