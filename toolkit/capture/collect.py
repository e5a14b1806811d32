"""The nodes of a program taken into a builder, and everything that is not supported collected on the way."""

from __future__ import annotations

import torch
from torch import fx

from toolkit.capture import operations
from toolkit.capture.builder import Builder, Unsupported, layer_of, operation, path_of
from toolkit.capture.faults import Fault, Layer, Refused
from toolkit.capture.indexing import MIXES
from toolkit.capture.program import Program
from toolkit.utils.errors import InputError

MADE = frozenset(("zeros", "ones", "full", "empty", "new_zeros", "new_ones", "new_full", "zeros_like", "ones_like",
                  "full_like"))
"""What makes a constant for each sample of the batch, as a recurrent layer's first state."""
NUMBERS = frozenset(("add", "sub", "mul", "floordiv", "truediv", "mod", "pow", "neg", "eq", "ne", "lt", "le", "gt",
                     "ge", "and", "sym_size"))
"""What may be computed of the batch alone, beside the operations of constants."""


def collect(builder: Builder, program: Program) -> tuple[Layer, ...]:
    """Take every node of `program`; returns its layers. Raises Refused with all that are not supported: what such a
    layer makes is taken as given, so that what follows it is not at fault for it."""
    faults: dict[tuple[str, str, str], Fault] = {}
    layers: dict[Layer, None] = {}
    for node in program.graph.nodes:
        if node.op == "output" and faults:
            break
        try:
            if _take(builder, node):
                layers[_named(node)] = None
            if node in builder.env and isinstance(value := node.meta.get("val"), torch.Tensor):
                builder.budget.tensor(value.shape[1:], builder.place(node))
        except Unsupported as error:
            fault = error.fault
            faults.setdefault((fault.kind, fault.path, fault.operation), fault)
            builder.unknown(node, fault.path)
        except InputError:
            if faults:
                break
            raise
    if faults:
        raise Refused(faults.values(), tuple(layers))
    return tuple(layers)


def _take(builder: Builder, node: fx.Node) -> bool:
    """Take one node; whether it is (part of) a layer. Raises Unsupported."""
    inputs = node.all_input_nodes
    doubtful = [n for n in inputs if n in builder.origins]
    if node.op != "call_function":
        operations.read(builder, node)
        return False
    value = node.meta.get("val")
    if isinstance(value, torch.SymInt | torch.SymBool | torch.SymFloat):
        return False  # of the batch; what it is used for is looked at where it is used
    if not doubtful and operation(node) in MADE and any(n not in builder.parameters for n in inputs):
        return False  # as many as the batch is: refused where a layer reads them
    if not doubtful:
        if isinstance(value, torch.Tensor) and not _fixed(node) and node.all_input_nodes[0] in builder.env:
            raise builder.refuse(node, MIXES)
        operations.read(builder, node)
        return node in builder.env
    name, origin = operation(node), builder.origins[doubtful[0]]
    if name not in operations.HANDLERS and name not in operations.CONSTANT and name not in NUMBERS:
        raise builder.refuse(node)
    activations = [n for n in inputs if n not in builder.parameters]
    if name == "getitem" or len(activations) > 1 or any(n not in builder.env for n in doubtful) \
            or not all(_fixed(n) for n in (node, *activations)):
        builder.unknown(node, origin)
        return False
    try:
        operations.read(builder, node)
    except Unsupported as error:
        if origin != error.fault.path:
            raise
        builder.unknown(node, origin)
        return False
    builder.origins.setdefault(node, origin)
    return True


def _fixed(node: fx.Node) -> bool:
    """It makes a tensor of which nothing but the batch is open."""
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and all(isinstance(n, int) for n in value.shape[1:])


def _named(node: fx.Node) -> Layer:
    """The layer that a node is part of: a module of PyTorch's own, or the operation itself."""
    layer, own = layer_of(node)
    return layer if own else Layer(operation(node), path_of(node))
