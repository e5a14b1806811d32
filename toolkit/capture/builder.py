"""Builder: collects nn modules and the nodes of a fresh fx graph while another graph is read, node by node."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import fx, nn

from toolkit.capture.curve import Op, joined, simple
from toolkit.capture.faults import Fault, Layer, parted
from toolkit.capture.pick import Pick
from toolkit.capture.transposed import ConvTranspose
from toolkit.capture.ways_out import BY_CLASS, BY_OPERATION, KNOWN, Way
from toolkit.design.ports import Port, Ports, consecutive
from toolkit.utils.errors import InputError
from toolkit.utils.limits import SPARE, Budget

TAKEN = frozenset({*keyword.kwlist, *keyword.softkwlist, *dir(fx.GraphModule(nn.Module(), fx.Graph()))})
"""What no module of a graph can be called: words of Python, and what a GraphModule has of its own."""


class Unsupported(Exception):
    """An operation that has no hardware here."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class Builder:
    """Collects nn modules and nodes. `env` maps each node that was read to the new node that stands for it,
    `parameters` those that stand for constants to their values, `parts` those that split a tensor to (places, shape)
    of each part, `origins` those that depend on what is not supported to the path of that, `curves` new nodes
    that are functions of one element to what they are of, and the function. `inputs`: the network's by the names of
    their nodes; `outputs`: the names of what it gives."""

    def __init__(self, tensors: dict[str, torch.Tensor], input_shape: tuple[int, ...], inputs: dict[str, Port],
                 outputs: tuple[str, ...]) -> None:
        self.tensors = {name: t.detach().float() if t.is_floating_point() else t for name, t in tensors.items()}
        self.input_shape = input_shape
        self.inputs, self.outputs = inputs, outputs
        self.ports = Ports()
        self.root = nn.Module()
        self.graph = fx.Graph()
        self.env: dict[fx.Node, fx.Node] = {}
        self.parameters: dict[fx.Node, torch.Tensor] = {}
        self.parts: dict[fx.Node, list[tuple[torch.Tensor, tuple[int, ...]]]] = {}
        self.origins: dict[fx.Node, str] = {}
        self.curves: dict[fx.Node, tuple[fx.Node, tuple[Op, ...]]] = {}
        self.paths: dict[str, str] = {}
        self.notes: list[str] = []
        self._row: fx.Node | None = None
        self._named: set[str] = set()
        self._before: dict[fx.Node, tuple[int, ...]] = {}  # what a Flatten or a Pick reads
        self._numbers: dict[str, int] = {}
        self._weights = SPARE + 4 * sum(t.numel() for t in self.tensors.values())
        self.budget = Budget()

    def take(self, elements: int, node: fx.Node) -> None:
        """Count elements of weights that are about to be copied; refuses more than the model can need."""
        self._weights -= elements
        if self._weights < 0:
            raise self.refuse(node, "its weights are shared by so many layers that they take many times what is "
                                    "stored")

    def place(self, node: fx.Node) -> str:
        """Where `node` stands in the model, for people."""
        return path_of(node) or operation(node)

    def refuse(self, node: fx.Node, advice: str = "") -> Unsupported:
        """The error for a node; `advice` is why and, behind a semicolon, what would work. By default, what the table
        says of its class or operation."""
        return Unsupported(fault_of(node, advice))

    def unknown(self, node: fx.Node, origin: str) -> None:
        """Let `node` be something unknown that is not supported, or depends on what is not supported in the module
        `origin`."""
        self.origins[node] = origin
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor) and value.ndim:
            self.env[node] = self.graph.placeholder(f"unknown_{len(self.origins)}")

    def shape(self, node: Any) -> tuple[int, ...]:
        """The shape of an aten node's value without the batch."""
        return tuple(node.meta["val"].shape[1:])

    def value(self, node: Any, of: fx.Node) -> fx.Node:
        """The new node for an argument that must be an activation."""
        if not isinstance(node, fx.Node) or node not in self.env:
            raise self.refuse(of, "an operand is neither the input nor what a layer made of it; compute it of "
                                  "the input")
        return self.env[node]

    def parameter(self, node: Any, of: fx.Node) -> torch.Tensor | None:
        if node is None:
            return None
        if not isinstance(node, fx.Node) or node not in self.parameters:
            raise self.refuse(of, "its weight is computed from data; only constant weights become hardware")
        return self.parameters[node]

    def element(self, node: fx.Node, module: nn.Module) -> None:
        """Let `node` be `module`, a function of single elements, of its first argument: before what only moves them,
        so that it stands right behind what made them."""
        x: Any = node.args[0]
        source = self.value(x, node)
        made = self._made(source)
        if isinstance(made, Pick) and len(x.users) == 1 and torch.equal(made.index.sort().values,
                                                                        torch.arange(prod(self._before[source]))):
            before, index, shape = self._before[source], made.index, made.shape
            self.module(node, module, source.all_input_nodes[0])
            self.pick(node, self.env[node], before, index, shape)
        else:
            self.module(node, module, source)
        known = simple(module)
        if known is not None:
            base, ops = self.curves.get(source, (source, ()))
            self.curves[self.env[node]] = base, joined([ops], *known)

    def module(self, node: fx.Node, module: nn.Module, *sources: fx.Node, part: str = "") -> None:
        """Let `node` be `module` applied to `sources`; `part`: what it is called where it is only a part of `node`."""
        path = path_of(node)
        self.take(sum(p.numel() for p in module.parameters()), node)
        value = node.meta["val"]
        self.budget.work(_products(module, tuple(value.shape[1:]) if isinstance(value, torch.Tensor) else ()), path)
        own = self.inputs[node.name].name if node.op == "placeholder" else path
        base = re.sub(r"[^A-Za-z0-9_]+", "_", own).strip("_") or operation(node).strip("_")
        base = f"{base}_{part}" if part else base
        if not base[0].isalpha() or base in TAKEN:
            base = f"layer_{base}"
        name = base
        while hasattr(self.root, name):
            self._numbers[base] = number = self._numbers.get(base, 1) + 1
            name = f"{base}_{number}"
        self.root.add_module(name, module)
        named = path and not part and path not in self._named \
            and not isinstance(module, nn.Flatten | nn.Unflatten | Pick)
        self.paths[name] = path if named else name
        self._named.add(self.paths[name])
        self.env[node] = self.graph.call_module(name, sources)

    def reshape(self, node: fx.Node, source: fx.Node, before: tuple[int, ...], after: tuple[int, ...],
                part: str = "") -> None:
        """Let `node` be `source` of shape `before` seen as `after`, both without the batch, in PyTorch's order; `part`
        as of `module`."""
        made = self._made(source)
        if isinstance(made, Pick):
            self.pick(node, source, before, torch.arange(prod(before)), after, part)
            return
        if isinstance(made, nn.Unflatten):
            source, before = source.all_input_nodes[0], (prod(before),)
        if before == after:
            self.same(node, source)
            return
        if len(before) != 1:
            self.module(node, nn.Flatten(), source, part=part)
            source = self.env[node]
            self._before[source] = before
        if len(after) != 1:
            self.module(node, nn.Unflatten(1, after), source, part=part)

    def pick(self, node: fx.Node, source: fx.Node, before: tuple[int, ...], index: torch.Tensor,
             after: tuple[int, ...], part: str = "") -> None:
        """Let element j of `node`, of shape `after`, be element `index[j]` of `source` of shape `before`; shapes are
        without the batch, elements in PyTorch's order; `part` as of `module`."""
        while isinstance(made := self._made(source), Pick | nn.Flatten | nn.Unflatten):
            index = made.index[index] if isinstance(made, Pick) else index
            before = self._before.get(source, (prod(before),))
            source = source.all_input_nodes[0]
        if torch.equal(index, torch.arange(prod(before))):
            self.reshape(node, source, before, after, part)
            return
        self.module(node, Pick(index, after), source, part=part)
        self._before[self.env[node]] = before

    def _made(self, source: fx.Node) -> nn.Module | None:
        """The module that makes `source`."""
        return self.root.get_submodule(str(source.target)) if source.op == "call_module" else None

    def input(self, node: fx.Node) -> None:
        """Let `node` be one of the network's inputs: of several, its part of the one row of all their elements."""
        if self._row is None:
            self._row = self.graph.placeholder("x")
        if len(self.inputs) == 1:
            self.env[node] = self._row
            return
        port = self.inputs[node.name]
        self.pick(node, self._row, self.input_shape, torch.arange(port.start, port.stop), port.shape)

    def output(self, node: fx.Node) -> None:
        """The end of the graph: of several outputs, their elements in one row."""
        ends: Any = node.args[0]
        for name, end in zip(self.outputs, ends, strict=True):
            if not isinstance(end, fx.Node) or end not in self.env:
                raise InputError(f"the output '{name}' depends on no input; leave it out, it is a constant")
        inputs = tuple(self.inputs.values()) if len(self.inputs) > 1 else ()
        if len(ends) == 1:
            self.ports = Ports(inputs)
            self.graph.output(self.env[ends[0]])
            return
        shapes = [self.shape(end) or (1,) for end in ends]
        self.ports = Ports(inputs, consecutive(zip(self.outputs, shapes, strict=True)))
        self.graph.output(self.graph.call_function(torch.cat, (list(map(self._flat, ends, shapes)), 1)))

    def _flat(self, end: fx.Node, shape: tuple[int, ...]) -> fx.Node:
        """The elements of an output in a row."""
        kept = self.env[end]
        if len(shape) == 1:
            return kept
        self.reshape(end, kept, shape, (prod(shape),))
        made, self.env[end] = self.env[end], kept
        return made

    def called(self, node: fx.Node) -> list[str]:
        """The outputs, of several, that a node is."""
        ends: Any = next((user.args[0] for user in node.users if user.op == "output"), ())
        return [name for name, end in zip(self.outputs, ends, strict=False) if end is node and len(ends) > 1]

    def same(self, node: fx.Node, source: fx.Node) -> None:
        self.env[node] = source

    def finish(self) -> fx.GraphModule:
        graph = fx.GraphModule(self.root, self.graph)
        graph.graph.eliminate_dead_code()
        graph.delete_all_unused_submodules()
        graph.recompile()
        graph.meta.update(input_shape=self.input_shape, ports=self.ports, notes=self.notes, paths=self.paths)
        return graph.eval()


