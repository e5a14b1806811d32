"""Bytes of weights, bits of registers and ROM, adders and their bits: counted from the design and its plan."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from toolkit.design.layers import Conv, Dense, Layer
from toolkit.design.tensors import Interval
from toolkit.hardware import LayerPlan, Plan
from toolkit.hardware.folded import FoldedPlan

EXPONENT_BITS = 8
"""Of one channel's scale where weights are stored packed."""


@dataclass(frozen=True)
class LayerMemory:
    """One layer. `parameters`: weights and biases, `weights` and `non_zeros`: weights alone; biases that are all zero
    are none. `weight_bits`, `scale_bits`, `bias_bits`: what its parameters take in packed storage (a `.swd` file, a
    ROM); in unrolled hardware they are wiring, and `rom_bits` is 0. `register_bits`, `adders`, `adder_bits`: what
    stands in the RTL; of folded layers the sums of the lanes, and beside them the `buffer_bits` of the input, the
    `lanes`, and the `cycles` that a sample keeps them busy."""

    name: str
    kind: str
    parameters: int
    non_zeros: int
    weight_bits: int
    scale_bits: int
    bias_bits: int
    rom_bits: int
    register_bits: int
    adders: int
    adder_bits: int
    buffer_bits: int = 0
    lanes: int = 0
    cycles: int = 1
    weights: int = 0

    @property
    def stored_bits(self) -> int:
        return self.weight_bits + self.scale_bits + self.bias_bits


@dataclass(frozen=True)
class Memory:
    """A whole network. `hold_bits`: registers that hold skip connections back; `control_bits`: the stream's valid and
    last bits. All exact: they are what the generated RTL declares, before a synthesis tool removes any."""

    layers: tuple[LayerMemory, ...]
    hold_bits: int
    control_bits: int

    @property
    def stored_bytes(self) -> int:
        """Packed parameters, each layer padded to whole bytes."""
        return sum(-(-layer.stored_bits // 8) for layer in self.layers)

    @property
    def rom_bits(self) -> int:
        return sum(layer.rom_bits for layer in self.layers)

    @property
    def register_bits(self) -> int:
        return sum(layer.register_bits for layer in self.layers) + self.hold_bits + self.control_bits

    @property
    def adders(self) -> int:
        return sum(layer.adders for layer in self.layers)

    @property
    def adder_bits(self) -> int:
        return sum(layer.adder_bits for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        """What the manifest and the report say; all of it exact."""
        totals = {"stored_bytes": self.stored_bytes, "rom_bits": self.rom_bits,
                  "buffer_bits": sum(layer.buffer_bits for layer in self.layers), "register_bits": self.register_bits,
                  "hold_bits": self.hold_bits, "control_bits": self.control_bits, "adders": self.adders,
                  "adder_bits": self.adder_bits}
        return {"exact": True, "counts": "bits and adders as declared in the RTL, before synthesis", **totals,
                "layers": [asdict(layer) for layer in self.layers]}


def memory(plan: Plan) -> Memory:
    """Count what a planned design takes."""
    return Memory(tuple(_layer(p) for p in plan.layers), plan.hold_bits, 2 * plan.latency)


def folded_memory(plan: FoldedPlan) -> Memory:
    """Count what a folded design takes: weights and buffers in memories; registers and adders of lanes."""
    layers = []
    for node in plan.nodes:
        lanes = node.lanes
        layers.append(LayerMemory(node.name, node.layer.kind, *_stored(node.layer), lanes.rom_bits if lanes else 0, 0,
                                  lanes.count if lanes else 0, lanes.count * lanes.sum_bits if lanes else 0,
                                  node.buffer_bits, lanes.count if lanes else 1, plan.architecture.cycles(node.name),
                                  _weights(node.layer)))
    return Memory(tuple(layers), sum(q.bits for q in plan.fifos), 0)


def _layer(plan: LayerPlan) -> LayerMemory:
    return LayerMemory(plan.layer.name, plan.layer.kind, *_stored(plan.layer), 0, plan.datapath.register_bits,
                       plan.adders, plan.adder_bits, weights=_weights(plan.layer))


def _weights(layer: Layer) -> int:
    return layer.weights.codes.size if isinstance(layer, Dense | Conv) else 0


def _stored(layer: Layer) -> tuple[int, int, int, int, int]:
    """(parameters, non-zeros, weight bits, scale bits, bias bits) of a layer in packed storage."""
    if not isinstance(layer, Dense | Conv):
        return 0, 0, 0, 0, 0
    codes = layer.weights.codes
    width = int(Interval(layer.bias.min(keepdims=True), layer.bias.max(keepdims=True)).widths().max())
    biases = layer.bias.size if layer.bias.any() else 0
    return (codes.size + biases, int((layer.weights.integers()[0] != 0).sum()),
            codes.size * layer.weights.format.bits, len(codes) * EXPONENT_BITS, biases * width)
