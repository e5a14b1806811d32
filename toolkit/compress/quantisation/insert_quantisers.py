"""Where a graph makes codes: a Requantiser behind every sum, a Table for every function; none has a format yet."""

from __future__ import annotations

import copy
import math
import operator

from torch import fx, nn

from toolkit.capture.builder import module_of
from toolkit.capture.curve import Curve
from toolkit.capture.means import AvgPool1d
from toolkit.capture.product import Product, Square
from toolkit.capture.slopes import Slopes
from toolkit.compress.matmul import WEIGHTED
from toolkit.compress.quantisation.gates import GatedProduct
from toolkit.compress.quantisation.layers import InputScale, Mean, Quantised, QuantisedSlopes, Requantiser, Table

POOLS = (nn.MaxPool1d, nn.MaxPool2d)
MEANS = (AvgPool1d, nn.AvgPool2d)
FUNCTIONS = (nn.Sigmoid, nn.Tanh, nn.Hardsigmoid, nn.Hardswish, nn.SiLU, nn.GELU, nn.Softplus, nn.ELU, nn.SELU, nn.Mish,
             Square, Curve)
"""Activations that become tables."""
STEEP = (nn.LeakyReLU, Slopes, QuantisedSlopes)
"""Activations of two straight lines, which are rounded behind them."""


def prepared(graph: fx.GraphModule) -> fx.GraphModule:
    """A copy of a float graph with a Requantiser at the input, in the place of every clamp, and behind every Linear,
    Conv, sum, product, mean, LeakyReLU and PReLU that no clamp follows; functions are Tables and average pools
    Means."""
    graph = copy.deepcopy(graph)
    _clamp_before_pools(graph)
    for node in list(graph.graph.nodes):
        module = module_of(graph, node)
        bounds = clamped(module)
        if node is entry(graph):
            _insert(graph, node)
        elif bounds is not None:
            replace(graph, str(node.target), Requantiser(*bounds))
        elif isinstance(module, FUNCTIONS):
            replace(graph, str(node.target), Table(module))
        elif _rounds(node, module):
            if isinstance(module, MEANS):
                replace(graph, str(node.target), Mean(
                    each(module, "kernel_size"), each(module, "stride"), each(module, "padding"),
                    module.divisor_override))
            follower = module_of(graph, next(iter(node.users))) if len(node.users) == 1 else None
            if clamped(follower) is None:
                _insert(graph, node)
    graph.recompile()
    return graph


def entry(graph: fx.GraphModule) -> fx.Node:
    """What the input's codes are made of: the input, or what its InputScale makes of it."""
    node = next(n for n in graph.graph.nodes if n.op == "placeholder")
    first = next(iter(node.users), node)
    return first if isinstance(module_of(graph, first), InputScale) else node


def clamped(module: nn.Module | None) -> tuple[float, float] | None:
    """What an activation clamps to; None for a module that is not a clamp."""
    if isinstance(module, nn.ReLU6):
        return 0.0, 6.0
    if isinstance(module, nn.Hardtanh):
        return float(module.min_val), float(module.max_val)
    return (0.0, math.inf) if isinstance(module, nn.ReLU) else None


def each(module: nn.Module, key: str) -> tuple[int, ...]:
    """An option of a pool as one number an axis."""
    value = getattr(module, key)
    return (value,) * (1 if type(module).__name__.endswith("1d") else 2) if isinstance(value, int) else tuple(value)


def adds(node: fx.Node) -> bool:
    return node.target is operator.add


def replace(graph: fx.GraphModule, target: str, module: nn.Module) -> None:
    parent, _, name = target.rpartition(".")
    setattr(graph.get_submodule(parent), name, module)


def output_codes(graph: fx.GraphModule) -> set[fx.Node]:
    """The nodes whose codes are a prepared network's output."""
    found: set[fx.Node] = set()
    stack = list(next(n for n in graph.graph.nodes if n.op == "output").all_input_nodes)
    while stack:
        node = stack.pop()
        if isinstance(module_of(graph, node), Requantiser | Table):
            found.add(node)
        else:
            stack.extend(node.all_input_nodes)
    return found


def _rounds(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether what `node` gives has more bits than its inputs."""
    return adds(node) or isinstance(module, (*WEIGHTED, *MEANS, *STEEP, Quantised, Mean, Product, GatedProduct))


def _clamp_before_pools(graph: fx.GraphModule) -> None:
    """Let a clamp behind a MaxPool come before it, where it then closes the layer that made the numbers: the largest
    of clamped numbers is the largest, clamped."""
    for node in graph.graph.nodes:
        if not isinstance(module_of(graph, node), POOLS) or len(node.users) != 1:
            continue
        source, user = node.args[0], next(iter(node.users))
        if clamped(module_of(graph, user)) is not None and len(source.users) == 1 \
                and _rounds(source, module_of(graph, source)):
            node.target, user.target = user.target, node.target


def _insert(graph: fx.GraphModule, node: fx.Node) -> None:
    name = f"{node.name}_codes"
    while hasattr(graph, name):
        name += "_"
    graph.add_module(name, Requantiser(-math.inf, math.inf))
    users = list(node.users)
    with graph.graph.inserting_after(node):
        new = graph.graph.call_module(name, (node,))
    for user in users:
        user.replace_input_with(node, new)
