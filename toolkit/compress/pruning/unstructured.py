"""Unstructured pruning: weights become zero and stay zero. Biases are never pruned."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import fx

from toolkit.compress.matmul import WEIGHTED
from toolkit.utils.errors import InputError


def magnitude(graph: fx.GraphModule, ratio: float, scope: str, keep: set[str]) -> fx.GraphModule:
    """A copy without the `ratio` of smallest weights: of the whole network (`global`) or of each layer (`layer`).

    Layers whose names are in `keep` are left alone. Zeros that are there count as pruned.
    """
    graph, layers = _copied(graph, keep)
    if scope == "global":
        every = torch.cat([layer.weight.detach().abs().reshape(-1) for layer in layers])
        count = round(ratio * len(every))
        limits = [every.sort()[0][count - 1] if count else -1.0] * len(layers)
    else:
        limits = []
        for layer in layers:
            count = round(ratio * layer.weight.numel())
            limits.append(layer.weight.detach().abs().reshape(-1).sort()[0][count - 1] if count else -1.0)
    for layer, limit in zip(layers, limits, strict=True):
        _apply(layer, layer.weight.detach().abs() > limit)
    return _checked(graph)


def at_random(graph: fx.GraphModule, ratio: float, seed: int, keep: set[str]) -> fx.GraphModule:
    """A copy without `ratio` of each layer's weights, drawn with `seed`."""
    graph, layers = _copied(graph, keep)
    draw = torch.Generator().manual_seed(seed)
    for layer in layers:
        order = torch.rand(layer.weight.numel(), generator=draw).argsort()
        mask = torch.ones(layer.weight.numel(), dtype=torch.bool)
        mask[order[:round(ratio * len(order))]] = False
        _apply(layer, mask.reshape(layer.weight.shape))
    return _checked(graph)


def n_of_m(graph: fx.GraphModule, n: int, m: int, keep: set[str]) -> fx.GraphModule:
    """A copy that keeps the `n` largest of every `m` consecutive weights of a row (of a filter, channel by channel); a
    row's short rest keeps its share.

    Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021 (2:4).
    """
    graph, layers = _copied(graph, keep)
    for layer in layers:
        size = layer.weight.detach().abs().flatten(1)
        mask = torch.zeros_like(size, dtype=torch.bool)
        for start in range(0, size.shape[1], m):
            part = size[:, start:start + m]
            kept = min(-(-n * part.shape[1] // m), part.shape[1])
            mask[:, start:start + m].scatter_(1, part.topk(kept, dim=1)[1], True)
        _apply(layer, mask.reshape(layer.weight.shape))
    return _checked(graph)


def _copied(graph: fx.GraphModule, keep: set[str]) -> tuple[fx.GraphModule, list[Any]]:
    graph = copy.deepcopy(graph)
    layers = [m for name, m in graph.named_modules() if isinstance(m, WEIGHTED) and name not in keep]
    if not layers:
        raise InputError("there is no layer left to prune: " + (
            "all are excluded" if keep else "the network has none with weights"))
    return graph, layers


@torch.no_grad()
def _apply(layer: Any, mask: torch.Tensor) -> None:
    layer.weight.mul_(mask)


def _checked(graph: fx.GraphModule) -> fx.GraphModule:
    """Refuse a pruning that leaves a layer without any weight."""
    for name, module in graph.named_modules():
        if isinstance(module, WEIGHTED) and not module.weight.detach().any():
            path = graph.meta["paths"].get(name, name)
            raise InputError(f"this pruning leaves nothing of the layer '{path}'; prune less, per layer, or exclude it "
                             f"with --layer-config '{path}=keep'")
    return graph
