"""A quantised graph becomes a Design: the same integers, without torch."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from toolkit.compress.layers import QuantLinear, Requantiser
from toolkit.design import Add, ArgMax, Clamp, Concat, Dense, Design, Layer, Reshape, Tensor
from toolkit.design.design import MAX_NAME
from toolkit.errors import InputError


def lower(graph: fx.GraphModule, name: str, *, argmax: bool = False) -> Design:
    """The design of a quantised graph; with `argmax` it ends in the index of the largest output.

    Its reference equals the graph evaluated in float64, code for code.
    """
    return _Lowering(graph, name).design(argmax)


class _Lowering:
    def __init__(self, graph: fx.GraphModule, name: str) -> None:
        self.graph, self.name = graph, name
        self.layers: list[Layer] = []
        self.tensors: dict[fx.Node, str] = {}
        self.taken = {"x"}

    def design(self, argmax: bool) -> Design:
        """Walk the graph; each Requantiser closes the layer that its source began."""
        for node in self.graph.graph.nodes:
            if node.op in ("placeholder", "output"):
                continue
            module = self.graph.get_submodule(str(node.target)) if node.op == "call_module" else None
            if isinstance(module, Requantiser):
                self._requantiser(node, module)
            elif isinstance(module, nn.Flatten):
                shape = (int(np.prod(self._shape(node.args[0]))),)
                self._append(node, Reshape(self._label(node), (self.tensors[node.args[0]],), shape))
            elif node.op == "call_function" and "cat" in str(node.target):
                sources = tuple(self.tensors[n] for n in node.args[0])
                self._append(node, Concat(self._label(node), sources, int(node.args[1]) - 1))
        end = next(n for n in self.graph.graph.nodes if n.op == "output").args[0]
        if not self.layers:
            raise InputError("the network computes nothing; there is no hardware to make")
        if self.tensors[end] != self.layers[-1].name:
            raise InputError("the network's output is not its last operation")
        if argmax:
            self.layers.append(ArgMax(self._unique("argmax"), (self.layers[-1].name,)))
        shape = tuple(self.graph.meta["input_shape"])
        return Design(self.name, Tensor("x", shape, self.graph.meta["input"]), tuple(self.layers))

    def _shape(self, node: Any) -> tuple[int, ...]:
        shape = tuple(self.graph.meta["input_shape"])
        tensors = Design("probe", Tensor("x", shape, self.graph.meta["input"]), tuple(self.layers)).tensors \
            if self.layers else {}
        return tensors[self.tensors[node]].shape if self.tensors[node] in tensors else shape

    def _requantiser(self, node: fx.Node, module: Requantiser) -> None:
        source: Any = node.args[0]
        requantise = module.requantise
        assert requantise is not None
        if source.op == "placeholder":
            self.tensors[node] = "x"
            return
        inner = self.graph.get_submodule(str(source.target)) if source.op == "call_module" else None
        layer: Layer
        if isinstance(inner, QuantLinear):
            bias = torch.floor(inner.bias.detach().double() * 2.0**inner.bias_frac + 0.5).numpy().astype(np.int64)
            layer = Dense(self._label(source), (self.tensors[source.args[0]],), inner.codes(), bias, inner.bias_frac,
                          requantise)
        elif source.op == "call_function" and "add" in str(source.target):
            layer = Add(self._label(source), tuple(self.tensors[n] for n in source.args), requantise)
        else:
            layer = Clamp(self._label(node), (self.tensors[source],), requantise)
        self._append(node, layer)

    def _append(self, node: fx.Node, layer: Layer) -> None:
        self.layers.append(layer)
        self.tensors[node] = layer.name

    def _label(self, node: fx.Node) -> str:
        """The layer's name: its path in the model where it has one."""
        return self._unique(self.graph.meta["paths"].get(str(node.target)) or node.name)

    def _unique(self, name: str) -> str:
        base = re.sub(r"\s+", " ", name)[:MAX_NAME - 8]
        found, number = base, 2
        while found in self.taken:
            found, number = f"{base}_{number}", number + 1
        self.taken.add(found)
        return found
