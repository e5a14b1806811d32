"""Structured pruning: whole neurons and channels go, with all that depends on them (torch-pruning's groups)."""

from __future__ import annotations

import copy
import operator
import warnings
from collections.abc import Callable, Collection, Mapping
from math import lcm
from typing import Any

import torch
import torch_pruning as tp
from torch import fx, nn

from toolkit.capture.builder import module_of
from toolkit.compress.product import WEIGHTED
from toolkit.errors import InputError

IMPORTANCES = {
    "l1": lambda: tp.importance.GroupMagnitudeImportance(p=1),
    "l2": lambda: tp.importance.GroupMagnitudeImportance(p=2),
    "lamp": lambda: tp.importance.LAMPImportance(),
    "taylor": lambda: tp.importance.GroupTaylorImportance(),
    "random": lambda: tp.importance.RandomImportance(),
}
"""How a neuron's worth is judged. `taylor` needs the gradients of a loss: `prune` asks for them."""


def prune(graph: fx.GraphModule, ratio: float, importance: str, gradients=None,
          keep: Collection[str] = (), widths: Mapping[str, int] | None = None,
          ratios: Mapping[str, float] | None = None) -> fx.GraphModule:
    """A copy of `graph` without `ratio` of the hidden neurons (of convolutions: channels) of every group of layers;
    those named in `keep` keep theirs, and those in `ratios` lose that share. A ratio is taken of the layer's width, or
    of that in `widths` where it was wider before.

    `gradients(graph)` fills in the parameters' .grad where the importance needs them. The copy's `meta['origin']`
    maps each parameter's name to the int64 positions in the flattened original parameter that its elements came from.
    """
    graph = copy.deepcopy(graph)
    last = outputs(graph) + _tied(graph) + [graph.get_submodule(name) for name in keep]
    example = torch.zeros(2, *graph.meta["input_shape"])
    if importance == "taylor" and gradients is not None:
        gradients(graph)
    marked = copy.deepcopy(graph).double()
    for name, parameter in marked.named_parameters():
        origin = graph.meta.get("origin", {}).get(name)
        ids = torch.arange(parameter.numel()) if origin is None else origin.reshape(-1)
        parameter.data = ids.double().reshape(parameter.shape)
    whole = whole_channels(graph)
    cuts = {}
    for name, module in graph.named_modules():
        if isinstance(module, WEIGHTED) and module not in last:
            width = len(module.weight)
            wide, share = (widths or {}).get(name, width), (ratios or {}).get(name, ratio)
            left = max(round(wide * (1 - share) / whole), 1) * whole
            # Half a neuron more, so that truncation cannot take one too many.
            cuts[module] = max(1 - (left + 0.5) / width, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pruner = tp.pruner.BasePruner(graph, example, importance=_judge(importance), pruning_ratio=0.0,
                                      pruning_ratio_dict=cuts, ignored_layers=last, global_pruning=False)
        before = sum(p.numel() for p in graph.parameters())
        pruner.step()
        # The same cuts on a copy whose weights are their own positions tell where each kept weight came from.
        twin = tp.pruner.BasePruner(marked, example.double(), importance=IMPORTANCES["l1"](), pruning_ratio=ratio,
                                    ignored_layers=outputs(marked) + _tied(marked))
        twin.load_pruning_history(pruner.pruning_history())
    if ratio and widths is None and sum(p.numel() for p in graph.parameters()) == before:
        raise InputError(f"structured pruning of {ratio:g} removes nothing: the network has no hidden layer of enough "
                         "neurons")
    graph.meta["origin"] = {name: p.detach().long() for name, p in marked.named_parameters()}
    for parameter in graph.parameters():
        parameter.grad = None
    return graph


def whole_channels(graph: fx.GraphModule) -> int:
    """Channels that only go together: each group of a grouped convolution must lose as many as the others."""
    return lcm(*(m.groups for m in graph.modules() if isinstance(m, nn.Conv1d | nn.Conv2d) and not depthwise(m)))


def outputs(graph: fx.GraphModule) -> list[nn.Module]:
    """The layers whose neurons or channels are the network's own outputs."""
    return _makers(graph, next(n for n in graph.graph.nodes if n.op == "output"))


def _makers(graph: fx.GraphModule, reader: fx.Node) -> list[nn.Module]:
    """The layers whose neurons or channels are what `reader` reads."""
    found: list[nn.Module] = []
    stack = list(reader.all_input_nodes)
    while stack:
        node = stack.pop()
        module = module_of(graph, node)
        if isinstance(module, WEIGHTED):
            found.append(module)
        if not isinstance(module, WEIGHTED) or depthwise(module):
            stack.extend(node.all_input_nodes)
    return found


def _judge(importance: str) -> Callable[[Any], torch.Tensor | None]:
    """The worth of each neuron of a group. A depthwise convolution before a Flatten makes torch-pruning count its
    channels once for every pixel; those beyond the channels are empty."""
    judge = IMPORTANCES[importance]()

    def judged(group: Any) -> torch.Tensor | None:
        found = judge(group)
        return None if found is None else found[:len(group[0].idxs)]

    return judged


def together(graph: fx.GraphModule) -> list[set[nn.Module]]:
    """Layers that only lose channels together: those that a sum joins, a depthwise convolution and what it reads."""
    found: list[set[nn.Module]] = []
    for node in graph.graph.nodes:
        module = module_of(graph, node)
        if node.target is not operator.add and not depthwise(module):
            continue
        members = {*_makers(graph, node), *([module] if module is not None else [])}
        touching = [group for group in found if group & members]
        found = [group for group in found if not group & members] + [members.union(*touching)]
    return found


def fixed(graph: fx.GraphModule) -> set[nn.Module]:
    """The layers that cannot lose channels: the input or the output of the network prescribes them."""
    found = {*outputs(graph), *_tied(graph)}
    return found.union(*(group for group in together(graph) if group & found))


def _tied(graph: fx.GraphModule) -> list[nn.Module]:
    """Layers whose channels the network's own input prescribes: those that meet it in a sum or a concatenation, and
    grouped convolutions of it."""
    found: list[nn.Module] = []
    raw = {node for node in graph.graph.nodes if node.op == "placeholder"}
    for node in graph.graph.nodes:
        if not any(source in raw for source in node.all_input_nodes):
            continue
        module = module_of(graph, node)
        if isinstance(module, nn.Conv1d | nn.Conv2d) and module.groups > 1:
            found.append(module)
        if not isinstance(module, WEIGHTED) or depthwise(module):
            raw.add(node)
            found += _makers(graph, node)
    return found


def depthwise(module: nn.Module | None) -> bool:
    """Whether a layer's channels are those of the layer before it."""
    return isinstance(module, nn.Conv1d | nn.Conv2d) and module.groups == module.in_channels == module.out_channels
