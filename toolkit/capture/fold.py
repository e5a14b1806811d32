"""BatchNorm folded into the layer before it or after it; where neither takes it, a depthwise 1x1 convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from toolkit.capture.builder import module_of
from toolkit.errors import InputError
from toolkit.threads import threads

Weighted = nn.Linear | nn.Conv1d | nn.Conv2d


@threads()
def fold_batch_norms(graph: fx.GraphModule) -> None:
    """Fold every BatchNorm of `graph`, in place. Raises InputError for one over vectors that no Linear can take."""
    for node in list(graph.graph.nodes):
        norm = module_of(graph, node)
        if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            continue
        source = node.args[0]
        before, after = module_of(graph, source), [module_of(graph, user) for user in node.users]
        if isinstance(before, Weighted) and len(source.users) == 1:
            _into_before(before, norm)
        elif after and all(_takes(layer, norm) for layer in after):
            for layer in after:
                _into_after(layer, norm)
        elif node.meta.get("rank", 1) > 1:
            setattr(graph, str(node.target), _depthwise(norm, node.meta["rank"] - 1))
            continue
        else:
            path = graph.meta["paths"].get(str(node.target), str(node.target))
            raise InputError(f"the BatchNorm '{path}' stands neither right after a Linear that feeds it alone nor "
                             "right before Linears; move it next to one")
        node.replace_all_uses_with(source)
        graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()


def _takes(layer: Any, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> bool:
    """Whether `layer` can take a norm of its inputs: padding would have to hold what the norm makes of zero."""
    if isinstance(layer, nn.Linear):
        return layer.in_features == norm.num_features
    return isinstance(layer, nn.Conv1d | nn.Conv2d) and not any(layer.padding)


def _affine(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """(scale, offset) of a BatchNorm in eval mode, float64."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale


@torch.no_grad()
def _into_before(layer: Any, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    scale, offset = _affine(norm)
    layer.bias.copy_(layer.bias.double() * scale + offset)
    layer.weight.copy_(layer.weight.double() * scale.reshape(-1, *(1,) * (layer.weight.ndim - 1)))


@torch.no_grad()
def _into_after(layer: Any, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    scale, offset = _affine(norm)
    weight = layer.weight.double()
    out, groups = len(weight), getattr(layer, "groups", 1)
    # Each output channel reads the inputs of its group: (out, inputs of a group), one row an output channel.
    scale, offset = (v.reshape(groups, -1).repeat_interleave(out // groups, 0) for v in (scale, offset))
    spatial = (1,) * (weight.ndim - 2)
    layer.bias.copy_(layer.bias.double() + (weight * offset.reshape(*offset.shape, *spatial)).flatten(1).sum(1))
    layer.weight.copy_(weight * scale.reshape(*scale.shape, *spatial))


@torch.no_grad()
def _depthwise(norm: nn.BatchNorm1d | nn.BatchNorm2d, rank: int) -> nn.Module:
    """A norm on its own as a convolution that reads one pixel of one channel."""
    count = norm.num_features
    layer: Any = (nn.Conv1d if rank == 1 else nn.Conv2d)(count, count, 1, groups=count)
    scale, offset = _affine(norm)
    layer.weight.copy_(scale.reshape(layer.weight.shape))
    layer.bias.copy_(offset)
    return layer.eval()
