"""BatchNorm, and every other scale and offset, folded into the layer before it or those behind it; where none takes
it, a depthwise 1x1 convolution: one weight a channel or feature. What is done to the input first of all, its
normalisation, is recorded in the graph's `meta`."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from toolkit.capture.builder import module_of
from toolkit.capture.pick import Pick
from toolkit.capture.slopes import Slopes
from toolkit.capture.transposed import ConvTranspose
from toolkit.utils.threads import threads

Weighted = nn.Linear | nn.Conv1d | nn.Conv2d | ConvTranspose
Norm = nn.BatchNorm1d | nn.BatchNorm2d


@threads()
@torch.no_grad()
def fold_batch_norms(graph: fx.GraphModule) -> None:
    """Fold every BatchNorm of `graph`, in place. The nodes of BatchNorms carry the `shape` of a sample in `meta`."""
    for node in list(graph.graph.nodes):
        norm = module_of(graph, node)
        if not isinstance(norm, Norm):
            continue
        source = node.args[0]
        before, shape = module_of(graph, source), node.meta["shape"]
        scale, offset = (v.reshape(-1, *(1,) * (len(shape) - 1)).expand(shape) for v in _affine(norm))
        takers = _takers(graph, node, scale, offset)
        if isinstance(before, Weighted) and len(source.users) == 1:
            _into_before(before, norm)
        elif takers:
            if _first(graph, source, node):
                _record(graph, norm)
            for layer, *moved in takers:
                _into_after(layer, *moved)
        else:
            if _first(graph, source, node):
                _record(graph, norm, str(node.target))
                graph.meta["normalisation"]["exact"] = _to_powers(graph, node, norm)
            _alone(graph, node, norm, len(shape) - 1)
            continue
        node.replace_all_uses_with(source)
        graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()


def _first(graph: fx.GraphModule, source: fx.Node, node: fx.Node) -> bool:
    """Whether `node` is all that reads the input, which may be flattened before."""
    while isinstance(module_of(graph, source), nn.Flatten) and len(source.users) == 1:
        source = source.args[0]  # type: ignore[assignment]
    return source.op == "placeholder" and len(source.users) == 1


def _record(graph: fx.GraphModule, norm: Norm, own: str = "") -> None:
    """meta['normalisation']: `scale` and `offset`, float lists of each channel of the input (one number for all, where
    they are alike); `own`: the path of the layer that it stays, '' where it is folded; `exact`: whether that layer's
    weights are powers of two, so that no format rounds them."""
    scale, offset = (values[:1].tolist() if bool((values == values[0]).all()) else values.tolist()
                     for values in _affine(norm))
    path = graph.meta.get("paths", {}).get(own, own)
    graph.meta["normalisation"] = {"scale": scale, "offset": offset, "own": path, "exact": False}


def _to_powers(graph: fx.GraphModule, node: fx.Node, norm: Norm) -> bool:
    """Let a norm that stays a layer scale by powers of two, which every format of weights has, and those that read it
    by the rest; False where they cannot. Zeros around an image stay what they were."""
    scale, offset = _affine(norm)
    if not bool(scale.all()) or norm.running_mean is None or norm.running_var is None:
        return False
    power = torch.exp2(torch.floor(torch.log2(scale.abs()) + 0.5)) * scale.sign()
    rest = scale / power
    shape = node.meta["shape"]
    takers = _takers(graph, node, *(v.reshape(-1, *(1,) * (len(shape) - 1)).expand(shape)
                                    for v in (rest, torch.zeros_like(rest))))
    if not takers or any(isinstance(layer, Norm) for layer, *_ in takers):
        return False
    for layer, *moved in takers:
        _into_after(layer, *moved)
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0)
    norm.eps = 0.0
    norm.weight.copy_(power)
    norm.bias.copy_(offset / rest)
    return True


def _takers(graph: fx.GraphModule, node: fx.Node, scale: torch.Tensor,
            offset: torch.Tensor) -> list[tuple[Any, torch.Tensor, torch.Tensor]] | None:
    """The layers that take a scale and an offset of what `node` makes, with what reaches each of them; None where
    some user of it takes none. Both are of the shape of a sample."""
    found: list[tuple[Any, torch.Tensor, torch.Tensor]] = []
    for user in node.users:
        layer = module_of(graph, user)
        if _takes(layer, scale, offset):
            found.append((layer, scale, offset))
        elif _passes(layer, scale):
            assert layer is not None
            more = _takers(graph, user, *(layer(v[None])[0] for v in (scale, offset)))
            if more is None:
                return None
            found += more
        else:
            return None
    return found or None


def _level(values: torch.Tensor) -> bool:
    """One number for each channel."""
    rows = values.reshape(len(values), -1)
    return bool((rows == rows[:, :1]).all())


def _takes(layer: Any, scale: torch.Tensor, offset: torch.Tensor) -> bool:
    """Whether `layer` can take them: padding would have to hold what they make of zero."""
    if isinstance(layer, nn.Linear | Norm):
        return _level(scale) and _level(offset)
    if isinstance(layer, ConvTranspose):  # few taps reach the pixels at its edges
        return _level(scale) and not bool(offset.any())
    return isinstance(layer, nn.Conv1d | nn.Conv2d) and _level(scale) and _level(offset) and (
        not any(layer.padding) or not bool(offset.any()))


def _passes(layer: Any, scale: torch.Tensor) -> bool:
    """Whether scales and offsets may come behind `layer` as well as before it."""
    if isinstance(layer, nn.MaxPool1d | nn.MaxPool2d):
        return _level(scale) and bool((scale > 0).all())
    return isinstance(layer, nn.Flatten | nn.Unflatten | Pick | nn.Upsample)


def _affine(norm: Norm) -> tuple[torch.Tensor, torch.Tensor]:
    """(scale, offset) of a BatchNorm in eval mode, float64."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale


