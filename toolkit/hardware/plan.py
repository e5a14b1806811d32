"""From a design to its hardware: a datapath for every layer, and when each tensor is there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from toolkit.design import Design
from toolkit.design.layers import Layer
from toolkit.design.tensors import Interval
from toolkit.hardware.datapath import Datapath, Offset, Plus, Product, RoundEven, Sum, Turned
from toolkit.hardware.layers import PLANNERS
from toolkit.hardware.options import Options
from toolkit.utils.progress import bar


@dataclass(frozen=True)
class LayerPlan:
    """One layer's datapath. `start` is the cycle, counted from the input's acceptance, at which its inputs are there;
    `delays` how many cycles each input must be held back until the latest is there."""

    layer: Layer
    datapath: Datapath
    start: int
    delays: tuple[int, ...]

    @property
    def ready(self) -> int:
        """The cycle at which the output is there."""
        return self.start + self.datapath.stages

    @property
    def adders(self) -> int:
        return sum(isinstance(s.op, Sum | Offset | RoundEven | Turned | Plus) for s in self.datapath.signals)

    @property
    def adder_bits(self) -> int:
        return sum(adder_bits(self.datapath, i) for i in range(len(self.datapath.signals)))

    @property
    def multipliers(self) -> tuple[tuple[int, int], ...]:
        """The widths of both operands of each multiplier."""
        signals = self.datapath.signals
        return tuple((signals[s.operands[0]].width, signals[s.operands[1]].width) for s in signals
                     if isinstance(s.op, Product))


def adder_bits(datapath: Datapath, index: int) -> int:
    """Bits that a signal's adder really adds: 0 where it is none. Below the higher shift, bits only pass through."""
    signal = datapath.signals[index]
    if isinstance(signal.op, Sum):
        first, second = signal.op.shifts
        return signal.width - (second or (0 if signal.op.subtract else first))
    if isinstance(signal.op, Offset):
        constant = signal.op.constant
        trailing = (constant & -constant).bit_length() - 1 if constant else signal.width
        return max(signal.width - max(trailing, signal.op.shift), 0)
    return signal.width if isinstance(signal.op, RoundEven | Turned | Plus) else 0


@dataclass(frozen=True)
class Plan:
    """A whole design's hardware, unrolled: one sample a cycle."""

    design: Design
    options: Options
    layers: tuple[LayerPlan, ...]

    @property
    def latency(self) -> int:
        """Clocks from the acceptance of an input beat to the transfer of its output beat when nobody stalls."""
        return self.layers[-1].ready

    @property
    def initiation_interval(self) -> int:
        return 1

    @cached_property
    def holds(self) -> dict[str, int]:
        """For each tensor that a later layer reads delayed: for how many cycles it is held in the top module."""
        found: dict[str, int] = {}
        for plan in self.layers:
            for name, delay in zip(plan.layer.inputs, plan.delays, strict=True):
                if delay:
                    found[name] = max(found.get(name, 0), delay)
        return found

    @property
    def hold_bits(self) -> int:
        """Register bits of those delays."""
        return sum(self.design.tensors[name].bits * cycles for name, cycles in self.holds.items())


def plan(design: Design, options: Options | None = None) -> Plan:
    """Work out the unrolled hardware of `design`. Deterministic: same design, same options, same plan."""
    options = options or Options()
    intervals = {design.input.name: Interval.full(design.input.shape, design.input.format)}
    ready = {design.input.name: 0}
    made: list[LayerPlan] = []
    with bar("sharing subexpressions", len(design.layers)) as advance:
        for layer in design.layers:
            found = design.ranges[layer.name]
            if layer.kind not in PLANNERS:
                raise layer.fail("it has no unrolled hardware; give it --arch folded")
            datapath = PLANNERS[layer.kind](layer, design.inputs_of(layer), [intervals[n] for n in layer.inputs],
                                            found, options)
            start = max(ready[n] for n in layer.inputs)
            made.append(LayerPlan(layer, datapath, start, tuple(start - ready[n] for n in layer.inputs)))
            ready[layer.name] = made[-1].ready
            intervals[layer.name] = found.output
            advance(note=layer.name[:30])
    return Plan(design, options, tuple(made))
