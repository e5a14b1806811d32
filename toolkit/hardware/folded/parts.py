"""The parts of a folded network as times: of each element that comes, when it is taken and what follows from it.

No cycle is gone through one by one. An element here is a word of a stream. A part is told of its elements in their
order, each with the cycle from which on it is offered, and answers at once when it takes it: that depends on nothing
but the elements before, since a FIFO stands wherever branches meet, and FIFOs are deep enough never to be full. What
it gives it offers to its own sink at once. A
new kind of layer is a class with `ready` and `take`; `start`, if it can go ahead of its input; `last` and `state`, from
which the search for a period tells whether two moments are the same.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Any, Protocol

import numpy as np

from toolkit.hardware.folded.node import OUTPUT_STAGES, Node
from toolkit.hardware.folded.registers import Inlet, Registers


class Part(Protocol):
    """Something between two streams."""

    def start(self) -> None:
        """Do all that needs no input, from cycle 0 on: nothing in most."""
        return

    @property
    def last(self) -> int:
        """The last cycle that changed anything in it; -1 where none has."""

    def state(self, cycle: int) -> Any:
        """What its registers hold when `cycle` begins: two equal states go on equally."""


class Sink:
    """What takes the network's outputs, `size` a frame, as they come. `ends`: the cycle of each frame's last one."""

    def __init__(self, size: int) -> None:
        self.size, self.came = size, 0
        self.ends: list[int] = []

    def ready(self, cycle: int) -> int:
        return cycle

    def take(self, cycle: int) -> None:
        self.came += 1
        if self.came % self.size == 0:
            self.ends.append(cycle)


class Fork:
    """One stream to several sinks, all of which take an element in the same cycle."""

    def __init__(self, sinks: list[Inlet]) -> None:
        self.sinks = sinks

    def ready(self, cycle: int) -> int:
        while True:
            found = cycle
            for sink in self.sinks:
                found = sink.ready(found)
            if found == cycle:
                return found
            cycle = found

    def take(self, cycle: int) -> None:
        for sink in self.sinks:
            sink.take(cycle)


class Fifo(Part):
    """A FIFO that is never full: elements in memory, and one in a register behind it. `came`, `taken`: the cycles in
    which each element went in and out."""

    def __init__(self) -> None:
        self.came, self.taken = array("q"), array("q")
        self.reader: Join | None = None

    def ready(self, cycle: int) -> int:
        return cycle

    def take(self, cycle: int) -> None:
        self.came.append(cycle)
        assert self.reader is not None
        self.reader.pump()

    @property
    def shown(self) -> int | None:
        """From which cycle on its next element shows; None where none has come."""
        first = len(self.taken)
        if first == len(self.came):
            return None
        moved = self.came[first] + 1
        return (max(moved, self.taken[-1]) if first else moved) + 1

    @property
    def last(self) -> int:
        shown = self.shown
        ends = [one[-1] for one in (self.came, self.taken) if one] + ([] if shown is None else [shown - 1])
        return max(ends, default=-1)

    def state(self, cycle: int) -> Any:
        taken = bisect_left(self.taken, cycle)
        shown = taken < len(self.came) and self.came[taken] + 1 < cycle
        return bisect_left(self.came, cycle) - taken - shown, shown

    def most(self, cycle: int) -> int:
        """The most elements that were in its memory, up to the end of `cycle`."""
        came = np.array(self.came, np.int64)
        came = came[:np.searchsorted(came, cycle, side="right")]
        taken = np.searchsorted(np.array(self.taken, np.int64), came, side="right")
        count = np.arange(len(came))
        return int(np.max(count + 1 - taken - (taken < count), initial=0))


class Pipeline(Part):
    """A `map` or a `pixel`: elements through a few registers."""

    def __init__(self, node: Node, sink: Inlet) -> None:
        self.sink, self.output = sink, Registers(node.datapath.stages if node.datapath else OUTPUT_STAGES)

    def ready(self, cycle: int) -> int:
        return self.output.free(cycle)

    def take(self, cycle: int) -> None:
        self.output.give(cycle, self.sink)

    @property
    def last(self) -> int:
        return self.output.last

    def state(self, cycle: int) -> Any:
        return self.output.state(cycle)


class Join(Part):
    """An `add` or a `concat`: elements out of FIFOs, of all of them at once or of one after the other, through a few
    registers."""

    def __init__(self, node: Node, ports: list[Fifo], sink: Inlet) -> None:
        self.ports, self.sink, self.output = ports, sink, Registers(OUTPUT_STAGES)
        self.order = node.sequence[0].tolist() if node.kind == "concat" else None
        self.from_ = [ports] if self.order is None else [[ports[i]] for i in self.order]
        for port in ports:
            port.reader = self

    def pump(self) -> None:
        """Pass on what can be."""
        given = self.output.entered
        while True:
            ports = self.from_[len(given) % len(self.from_)]
            cycle = given[-1] + 1 if given else 0
            for port in ports:
                shown = port.shown
                if shown is None:
                    return
                cycle = max(cycle, shown)
            cycle = self.output.free(cycle)
            for port in ports:
                port.taken.append(cycle)
            self.output.give(cycle, self.sink)

    @property
    def last(self) -> int:
        return self.output.last

    def state(self, cycle: int) -> Any:
        return bisect_left(self.output.entered, cycle) % len(self.from_), self.output.state(cycle)


class Held(Part):
    """What keeps a word in a register until all that it makes was given, and takes the next one as the last goes.
    `came`, `given`: the cycles in which words went in and out."""

    def __init__(self) -> None:
        self.came, self.given = array("q"), array("q")

    def ready(self, cycle: int) -> int:
        return max(cycle, self.given[-1]) if self.given else cycle

    @property
    def last(self) -> int:
        return max([*self.came[-1:], *self.given[-1:]], default=-1)


class Collector(Held):
    """An `argmax` or a `widen`: it takes so many words, then gives one."""

    def __init__(self, node: Node, sink: Inlet) -> None:
        self.sink, self.size = sink, node.reads[0].count
        ends = np.cumsum(node.sequence[0]) if node.kind == "widen" else np.array([self.size])
        # For each word of a frame, how many have been given once it has come.
        self.done = np.searchsorted(ends, np.arange(1, self.size + 1), side="right").tolist()
        super().__init__()

    def _full(self, came: int) -> int:
        """What has been put together once so many words have come."""
        frames, place = divmod(came, self.size)
        return frames * self.done[-1] + (self.done[place - 1] if place else 0)

    def take(self, cycle: int) -> None:
        self.came.append(cycle)
        if self._full(len(self.came)) > len(self.given):
            self.given.append(self.sink.ready(cycle + 1))
            self.sink.take(self.given[-1])

    def state(self, cycle: int) -> Any:
        came = bisect_left(self.came, cycle)
        return came % self.size, bisect_left(self.given, cycle) < self._full(came)


class Narrow(Held):
    """A `narrow`: it takes a word and gives its parts, one after the other."""

    def __init__(self, node: Node, sink: Inlet) -> None:
        self.sink, self.parts = sink, node.sequence[0].tolist()
        self.before = [0, *np.cumsum(node.sequence[0]).tolist()]
        super().__init__()

    def take(self, cycle: int) -> None:
        parts = self.parts[len(self.came) % len(self.parts)]
        self.came.append(cycle)
        for _ in range(parts):
            cycle = self.sink.ready(cycle + 1)
            self.given.append(cycle)
            self.sink.take(cycle)

    def state(self, cycle: int) -> Any:
        frames, place = divmod(bisect_left(self.came, cycle), len(self.parts))
        return place, frames * self.before[-1] + self.before[place] - bisect_left(self.given, cycle)


class Unrolled(Part):
    """An unrolled layer: it collects a frame, takes it through its stages, and gives one result after the other."""

    def __init__(self, node: Node, sink: Inlet) -> None:
        assert node.datapath is not None
        self.sink, self.size, self.results = sink, node.reads[0].count, node.gives.count
        self.stages = Registers(node.datapath.stages)
        self.came, self.given = array("q"), array("q")

    def ready(self, cycle: int) -> int:
        entered = self.stages.entered
        return max(cycle, entered[-1]) if entered else cycle

    def take(self, cycle: int) -> None:
        self.came.append(cycle)
        if len(self.came) % self.size:
            return
        entered = self.stages.free(cycle + 1)
        shown = self.stages.shows(entered)
        done = max(shown, self.given[-1]) if self.given else shown
        self.stages.add(entered, shown, done)
        for _ in range(self.results):
            done = self.sink.ready(done + 1)
            self.given.append(done)
            self.sink.take(done)

    @property
    def last(self) -> int:
        return max([*self.came[-1:], *self.given[-1:]], default=-1)

    def state(self, cycle: int) -> Any:
        came = bisect_left(self.came, cycle)
        full = bisect_left(self.stages.entered, cycle) < came // self.size
        left = bisect_left(self.stages.left, cycle) * self.results - bisect_left(self.given, cycle)
        return came % self.size, full, self.stages.state(cycle), left
