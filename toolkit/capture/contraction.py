"""Products of an activation with a constant matrix or tensor, however they are written: Linear, matmul, einsum and
similar. Each is one layer of weights: a Linear on features, a convolution over one pixel where other axes stand by."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import fx, nn

from toolkit.capture.builder import Builder, Handler, argument
from toolkit.capture.multiplied import einsum

Labels = tuple[Any, ...]
"""A name for each axis, as einsum has letters; an activation's without the batch."""
FEATURES = "features"
BETWEEN = "it multiplies activations with each other, as attention does; only constant weights become hardware"
MIXES = "it mixes samples of the batch; multiply what stands behind the batch"


def contracted(b: Builder, node: fx.Node, x: fx.Node, read: Labels, weight: torch.Tensor, of: Labels, made: Labels,
               bias: torch.Tensor | None = None) -> None:
    """Let `node` be the sum of products `x[read] * weight[of] -> [made]` plus `bias`, one number for each place along
    the axes that only the weight has."""
    lost = [i for i, label in enumerate(of) if label not in read and label not in made]
    if lost:
        weight, of = weight.sum(lost), tuple(label for i, label in enumerate(of) if i not in lost)
    if any(len(set(labels)) != len(labels) for labels in (read, of, made)) or not set(read) <= {*of, *made}:
        raise b.refuse(node, "it takes a diagonal, or a sum over axes that the weight does not have; take them apart "
                             "from the product")
    shared, summed = ([v for v in read if v in of and (v in made) is kept] for kept in (True, False))
    rest, new = [v for v in read if v not in of], [v for v in of if v not in read]
    shape = b.shape(x) or (1,)
    sizes = dict(zip(of, weight.shape, strict=True)) | dict(zip(read, b.shape(x), strict=True))
    if any(sizes[label] != n for label, n in zip(of, weight.shape, strict=True)):
        raise b.refuse(node, f"a weight of shape {tuple(weight.shape)} does not fit a sample of shape {shape}; give "
                             "both the same axes")
    groups, taken, outputs = (prod(sizes[v] for v in labels) for labels in (shared, summed, new))
    matrix = weight.permute([of.index(v) for v in (*shared, *new, *summed)]).reshape(groups * outputs, taken)
    places = torch.arange(prod(shape)).reshape(b.shape(x))
    places = places.permute([read.index(v) for v in (*shared, *summed, *rest)])
    spatial = tuple(sizes[v] for v in rest)
    if len(spatial) > 2:
        spatial = (prod(spatial),)
    plain = groups == 1 and prod(spatial) == 1
    source = b.value(x, node)
    before = (taken,) if plain else (groups * taken, *(spatial or (1,)))
    source = _moved(b, node, source, shape, places, before)
    after = (outputs,) if plain else (groups * outputs, *before[1:])
    b.module(node, _layer(matrix, bias, groups, len(before) - 1), source)
    b.env[node].meta["shape"] = after
    order = (*shared, *new, *rest)
    places = torch.arange(prod(after)).reshape([sizes[v] for v in order]).permute([order.index(v) for v in made])
    b.env[node] = _moved(b, node, b.env[node], after, places, b.shape(node) or (1,))


def _moved(b: Builder, node: fx.Node, source: fx.Node, before: tuple[int, ...], places: torch.Tensor,
           after: tuple[int, ...]) -> fx.Node:
    """What stands for the elements of `source` at `places`; `source` itself where nothing moves."""
    if before == after and torch.equal(places.reshape(-1), torch.arange(prod(before))):
        return source
    b.pick(node, source, before, places.reshape(-1), after, part="order")
    return b.env[node]


def _layer(matrix: torch.Tensor, bias: torch.Tensor | None, groups: int, rank: int) -> nn.Module:
    inputs = matrix.shape[1] * groups
    layer: Any = nn.Linear(inputs, len(matrix)) if not rank else \
        (nn.Conv1d if rank == 1 else nn.Conv2d)(inputs, len(matrix), 1, groups=groups)
    with torch.no_grad():
        layer.weight.copy_(matrix.reshape(layer.weight.shape))
        layer.bias.copy_(torch.zeros(()) if bias is None else bias.reshape(-1).expand(len(matrix)))
    return layer


def _rows(b: Builder, node: fx.Node, x: Any, weight: torch.Tensor | None, bias: torch.Tensor | None) -> None:
    """`x @ weight.T + bias` along the last axis."""
    if not isinstance(x, fx.Node) or x not in b.env:
        b.value(x, node)
    read: Labels = tuple(range(len(b.shape(x))))
    if weight is None or weight.ndim not in (1, 2) or not read:
        raise b.refuse(node, "its weight is no matrix; a Linear takes (batch, features) or (batch, ..., features)")
    new: Labels = (FEATURES,) if weight.ndim == 2 else ()
    if bias is not None and bias.numel() not in (1, len(weight)):
        raise b.refuse(node, f"a bias of shape {tuple(bias.shape)} does not fit {len(weight)} outputs; use one number "
                             "for each")
    contracted(b, node, x, read, weight, (*new, read[-1]), (*read[:-1], *new), bias)


