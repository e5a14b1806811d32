"""Bytes of weights, words of memories, bits of registers, adders: what a planned design stores and takes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from toolkit.design.layers import Conv, Dense, Layer, Lookup, Multiply, Slopes
from toolkit.design.layers.multiply import MULTIPLIER
from toolkit.design.tensors import Interval
from toolkit.hardware import LayerPlan, Plan
from toolkit.hardware.folded import FoldedPlan
from toolkit.hardware.folded.node import Node
from toolkit.hardware.storage import Declared

EXPONENT_BITS = 8
"""Of one channel's scale where weights are stored packed."""


@dataclass(frozen=True)
class LayerMemory:
    """One layer. `parameters`: weights and biases, `weights` and `non_zeros`: weights alone; biases that are all zero
    are none. `weight_bits`, `scale_bits`, `bias_bits`, `table_bits`: what its parameters take in packed storage (a
    `.swd` file); `adders`, `adder_bits`: what stands in the RTL, of folded layers the sums of the `lanes`, each of
    which takes `simd` taps a cycle; `cycles`: how long a sample keeps them busy; `elements` of its output go out in
    one; `multipliers`, each of two operands of `multiplier_bits`: of a product of two tensors whose gate is not rounded
    to a power of two (weights take none)."""

    name: str
    kind: str
    parameters: int
    non_zeros: int
    weight_bits: int
    scale_bits: int
    bias_bits: int
    table_bits: int
    adders: int
    adder_bits: int
    lanes: int = 0
    cycles: int = 1
    weights: int = 0
    multipliers: int = 0
    multiplier_bits: tuple[int, ...] = ()
    simd: int = 1
    elements: int = 1

    @property
    def stored_bits(self) -> int:
        return self.weight_bits + self.scale_bits + self.bias_bits + self.table_bits


@dataclass(frozen=True)
class Memory:
    """A whole network: its layers, what the RTL of each declares, and what is declared beside them ('': FIFOs, skip
    connections held back, the stream's own registers)."""

    layers: tuple[LayerMemory, ...]
    declared: dict[str, Declared]

    @property
    def stored_bytes(self) -> int:
        """Packed parameters, each layer padded to whole bytes."""
        return sum(-(-layer.stored_bits // 8) for layer in self.layers)

    @property
    def everything(self) -> Declared:
        return sum(self.declared.values(), Declared())

    @property
    def multipliers(self) -> int:
        return sum(layer.multipliers for layer in self.layers)

    @property
    def multipliers_told(self) -> str:
        """How many multipliers of what widths there are, in words."""
        found: dict[str, int] = {}
        for layer in self.layers:
            if layer.multipliers:
                kind = " x ".join(map(str, layer.multiplier_bits))
                found[kind] = found.get(kind, 0) + layer.multipliers
        if not found:
            return "no multiplier"
        parts = [f"{count:,} multiplier{'s' * (count > 1)} of {kind} bits" for kind, count in found.items()]
        return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]

    def to_json(self) -> dict[str, Any]:
        """What the manifest and the report say; all of it exact. `fifo_bits` are part of `buffer_bits`."""
        found = self.everything
        rows = []
        for layer in self.layers:
            own = self.declared.get(layer.name, Declared())
            rows.append(asdict(layer) | {"rom_bits": own.rom_bits, "buffer_bits": own.buffer_bits,
                                         "register_bits": own.register_bits})
        return {"exact": True, "counts": "bits and adders as declared in the RTL, before synthesis",
                "stored_bytes": self.stored_bytes, "rom_bits": found.rom_bits, "buffer_bits": found.buffer_bits,
                "fifo_bits": sum(m.bits for m in found.memories if m.holds == "FIFO"),
                "register_bits": found.register_bits, "adders": sum(layer.adders for layer in self.layers),
                "adder_bits": sum(layer.adder_bits for layer in self.layers), "multipliers": self.multipliers,
                "layers": rows,
                "memories": [asdict(memory) | {"bits": memory.bits} for memory in found.memories]}


def memory(plan: Plan, declared: dict[str, Declared]) -> Memory:
    """What an unrolled design takes; `declared`: what its RTL declares, by layer."""
    return Memory(tuple(_layer(p) for p in plan.layers), declared)


def folded_memory(plan: FoldedPlan, declared: dict[str, Declared]) -> Memory:
    """The same of a folded design."""
    layers = []
    for node in plan.nodes:
        lanes = node.lanes
        layers.append(LayerMemory(node.name, node.layer.kind, *_stored(node.layer),
                                  lanes.count * lanes.simd if lanes else 0, lanes.adder_bits if lanes else 0,
                                  lanes.count if lanes else 1,
                                  plan.architecture.cycles(node.name), _weights(node.layer), *_multiplier(node),
                                  lanes.simd if lanes else 1, node.gives.elements))
    return Memory(tuple(layers), declared)


def _layer(plan: LayerPlan) -> LayerMemory:
    return LayerMemory(plan.layer.name, plan.layer.kind, *_stored(plan.layer), plan.adders, plan.adder_bits,
                       weights=_weights(plan.layer), multipliers=len(plan.multipliers),
                       multiplier_bits=next(iter(plan.multipliers), ()))


def _multiplier(node: Node) -> tuple[int, tuple[int, ...]]:
    """(how many, of what widths) a folded layer has: one for each element of a cycle, or none."""
    if isinstance(node.layer, Multiply) and node.layer.gate == MULTIPLIER:
        return node.gives.elements, tuple(t.format.width for t in node.inputs)
    return 0, ()


def _weights(layer: Layer) -> int:
    return layer.weights.codes.size if isinstance(layer, Dense | Conv) else 0


def _stored(layer: Layer) -> tuple[int, int, int, int, int, int]:
    """(parameters, non-zeros, weight bits, scale bits, bias bits, table bits) of a layer in packed storage."""
    if isinstance(layer, Lookup):
        return 0, 0, 0, 0, 0, len(layer.table) * layer.format.width
    if isinstance(layer, Slopes):
        sides = [s for s in (layer.negative, layer.positive) if (s != 1 << layer.frac).any()]
        return 0, 0, 0, 0, 0, sum(s.size * int(Interval(s, s).widths().max()) for s in sides)
    if not isinstance(layer, Dense | Conv):
        return 0, 0, 0, 0, 0, 0
    codes = layer.weights.codes
    width = int(Interval(layer.bias.min(keepdims=True), layer.bias.max(keepdims=True)).widths().max())
    biases = layer.bias.size if layer.bias.any() else 0
    return (codes.size + biases, int((layer.weights.integers()[0] != 0).sum()),
            codes.size * layer.weights.format.bits, len(codes) * EXPONENT_BITS, biases * width, 0)
