"""Which channels of a captured network go together: every element of every tensor knows the channel that made it.

Each layer with weights makes channels (a Linear: neurons). An array of their numbers, of the shape of one sample, goes
through the graph as the sample would: flattened, reshaped, concatenated, pooled. What a sum joins, and what shares one
place along the first axis of an image, can only go together and is one class. Class 0 is what cannot go: the network's
input and its output.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import torch
from torch import fx, nn

from toolkit.capture.builder import module_of
from toolkit.capture.pick import Pick
from toolkit.capture.product import Product
from toolkit.capture.slopes import Slopes
from toolkit.compress.matmul import CONVOLUTIONS, WEIGHTED

Array = np.ndarray
PAIRS = (operator.add, torch.maximum, torch.minimum)
"""What joins the elements of two tensors."""


class Channels:
    """The classes of a graph's channels. `made[name]` holds the class of each output channel of a layer, `read[name]`
    of each input channel or column, `led[name]` of each place along the first axis that an Unflatten makes,
    `sloped[name]` of each channel that has a slope of its own, `picked[name]` of each element that a Pick reads, and of
    each that it makes."""

    made: dict[str, Array]
    read: dict[str, Array]
    led: dict[str, Array]
    sloped: dict[str, Array]
    picked: dict[str, tuple[Array, Array]]

    def __init__(self, graph: fx.GraphModule) -> None:
        self.graph = graph
        self.layers: dict[str, Any] = {}
        """The layers with weights, as they come."""
        self._made: dict[str, Array] = {}
        self._read: dict[str, Array] = {}
        self._led: dict[str, Array] = {}
        self._sloped: dict[str, Array] = {}
        self._picked: dict[str, tuple[Array, Array]] = {}
        self._parent = [0]
        self._propagate(shapes(graph))
        self._resolve()
        found = self._balances()
        while found is None:
            found = self._balances()
        self.balances = found
        """Classes of which equally many must go from each part of a grouped convolution: {class: part}."""

    def grouped(self, name: str) -> bool:
        """Whether a layer's groups have several inputs each, so that they must lose equally many."""
        layer = self.layers[name]
        return getattr(layer, "groups", 1) > 1 and not depthwise(layer)

    def makers(self) -> dict[int, set[str]]:
        """The layers that make channels of each class that can go."""
        found: dict[int, set[str]] = defaultdict(set)
        for name, classes in self.made.items():
            for one in np.unique(classes[classes > 0]):
                found[int(one)].add(name)
        return dict(found)

    def _balances(self) -> list[dict[int, int]] | None:
        """Classes of which equally many must go from each part: {class: part}; no class is in two of them. None where
        classes had to be joined for that: then the others may have changed."""
        found: list[dict[int, int]] = []
        for name in filter(self.grouped, self.layers):
            for side in (self.made[name], self.read[name]):
                parts = side.reshape(self.layers[name].groups, -1)
                one = _balance(parts)
                if one is None or any(one != other and one.keys() & other.keys() for other in found):
                    # What has the same place in each group goes together.
                    self._join(np.broadcast_to(parts[:1], parts.shape), parts)
                    self._resolve()
                    return None
                if one and one not in found:
                    found.append(one)
        return found

    def _resolve(self) -> None:
        roots = np.array([self._find(i) for i in range(len(self._parent))])
        self.made, self.read, self.led, self.sloped = (
            {name: roots[ids] for name, ids in known.items()}
            for known in (self._made, self._read, self._led, self._sloped))
        self.picked = {name: (roots[before], roots[after]) for name, (before, after) in self._picked.items()}

    def _propagate(self, shapes: dict[fx.Node, tuple[int, ...]]) -> None:
        values: dict[fx.Node, Array] = {}
        for node in self.graph.graph.nodes:
            sources = [values[n] for n in node.all_input_nodes]
            if node.op == "placeholder":
                values[node] = np.zeros(shapes[node], np.int64)
            elif node.op == "output":
                self._fix(sources)
            elif node.target in PAIRS:
                values[node], other = (values[n] for n in cast(Any, node.args))
                self._join(values[node], other)
            elif isinstance(module_of(self.graph, node), Product):
                values[node] = self._product([values[n] for n in cast(Any, node.args)])
            elif node.target is torch.cat:
                axis = cast(int, node.args[1]) % (sources[0].ndim + 1) - 1
                values[node] = self._whole(np.concatenate([values[n] for n in cast(Any, node.args[0])], axis))
            else:
                values[node] = self._through(node, module_of(self.graph, node), sources, shapes[node])

    def _through(self, node: fx.Node, module: nn.Module | None, sources: list[Array], shape: tuple[int, ...]) -> Array:
        name = str(node.target)
        if isinstance(module, WEIGHTED):
            made = self._layer(name, module, sources[0])
            return np.broadcast_to(made.reshape(-1, *(1,) * (len(shape) - 1)), shape)
        if isinstance(module, nn.Flatten):
            return sources[0].reshape(-1)
        if isinstance(module, nn.Unflatten):
            found = self._whole(sources[0].reshape(shape))
            self._led[name] = found.reshape(len(found), -1)[:, 0]
            return found
        if isinstance(module, Pick):
            found = self._one_axis(sources[0].reshape(-1)[module.index.numpy()].reshape(shape))
            self._picked[name] = sources[0].reshape(-1), found
            return found
        if isinstance(module, Slopes) and module.channels > 1:
            found = self._whole(sources[0])
            self._sloped[name] = found.reshape(len(found), -1)[:, 0]
            return found
        if module is not None and len(sources) == 1 and sources[0].shape == shape:
            return sources[0]
        if module is not None and len(sources) == 1 and len(shape) > 1 and len(shape) == sources[0].ndim and \
                shape[0] == len(sources[0]):  # a pool, an upsampling, a padding: it stays within its channel
            whole = self._whole(sources[0])
            return np.broadcast_to(whole.reshape(len(whole), -1)[:, :1].reshape(-1, *(1,) * (len(shape) - 1)),
                                   shape)
        self._fix(sources)
        return np.zeros(shape, np.int64)

    def _product(self, sources: list[Array]) -> Array:
        """A value and its gate lose a channel together; a channel that serves all others stays."""
        value, gate = sources
        for one, other in ((value, gate), (gate, value)):
            if len(one) == 1 < len(other):
                self._fix([one])
        longer, shorter = (value, gate) if len(value) >= len(gate) else (gate, value)
        if len(longer) == len(shorter):
            self._join(*np.broadcast_arrays(value, gate))
        return np.broadcast_to(longer, np.broadcast_shapes(value.shape, gate.shape))

    def _layer(self, name: str, layer: Any, source: Array) -> Array:
        """The channels that a layer makes of `source`."""
        read = self._whole(source).reshape(len(source), -1)[:, 0]
        if name in self.layers:  # called twice: its weights serve both
            self._join(self._read[name], read)
            return self._made[name]
        self.layers[name] = layer
        self._read[name] = read
        count = len(layer.weight)
        self._made[name] = np.arange(len(self._parent), len(self._parent) + count)
        self._parent += range(len(self._parent), len(self._parent) + count)
        if depthwise(layer):
            self._join(np.repeat(read, count // layer.groups), self._made[name])
        return self._made[name]

    def _whole(self, ids: Array) -> Array:
        """What shares one place along the first axis goes together."""
        if ids.ndim > 1:
            flat = ids.reshape(len(ids), -1)
            self._join(np.broadcast_to(flat[:, :1], flat.shape), flat)
        return ids

    def _one_axis(self, ids: Array) -> Array:
        """What remains when channels go must be a tensor: they go along the axis along which they lie, the first where
        they lie along several."""
        slices = (np.moveaxis(ids, axis, 0).reshape(ids.shape[axis], -1) for axis in range(ids.ndim))
        return ids if any((rows == rows[:, :1]).all() for rows in slices) else self._whole(ids)

    def _fix(self, arrays: Iterable[Array]) -> None:
        for ids in arrays:
            self._join(np.zeros_like(ids), ids)

    def _join(self, first: Array, second: Array) -> None:
        """Make one class of each pair of channels."""
        differ = first != second
        for pair in set(zip(first[differ].tolist(), second[differ].tolist(), strict=True)):
            a, b = sorted(map(self._find, pair))
            self._parent[b] = a

    def _find(self, one: int) -> int:
        while self._parent[one] != one:
            self._parent[one] = self._parent[self._parent[one]]
            one = self._parent[one]
        return one


def depthwise(module: nn.Module | None) -> bool:
    """Whether each channel of a layer reads one channel of its own, which goes with it."""
    return isinstance(module, CONVOLUTIONS) and module.groups == module.in_channels > 1


def _balance(parts: Array) -> dict[int, int] | None:
    """{class: part} of an array (parts, channels) of which equally many must go from each part; without classes that
    go from all alike. None where one class has unequally many in several."""
    found: dict[int, int] = {}
    for one in np.unique(parts[parts > 0]):
        counts = (parts == one).sum(1)
        if (counts == counts[0]).all():
            continue
        if counts.sum() > 1:
            return None
        found[int(one)] = int(counts.argmax())
    return found


@torch.no_grad()
def shapes(graph: fx.GraphModule) -> dict[fx.Node, tuple[int, ...]]:
    """The shape of every tensor, without the batch."""
    found: dict[fx.Node, tuple[int, ...]] = {}

    class Shapes(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if isinstance(value, torch.Tensor):
                found[n] = tuple(value.shape[1:])
            return value

    Shapes(graph).run(torch.zeros(2, *graph.meta["input_shape"]))
    return found
