"""The state of an import: layers so far, their exact ranges, and the values that steps have made."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from math import inf, isfinite, ldexp, prod

import numpy as np

from toolkit.capture.onnx.file import NodeError
from toolkit.capture.onnx.steps import Network, Step
from toolkit.design import Clamp, Design, FixedPoint, Layer, Reorder, Requantise, Reshape, Rounding, Tensor
from toolkit.design.formats import MAX_WIDTH
from toolkit.design.tensors import Interval
from toolkit.importing.notes import Notes
from toolkit.importing.symbolic import Curve, Scaled, Sums, SymbolicValue, Value
from toolkit.utils.errors import InputError


def channels_last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(channels, *spatial) as a design holds it."""
    return (*shape[1:], shape[0])


class Lowering:
    """Collects layers. `values` maps each value of the network to what holds it."""

    def __init__(self, network: Network, name: str, notes: Notes, requantise: bool) -> None:
        self.network, self.name, self.notes, self.requantise = network, name, notes, requantise
        self.layers: list[Layer] = []
        self.values: dict[str, Value] = {}
        self.tensors: dict[str, Tensor] = {}
        self.intervals: dict[str, Interval] = {}
        self.input: Tensor | None = None
        self.taken: set[str] = set()

    def begin(self, tensor: Tensor, names: tuple[str, ...], unit: float = 1.0) -> None:
        """Let the input be `tensor`, known to the network under `names`, its numbers `unit` times the tensor's."""
        self.input = tensor
        self.taken.add(tensor.name)
        self.tensors[tensor.name] = tensor
        self.intervals[tensor.name] = Interval.full(tensor.shape, tensor.format)
        for name in names:
            self.values[name] = SymbolicValue(tensor.name, self.network.input_shape, unit=unit)

    def append(self, layer: Layer) -> Tensor:
        """Add a layer; its tensor, with its range known."""
        inputs = [self.tensors[n] for n in layer.inputs]
        tensor = layer.output(inputs)
        self.intervals[layer.name] = layer.ranges(inputs, [self.intervals[n] for n in layer.inputs]).output
        self.tensors[layer.name] = tensor
        self.layers.append(layer)
        return tensor

    def unique(self, label: str) -> str:
        base = re.sub(r"\s+", " ", label)[:120]
        found, number = base, 2
        while found in self.taken:
            found, number = f"{base}_{number}", number + 1
        self.taken.add(found)
        return found

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a value, channels first."""
        value = self.values[name]
        return value.source.shape if isinstance(value, Scaled | Curve) else value.shape

    def lonely(self, value: str) -> bool:
        """One step reads it, and it is not the output."""
        return len(self.network.users(value)) == 1 and value != self.network.output

    def sums(self, step: Step, make: Callable[[Requantise, int], Layer], shape: tuple[int, ...], frac: int,
             scalable: bool = True, order: np.ndarray | None = None) -> None:
        """Let a step be sums, open to what follows; closed at once, and exactly, where more than one step reads it."""
        self.set(step, self.summed(step, make, shape, frac, scalable, order))

    def summed(self, step: Step, make: Callable[[Requantise, int], Layer], shape: tuple[int, ...], frac: int,
               scalable: bool = True, order: np.ndarray | None = None) -> Sums:
        """The sums of a layer that is not yet made."""
        probe = make(Requantise.to(FixedPoint(True, MAX_WIDTH, frac), Rounding.FLOOR), 0)
        inputs = [self.tensors[n] for n in probe.inputs]
        found = probe.ranges(inputs, [self.intervals[n] for n in probe.inputs])
        assert found.accumulator is not None
        return Sums(make, shape, found.accumulator, found.acc_frac, step.origin, order, scalable=scalable)

    def set(self, step: Step, value: Value) -> None:
        """Let `value` be what a step makes."""
        if isinstance(value, Scaled) and not self.lonely(step.output) and isinstance(value.source, Sums):
            # Every reader has the same sums, and may round them in its own way.
            value = replace(value, source=self.close(value.source, exactly(value.source)))
        self.values[step.output] = value
        if isinstance(value, Sums | Curve) and not self.lonely(step.output):
            self.held(step.output)

    def open(self, name: str, step: Step) -> Sums:
        """A value as sums that a quantiser may close: as it is, or a tensor behind a Clamp."""
        value = self.values[name]
        if isinstance(value, Sums):
            return value
        return self.opened(self.held(name), step.origin, step.label)

    def opened(self, held: SymbolicValue, origin: str, label: str = "clip") -> Sums:
        """A tensor behind a Clamp."""
        tensor, name = self.tensors[held.tensor], self.unique(label)
        return Sums(lambda r, power: Clamp(name, (held.tensor,), r), held.shape, self.intervals[held.tensor],
                    tensor.format.frac, origin, held.order, scalable=False)

    def close(self, sums: Sums, requantise: Requantise) -> SymbolicValue:
        """Add the layer of `sums`, in the shape that they have."""
        made, shape = self.append(sums.make(requantise, sums.power)), channels_last(sums.shape)
        if made.shape != shape:
            made = self.append(Reshape(self.unique(f"{made.name}_as_it_was"), (made.name,), shape))
        return SymbolicValue(made.name, sums.shape, sums.order)

    def held(self, name: str) -> SymbolicValue:
        """A value as a tensor; sums that nothing quantises keep every bit."""
        value = self.values[name]
        if isinstance(value, Curve):
            raise NodeError(value.origin, "no Quant follows it, so that the codes of its table are not known; quantise "
                                          "it")
        if isinstance(value, Scaled):
            self.values[name] = value = self.unscaled(value)
        if isinstance(value, Sums):
            self.values[name] = value = self.close(value, exactly(value))
        return value

    def unscaled(self, value: Scaled) -> SymbolicValue:
        """A value that nothing quantises as a tensor, every bit kept: where all channels have one scale, and the offset
        and the clips lie on its grid."""
        gain, origin = float(value.gain[0]), value.origin
        if not (value.gain == gain).all() or gain <= 0 or value.offset.any():
            raise NodeError(origin, "its channels have scales or offsets of their own and no Quant follows it; "
                                    "quantise behind it")
        low, high = float(value.low[0]), float(value.high[0])
        if not ((value.low == low).all() and (value.high == high).all()):
            raise NodeError(origin, "its clips differ from channel to channel and no Quant follows it; quantise behind "
                                    "it")
        source = value.source
        if isinstance(source, SymbolicValue):
            if low == -inf and high == inf:
                return replace(source, unit=gain)
            source = self.opened(source, origin)
        sums = replace(source, low=low / gain, high=high / gain)
        return replace(self.close(sums, exactly(sums)), unit=gain)

    def placed(self, step: Step, held: SymbolicValue, index: np.ndarray, shape: tuple[int, ...]) -> SymbolicValue:
        """A tensor of `shape` whose element of a step is element `index` (of that shape) of the tensor held."""
        lies = index.reshape(shape) if len(shape) == 1 else np.moveaxis(index.reshape(shape), 0, -1)
        flat = np.ascontiguousarray(lies.reshape(-1), np.int64)
        name, size = self.unique(step.label), self.tensors[held.tensor].size
        if flat.size == size and np.array_equal(flat, np.arange(size)):
            layer: Layer = Reshape(name, (held.tensor,), channels_last(shape))
        else:
            layer = Reorder(name, (held.tensor,), flat, channels_last(shape))
        return SymbolicValue(self.append(layer).name, shape, unit=held.unit)

    def places(self, held: SymbolicValue) -> np.ndarray:
        """For each element of a step, in its shape, where it lies in the tensor."""
        count = np.arange(prod(held.shape))
        if len(held.shape) > 1:
            return np.moveaxis(count.reshape(channels_last(held.shape)), -1, 0)
        return count if held.order is None else held.order

    def ordered(self, step: Step, held: SymbolicValue) -> SymbolicValue:
        """`held` such that a vector lies as the step sees it."""
        return held if held.order is None else self.placed(step, held, held.order, held.shape)

    def design(self) -> Design:
        """The design of all steps."""
        last = self.network.steps[-1]
        end = self.ordered(last, self.held(self.network.output))
        if not self.layers or end.tensor != self.layers[-1].name:
            raise InputError("the network's output is not its last operation")
        assert self.input is not None
        return Design(self.name, self.input, tuple(self.layers))


def exactly(sums: Sums) -> Requantise:
    """A requantisation that keeps every bit of sums; a clip must lie on their grid."""
    frac = sums.frac + sums.power
    low, high = int(sums.accumulator.low.min()), int(sums.accumulator.high.max())
    for bound in (sums.low, sums.high):
        if isfinite(bound) and ldexp(bound, frac) != int(ldexp(bound, frac)):
            raise NodeError(sums.origin, f"a clip at {bound:g} follows it that no Quant takes up; quantise behind it")
    floor = -inf if sums.low == -inf else int(ldexp(sums.low, frac))
    ceiling = inf if sums.high == inf else int(ldexp(sums.high, frac))
    # A clip may lie beyond all that the sums reach: then both ends are one of its bounds.
    least, most = (int(min(max(end, floor), ceiling)) for end in (low, high))
    return Requantise(FixedPoint.holding(least, most, frac), least, most, Rounding.FLOOR)
