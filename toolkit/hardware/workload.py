"""How much a layer has to do for a sample, and how many cycles that takes with so much of it at once."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.design.layers import AvgPool, Conv, Dense, Layer, MaxPool
from toolkit.design.tensors import Tensor
from toolkit.hardware.rows import Rows


@dataclass(frozen=True)
class Parallel:
    """What a folded layer does in one cycle: `pe` lanes work on an output channel each (0: the layer is unrolled), each
    lane takes `simd` taps, and `elements` go out. A layer without weights has one lane and takes as many elements as it
    gives."""

    pe: int = 1
    simd: int = 1
    elements: int = 1

    @property
    def macs(self) -> int:
        """Weights that are used in a cycle."""
        return self.pe * self.simd


@dataclass(frozen=True)
class Workload:
    """For each of `positions` windows and each of `groups` groups of channels, `outputs` sums over `kernel` pixels of
    `own` channels. A layer without weights has no sums, one group and one output, and its `own` channels are its
    tensor's. `places`: cycles in which a convolution's windows stand one after the other, whole."""

    positions: int
    groups: int
    outputs: int
    kernel: int
    own: int
    weighted: bool = True
    places: int = 0

    @property
    def taps(self) -> int:
        """Terms of a sum."""
        return self.kernel * self.own

    @property
    def depthwise(self) -> bool:
        """Each output reads one channel."""
        return self.weighted and self.groups > 1 and self.own == 1

    @property
    def most_lanes(self) -> int:
        """More lanes than this have nothing to do."""
        return self.outputs * (self.groups if self.depthwise else 1)

    @property
    def most_simd(self) -> int:
        """More taps a cycle than this there are none: beyond the channels of a pixel, those of a window."""
        return self.taps if self.places and self.groups == 1 else self.own if self.weighted else 1

    def windowed(self, simd: int) -> bool:
        """Whether so many taps a cycle are taken from whole windows."""
        return self.weighted and simd > self.own

    def across(self, pe: int) -> int:
        """Channels whose outputs so many lanes of a depthwise layer work on at once; 0 where they are all of one group.
        """
        return pe // self.outputs if self.depthwise and pe > self.outputs else 0

    def whole(self, pe: int) -> int:
        """So many lanes or a few more, all of which have work: of a depthwise layer, those of whole channels."""
        across = self.depthwise and pe > self.outputs
        return -(-pe // self.outputs) * self.outputs if across else pe

    def cycles(self, parallel: Parallel) -> int:
        """Clocks a sample. A lane of one tap a cycle needs one cycle more for each sum, to hand it on."""
        if not self.weighted:
            return self.positions * self.kernel * -(-self.own // parallel.elements)
        if not parallel.pe:
            return self.places
        if self.windowed(parallel.simd):
            folds = -(-self.outputs // parallel.pe)
            return max(self.places, self.positions * folds * -(-self.taps // parallel.simd))
        across = self.across(parallel.pe)
        if across:
            return self.positions * -(-self.groups // across) * self.kernel
        folds = -(-self.outputs // parallel.pe)
        return self.positions * self.groups * folds * (self.kernel * -(-self.own // parallel.simd)
                                                       + (parallel.simd == 1))


def work(layer: Layer, inputs: list[Tensor], output: Tensor) -> Workload:
    """The work of one layer."""
    if isinstance(layer, Dense):
        return Workload(1, 1, len(layer.weights.codes), 1, inputs[0].size)
    if isinstance(layer, Conv):
        codes, window = layer.weights.codes, layer.window
        rows = Rows.of(window, inputs[0].shape)
        return Workload(output.size // len(codes), layer.groups, len(codes) // layer.groups, window.positions,
                        inputs[0].shape[-1] // layer.groups, places=max(rows.length, rows.frame))
    if isinstance(layer, MaxPool | AvgPool) and not layer.window.disjoint(inputs[0].shape):
        return Workload(output.size // output.shape[-1], 1, 1, layer.window.positions, output.shape[-1], False)
    largest = max((output, *inputs), key=lambda tensor: tensor.size)
    return Workload(largest.size // largest.shape[-1], 1, 1, 1, largest.shape[-1], False)
