"""Post-training quantisation of a captured graph: formats from calibration data, weights layer by layer."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import fx, nn

from toolkit.compress import grids
from toolkit.compress.activations import fitted
from toolkit.compress.compensate import compensated
from toolkit.compress.layers import QuantLinear, Requantiser
from toolkit.compress.scheme import Overrides, Quantise
from toolkit.design.formats import FixedPoint, union
from toolkit.errors import InputError
from toolkit.progress import bar


@dataclass(frozen=True)
class Widths:
    """Bits of the activations: the input's, hidden ones', the output's."""

    input: int = 8
    hidden: int = 8
    output: int = 16

    def __post_init__(self) -> None:
        for name, bits in vars(self).items():
            if not 2 <= bits <= 24:
                raise InputError(f"{name} activations of {bits} bits are outside 2..24")


def quantise(graph: fx.GraphModule, samples: torch.Tensor, step: Quantise, widths: Widths, *,
             compensate: bool = True, overrides: Overrides | None = None) -> fx.GraphModule:
    """A quantised copy of a float graph: Linears become QuantLinears, a Requantiser stands behind every one, behind
    every addition, at the input and in the place of every activation.

    `samples` float32 (n, *shape) calibrate it. With `compensate` off, weights are rounded plainly. The copy's
    `meta['input']` is the input's format.
    """
    graph = _prepared(graph)
    final = _output_requantisers(graph)
    run = _Calibration(graph, samples, step, widths, compensate, final, overrides or Overrides())
    linears = [n for n in graph.graph.nodes if _module(graph, n, nn.Linear) is not None]
    with bar(f"quantising to {step}", len(linears)) as advance, torch.no_grad():
        for node in graph.graph.nodes:
            run.step(node)
            if node in linears:
                advance(note=str(node.target)[:30])
    first = next(n for n in graph.graph.nodes if n.op == "placeholder")
    graph.meta["input"] = run.formats[next(iter(first.users))]
    return graph.eval()


def _module(graph: fx.GraphModule, node: Any, kind: type[nn.Module]) -> Any:
    """The module that a node calls, if it is of `kind`."""
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    module = graph.get_submodule(str(node.target))
    return module if isinstance(module, kind) else None


def _bounds(module: nn.Module) -> tuple[float, float] | None:
    """What an activation clamps to."""
    if isinstance(module, nn.ReLU6):
        return 0.0, 6.0
    if isinstance(module, nn.Hardtanh):
        return float(module.min_val), float(module.max_val)
    return (0.0, math.inf) if isinstance(module, nn.ReLU) else None


def _prepared(graph: fx.GraphModule) -> fx.GraphModule:
    """A copy with a Requantiser wherever codes are made; none has a format yet."""
    graph = copy.deepcopy(graph)
    for node in list(graph.graph.nodes):
        if node.op == "placeholder":
            _insert(graph, node, f"{node.name}_codes", -math.inf, math.inf)
            continue
        module = graph.get_submodule(str(node.target)) if node.op == "call_module" else None
        bounds = _bounds(module) if module is not None else None
        if bounds is not None:
            _replace(graph, str(node.target), Requantiser(*bounds))
        elif isinstance(module, nn.Linear) or (node.op == "call_function" and "add" in str(node.target)):
            user = next(iter(node.users)) if len(node.users) == 1 else None
            follower = graph.get_submodule(str(user.target)) if user is not None and user.op == "call_module" else None
            if follower is None or _bounds(follower) is None:
                _insert(graph, node, f"{node.name}_codes", -math.inf, math.inf)
    graph.recompile()
    return graph


def _insert(graph: fx.GraphModule, node: fx.Node, name: str, low: float, high: float) -> None:
    while hasattr(graph, name):
        name += "_"
    graph.add_module(name, Requantiser(low, high))
    users = list(node.users)
    with graph.graph.inserting_after(node):
        new = graph.graph.call_module(name, (node,))
    for user in users:
        user.replace_input_with(node, new)


def _replace(graph: fx.GraphModule, target: str, module: nn.Module) -> None:
    parent, _, name = target.rpartition(".")
    setattr(graph.get_submodule(parent), name, module)


