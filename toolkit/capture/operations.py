"""One aten operation at a time to an nn module, a function, or nothing."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

ADVICE = ("known are Linear, BatchNorm1d, ReLU, ReLU6, Hardtanh / clamp, Dropout, Identity, Flatten, adding two "
          "tensors, concatenation, argmax, and a softmax at the end")


class Unsupported(Exception):
    """An operation that has no hardware here."""

    def __init__(self, operation: str, path: str, advice: str = ADVICE) -> None:
        super().__init__(operation)
        self.operation, self.path, self.advice = operation, path, advice


class Builder:
    """Collects nn modules and nodes. `env` maps each aten node to the new node that stands for it; `shapes` holds
    shapes without the batch."""

    def __init__(self, tensors: dict[str, torch.Tensor], input_shape: tuple[int, ...]) -> None:
        self.tensors = {name: t.detach().float() if t.is_floating_point() else t for name, t in tensors.items()}
        self.input_shape = input_shape
        self.root = nn.Module()
        self.graph = fx.Graph()
        self.env: dict[fx.Node, fx.Node] = {}
        self.parameters: dict[fx.Node, torch.Tensor] = {}
        self.paths: dict[str, str] = {}
        self.notes: list[str] = []

    def add(self, node: fx.Node, user_input: str) -> None:
        if node.op == "placeholder":
            if node.name in self.tensors:
                self.parameters[node] = self.tensors[node.name]
            elif node.name == user_input:
                self.env[node] = self.graph.placeholder("x")
        elif node.op == "output":
            self.graph.output(self.env[node.all_input_nodes[0]])
        elif node.op == "call_function":
            if all(isinstance(a, fx.Node) and a in self.parameters for a in node.all_input_nodes) \
                    and node.all_input_nodes:
                self._constant(node)
                return
            name = operation(node)
            handler = HANDLERS.get(name)
            if handler is None:
                if not node.users and name in ("sym_size", "sym_constrain_range", "_assert_tensor_metadata"):
                    return
                if name == "sym_size":
                    return
                raise self.refuse(node)
            handler(self, node, name)
        else:
            raise self.refuse(node)

    def _constant(self, node: fx.Node) -> None:
        """Arithmetic of parameters alone, as a transposed weight."""
        name = operation(node)
        if name not in ("t", "transpose", "permute", "detach", "clone", "to", "contiguous", "view", "reshape"):
            raise self.refuse(node)
        args = [self.parameters[a] if isinstance(a, fx.Node) else a for a in node.args]
        self.parameters[node] = node.target(*args, **node.kwargs)  # type: ignore[operator]

    def refuse(self, node: fx.Node, advice: str = ADVICE) -> Unsupported:
        return Unsupported(operation(node), path_of(node), advice)

    def shape(self, node: Any) -> tuple[int, ...]:
        """The shape of an aten node's value without the batch."""
        return tuple(node.meta["val"].shape[1:])

    def value(self, node: Any, of: fx.Node) -> fx.Node:
        """The new node for an argument that must be an activation."""
        if not isinstance(node, fx.Node) or node not in self.env:
            raise self.refuse(of, "an operand is neither the input nor what a layer made of it")
        return self.env[node]

    def parameter(self, node: Any, of: fx.Node) -> torch.Tensor | None:
        if node is None:
            return None
        if not isinstance(node, fx.Node) or node not in self.parameters:
            raise self.refuse(of, "its weight is computed from data; only constant weights become hardware")
        return self.parameters[node]

    def module(self, node: fx.Node, module: nn.Module, source: fx.Node) -> None:
        """Let `node` be `module` applied to `source`."""
        path = path_of(node)
        base = re.sub(r"\W+", "_", path).strip("_") or operation(node).strip("_")
        if not base[0].isalpha():
            base = f"layer_{base}"
        name, number = base, 2
        while hasattr(self.root, name):
            name, number = f"{base}_{number}", number + 1
        self.root.add_module(name, module)
        self.paths[name] = path if path and not isinstance(module, nn.Flatten) and path not in self.paths.values() \
            else name
        self.env[node] = self.graph.call_module(name, (source,))

    def same(self, node: fx.Node, source: fx.Node) -> None:
        self.env[node] = source

    def finish(self) -> fx.GraphModule:
        graph = fx.GraphModule(self.root, self.graph)
        graph.graph.eliminate_dead_code()
        graph.delete_all_unused_submodules()
        graph.recompile()
        graph.meta.update(input_shape=self.input_shape, notes=self.notes, paths=self.paths)
        return graph.eval()


