"""How much a layer has to do for a sample, and how many cycles that takes on a number of lanes."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.design.layers import AvgPool, Conv, Dense, Layer, MaxPool
from toolkit.design.tensors import Tensor


@dataclass(frozen=True)
class Workload:
    """For each of `positions` windows and each of `groups` groups of channels, `outputs` sums of `taps` terms, each sum
    ended by `bubble` cycles more. A layer without sums has one tap, one output, and a position for each element."""

    positions: int
    groups: int
    outputs: int
    taps: int
    bubble: int = 0

    @property
    def most_lanes(self) -> int:
        """More lanes than this have nothing to do."""
        return self.outputs

    def folds(self, lanes: int) -> int:
        """Rounds in which `lanes` lanes make the outputs of one group."""
        return -(-self.outputs // lanes)

    def cycles(self, lanes: int) -> int:
        """Clocks a sample, one tap of every lane a cycle."""
        return self.positions * self.groups * self.folds(lanes) * (self.taps + self.bubble)


def work(layer: Layer, inputs: list[Tensor], output: Tensor) -> Workload:
    """The work of one layer."""
    if isinstance(layer, Dense):
        return Workload(1, 1, len(layer.weights.codes), inputs[0].size, 1)
    if isinstance(layer, Conv):
        codes = layer.weights.codes
        return Workload(output.size // len(codes), layer.groups, len(codes) // layer.groups, codes[0].size, 1)
    if isinstance(layer, MaxPool | AvgPool) and not layer.window.disjoint(inputs[0].shape):
        return Workload(output.size, 1, 1, layer.window.positions)
    return Workload(max(output.size, *(t.size for t in inputs)), 1, 1, 1)
