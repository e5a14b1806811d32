"""BatchNorm folded into the Linear before it, or into the one after it."""

from __future__ import annotations

from typing import cast

import torch
from torch import fx, nn

from toolkit.errors import InputError


def fold_batch_norms(graph: fx.GraphModule) -> None:
    """Fold every BatchNorm1d of `graph`, in place. Raises InputError for one that no Linear can take."""
    for node in list(graph.graph.nodes):
        if node.op != "call_module" or not isinstance(graph.get_submodule(str(node.target)), nn.BatchNorm1d):
            continue
        norm = cast(nn.BatchNorm1d, graph.get_submodule(str(node.target)))
        source = node.args[0]
        if _linear(graph, source) is not None and len(source.users) == 1:
            _into_before(cast(nn.Linear, _linear(graph, source)), norm)
        else:
            after = [_linear(graph, user) for user in node.users]
            if not after or any(layer is None for layer in after):
                path = graph.meta["paths"].get(str(node.target), str(node.target))
                raise InputError(f"the BatchNorm '{path}' stands neither right after a Linear that feeds it alone nor "
                                 "right before Linears; move it next to one")
            for layer in after:
                _into_after(cast(nn.Linear, layer), norm)
        node.replace_all_uses_with(source)
        graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()


def _linear(graph: fx.GraphModule, node: fx.Node) -> nn.Linear | None:
    if node.op != "call_module":
        return None
    module = graph.get_submodule(str(node.target))
    return module if isinstance(module, nn.Linear) else None


def _affine(norm: nn.BatchNorm1d) -> tuple[torch.Tensor, torch.Tensor]:
    """(scale, offset) of a BatchNorm in eval mode, float64."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale


@torch.no_grad()
def _into_before(layer: nn.Linear, norm: nn.BatchNorm1d) -> None:
    scale, offset = _affine(norm)
    layer.bias.copy_(layer.bias.double() * scale + offset)
    layer.weight.copy_(layer.weight.double() * scale[:, None])


@torch.no_grad()
def _into_after(layer: nn.Linear, norm: nn.BatchNorm1d) -> None:
    scale, offset = _affine(norm)
    weight = layer.weight.double()
    layer.bias.copy_(layer.bias.double() + weight @ offset)
    layer.weight.copy_(weight * scale)