def module_of(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The module that a node of a captured graph calls; None for a function, the input and the output."""
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None


def operation(node: fx.Node) -> str:
    """`relu` for aten.relu.default, without a trailing underscore."""
    name = getattr(node.target, "_schema", None)
    text = name.name.split("::")[-1] if name is not None else getattr(node.target, "__name__", str(node.target))
    return text.removesuffix("_") if not text.startswith("_") else text


def stack_of(node: fx.Node) -> list[tuple[str, str]]:
    """(path, class with its package) of the modules around an operation, the model itself first."""
    stack = (node.meta.get("nn_module_stack") or {}).values()
    return [(re.sub(r"^L\['self'\]\.?|@\d+$", "", str(path)),
             kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}") for path, kind in stack]


def path_of(node: fx.Node) -> str:
    """The path of the module that an operation came from, as `layers.0`; empty for the model itself."""
    stack = stack_of(node)
    return stack[-1][0] if stack else ""


def refused_class(stack: list[tuple[str, str]]) -> tuple[Layer, Way] | None:
    """The outermost module of a stack whose class has no hardware at all."""
    for path, kind in stack:
        name = kind.rpartition(".")[2]
        if kind.startswith("torch.nn.") and name in BY_CLASS:
            return Layer(name, path), BY_CLASS[name]
    return None


def layer_of(node: fx.Node) -> tuple[Layer, bool]:
    """(the innermost module around an operation, whether it is a layer of PyTorch's own)."""
    stack = stack_of(node)
    path, kind = stack[-1] if stack else ("", "")
    return Layer(kind.rpartition(".")[2] or "Module", path), kind.startswith("torch.nn.")


def fault_of(node: fx.Node, advice: str = "") -> Fault:
    """What to tell of an operation that is not supported; see Builder.refuse."""
    whole = refused_class(stack_of(node))
    if whole is not None:
        layer, way = whole
        return Fault(layer.kind, layer.path, way.why, way.way_out)
    name = operation(node)
    layer, own = layer_of(node)
    if advice:
        why, way_out = parted(advice)
    else:
        way = BY_OPERATION.get(name, Way("it has no hardware here", KNOWN))
        why, way_out = way.why, way.way_out
    return Fault(layer.kind, layer.path, why, way_out, "" if own else name)


def argument(node: fx.Node, index: int, name: str, default: Any = None) -> Any:
    return node.args[index] if len(node.args) > index else node.kwargs.get(name, default)


def _products(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiplications, or comparisons, that one sample takes to make an output of `shape`."""
    if isinstance(module, ConvTranspose):
        return module.weight.numel() * prod(-(-n // s) for n, s in zip(shape[1:], module.stride, strict=True))
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
        return module.weight.numel() * prod(shape[1:])
    kernel = getattr(module, "kernel_size", 1)
    return prod(shape) * (kernel if isinstance(kernel, int) else prod(kernel))


Handler = Callable[[Builder, fx.Node, str], None]
"""(builder, node, operation): add the node to the builder, or raise Unsupported."""
