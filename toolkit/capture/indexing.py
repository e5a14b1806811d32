"""Operations that only move elements: slices, splits, permutations, flips, repetitions, by constants.

Each is run once on the places of the elements instead of on numbers: what comes out says which element stands where.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import fx

from toolkit.capture.builder import Builder, Handler, argument
from toolkit.utils.limits import MAX_VALUE

MOVED = ("slice", "select", "narrow", "index_select", "index", "permute", "transpose", "flip", "roll", "movedim",
         "moveaxis", "swapaxes", "swapdims", "expand", "repeat", "repeat_interleave", "tile", "pixel_shuffle",
         "pixel_unshuffle", "channel_shuffle", "rot90")
SEVERAL = ("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "chunk", "unsafe_chunk", "unbind")
MIXES = "it mixes samples of the batch; what moves elements within a sample, by constants, is supported"


def _moved(b: Builder, node: fx.Node, name: str) -> None:
    (index, shape), = _places(b, node)
    b.pick(node, b.value(node.args[0], node), b.shape(node.args[0]) or (1,), index, shape)


def _several(b: Builder, node: fx.Node, name: str) -> None:
    b.value(node.args[0], node)
    b.parts[node] = _places(b, node)


def item(b: Builder, node: fx.Node, source: fx.Node, number: int) -> None:
    """One of the parts that a split makes."""
    x: Any = source.args[0]
    index, shape = b.parts[source][number]
    b.pick(node, b.value(x, source), b.shape(x) or (1,), index, shape)


def _places(b: Builder, node: fx.Node) -> list[tuple[torch.Tensor, tuple[int, ...]]]:
    """Of each tensor that `node` makes: for each element its place in the sample, and the shape of a sample."""
    x: Any = node.args[0]
    b.value(x, node)
    made = node.meta["val"]
    tensors = list(made) if isinstance(made, list | tuple) else [made]
    if sum(prod(t.shape[1:]) for t in tensors) > MAX_VALUE:
        raise b.refuse(node, f"it makes more than {MAX_VALUE:,} elements a sample")
    shape = b.shape(x)
    size = prod(shape)
    places = torch.arange(2 * size).reshape(2, *shape)

    def given(a: fx.Node) -> Any:
        if a is x:
            return places
        if a in b.parameters:
            return b.parameters[a]
        if a in b.env or isinstance(a.meta.get("val"), torch.Tensor):
            raise b.refuse(node, "it moves elements by places that are computed from data; only constants become wires")
        return 2  # the batch

    args, kwargs = fx.map_arg(node.args, given), fx.map_arg(node.kwargs, given)
    try:
        found: Any = node.target(*args, **kwargs)  # type: ignore[operator]
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise b.refuse(node, MIXES) from error
    result = []
    for part in found if isinstance(found, list | tuple) else [found]:
        if part.ndim < 1 or len(part) != 2 or not part.numel() or not torch.equal(part[1], part[0] + size):
            raise b.refuse(node, MIXES)
        result.append((part[0].reshape(-1).clone(), tuple(part.shape[1:]) or (1,)))
    return result


def _stack(b: Builder, node: fx.Node, name: str) -> None:
    """Tensors of one shape along a new axis."""
    parts: Any = node.args[0]
    dim = argument(node, 1, "dim", 0) % len(node.meta["val"].shape)
    if dim == 0:
        raise b.refuse(node, "it stacks along the batch; use dim=1 or above")
    sources = []
    for part in parts:
        shape = b.shape(part)
        b.reshape(node, b.value(part, node), shape or (1,), (*shape[:dim - 1], 1, *shape[dim - 1:]))
        sources.append(b.env[node])
    b.env[node] = sources[0] if len(sources) == 1 else b.graph.call_function(torch.cat, (sources, dim))


HANDLERS: dict[str, Handler] = {**dict.fromkeys(MOVED, _moved), **dict.fromkeys(SEVERAL, _several), "stack": _stack}
