"""A quantised graph becomes a Design: the same integers, without torch, images channels-last."""

from __future__ import annotations

import math
import re
from math import prod
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from toolkit.capture.builder import module_of
from toolkit.capture.pick import Pick
from toolkit.compress.input_units import in_one_unit
from toolkit.compress.phases import as_convolution, phases, shuffled
from toolkit.compress.quantisation.gates import GatedProduct
from toolkit.compress.quantisation.insert_quantisers import POOLS, adds, each, entry
from toolkit.compress.quantisation.layers import InputScale, Mean, Quantised, QuantisedSlopes, Requantiser, Table
from toolkit.compress.quantisation.layout import hardware_ports, has_images, positions, standing, turned
from toolkit.design import (
    Add,
    ArgMax,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Dense,
    Design,
    Extremum,
    Layer,
    Leaky,
    MaxPool,
    Multiply,
    Reorder,
    Requantise,
    Reshape,
    Slopes,
    Tensor,
    Upsample,
    Weights,
    Window,
)
from toolkit.design.network import MAX_NAME
from toolkit.utils.errors import InputError

Pads = tuple[tuple[int, int], ...]


def lower(graph: fx.GraphModule, name: str, *, argmax: bool = False) -> Design:
    """The design of a quantised graph; with `argmax` it ends in the index of the largest output.

    Its reference equals the graph evaluated in float64, code for code. If any layer works on images, tensors of more
    than one axis are channels-last; vectors stay in PyTorch's order at the input and at the output.
    """
    return _Lowering(graph, name).design(argmax)


def _bias(module: Quantised) -> np.ndarray:
    """The biases as whole numbers, int64 (out,)."""
    return torch.floor(module.bias.detach().double() * 2.0**module.bias_frac + 0.5).numpy().astype(np.int64)


