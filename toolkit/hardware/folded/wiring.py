"""From the nodes of a folded network to its schedule: what reads what, and the part that each kind of node is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from toolkit.design import Design
from toolkit.hardware.folded.engine import engine
from toolkit.hardware.folded.node import Node
from toolkit.hardware.folded.parts import Collector, Fifo, Fork, Join, Narrow, Part, Pipeline, Sink, Unrolled
from toolkit.hardware.folded.registers import Inlet
from toolkit.hardware.folded.schedule import Schedule, run


class Alone(Part, Inlet, Protocol):
    """A part of one input, which takes it itself."""


def schedule(design: Design, nodes: list[Node]) -> Schedule:
    """The schedule of the nodes with FIFOs that are never full before every layer of several inputs; its `held`
    tells of them in the order of the nodes and their inputs."""
    readers: dict[str, list[Inlet]] = {name: [] for name in (design.input.name, *(n.name for n in nodes))}
    sink = Sink(design.output.size)
    readers[nodes[-1].name].append(sink)
    parts: list[Part] = []
    # From the last to the first: each is told what reads it.
    for n in reversed(nodes):
        y = _together(readers[n.name])
        if n.kind == "wires":
            readers[n.layer.inputs[0]].append(y)
            continue
        made, inlets = PARTS[n.kind](n, y)
        parts.append(made)
        for port, inlet in reversed([*enumerate(inlets)]):
            parts += [inlet] if isinstance(inlet, Fifo) else []
            for other in reversed(n.chain(port)):
                part, (inlet,) = PARTS[other.kind](other, inlet)
                parts.append(part)
            inlets[port] = inlet
        for name, inlet in zip(n.layer.inputs, inlets, strict=True):
            readers[name].append(inlet)
    return run(parts, _together(readers[design.input.name]), sink, design.input.size)


def _together(readers: list[Inlet]) -> Inlet:
    """All that read a tensor, as one."""
    return readers[0] if len(readers) == 1 else Fork(readers)


def _join(node: Node, sink: Inlet) -> tuple[Part, list[Inlet]]:
    ports = [Fifo() for _ in node.inputs]
    return Join(node, ports, sink), list(ports)


def _alone(kind: Callable[[Node, Inlet], Alone]) -> Callable[[Node, Inlet], tuple[Part, list[Inlet]]]:
    """A part that takes its one input itself."""
    def make(node: Node, sink: Inlet) -> tuple[Part, list[Inlet]]:
        made = kind(node, sink)
        return made, [made]
    return make


PARTS: dict[str, Callable[[Node, Inlet], tuple[Part, list[Inlet]]]] = {
    "mac": _alone(engine), "pool": _alone(engine), "accumulate": _alone(engine), "gather": _alone(engine),
    "window": _alone(engine), "pixel": _alone(Pipeline),
    "map": _alone(Pipeline), "add": _join, "multiply": _join, "concat": _join,
    "argmax": _alone(Collector), "widen": _alone(Collector), "narrow": _alone(Narrow), "unrolled": _alone(Unrolled),
}
"""How the layers of each kind are scheduled: the part, and what takes each of its inputs."""