def operation(node: fx.Node) -> str:
    """`relu` for aten.relu.default, without a trailing underscore."""
    name = getattr(node.target, "_schema", None)
    text = name.name.split("::")[-1] if name is not None else getattr(node.target, "__name__", str(node.target))
    return text.removesuffix("_") if not text.startswith("_") else text


def path_of(node: fx.Node) -> str:
    """The path of the module that an operation came from, as `layers.0`; empty for the model itself."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    return re.sub(r"^L\['self'\]\.?|@\d+$", "", path)


def argument(node: fx.Node, index: int, name: str, default: Any = None) -> Any:
    return node.args[index] if len(node.args) > index else node.kwargs.get(name, default)


def _linear(b: Builder, node: fx.Node, name: str) -> None:
    if name == "addmm":
        bias, x, weight = node.args[:3]
        if argument(node, 3, "beta", 1) != 1 or argument(node, 4, "alpha", 1) != 1:
            raise b.refuse(node, "addmm with factors; use nn.Linear")
        matrix = b.parameter(weight, node)
        matrix = matrix.t() if matrix is not None else None
    elif name in ("mm", "matmul"):
        x, weight = node.args[:2]
        bias, matrix = None, b.parameter(weight, node)
        matrix = matrix.t() if matrix is not None else None
    else:
        x, weight = node.args[:2]
        bias, matrix = argument(node, 2, "bias"), b.parameter(weight, node)
    if matrix is None or matrix.ndim != 2 or len(b.shape(x)) != 1:
        raise b.refuse(node, "a Linear takes (batch, features); flatten the input first")
    offset = b.parameter(bias, node)
    layer = nn.Linear(matrix.shape[1], matrix.shape[0])
    with torch.no_grad():
        layer.weight.copy_(matrix)
        if offset is None:
            layer.bias.zero_()
        else:
            layer.bias.copy_(offset.expand(matrix.shape[0]))
    b.module(node, layer, b.value(x, node))


def _batch_norm(b: Builder, node: fx.Node, name: str) -> None:
    weight, bias, mean, var = (b.parameter(argument(node, i, "", None), node) for i in range(1, 5))
    eps = argument(node, 7, "eps", 1e-5)
    if mean is None or var is None:
        raise b.refuse(node, "a BatchNorm without running statistics has no constant scale")
    if len(b.shape(node)) != 1:
        raise b.refuse(node, "only BatchNorm1d over (batch, features) is supported")
    layer = nn.BatchNorm1d(len(mean), eps=eps)
    with torch.no_grad():
        layer.running_mean.copy_(mean)  # type: ignore[union-attr]
        layer.running_var.copy_(var)  # type: ignore[union-attr]
        if weight is not None:
            layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    b.module(node, layer, b.value(node.args[0], node))


def _clamp(b: Builder, node: fx.Node, name: str) -> None:
    if name == "hardtanh":
        low, high = argument(node, 1, "min_val", -1.0), argument(node, 2, "max_val", 1.0)
    elif name == "clamp_min":
        low, high = argument(node, 1, "min"), None
    elif name == "clamp_max":
        low, high = None, argument(node, 1, "max")
    else:
        low, high = argument(node, 1, "min"), argument(node, 2, "max")
    if any(isinstance(v, fx.Node) for v in (low, high)):
        raise b.refuse(node, "a clip with bounds that are tensors; use numbers")
    layer: nn.Module
    if low == 0 and high is None:
        layer = nn.ReLU()
    elif low == 0 and high == 6:
        layer = nn.ReLU6()
    else:
        bounds = float("-inf") if low is None else float(low), float("inf") if high is None else float(high)
        if not bounds[0] < bounds[1]:
            raise b.refuse(node, f"its bounds {bounds[0]:g}..{bounds[1]:g} leave nothing")
        layer = nn.Hardtanh(*bounds)
    b.module(node, layer, b.value(node.args[0], node))


def _activation(kind: Callable[[], nn.Module]) -> Callable[[Builder, fx.Node, str], None]:
    return lambda b, node, name: b.module(node, kind(), b.value(node.args[0], node))


def _same(b: Builder, node: fx.Node, name: str) -> None:
    if name in ("dropout", "feature_dropout", "alpha_dropout") and argument(node, 2, "train", False):
        b.notes.append("the model was exported in training mode; its dropout is taken as switched off")
    b.same(node, b.value(node.args[0], node))


def _reshape(b: Builder, node: fx.Node, name: str) -> None:
    before, after = b.shape(node.args[0]), b.shape(node)
    source = b.value(node.args[0], node)
    kept = node.meta["val"].shape[0] == node.args[0].meta["val"].shape[0]  # type: ignore[union-attr]
    if not bool(kept):
        raise b.refuse(node, "it mixes samples of the batch; reshape what follows the batch dimension")
    if before == after:
        b.same(node, source)
    elif len(after) == 1:
        b.module(node, nn.Flatten(), source)
    else:
        raise b.refuse(node, "only a reshape to (batch, features) is supported; use nn.Flatten")


def _add(b: Builder, node: fx.Node, name: str) -> None:
    if argument(node, 2, "alpha", 1) != 1:
        raise b.refuse(node, "an addition with a factor; scale by a power of two in a Linear instead")
    first, second = node.args[:2]
    if not all(isinstance(v, fx.Node) and v in b.env for v in (first, second)):
        raise b.refuse(node, "adding a constant; put it into the bias of a Linear")
    if b.shape(first) != b.shape(second):
        raise b.refuse(node, f"adding shapes {b.shape(first)} and {b.shape(second)}; they must be equal")
    b.env[node] = b.graph.call_function(operator.add, (b.value(first, node), b.value(second, node)))


def _cat(b: Builder, node: fx.Node, name: str) -> None:
    dim = argument(node, 1, "dim", 0)
    rank = len(node.meta["val"].shape)
    dim = dim % rank
    if dim == 0:
        raise b.refuse(node, "concatenation along the batch; use dim=1 or above")
    parts = [b.value(v, node) for v in node.args[0]]  # type: ignore[union-attr]
    b.env[node] = parts[0] if len(parts) == 1 else b.graph.call_function(torch.cat, (parts, dim))


def _softmax(b: Builder, node: fx.Node, name: str) -> None:
    if any(user.op != "output" and operation(user) != "argmax" for user in node.users):
        raise b.refuse(node, "a softmax is only supported at the end, where it is left out")
    b.notes.append(f"the final {name.removeprefix('_')} is left out: it does not move the argmax")
    b.same(node, b.value(node.args[0], node))


def _argmax(b: Builder, node: fx.Node, name: str) -> None:
    dim = argument(node, 1, "dim")
    if dim is None or dim % 2 != 1 or len(b.shape(node.args[0])) != 1 or argument(node, 2, "keepdim", False):
        raise b.refuse(node, "argmax is supported over the features of (batch, features), as torch.argmax(x, 1)")
    if any(user.op != "output" for user in node.users):
        raise b.refuse(node, "an argmax is only supported as the last operation")
    b.env[node] = b.graph.call_function(torch.argmax, (b.value(node.args[0], node), 1))


HANDLERS: dict[str, Callable[[Builder, fx.Node, str], None]] = {
    **dict.fromkeys(("linear", "addmm", "mm", "matmul"), _linear),
    **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm),
    **dict.fromkeys(("clamp", "clip", "hardtanh", "clamp_min", "clamp_max"), _clamp),
    "relu": _activation(nn.ReLU), "relu6": _activation(nn.ReLU6),
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout", "detach", "clone", "contiguous", "to", "alias",
                     "_to_copy", "lift_fresh_copy"), _same),
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten", "_unsafe_view"), _reshape),
    "add": _add, **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax"), _softmax), "argmax": _argmax,
}
