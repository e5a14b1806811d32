"""From a design to folded hardware: a node for every layer, FIFOs where branches meet, and the schedule of it all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from toolkit.design import Design
from toolkit.design.tensors import Interval
from toolkit.hardware.architecture import Architecture
from toolkit.hardware.devices import Device, device
from toolkit.hardware.folded import simulate
from toolkit.hardware.folded.fifo_depths import depths, waits
from toolkit.hardware.folded.node import Node
from toolkit.hardware.folded.nodes import node, unrolled
from toolkit.hardware.folded.schedule import ArgMaxUnit, Engine, Fifo, Fork, Pipeline, Schedule, Stream, Unrolled
from toolkit.hardware.options import Options
from toolkit.utils.errors import InputError
from toolkit.utils.progress import bar

SPARE = 2
"""Elements that a FIFO holds beyond what the order of the branches demands."""
BOUNDLESS = 1 << 30


@dataclass(frozen=True)
class FifoPlan:
    """A FIFO of `depth` elements of `width` bits before input `port` of `layer`."""

    layer: str
    port: int
    source: str
    depth: int
    width: int

    @property
    def bits(self) -> int:
        return (self.depth + 1) * self.width


@dataclass(frozen=True, eq=False)
class FoldedPlan:
    """A whole design's hardware: a pipeline of layers that each take many cycles for a sample."""

    design: Design
    architecture: Architecture
    nodes: tuple[Node, ...]
    fifos: tuple[FifoPlan, ...]
    schedule: Schedule

    @property
    def latency(self) -> int:
        """Clocks from the acceptance of a sample's first beat to the transfer of its last, when nobody stalls."""
        return self.schedule.latency

    @property
    def initiation_interval(self) -> float:
        return self.schedule.initiation_interval

    @cached_property
    def users(self) -> dict[str, list[tuple[str, int]]]:
        """(layer, port) of everything that reads each tensor."""
        found: dict[str, list[tuple[str, int]]] = {self.design.input.name: []}
        for layer in self.design.layers:
            found[layer.name] = []
            for port, name in enumerate(layer.inputs):
                found[name].append((layer.name, port))
        return found

    @property
    def rom_bits(self) -> int:
        return sum(n.lanes.rom_bits for n in self.nodes if n.lanes)

    @property
    def buffer_bits(self) -> int:
        return sum(n.buffer_bits for n in self.nodes) + sum(q.bits for q in self.fifos)


def plan_folded(design: Design, architecture: Architecture, options: Options) -> FoldedPlan:
    """Work out the folded hardware of `design`. Deterministic."""
    intervals = {design.input.name: Interval.full(design.input.shape, design.input.format)}
    with bar("scheduling", len(design.layers) + 2) as advance:
        nodes = []
        for layer in design.layers:
            proved, lanes = design.ranges[layer.name], architecture.lanes[layer.name]
            known = layer, design.inputs_of(layer), design.tensors[layer.name], proved
            nodes.append(node(*known, lanes) if lanes else
                         unrolled(*known, [intervals[name] for name in layer.inputs], options))
            intervals[layer.name] = proved.output
            advance(note=layer.name[:30])
        fifos = _fifos(design, nodes)
        # Deep enough never to lock; then as deep as they fill when nothing stops them.
        free = schedule(design, nodes, [replace(q, depth=BOUNDLESS) for q in fifos])
        advance(note="FIFOs")
        fifos = [replace(q, depth=max(q.depth, held) + SPARE) for q, held in zip(fifos, free.held, strict=True)]
        if options.device:
            _check_memory(nodes, fifos, device(options.device))
        found = schedule(design, nodes, fifos)
        advance()
    return FoldedPlan(design, architecture, tuple(nodes), tuple(fifos), found)


def _check_memory(nodes: list[Node], fifos: list[FifoPlan], chip: Device) -> None:
    """Raise InputError where the network's memories are more than the device has."""
    parts = {f"the weights of '{n.name}'": n.lanes.rom_bits for n in nodes if n.lanes}
    parts |= {f"the buffer of '{n.name}'": n.buffer_bits for n in nodes}
    parts |= {f"the FIFO from '{q.source}' to '{q.layer}'": q.bits for q in fifos}
    total = sum(parts.values())
    if total > chip.ram_bits:
        most = max(parts, key=lambda name: parts[name])
        raise InputError(f"the network's memories take {total:,} bits, and {chip.name} has {chip.ram_bits:,} in block "
                         f"RAM; the most of them, {parts[most]:,}, are {most}; prune the network, or choose a larger "
                         "device")


def _fifos(design: Design, nodes: list[Node]) -> list[FifoPlan]:
    """The FIFOs before every layer of several inputs, as deep as the order of the elements demands."""
    waiting = {design.input.name: np.arange(design.input.size)}
    found = []
    for one in nodes:
        inputs = [waiting[name] for name in one.layer.inputs]
        if len(inputs) > 1:
            found += [FifoPlan(one.name, port, name, depth, tensor.format.width) for port, (name, tensor, depth)
                      in enumerate(zip(one.layer.inputs, one.inputs, depths(one, inputs), strict=True))]
        waiting[one.name] = waits(one, inputs)
    return found


def schedule(design: Design, nodes: list[Node], fifos: list[FifoPlan]) -> Schedule:
    """The schedule of the nodes with these FIFOs between them."""
    count = {design.input.name: 0} | {n.name: 0 for n in nodes}
    for n in nodes:
        for name in n.layer.inputs:
            count[name] += 1
    parts: list[Engine | Pipeline | ArgMaxUnit | Unrolled | Fifo | Fork] = []
    outlets: dict[str, list[Stream]] = {}

    def publish(name: str, stream: Stream) -> None:
        """Let a stream be read by all that read the tensor."""
        if count[name] < 2:
            outlets[name] = [stream]
            return
        outlets[name] = [Stream() for _ in range(count[name])]
        parts.append(Fork(stream, list(outlets[name])))

    source = Stream()
    publish(design.input.name, source)
    depth = {(q.layer, q.port): q.depth for q in fifos}
    for n in nodes:
        xs = [outlets[name].pop(0) for name in n.layer.inputs]
        for port in range(len(xs)):
            if (n.name, port) in depth:
                inner = Stream()
                parts.append(Fifo(depth[n.name, port], xs[port], inner))
                xs[port] = inner
        y = xs[0] if n.kind == "wires" else Stream()
        if n.kind != "wires":
            parts.append(PARTS[n.kind](n, xs, y))
        publish(n.name, y)
    return simulate.run(parts, source, outlets[nodes[-1].name][0], design.input.size, design.output.size)


PARTS: dict[str, Callable[[Node, list[Stream], Stream], Engine | Pipeline | ArgMaxUnit | Unrolled]] = {
    "mac": lambda n, xs, y: Engine(n, xs[0], y), "pool": lambda n, xs, y: Engine(n, xs[0], y),
    "gather": lambda n, xs, y: Engine(n, xs[0], y), "accumulate": lambda n, xs, y: Engine(n, xs[0], y),
    "map": Pipeline, "add": Pipeline, "concat": Pipeline, "argmax": lambda n, xs, y: ArgMaxUnit(n, xs[0], y),
    "unrolled": lambda n, xs, y: Unrolled(n, xs[0], y),
}
