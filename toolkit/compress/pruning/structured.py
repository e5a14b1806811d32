"""Structured pruning: whole neurons and channels go, with all that depends on them."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from math import lcm
from typing import Any, cast

import numpy as np
import torch
from torch import fx, nn

from toolkit.capture.builder import module_of
from toolkit.capture.pick import Pick
from toolkit.capture.slopes import Slopes
from toolkit.compress.matmul import CONVOLUTIONS, WEIGHTED
from toolkit.compress.pruning.channels import Channels, depthwise
from toolkit.utils.errors import InputError

Worth = Callable[[nn.Parameter], torch.Tensor]
"""What each weight of a layer is worth, in the weight's shape."""


def _gradient(weight: nn.Parameter) -> torch.Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad


IMPORTANCES: dict[str, Worth | None] = {
    "l1": lambda weight: weight.abs(),
    "l2": lambda weight: weight.square(),
    # Within a layer LAMP (Lee et al., 2021) ranks as the squares do: it scales them by what is left above each.
    "lamp": lambda weight: weight.square(),
    "taylor": lambda weight: (weight * _gradient(weight)).abs(),
    "random": None,
}
"""How a neuron's worth is judged: by the sum over all weights that go with it, those of its own layer and those that
read it. `taylor` (Molchanov et al., 2019) needs the gradients of a loss: `prune` asks for them."""


def prune(graph: fx.GraphModule, ratio: float, importance: str, gradients=None,
          keep: Collection[str] = (), widths: Mapping[str, int] | None = None,
          ratios: Mapping[str, float] | None = None) -> fx.GraphModule:
    """A copy of `graph` without `ratio` of the hidden neurons (of convolutions: channels) of every group of layers;
    those named in `keep` keep theirs, and those in `ratios` lose that share. A ratio is taken of the layer's width, or
    of that in `widths` where it was wider before; of layers that lose channels together the smallest counts.

    `gradients(graph)` fills in the parameters' .grad where the importance needs them. The copy's `meta['origin']`
    maps each parameter's name to the int64 positions in the flattened original parameter that its elements came from.
    """
    graph = copy.deepcopy(graph)
    if importance == "taylor" and gradients is not None:
        gradients(graph)
    channels = Channels(graph)
    shares = {}
    for name, layer in channels.layers.items():
        wide, share = (widths or {}).get(name, len(layer.weight)), (ratios or {}).get(name, ratio)
        shares[name] = 1.0 if name in keep else min(wide * (1 - share) / len(layer.weight), 1.0)
    gone = _weakest(channels, shares, _worths(channels, IMPORTANCES[importance]))
    if ratio and widths is None and not gone:
        raise InputError(f"structured pruning of {ratio:g} removes nothing: {_why_nothing(channels, keep)}")
    _cut(graph, channels, gone)
    return graph


def outputs(graph: fx.GraphModule) -> list[nn.Module]:
    """The layers whose neurons or channels are the network's own outputs."""
    found: list[nn.Module] = []
    stack = list(next(n for n in graph.graph.nodes if n.op == "output").all_input_nodes)
    while stack:
        node = stack.pop()
        module = module_of(graph, node)
        if isinstance(module, WEIGHTED):
            found.append(module)
        if not isinstance(module, WEIGHTED) or depthwise(module):
            stack.extend(node.all_input_nodes)
    return found


def together(graph: fx.GraphModule) -> list[set[nn.Module]]:
    """Layers that only lose channels together: those that a sum joins, a depthwise convolution and what it reads."""
    channels = Channels(graph)
    found: list[set[nn.Module]] = []
    for names in channels.makers().values():
        members: set[nn.Module] = {channels.layers[name] for name in names}
        touching = [group for group in found if group & members]
        if len(members) > 1 and members not in touching:
            found = [group for group in found if not group & members] + [members.union(*touching)]
    return found


def fixed(graph: fx.GraphModule) -> set[nn.Module]:
    """The layers that cannot lose channels: the input or the output of the network prescribes them."""
    channels = Channels(graph)
    return {channels.layers[name] for name, classes in channels.made.items() if not classes.any()}


def whole_channels(graph: fx.GraphModule) -> int:
    """Channels that only go together: each group of a grouped convolution must lose as many as the others."""
    return lcm(*(m.groups for m in graph.modules() if isinstance(m, CONVOLUTIONS) and not depthwise(m)))


def _worths(channels: Channels, worth: Worth | None) -> dict[int, float]:
    """The worth of every class of channels."""
    makers = channels.makers()
    if worth is None:
        return dict(zip(makers, torch.rand(len(makers)).tolist(), strict=True))
    found = dict.fromkeys(makers, 0.0)
    with torch.no_grad():
        for name, layer in channels.layers.items():
            each = worth(layer.weight).double().flatten(2).sum(2) if layer.weight.ndim > 2 else \
                worth(layer.weight).double()
            sides = [(channels.made[name], each.sum(1))]
            if not depthwise(layer):  # its weights are counted once
                sides.append((channels.read[name],
                              each.reshape(getattr(layer, "groups", 1), -1, each.shape[1]).sum(1).reshape(-1)))
            for classes, sums in sides:
                for one, value in zip(classes.tolist(), sums.tolist(), strict=True):
                    if one:
                        found[one] += value
    return found