def _linear(b: Builder, node: fx.Node, name: str) -> None:
    _rows(b, node, node.args[0], b.parameter(node.args[1], node), b.parameter(argument(node, 2, "bias"), node))


def _addmm(b: Builder, node: fx.Node, name: str) -> None:
    """beta * bias + alpha * (x @ weight)."""
    bias, x, weight = node.args[:3]
    beta, alpha = (float(argument(node, i, key, 1)) for i, key in ((3, "beta"), (4, "alpha")))
    offset, matrix = b.parameter(bias, node), b.parameter(weight, node)
    assert offset is not None and matrix is not None
    _rows(b, node, x, matrix.t() * alpha, offset * beta)


def _matmul(b: Builder, node: fx.Node, name: str) -> None:
    first, second = node.args[:2]
    if first in b.env and second in b.env:
        raise b.refuse(node, BETWEEN)
    left = second in b.env
    x: Any = second if left else first
    weight = b.parameter(first if left else second, node)
    b.value(x, node)
    assert weight is not None
    read: Labels = tuple(range(len(b.shape(x))))
    if not read or (len(read) < 2 and (left or weight.ndim > 2)):
        raise b.refuse(node, MIXES)
    inner = read[-2 if left else -1]
    new: Labels = (FEATURES,) if weight.ndim > 1 else ()
    kept = [v for v in read if v != inner]
    made = (*kept[:-1], *new, *kept[-1:]) if left else (*kept, *new)
    while weight.ndim > 2 and weight.shape[0] == 1 and weight.ndim > len(read):
        weight = weight[0]
    # Axes before the matrix stand beside those of the activation, counted from its end.
    beside: Labels = read[:-2][len(read) - weight.ndim:] if weight.ndim > 2 else ()
    if len(beside) != max(weight.ndim - 2, 0):
        raise b.refuse(node, MIXES)
    for axis in reversed(range(len(beside))):
        if weight.shape[axis] == 1:
            weight, beside = weight.squeeze(axis), beside[:axis] + beside[axis + 1:]
    contracted(b, node, x, read, weight, (*beside, *new, inner) if left else (*beside, inner, *new), made)


def _inner(b: Builder, node: fx.Node, name: str) -> None:
    _rows(b, node, node.args[0], b.parameter(node.args[1], node), None)


def _tensordot(b: Builder, node: fx.Node, name: str) -> None:
    x, second, along, of = node.args[:4]
    weight = b.parameter(second, node)
    b.value(x, node)
    assert weight is not None and isinstance(x, fx.Node)
    rank = len(b.shape(x)) + 1
    axes = [int(a) % rank - 1 for a in along]  # type: ignore[union-attr, arg-type]
    if -1 in axes:
        raise b.refuse(node, MIXES)
    labels: list[Any] = [f"new {i}" for i in range(weight.ndim)]
    for axis, other in zip(axes, of, strict=True):  # type: ignore[arg-type]
        labels[int(other)] = axis
    read: Labels = tuple(range(rank - 1))
    made = (*(v for v in read if v not in axes), *(v for v in labels if isinstance(v, str)))
    contracted(b, node, x, read, weight, tuple(labels), made)


def _einsum(b: Builder, node: fx.Node, name: str) -> None:
    equation, operands = str(node.args[0]).replace(" ", ""), node.args[1]
    assert isinstance(operands, Sequence)
    active = [v for v in operands if v in b.env]
    if len(active) > 1:
        einsum(b, node, name)
        return
    if len(operands) != 2 or not active or "..." in equation:
        raise b.refuse(node, "an einsum of other than one activation and one constant, each axis with a letter of its "
                             "own; write it so")
    terms, arrow, made = equation.partition("->")
    inputs = terms.split(",")
    if not arrow:
        made = "".join(sorted(c for c in set(terms) - {","} if terms.count(c) == 1))
    at = 0 if operands[0] in b.env else 1
    x, weight = operands[at], b.parameter(operands[1 - at], node)
    assert weight is not None and isinstance(x, fx.Node)
    if made[:1] != inputs[at][0] or made[:1] in inputs[1 - at]:
        raise b.refuse(node, MIXES)
    contracted(b, node, x, tuple(inputs[at][1:]), weight, tuple(inputs[1 - at]), tuple(made[1:]))


HANDLERS: dict[str, Handler] = {
    "linear": _linear, "addmm": _addmm, **dict.fromkeys(("mm", "matmul", "mv"), _matmul), "inner": _inner,
    "tensordot": _tensordot, "einsum": _einsum,
}
