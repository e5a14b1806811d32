"""From a design to folded hardware: a node for every layer, FIFOs where branches meet, and the schedule of it all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from toolkit.design import Design
from toolkit.design.tensors import Interval
from toolkit.hardware.architecture import Architecture
from toolkit.hardware.folded.fifo_depths import depths, waits
from toolkit.hardware.folded.node import Node
from toolkit.hardware.folded.nodes import joined, node, unrolled
from toolkit.hardware.folded.schedule import Schedule
from toolkit.hardware.folded.wiring import schedule
from toolkit.hardware.options import Options
from toolkit.hardware.words import Words
from toolkit.utils.progress import bar

SPARE = 2
"""Words that a FIFO holds beyond what the order of the branches demands."""


@dataclass(frozen=True)
class FifoPlan:
    """A FIFO of `depth` words of `width` bits before input `port` of `layer`."""

    layer: str
    port: int
    source: str
    depth: int
    width: int

    @property
    def bits(self) -> int:
        return self.depth * self.width


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
    def buffer_bits(self) -> int:
        return sum(n.buffer_bits for n in self.nodes) + sum(q.bits for q in self.fifos)


def plan_folded(design: Design, architecture: Architecture, options: Options) -> FoldedPlan:
    """Work out the folded hardware of `design`. Deterministic."""
    words = {design.input.name: Words(design.input.shape)}
    intervals = {design.input.name: Interval.full(design.input.shape, design.input.format)}
    with bar("scheduling", len(design.layers) + 1) as advance:
        nodes = []
        for layer in design.layers:
            proved, parallel = design.ranges[layer.name], architecture.parallel[layer.name]
            known = layer, design.inputs_of(layer), design.tensors[layer.name], proved
            made = node(*known, parallel) if parallel.pe else unrolled(
                *known, [intervals[name] for name in layer.inputs], options)
            nodes.append(joined(made, [words[name] for name in layer.inputs]))
            words[layer.name] = nodes[-1].gives
            intervals[layer.name] = proved.output
            advance(note=layer.name[:30])
        fifos = _fifos(design, nodes)
        found = schedule(design, nodes)
        advance(note="FIFOs")
        # Deep enough never to lock, nor ever to be full when nothing stops the outputs: their schedule is the same.
        fifos = [replace(q, depth=max(q.depth, held) + SPARE) for q, held in zip(fifos, found.held, strict=True)]
    return FoldedPlan(design, architecture, tuple(nodes), tuple(fifos), found)


def _fifos(design: Design, nodes: list[Node]) -> list[FifoPlan]:
    """The FIFOs before every layer of several inputs, as deep as the order of the elements demands."""
    waiting = {design.input.name: np.arange(design.input.size)}
    found = []
    for one in nodes:
        inputs = [waiting[name] for name in one.layer.inputs]
        for port in range(len(inputs)):
            for other in one.chain(port):
                inputs[port] = waits(other, [inputs[port]])
        if len(inputs) > 1:
            found += [FifoPlan(one.name, port, name, depth, one.word_bits(port)) for port, (name, depth)
                      in enumerate(zip(one.layer.inputs, depths(one, inputs), strict=True))]
        waiting[one.name] = waits(one, inputs)
    return found