def _weakest(channels: Channels, shares: Mapping[str, float], worths: Mapping[int, float]) -> set[int]:
    """The classes that go: of those that the same layers make, the least worth, so that `shares` of each layer stay
    and one at the least."""
    makers = channels.makers()
    strata: dict[Any, list[int]] = defaultdict(list)
    for one, names in makers.items():
        number = next((i for i, balance in enumerate(channels.balances) if one in balance), None)
        strata[frozenset(names) if number is None else number].append(one)
    gone: set[int] = set()
    for key, members in strata.items():
        parts: dict[int, list[int]] = defaultdict(list)
        for one in sorted(members, key=lambda one: (worths[one], one)):
            parts[channels.balances[key][one] if isinstance(key, int) else 0].append(one)
        rows = min(map(len, parts.values()))
        if isinstance(key, int) and len(parts) < _parts(channels, key):
            rows = 0  # one group keeps all that it has, and so must the others
        share = max(shares[name] for one in members for name in makers[one])
        left = max(round(rows * share), 1)
        gone.update(one for part in parts.values() for one in part[:max(rows - left, 0)])
    return gone


def _parts(channels: Channels, number: int) -> int:
    """The groups of the convolution that a balance stands for."""
    classes = channels.balances[number].keys()
    return max(channels.layers[name].groups for name in channels.layers if channels.grouped(name)
               and any(classes & set(side.tolist()) for side in (channels.made[name], channels.read[name])))


def _why_nothing(channels: Channels, keep: Collection[str]) -> str:
    free = {name for names in channels.makers().values() for name in names}
    if not channels.layers:
        return "the network has no layer with weights"
    if not free:
        return "the network's input or output prescribes the width of every layer"
    if free <= set(keep):
        return "every layer that could lose neurons is to keep them"
    widest = max(free - set(keep), key=lambda name: len(channels.layers[name].weight))
    path = channels.graph.meta.get("paths", {}).get(widest, widest)
    count = len(channels.layers[widest].weight)
    together = sum(widest in names for names in channels.makers().values())
    if together < count:
        return (f"what reads the {count} channels of '{path}' lets them go only together, as {together} "
                f"group{'s' * (together > 1)}; prune by magnitude, or give the layer more of them")
    return f"the network has no hidden layer of enough neurons; the widest, '{path}', has {count}"


@torch.no_grad()
def _cut(graph: fx.GraphModule, channels: Channels, gone: Iterable[int]) -> None:
    """Take the channels of the classes `gone` out of every layer, and note where each parameter's elements came
    from."""
    away = np.array(sorted(gone), np.int64)
    origin = graph.meta.get("origin", {})
    places = {name: torch.arange(p.numel()).reshape(p.shape) if name not in origin else origin[name].reshape(p.shape)
              for name, p in graph.named_parameters()}
    for name, layer in channels.layers.items():
        made, read = (torch.from_numpy(~np.isin(classes, away)) for classes in (channels.made[name],
                                                                                 channels.read[name]))
        for key in ("weight", "bias"):
            parameter = getattr(layer, key)
            if parameter is None:
                continue
            place, values = (_weights(t, layer, made, read) if key == "weight" else t[made]
                             for t in (places[f"{name}.{key}"], parameter.detach()))
            places[f"{name}.{key}"] = place
            setattr(layer, key, nn.Parameter(values.clone()))
        _resize(layer, made, read)
    for name, classes in channels.led.items():
        unflatten = cast(nn.Unflatten, graph.get_submodule(name))
        size = tuple(cast(Any, unflatten.unflattened_size))
        unflatten.unflattened_size = (int((~np.isin(classes, away)).sum()), *size[1:])
    for name, classes in channels.sloped.items():
        slopes, stay = cast(Slopes, graph.get_submodule(name)), torch.from_numpy(~np.isin(classes, away))
        slopes.keep(stay)
        places |= {f"{name}.{key}": places[f"{name}.{key}"][stay] for key, _ in slopes.named_parameters()}
    for name, (before, after) in channels.picked.items():
        _repick(cast(Pick, graph.get_submodule(name)), ~np.isin(before, away), ~np.isin(after, away))
    graph.meta["origin"] = places


def _repick(pick: Pick, before: np.ndarray, after: np.ndarray) -> None:
    """Let a Pick pick what stays of what it read: bools of each element, flat, and of each that it makes."""
    numbers = torch.from_numpy(np.cumsum(before) - 1)
    pick.index = numbers[pick.index[torch.from_numpy(after.reshape(-1))]]
    axes = range(after.ndim)
    pick.shape = tuple(int(after.any(tuple(a for a in axes if a != axis)).sum()) for axis in axes)


def _weights(weight: torch.Tensor, layer: Any, made: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
    """The rows that stay, and of each the inputs of its group that stay."""
    groups = getattr(layer, "groups", 1)
    rows = weight.reshape(groups, -1, *weight.shape[1:])
    kept = [part[m][:, r] for part, m, r in zip(rows, made.reshape(groups, -1), read.reshape(groups, -1), strict=True)
            if m.any()]
    return torch.cat(kept)


def _resize(layer: Any, made: torch.Tensor, read: torch.Tensor) -> None:
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = int(made.sum()), int(read.sum())
        return
    if depthwise(layer):
        layer.groups = int(read.sum())
    layer.out_channels, layer.in_channels = int(made.sum()), int(read.sum())
