"""Products of two tensors: gates, squares, GLU, and einsum where nothing is summed."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import fx, nn

from toolkit.capture import curves
from toolkit.capture.builder import Builder, Handler, argument
from toolkit.capture.pick import Pick
from toolkit.capture.pointwise import gated
from toolkit.capture.product import Product, Square

BOUNDED = (nn.Sigmoid, nn.Hardsigmoid, nn.Tanh)
"""What makes gates: numbers of at most 1 in magnitude. So does a clamp to such bounds."""
MOVES = (nn.Flatten, nn.Unflatten, Pick, nn.Upsample, nn.BatchNorm1d, nn.BatchNorm2d, nn.MaxPool1d, nn.MaxPool2d,
         nn.AvgPool1d, nn.AvgPool2d)
"""What a gate may go through and still be one."""


def multiplied(b: Builder, node: fx.Node, first: Any, second: Any) -> None:
    """Let `node` be the product of two activations."""
    sources = [b.value(v, node) for v in (first, second)]
    if sources[0] is sources[1]:
        curves.squared(b, node, first)
        return
    if gated(b, node, sources) or curves.fused(b, node, "mul", first, second):
        return
    shapes = [b.shape(v) or (1,) for v in (first, second)]
    if len(first.meta["val"].shape) != len(second.meta["val"].shape):
        raise b.refuse(node, f"it combines samples of the shapes {b.shape(first)} and {b.shape(second)}, of which the "
                             "batch is another axis; give them equally many axes, as x[:, :, None, None] does")
    product(b, node, sources, shapes)


def product(b: Builder, node: fx.Node, sources: list[fx.Node], shapes: list[tuple[int, ...]]) -> None:
    """Let `node` be the product of two tensors of equally many axes. The gate is the one that a sigmoid or its kin has
    made; else the smaller one, which is repeated; else the second."""
    bounded = [_bounded(b, source) for source in sources]
    sizes = [prod(shape) for shape in shapes]
    swapped = bounded[0] if bounded[0] != bounded[1] else sizes[0] < sizes[1]
    b.module(node, Product(), *(reversed(sources) if swapped else sources))


def _bounded(b: Builder, source: fx.Node) -> bool:
    """Whether a gate's function has made a tensor."""
    while source.op == "call_module":
        module = b.root.get_submodule(str(source.target))
        if isinstance(module, BOUNDED):
            return True
        if isinstance(module, nn.Hardtanh):
            return module.min_val >= -1 and module.max_val <= 1
        if not isinstance(module, MOVES):
            return False
        source = source.all_input_nodes[0]
    return False


def _glu(b: Builder, node: fx.Node, name: str) -> None:
    """The first half of an axis, times the sigmoid of the second."""
    x: Any = node.args[0]
    shape = b.shape(x)
    dim = argument(node, 1, "dim", -1) % (len(shape) + 1)
    if not shape or dim == 0:
        raise b.refuse(node, "it halves the batch; use dim=1 or above")
    source, halves = b.value(x, node), []
    for half in torch.arange(prod(shape)).reshape(shape).chunk(2, dim - 1):
        b.pick(node, source, shape, half.reshape(-1), tuple(half.shape))
        halves.append(b.env[node])
    b.module(node, nn.Sigmoid(), halves[1], part="gate")
    b.module(node, Product(), halves[0], b.env[node])


def einsum(b: Builder, node: fx.Node, name: str) -> None:
    """Two activations, nothing summed: `bchw,bc->bchw`."""
    equation, operands = str(node.args[0]).replace(" ", ""), list(node.args[1])  # type: ignore[arg-type]
    terms, _, out = equation.partition("->")
    inner = terms.split(",")
    refused = b.refuse(node, f"the einsum '{equation[:60]}'; of two activations it must sum nothing, as bchw,bc->bchw: "
                             "what sums a product of activations is an attention, and has no hardware")
    if len(inner) != 2 or len(operands) != 2 or not out.isalpha() or len(set(out)) != len(out) or "." in equation:
        raise refused
    sources, shapes = [], []
    for text, operand in zip(inner, operands, strict=True):
        # Axes in the order of the result's, the batch first; those that are missing are of one element.
        if not set(text) <= set(out) or [out.index(c) for c in text] != sorted({out.index(c) for c in text}) \
                or text[:1] != out[0]:
            raise refused
        sizes = dict(zip(text[1:], b.shape(operand), strict=True))
        shape = tuple(sizes.get(c, 1) for c in out[1:]) or (1,)
        b.reshape(node, b.value(operand, node), b.shape(operand) or (1,), shape)
        sources.append(b.env[node])
        shapes.append(shape)
    if set(out) != set(inner[0]) | set(inner[1]):
        raise refused
    if sources[0] is sources[1]:
        b.module(node, Square(), sources[0])
    else:
        product(b, node, sources, shapes)


HANDLERS: dict[str, Handler] = {"glu": _glu}
