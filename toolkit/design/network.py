"""An ordered list of layers over named tensors: the shape of an integer network, checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from statistics import mode

from toolkit.design.layers import Layer
from toolkit.design.ports import Ports
from toolkit.design.tensors import Tensor
from toolkit.utils.errors import InputError
from toolkit.utils.limits import MAX_LAYERS, Budget
from toolkit.utils.untrusted import encodes

MAX_NAME = 200
MAX_EDGES = 1 << 16
"""Inputs of all layers together."""


@dataclass(frozen=True, eq=False)
class Network:
    """An integer network with one input tensor and one output, the last layer's.

    `layers` stand in an order in which each only reads tensors made before it; a layer's name is its output's name.
    `ports` say which elements of them are which of several inputs and outputs; layers know nothing of it.
    """

    name: str
    input: Tensor
    layers: tuple[Layer, ...]
    ports: Ports = field(default=Ports())

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError(f"design '{self.name}' has no layers")
        names = [self.input.name, *(layer.name for layer in self.layers)]
        for name in (self.name, *names):
            if not 0 < len(name) <= MAX_NAME:
                raise InputError(f"a name of {len(name)} characters is outside 1..{MAX_NAME}: '{name[:40]}'")
            if not encodes(name):
                raise InputError(f"the name '{name[:40]}' holds half of a surrogate pair, which no file can hold")
        if len(self.layers) > MAX_LAYERS or sum(len(layer.inputs) for layer in self.layers) > MAX_EDGES:
            raise InputError(f"design '{self.name}' has {len(self.layers):,} layers; {MAX_LAYERS:,} with {MAX_EDGES:,} "
                             "inputs are the most supported")
        if len(set(names)) != len(names):
            raise InputError(f"design '{self.name}' has two tensors of the name '{mode(names)}'")
        self.ports.check(self.input.size, self.output.size)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name: the input first, then each layer's output."""
        found = {self.input.name: self.input}
        budget = Budget()
        budget.tensor(self.input.shape, self.input.name)
        for layer in self.layers:
            missing = [n for n in layer.inputs if n not in found]
            if missing:
                raise layer.fail(f"reads '{missing[0]}', which no layer before it makes")
            if not layer.inputs:
                raise layer.fail("reads nothing")
            inputs = [found[n] for n in layer.inputs]
            found[layer.name] = made = layer.output(inputs)
            budget.tensor(made.shape, layer.name)
            budget.work(layer.products(inputs, made), layer.name)
        return found

    @property
    def output(self) -> Tensor:
        return self.tensors[self.layers[-1].name]

    def inputs_of(self, layer: Layer) -> list[Tensor]:
        return [self.tensors[n] for n in layer.inputs]