def _output_requantisers(graph: fx.GraphModule) -> set[fx.Node]:
    """The Requantisers whose codes are the network's output."""
    found: set[fx.Node] = set()
    stack = list(next(n for n in graph.graph.nodes if n.op == "output").all_input_nodes)
    while stack:
        node = stack.pop()
        if _module(graph, node, Requantiser) is not None:
            found.add(node)
        else:
            stack.extend(node.all_input_nodes)
    return found


class _Calibration:
    """Walks the graph with two values for every node: the float network's, and the quantised network's so far."""

    def __init__(self, graph: fx.GraphModule, samples: torch.Tensor, default: Quantise, widths: Widths,
                 compensate: bool, final: set[fx.Node], overrides: Overrides) -> None:
        self.graph, self.samples, self.default, self.widths = graph, samples, default, widths
        self.compensate, self.final, self.overrides = compensate, final, overrides
        self.real: dict[fx.Node, torch.Tensor] = {}
        self.quantised: dict[fx.Node, torch.Tensor] = {}
        self.formats: dict[fx.Node, FixedPoint] = {}

    def step(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self.real[node] = self.quantised[node] = self.samples.double()
        elif (linear := _module(self.graph, node, nn.Linear)) is not None:
            self._linear(node, linear)
        elif (requantiser := _module(self.graph, node, Requantiser)) is not None:
            self._requantiser(node, requantiser)
        elif node.op != "output":
            for env in (self.real, self.quantised):
                env[node] = self._call(node, env)
            sources = [self.formats[n] for n in node.all_input_nodes if n in self.formats]
            self.formats[node] = union(sources) if len(sources) > 1 else sources[0]

    def _call(self, node: fx.Node, env: dict[fx.Node, torch.Tensor]) -> torch.Tensor:
        args = fx.map_arg(node.args, lambda n: env[n])
        if node.op == "call_module":
            return self.graph.get_submodule(str(node.target))(*args)
        return cast(Any, node.target)(*args, **node.kwargs)

    def _linear(self, node: fx.Node, linear: nn.Linear) -> None:
        source = cast(fx.Node, node.args[0])
        weight, bias = linear.weight.detach().double(), linear.bias.detach().double()
        if not torch.isfinite(weight).all():
            raise InputError(f"the weights of '{node.target}' are not finite")
        path = self.graph.meta["paths"].get(str(node.target), str(node.target))
        step = self.overrides.format(path, self.default)
        if self.compensate:
            found, exponents, correction = compensated(weight, self.quantised[source], step.format, step.domain,
                                                       step.scale)
            bias_now = bias + correction
        else:
            exponents = grids.fit(weight, step.format, step.domain, step.scale)
            found, bias_now = grids.project(weight, exponents, step.format, step.domain), bias
        layer = QuantLinear(found, bias_now, exponents, step.format, weight != 0, step.domain)
        _replace(self.graph, str(node.target), layer)
        self.real[node] = nn.functional.linear(self.real[source], weight, bias)

    def _requantiser(self, node: fx.Node, requantiser: Requantiser) -> None:
        source = cast(fx.Node, node.args[0])
        self.real[node] = real = requantiser(self.real[source])
        if source.op == "placeholder":
            form = fitted(real.numpy(), self.widths.input)
        elif node in self.final:
            form = fitted(real.numpy(), self.widths.output, never_saturate=True, spare=1)
        else:
            name = str(source.target) if source.op == "call_module" else source.name
            path = self.graph.meta["paths"].get(name, name)
            form = fitted(real.numpy(), self.overrides.activation(path, self.widths.hidden))
        requantiser.set(form)
        self.formats[node] = form
        linear = _module(self.graph, source, QuantLinear)
        if linear is not None:
            before = self.formats[cast(fx.Node, source.args[0])]
            acc_frac = before.frac + linear.codes().integers()[1]
            # Exact where the products are finer than the output; else two bits beyond the output's last.
            linear.bias_frac = acc_frac if acc_frac > form.frac else form.frac + 2
            self.quantised[source] = copy.deepcopy(linear).double()(self.quantised[cast(fx.Node, source.args[0])])
        self.quantised[node] = requantiser(self.quantised[source])
