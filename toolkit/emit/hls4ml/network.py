"""The layer list and the settings that hls4ml is given, while they grow."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations
from math import prod
from typing import Any

import numpy as np

from toolkit.design.formats import FixedPoint
from toolkit.design.layers import Layer
from toolkit.design.transposes import transpose_of
from toolkit.emit.hls4ml.types import Step, Type
from toolkit.utils.errors import InputError
from toolkit.utils.identifiers import identifier

TAKEN = ("input", "result", "model", "nnet", "hls", "weights")
"""Names that mean something else in hls4ml's own code."""


@dataclass(frozen=True, eq=False)
class Wire:
    """A tensor as hls4ml holds it: the layer that makes it, and its format, which is never wider than the design's.
    With `index` it is not made yet: element j of it is element index[j] of `source`."""

    name: str
    format: FixedPoint
    shape: tuple[int, ...]
    index: np.ndarray | None = None
    source: Wire | None = None


@dataclass
class Network:
    """`layers` and `settings` as hls4ml's converter takes them; `backend` and `io` as the options have them; `wires`
    by the name of the design's tensor; `exponents`: weights are written as shifts."""

    backend: str
    io: str
    exponents: bool
    layers: list[dict[str, Any]] = field(default_factory=list)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    wires: dict[str, Wire] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    """The design's layer behind each of hls4ml's."""

    @property
    def streams(self) -> bool:
        return self.io == "io_stream"

    def add(self, owner: str, kind: str, inputs: list[Wire], shape: tuple[int, ...], type: Type, *, suffix: str = "",
            attributes: dict[str, Any] | None = None, precision: dict[str, str] | None = None,
            settings: dict[str, Any] | None = None) -> Wire:
        """One layer of hls4ml's. Every precision is given, so that it infers none."""
        name = self._name(owner + suffix)
        self.owners[name] = owner
        self.layers.append({"class_name": kind, "name": name, "inputs": [wire.name for wire in inputs],
                            "outputs": [name], **(attributes or {})})
        self.settings[name] = {"Precision": {"result": str(type), **(precision or {})}, "ReuseFactor": 1,
                               "Strategy": "Latency", **(settings or {})}
        return Wire(name, type.format, shape)

    def cast(self, layer: Layer, wire: Wire, type: Type, suffix: str = "") -> Wire:
        """A change of type and nothing else."""
        return self.add(layer.name, "Activation", [wire], wire.shape, type, suffix=suffix,
                        attributes={"activation": "linear", "n_in": prod(wire.shape)})

    def clip(self, layer: Layer, wire: Wire, steps: tuple[Step, ...]) -> Wire:
        """The steps of a clip, each an element-wise scale of 1 or -1 and a constant."""
        for number, step in enumerate(steps, 1):
            frac = step.type.format.frac
            constant = FixedPoint.holding(min(step.constant, -1), step.constant, frac)
            channels = wire.shape[-1]
            wire = self.add(
                layer.name, "BatchNormalization", [wire], wire.shape, step.type, suffix=f"_clip{number}",
                attributes={"n_in": prod(wire.shape), "n_filt": channels if len(wire.shape) > 1 else -1,
                            "scale_data": np.full(channels, float(step.sign)),
                            "bias_data": np.full(channels, real(layer, step.constant, frac))},
                precision={"scale": "fixed<2,2>", "bias": str(constant)})
        return wire

    def plain(self, layer: Layer, name: str) -> Wire:
        """The wire of a tensor in its own order of elements; refused where hls4ml cannot reorder it."""
        wire = self.wires[name]
        if wire.index is None:
            return wire
        moved = self._transposed(name, wire)
        if moved is None:
            raise InputError(f"layer '{name}' (reorder): hls4ml has no gather, and layer '{layer.name}' ({layer.kind}) "
                             "reads it; it can be a transpose, or be followed by Dense layers alone, whose columns "
                             "are moved instead")
        self.wires[name] = moved
        return moved

    def _transposed(self, name: str, wire: Wire) -> Wire | None:
        source = wire.source
        assert source is not None and wire.index is not None
        for axes in permutations(range(len(source.shape))) if len(source.shape) in (2, 3) else ():
            turned = np.arange(prod(source.shape)).reshape(source.shape).transpose(axes)
            if np.array_equal(turned.reshape(-1), wire.index):
                made = self.add(name, "Transpose", [source], turned.shape, Type(wire.format),
                                attributes={"perm": list(axes)})
                return made if made.shape == wire.shape else self.reshape(name, made, wire.shape)
        return None if self.streams else self._under_another_shape(name, wire, source)

    def _under_another_shape(self, name: str, wire: Wire, source: Wire) -> Wire | None:
        """A transpose of the elements of `source` as they lie, as of the pixels of a transposed convolution."""
        assert wire.index is not None
        found = transpose_of(wire.index)
        if found is None or len(wire.index) != prod(source.shape) or (len(found[0]) > 3 and self.backend == "quartus"):
            return None
        shape, axes = found
        before = self.reshape(name, source, shape)
        made = self.add(name, "Transpose", [before], tuple(shape[a] for a in axes), Type(wire.format),
                        attributes={"perm": list(axes)})
        return self.reshape(name, made, wire.shape)

    def reshape(self, owner: str, wire: Wire, shape: tuple[int, ...]) -> Wire:
        return self.add(owner, "Reshape", [wire], shape, Type(wire.format), suffix="_shape",
                        attributes={"target_shape": list(shape)})

    def _name(self, wanted: str) -> str:
        used = {layer["name"] for layer in self.layers} | set(TAKEN)
        base = text = identifier(wanted)
        number = 2
        while text in used:
            text, number = f"{base.rstrip('_')}_{number}", number + 1
        return text


def real(layer: Layer, codes: Any, frac: int) -> Any:
    """Codes as float64, the way hls4ml takes constants; refused where that is not exact."""
    values = np.asarray(codes, np.int64)
    if np.abs(values.astype(np.float64)).max(initial=0) >= 2.0**53:
        raise layer.fail("hls4ml takes constants as float64, and one of these has more than 53 bits")
    found = np.ldexp(values.astype(np.float64), -frac)
    return found if found.ndim else float(found)
