"""The shape of a student: the teacher's architecture at a share of its parameters, no layer a bottleneck."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import Any, cast

import torch
from torch import fx, nn

from toolkit.capture.builder import module_of
from toolkit.compress.matmul import WEIGHTED
from toolkit.compress.pruning.structured import depthwise, fixed, together, whole_channels
from toolkit.utils.errors import InputError

SPARE = 1.1
"""How much larger than asked a student may be whose layers are all as narrow as they may become."""
PROPORTION = 0.05
"""How far a layer's width may leave the common ratio, to come closer to the parameters asked for."""


class TooSmall(InputError):
    """No student of so few parameters can be made of this teacher."""


@dataclass(frozen=True)
class _Layer:
    """A layer with weights: `group` says whose width it shares (None: it keeps its own), `reads` which part of its
    inputs comes from each group, `taps` are its weights for one input and output."""

    name: str
    width: int
    group: int | None
    inputs: int
    reads: dict[int | None, float]
    taps: int


def widths(teacher: fx.GraphModule, share: float) -> dict[str, int]:
    """The width of every layer with weights in a student of `share` of the teacher's parameters, as near as whole
    neurons allow, by module name.

    Every hidden layer keeps the same part of its width, but none becomes narrower than the network has outputs (or
    than it was). Where a share is too small for that, a convolution may have fewer channels, as long as it outputs as
    many numbers as there are outputs, or as the teacher's narrowest layer outputs. Raises TooSmall for less.
    """
    shape = _Shape(teacher)
    target = share * shape.count(shape.full)
    strict, least = shape.floors()
    floors = strict if shape.count(strict) <= target else least
    smallest = shape.count(floors)
    if smallest > SPARE * target:
        whole = shape.count(shape.full)
        raise TooSmall(f"a student of {share:g} would have {target:,.0f} parameters; with no layer narrower than the "
                       f"network's outputs the smallest has {smallest:,} of {whole:,}: choose "
                       f"distill:{ceil(100 * smallest / whole) / 100:g} or more")
    return shape.named(_nearest(shape, floors, target))


def _nearest(shape: _Shape, floors: dict[int, int], target: float) -> dict[int, int]:
    """Widths of the groups above `floors` whose parameters come nearest to `target`, all about one part of `full`."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if shape.count(shape.scaled(middle, floors)) <= target else (low, middle)
    start = min((shape.scaled(part, floors) for part in (low, high)), key=lambda w: abs(shape.count(w) - target))
    found = dict(start)
    while True:
        near = [{**found, group: found[group] + step} for group in found for step in (-shape.step, shape.step)]
        near = [w for w in near if all(
            floors[g] <= w[g] <= shape.full[g] and abs(w[g] - start[g]) <= max(PROPORTION * start[g], shape.step)
            for g in w)]
        best = min(near, key=lambda w: abs(shape.count(w) - target), default=found)
        if abs(shape.count(best) - target) >= abs(shape.count(found) - target):
            return found
        found = best


class _Shape:
    """How many parameters a network has, as a function of the widths of its groups of layers."""

    def __init__(self, graph: fx.GraphModule) -> None:
        self.step = whole_channels(graph)
        names = {module: name for name, module in graph.named_modules()}
        kept = fixed(graph)
        sizes = _sizes(graph)
        joined = together(graph)
        groups: dict[nn.Module, int] = {}
        self.full: dict[int, int] = {}
        self.layers: list[_Layer] = []
        self.hands: dict[int, int] = {}
        shares: dict[fx.Node, dict[int | None, float]] = {}
        for node in graph.graph.nodes:
            module = module_of(graph, node)
            sources = [shares[n] for n in node.all_input_nodes]
            if isinstance(module, WEIGHTED):
                layer = cast(Any, module)
                if module not in groups and module not in kept:
                    members = next((m for m in joined if module in m), {module})
                    number = len(self.full)
                    groups |= dict.fromkeys(members, number)
                    self.full[number] = len(layer.weight)
                group = groups.get(module)
                inputs = 1 if depthwise(module) else layer.weight.shape[1]
                reads: dict[int | None, float] = {None: 1.0} if depthwise(module) else sources[0]
                if names[module] not in {known.name for known in self.layers}:
                    self.layers.append(_Layer(names[module], len(layer.weight), group, inputs, reads,
                                              prod(layer.weight.shape[2:])))
                shares[node] = {group: 1.0}
            elif len(sources) > 1 and node.target is torch.cat:
                whole = sum(sizes[n] for n in node.all_input_nodes)
                mixed: dict[int | None, float] = {}
                for n in node.all_input_nodes:
                    for group, part in shares[n].items():
                        mixed[group] = mixed.get(group, 0.0) + part * sizes[n] / whole
                shares[node] = mixed
            else:
                shares[node] = sources[0] if sources else {None: 1.0}
            for group, part in shares[node].items():
                if group is not None and node.op != "output":
                    numbers = round(sizes[node] * part)
                    self.hands[group] = min(self.hands.get(group, numbers), numbers)
        self.outputs = sizes[next(n for n in graph.graph.nodes if n.op == "output").all_input_nodes[0]]

    def count(self, widths: dict[int, int]) -> int:
        """Weights and biases."""
        total = 0
        for layer in self.layers:
            out = self._width(layer, widths)
            parts = sum(part * (1 if g is None else widths[g] / self.full[g]) for g, part in layer.reads.items())
            total += out * (round(layer.inputs * parts) * layer.taps + 1)
        return total

    def scaled(self, part: float, floors: dict[int, int]) -> dict[int, int]:
        """Every group at `part` of its width, none below its floor."""
        return {g: max(round(part * full / self.step) * self.step, floors[g]) for g, full in self.full.items()}

    def floors(self) -> tuple[dict[int, int], dict[int, int]]:
        """(as many neurons or channels as outputs, only as many numbers): for every group."""
        least = min([self.outputs, *self.hands.values()])
        return ({g: self._whole(g, self.outputs) for g in self.full},
                {g: self._whole(g, least * full / self.hands[g]) for g, full in self.full.items()})

    def named(self, widths: dict[int, int]) -> dict[str, int]:
        return {layer.name: self._width(layer, widths) for layer in self.layers}

    def _width(self, layer: _Layer, widths: dict[int, int]) -> int:
        if layer.group is None:
            return layer.width
        return round(layer.width * widths[layer.group] / self.full[layer.group])

    def _whole(self, group: int, width: float) -> int:
        return min(ceil(width / self.step) * self.step, self.full[group])


@torch.no_grad()
def _sizes(graph: fx.GraphModule) -> dict[fx.Node, int]:
    """Numbers of every tensor of one sample."""
    found: dict[fx.Node, int] = {}

    class Sizes(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if isinstance(value, torch.Tensor):
                found[n] = value[0].numel()
            return value

    graph.eval()
    Sizes(graph).run(torch.zeros(2, *graph.meta["input_shape"]))
    return found