class _Lowering:
    """`tensors` maps each node to its tensor. `orders`: nodes whose vector is a flattened image that nothing has
    brought into PyTorch's order yet, to the position there of each element; `pads`: zeros that the next layer adds."""

    def __init__(self, graph: fx.GraphModule, name: str) -> None:
        self.graph, self.name = graph, name
        self.layers: list[Layer] = []
        self.tensors: dict[fx.Node, str] = {}
        self.orders: dict[fx.Node, np.ndarray] = {}
        self.pads: dict[fx.Node, Pads] = {}
        self.taken = {"x"}
        self.last = has_images(graph)
        self.ports = graph.meta["ports"]

    def design(self, argmax: bool) -> Design:
        """Walk the graph; each Requantiser closes the layer that its source began."""
        shape = tuple(self.graph.meta["input_shape"])
        like = next(self.graph.parameters(), torch.zeros(()))
        with torch.no_grad():
            ShapeProp(self.graph).propagate(torch.zeros(1, *shape, dtype=like.dtype))
        for node in self.graph.graph.nodes:
            self._take(node, module_of(self.graph, node))
        end = next(n for n in self.graph.graph.nodes if n.op == "output").args[0]
        if not self.layers:
            raise InputError("the network computes nothing; there is no hardware to make")
        if self.ports.outputs:
            self._standing_as(end, standing(self.ports.outputs, self.last))
        else:
            self._pytorch_order(end)
        if self.tensors[end] != self.layers[-1].name:
            raise InputError("the network's output is not its last operation")
        if argmax:
            self.layers.append(ArgMax(self._unique("argmax"), (self.layers[-1].name,)))
        scale = next((m for m in self.graph.modules() if isinstance(m, InputScale)), None)
        exponents = scale.exponents if scale else ()
        if self.ports.inputs and exponents:
            exponents = tuple(np.array(exponents)[standing(self.ports.inputs, self.last)].tolist())
        tensor = Tensor("x", self._turned(shape), self.graph.meta["input"], exponents,
                        self._normalisation(self._turned(shape)))
        return Design(self.name, *in_one_unit(tensor, tuple(self.layers)), hardware_ports(self.ports, self.last))

    def _normalisation(self, shape: tuple[int, ...]) -> tuple[tuple[float, float], ...]:
        """What the weights hold of the normalisation of raw bytes, for the record; nothing where it is a layer."""
        found = self.graph.meta.get("normalisation") if self.graph.meta.get("bytes") else None
        if found is None or found["own"]:
            return ()
        count = max(map(len, (found["scale"], found["offset"])))
        pairs = tuple((float(s), float(o)) for s, o in zip(*(v * (count // len(v)) for v in (
            found["scale"], found["offset"])), strict=True))
        return pairs if count in (1, shape[-1]) else ()

    def _take(self, node: fx.Node, module: Any) -> None:
        source: Any = node.args[0] if node.args else None
        if isinstance(module, Requantiser):
            self._requantiser(node, module)
        elif isinstance(module, Table):
            self._append(node, module.lookup(self._label(node), (self.tensors[source],)), source)
        elif isinstance(module, nn.Flatten):
            self._flatten(node, source)
        elif isinstance(module, nn.Unflatten):
            self._unflatten(node, source)
        elif isinstance(module, Pick):
            self._pick(node, source, module)
        elif isinstance(module, nn.ZeroPad1d | nn.ZeroPad2d):
            pads = tuple(module.padding)
            self.pads[node] = tuple((pads[i], pads[i + 1]) for i in range(len(pads) - 2, -1, -2))
            self.tensors[node] = self.tensors[source]
        elif isinstance(module, POOLS):
            self._append(node, MaxPool(self._label(node), (self.tensors[source],), self._max_window(source, module)))
        elif isinstance(module, nn.Upsample):
            scale: Any = module.scale_factor
            self._append(node, Upsample(self._label(node), (self.tensors[source],), tuple(int(s) for s in scale)))
        elif node.target is torch.cat:
            self._concat(node)
        elif node.target in (torch.maximum, torch.minimum):
            names = self._alike(node)
            self._append(node, Extremum(self._label(node), names, node.target is torch.minimum), source)

    def _requantiser(self, node: fx.Node, module: Requantiser) -> None:
        """The layer that `node` closes."""
        source: Any = node.args[0]
        requantise = module.requantise
        assert requantise is not None
        if source is entry(self.graph):
            self.tensors[node] = "x"
            if self.ports.inputs:
                self._ordered(node, standing(self.ports.inputs, self.last))
            return
        inner = module_of(self.graph, source)
        before = source.args[0]
        layer: Layer
        if isinstance(inner, Quantised) and inner.product.crop:
            self._transposed(node, source, inner, requantise)
        elif isinstance(inner, Quantised):
            self._append(node, self._weighted(source, inner, requantise))
        elif isinstance(inner, Mean):
            kernel, stride, padding = inner.window
            window = Window(kernel, stride, self._padding(before, padding), (1,) * len(kernel))
            self._append(node, AvgPool(self._label(source), (self.tensors[before],), window, inner.factor,
                                       inner.factor_frac, requantise))
        elif isinstance(inner, nn.LeakyReLU):
            slope = -math.log2(inner.negative_slope)
            if slope != int(slope):
                raise InputError(f"the slope {inner.negative_slope:g} of '{source.target}' is not a power of two")
            layer = Leaky(self._label(source), (self.tensors[before],), int(slope), requantise)
            self._append(node, layer, before)
        elif isinstance(inner, GatedProduct):
            self._alike(source)
            layer = Multiply(self._label(source), tuple(self.tensors[n] for n in source.args), inner.gate, requantise)
            self._append(node, layer, source.args[0])
        elif adds(source):
            names = self._alike(source)
            self._append(node, Add(self._label(source), names, requantise), source.args[0])
        elif isinstance(inner, QuantisedSlopes):
            negative, positive, frac = inner.codes()
            if before in self.orders and inner.channels > 1:
                negative, positive = (side[self.orders[before]] for side in (negative, positive))
            layer = Slopes(self._label(source), (self.tensors[before],), negative, positive, frac, requantise)
            self._append(node, layer, before)
        else:
            self._append(node, Clamp(self._label(node), (self.tensors[source],), requantise), source)

    def _alike(self, node: fx.Node) -> tuple[str, ...]:
        """The tensors that `node` combines element by element, brought into one order."""
        sources: Any = node.args
        orders = [self.orders.get(n) for n in sources]
        if not all(order is not None and np.array_equal(order, orders[0]) for order in orders):  # type: ignore[arg-type]
            for n in sources:
                self._pytorch_order(n)
        return tuple(self.tensors[n] for n in sources)

    def _weighted(self, node: fx.Node, module: Quantised, requantise: Requantise) -> Layer:
        before: Any = node.args[0]
        codes, product, bias = module.codes(), module.product, _bias(module)
        if not product.rank:
            if before in self.orders:
                codes = Weights(codes.format, codes.codes[:, self.orders[before]], codes.exponents)
            return Dense(self._label(node), (self.tensors[before],), codes, bias, module.bias_frac, requantise)
        kernel = tuple(int(n) for n in module.weight.shape[2:])
        window = Window(kernel, product.stride, self._padding(before, product.padding), product.dilation)
        weights = Weights(codes.format, np.ascontiguousarray(np.moveaxis(codes.codes, 1, -1)), codes.exponents)
        return Conv(self._label(node), (self.tensors[before],), weights, bias, module.bias_frac, window,
                    product.groups, requantise)

    def _transposed(self, node: fx.Node, source: fx.Node, module: Quantised, requantise: Requantise) -> None:
        """A convolution whose channels are the phases of an output pixel, and their pixels in order."""
        before: Any = source.args[0]
        product = module.product
        axes = [phases(*one) for one in zip(self._shape(before)[1:], module.weight.shape[2:], product.stride,
                                            product.crop, product.dilation, strict=True)]
        weights, bias, window = as_convolution(module.codes(), _bias(module), axes, product.groups)
        self._append(node, Conv(self._label(source), (self.tensors[before],), weights, bias, module.bias_frac, window,
                                product.groups, requantise))
        index = shuffled(axes, product.groups, len(module.weight))
        if not np.array_equal(index, np.arange(len(weights.codes) * prod(one.positions for one in axes))):
            name = self._unique(f"{self._path(source)}_pixels")
            self._append(node, Reorder(name, (self.tensors[node],), index, self._turned(self._shape(node))))

    def _padding(self, source: fx.Node, own: tuple[int, ...]) -> Pads:
        """A layer's own padding, with the zeros that were put around its input before."""
        before = self.pads.get(source, ((0, 0),) * len(own))
        return tuple((a + p, b + p) for (a, b), p in zip(before, own, strict=True))

    def _max_window(self, source: fx.Node, module: nn.Module) -> Window:
        """A MaxPool's window; in ceil_mode the padding behind lets the last window begin inside the image."""
        kernel, stride, padding, dilation = (each(module, key) for key in ("kernel_size", "stride", "padding",
                                                                           "dilation"))
        pads = list(self._padding(source, padding))
        if getattr(module, "ceil_mode", False):
            for i, (size, k, s, d) in enumerate(zip(self._shape(source)[1:], kernel, stride, dilation, strict=True)):
                # Zeros put around it count as image; the pool's own padding does not.
                left, span = padding[i], (k - 1) * d + 1
                count = -(-(size + 2 * left - span) // s) + 1
                count -= (count - 1) * s >= size + left
                pads[i] = (pads[i][0], max(pads[i][1], pads[i][1] - left + (count - 1) * s + span - size - left))
        return Window(kernel, stride, tuple(pads), dilation)

    def _flatten(self, node: fx.Node, source: fx.Node) -> None:
        """Codes in the order that they are in; what reads them sees to PyTorch's."""
        shape = self._shape(source)
        self._append(node, Reshape(self._label(node), (self.tensors[source],), (prod(shape),)))
        if self.last:
            self._ordered(node, positions(shape))

    def _unflatten(self, node: fx.Node, source: fx.Node) -> None:
        shape = self._shape(node)
        order = self.orders.get(source, np.arange(prod(shape)))
        index = np.argsort(order)[positions(shape) if self.last else np.arange(prod(shape))]
        self._gather(node, source, index, self._turned(shape))

    def _pick(self, node: fx.Node, source: fx.Node, module: Pick) -> None:
        index = module.index.numpy()[self._standing(module.shape)]
        order = self.orders.get(source, self._standing(self._shape(source)))
        self._gather(node, source, np.argsort(order)[index], self._turned(module.shape))

    def _standing(self, shape: tuple[int, ...]) -> np.ndarray:
        """Where PyTorch has each element of a tensor of `shape`, in the order in which they stand here."""
        return positions(shape) if self.last and len(shape) > 1 else np.arange(prod(shape))

    def _pytorch_order(self, node: fx.Node) -> None:
        """Bring a flattened image into PyTorch's order."""
        self._standing_as(node, np.arange(prod(self._shape(node))) if node in self.orders else None)

    def _standing_as(self, node: fx.Node, wanted: np.ndarray | None) -> None:
        """Bring a vector into an order in which its elements stand at the places `wanted` of PyTorch's."""
        order = self.orders.pop(node, None)
        if wanted is None:
            return
        order = np.arange(len(wanted)) if order is None else order
        if not np.array_equal(order, wanted):
            self._gather(node, node, np.argsort(order)[wanted], self._shape(node))

    def _gather(self, node: fx.Node, source: fx.Node, index: np.ndarray, shape: tuple[int, ...]) -> None:
        name = self._unique(f"{self._path(node)}_order") if node is source else self._label(node)
        plain = np.array_equal(index, np.arange(prod(self._shape(source))))
        self._append(node, Reshape(name, (self.tensors[source],), shape) if plain
                     else Reorder(name, (self.tensors[source],), index.astype(np.int64), shape))

    def _concat(self, node: fx.Node) -> None:
        parts: Any = node.args[0]
        axis, rank = int(node.args[1]) - 1, len(self._shape(node))  # type: ignore[arg-type]
        if self.last and rank > 1:
            axis = rank - 1 if axis == 0 else axis - 1
        self._append(node, Concat(self._label(node), tuple(self.tensors[n] for n in parts), axis))
        if any(n in self.orders for n in parts):
            sizes = [self._shape(n)[0] for n in parts]
            starts = np.cumsum([0, *sizes])
            self._ordered(node, np.concatenate([self.orders.get(n, np.arange(size)) + start for n, size, start
                                                in zip(parts, sizes, starts, strict=False)]))

    def _ordered(self, node: fx.Node, order: np.ndarray) -> None:
        if not np.array_equal(order, np.arange(len(order))):
            self.orders[node] = order

    def _shape(self, node: Any) -> tuple[int, ...]:
        """PyTorch's shape of a node's value, without the batch."""
        return tuple(node.meta["tensor_meta"].shape[1:])

    def _turned(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return turned(shape) if self.last and len(shape) > 1 else shape

    def _append(self, node: fx.Node, layer: Layer, like: fx.Node | None = None) -> None:
        """Let `layer` make the value of `node`, whose elements stand as those of `like` do."""
        self.layers.append(layer)
        self.tensors[node] = layer.name
        if like is not None and like in self.orders:
            self.orders[node] = self.orders[like]

    def _path(self, node: fx.Node) -> str:
        return self.graph.meta["paths"].get(str(node.target)) or node.name

    def _label(self, node: fx.Node) -> str:
        """The layer's name: its path in the model where it has one."""
        return self._unique(self._path(node))

    def _unique(self, name: str) -> str:
        base = re.sub(r"\s+", " ", name)[:MAX_NAME - 8]
        found, number = base, 2
        while found in self.taken:
            found, number = f"{base}_{number}", number + 1
        self.taken.add(found)
        return found