def _into_before(layer: Any, norm: Norm) -> None:
    scale, offset = _affine(norm)
    layer.bias.copy_(layer.bias.double() * scale + offset)
    layer.weight.copy_(layer.weight.double() * scale.reshape(-1, *(1,) * (layer.weight.ndim - 1)))


def _into_after(layer: Any, scale: torch.Tensor, offset: torch.Tensor) -> None:
    """Take `scale * x + offset` of what `layer` reads into its numbers."""
    scale, offset = (v.reshape(len(v), -1)[:, 0] for v in (scale, offset))
    if isinstance(layer, Norm):
        own, after = _affine(layer)
        assert layer.running_mean is not None and layer.running_var is not None
        layer.running_mean.zero_()
        layer.running_var.fill_(1.0)
        layer.eps = 0.0
        layer.weight.copy_(own * scale)
        layer.bias.copy_(own * offset + after)
        return
    weight = layer.weight.double()
    out, groups = len(weight), getattr(layer, "groups", 1)
    # Each output channel reads the inputs of its group: (out, inputs of a group), one row an output channel.
    scale, offset = (v.reshape(groups, -1).repeat_interleave(out // groups, 0) for v in (scale, offset))
    spatial = (1,) * (weight.ndim - 2)
    layer.bias.copy_(layer.bias.double() + (weight * offset.reshape(*offset.shape, *spatial)).flatten(1).sum(1))
    layer.weight.copy_(weight * scale.reshape(*scale.shape, *spatial))


def _alone(graph: fx.GraphModule, node: fx.Node, norm: Norm, rank: int) -> None:
    """Put a depthwise convolution in the place of a norm, or Slopes where it asks for finer constants; a vector of
    features is a signal of length 1 in it."""
    name = str(node.target)
    if getattr(norm, "fine", False):
        scale = _affine(norm)[0]
        setattr(graph, name, Slopes(scale, scale))
        return
    setattr(graph, name, _depthwise(norm, max(rank, 1)))
    if rank:
        return
    count = norm.num_features
    graph.add_module(f"{name}_as_signal", nn.Unflatten(1, (count, 1)))
    graph.add_module(f"{name}_as_vector", nn.Flatten())
    with graph.graph.inserting_before(node):
        node.args = (graph.graph.call_module(f"{name}_as_signal", node.args),)
    with graph.graph.inserting_after(node):
        after = graph.graph.call_module(f"{name}_as_vector", (node,))
    node.replace_all_uses_with(after, delete_user_cb=lambda user: user is not after)


def _depthwise(norm: Norm, rank: int) -> nn.Module:
    """A norm on its own as a convolution that reads one pixel of one channel."""
    count = norm.num_features
    layer: Any = (nn.Conv1d if rank == 1 else nn.Conv2d)(count, count, 1, groups=count)
    scale, offset = _affine(norm)
    layer.weight.copy_(scale.reshape(layer.weight.shape))
    layer.bias.copy_(offset)
    return layer.eval().requires_grad_(True)
