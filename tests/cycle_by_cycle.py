"""Cycle by cycle, when each layer of a folded network takes and gives: the same rules as the RTL, without its data.

The schedule is worked out from the times of elements (toolkit/hardware/folded/schedule.py); this goes through every
cycle of it, FIFOs of their planned depth included, and must find the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from toolkit.design import Design
from toolkit.hardware.folded.node import OUTPUT_STAGES, Node
from toolkit.hardware.folded.plan import FifoPlan
from toolkit.hardware.folded.schedule import CYCLES, MAX_FRAMES, Schedule

STAGES = {"mac": 4, "pool": 3, "gather": 3, "accumulate": 2, "window": 2}
"""Registers between a tap and the finished sum, and in a `mac` one for each two levels of its adder tree."""


def stages(node: Node) -> int:
    tree, terms = 0, node.lanes.simd if node.lanes else 1
    while terms > 1:
        terms, tree = -(-terms // 4), tree + 1
    return STAGES[node.kind] + tree


class Stream:
    """One element a cycle at the most: `valid` from its source and `ready` from its sink, decided anew each cycle."""

    __slots__ = ("ready", "valid")

    def __init__(self) -> None:
        self.valid = False
        self.ready = False


class Output:
    """The registers behind a result: they all move when the last one is taken or empty."""

    __slots__ = ("stages",)

    def __init__(self, count: int = OUTPUT_STAGES) -> None:
        self.stages = [False] * count

    def moves(self, y: Stream) -> bool:
        return not self.stages[-1] or y.ready

    def move(self, result: bool) -> None:
        self.stages.insert(0, result)
        self.stages.pop()


class Engine:
    """A `mac`, a `pool`, a `gather` or an `accumulate`: it reads taps, sums them up, and passes results on."""

    def __init__(self, node: Node, x: Stream, y: Stream) -> None:
        self.x, self.y = x, y
        self.mac = node.kind == "mac"
        count = stages(node)
        bubbles = node.lanes is not None and node.lanes.simd == 1 and not node.lanes.across
        reads = node.rows or node.line_buffer
        taps = reads.waits if reads else np.arange(node.reads[0].count)
        results = len(node.sequence[0]) if self.mac else node.gives.count
        each = len(taps) // results
        known = node.rows or node.accumulators
        last = known.last if known else np.arange(len(taps)) % each == each - 1
        if bubbles:  # a cycle without a tap ends each sum
            ends = np.flatnonzero(last) + 1
            pauses = np.insert(np.zeros(len(taps), bool), ends, True)
            self.at = np.insert(taps, ends, -1).tolist()
            self.last = np.insert(last, ends, False).tolist()
            self.bubble = pauses.tolist()
            limits = None
            if node.line_buffer:
                following = np.append(node.line_buffer.limits, node.line_buffer.limits[0])
                limits = np.insert(node.line_buffer.limits, ends, following[ends])
        else:
            self.at, self.last, self.bubble = taps.tolist(), last.tolist(), [False] * len(taps)
            limits = reads.limits if reads else None
        self.limit = None if limits is None else limits.tolist()
        self.frame = node.reads[0].count
        self.counts = node.sequence[0].tolist() if self.mac else None
        # After the frame's last tap the frame is done: a bubble that follows belongs to the next.
        self.done = max(i for i, bubble in enumerate(self.bubble) if not bubble)
        self.place = self.had = 0
        self.pipe = deque([0] * (count - 1))
        self.full = False
        self.left = self.fold = 0
        self.output = Output(1 if node.rows else OUTPUT_STAGES)

    def backward(self) -> None:
        """Decide what this cycle does, once the sink's `ready` is known."""
        self.moving = self.output.moves(self.y)
        free = self.moving if not self.mac else self.left == 0 or (self.left == 1 and self.moving)
        self.running = not (self.full and not free)
        if self.limit is None:
            self.x.ready = self.running and not self.bubble[self.place]
        else:
            self.x.ready = self.had < self.limit[self.place]

    def forward(self) -> None:
        """Show what the registers hold."""
        self.y.valid = self.output.stages[-1]

    def clock(self) -> None:
        taken = self.x.valid and self.x.ready
        finished = False
        if self.running:
            finished = self.full
            place = self.place
            bubble = self.bubble[place]
            # `had` is negative while elements come that a frame did not need: padding does not wait for them.
            tap = taken if self.limit is None else not bubble and self.at[place] < max(self.had, 0)
            self.full = self.pipe.pop() == 1
            self.pipe.appendleft(1 if tap and self.last[place] else 0)
            if tap or bubble:
                self.place = place + 1 if place + 1 < len(self.at) else 0
                if tap and place == self.done:
                    self.had -= self.frame
        if taken:
            self.had += 1
        if self.mac:
            given = self.moving and self.left > 0
            if given:
                self.left -= 1
            if finished:
                assert self.counts is not None
                self.left = self.counts[self.fold]
                self.fold = self.fold + 1 if self.fold + 1 < len(self.counts) else 0
        else:
            given = finished
        if self.moving:
            self.output.move(given)

    def state(self) -> Any:
        had = self.had if self.limit is not None else 0
        return (self.place, had, tuple(self.pipe), self.full, self.left, self.fold, tuple(self.output.stages))


class Pipeline:
    """A `map`, an `add` or a `concat`: elements through a few registers."""

    def __init__(self, node: Node, xs: list[Stream], y: Stream) -> None:
        self.xs, self.y = xs, y
        self.order = node.sequence[0].tolist() if node.kind == "concat" else None
        self.place = 0
        self.output = Output(node.datapath.stages if node.datapath else OUTPUT_STAGES)

    def backward(self) -> None:
        self.moving = self.output.moves(self.y)
        if self.order is not None:
            for i, x in enumerate(self.xs):
                x.ready = self.moving and i == self.order[self.place]
        elif len(self.xs) == 1:
            self.xs[0].ready = self.moving
        else:
            both = self.moving and all(x.valid for x in self.xs)
            for x in self.xs:
                x.ready = both

    def forward(self) -> None:
        self.y.valid = self.output.stages[-1]

    def clock(self) -> None:
        if self.moving:
            given = any(x.valid and x.ready for x in self.xs)
            self.output.move(given)
            if given and self.order is not None:
                self.place = self.place + 1 if self.place + 1 < len(self.order) else 0

    def state(self) -> Any:
        return self.place, tuple(self.output.stages)


class Widen:
    """A `widen` or an `argmax`: it takes so many words, of the latter a whole frame, then gives one."""

    def __init__(self, node: Node, x: Stream, y: Stream) -> None:
        self.x, self.y = x, y
        self.parts = node.sequence[0].tolist() if node.kind == "widen" else [node.reads[0].count]
        self.word = self.count = 0
        self.full = False

    def backward(self) -> None:
        self.x.ready = not self.full or self.y.ready

    def forward(self) -> None:
        self.y.valid = self.full

    def clock(self) -> None:
        if self.full and self.y.ready:
            self.full = False
        if self.x.valid and self.x.ready:
            self.count += 1
            if self.count == self.parts[self.word]:
                self.count, self.full = 0, True
                self.word = (self.word + 1) % len(self.parts)

    def state(self) -> Any:
        return self.word, self.count, self.full


class Narrow:
    """A `narrow`: it takes a word, then gives its parts."""

    def __init__(self, node: Node, x: Stream, y: Stream) -> None:
        self.x, self.y = x, y
        self.parts = node.sequence[0].tolist()
        self.word = self.left = 0

    def backward(self) -> None:
        self.x.ready = self.left == 0 or (self.left == 1 and self.y.ready)

    def forward(self) -> None:
        self.y.valid = self.left > 0

    def clock(self) -> None:
        if self.left and self.y.ready:
            self.left -= 1
        if self.x.valid and self.x.ready:
            self.left = self.parts[self.word]
            self.word = (self.word + 1) % len(self.parts)

    def state(self) -> Any:
        return self.word, self.left


class Unrolled:
    """An unrolled layer: it collects a frame, takes it through its stages, and gives one result after the other."""

    def __init__(self, node: Node, x: Stream, y: Stream) -> None:
        assert node.datapath is not None
        self.x, self.y = x, y
        self.size, self.results = node.reads[0].count, node.gives.count
        self.count, self.full = 0, False
        self.stages = [False] * node.datapath.stages
        self.left = 0

    def backward(self) -> None:
        free = self.left == 0 or (self.left == 1 and self.y.ready)
        self.moving = not self.stages[-1] or free
        self.x.ready = not self.full or self.moving

    def forward(self) -> None:
        self.y.valid = self.left > 0

    def clock(self) -> None:
        if self.left and self.y.ready:
            self.left -= 1
        if self.moving:
            if self.stages[-1]:
                self.left = self.results
            self.stages.insert(0, self.full)
            self.stages.pop()
            self.full = False
        if self.x.valid and self.x.ready:
            self.count += 1
            if self.count == self.size:
                self.count, self.full = 0, True

    def state(self) -> Any:
        return self.count, self.full, tuple(self.stages), self.left


class Fifo:
    """A FIFO of `depth` elements in memory and one in a register behind it."""

    def __init__(self, depth: int, x: Stream, y: Stream) -> None:
        self.depth, self.x, self.y = depth, x, y
        self.held, self.shown, self.most = 0, False, 0

    def backward(self) -> None:
        self.x.ready = self.held < self.depth

    def forward(self) -> None:
        self.y.valid = self.shown

    def clock(self) -> None:
        moved = self.held > 0 and (not self.shown or self.y.ready)
        if self.shown and self.y.ready:
            self.shown = False
        if moved:
            self.held, self.shown = self.held - 1, True
        if self.x.valid and self.x.ready:
            self.held += 1
        if self.held > self.most:
            self.most = self.held

    def state(self) -> Any:
        return self.held, self.shown


class Fork:
    """One stream to several sinks, all of which take an element in the same cycle."""

    def __init__(self, x: Stream, ys: list[Stream]) -> None:
        self.x, self.ys = x, ys

    def backward(self) -> None:
        self.x.ready = all(y.ready for y in self.ys)
        for y in self.ys:
            y.valid = self.x.valid and self.x.ready

    def forward(self) -> None:
        for y in self.ys:
            y.valid = self.x.valid

    def clock(self) -> None:
        pass

    def state(self) -> Any:
        return None


Part = Engine | Pipeline | Widen | Narrow | Unrolled | Fifo | Fork


def run(parts: Sequence[Part], source: Stream, sink: Stream, inputs: int, outputs: int) -> Schedule:
    """`parts` in the order of the data; frames of `inputs` elements enter at `source` whenever they can and leave at
    `sink` as frames of `outputs` elements."""
    backward = [p.backward for p in reversed(parts)]
    forward = [p.forward for p in parts]
    steps = [p.clock for p in parts]
    sink.ready = True
    warm_up = _warm_up(parts)
    source.valid = True
    cycle = entered = given = 0
    began: int | None = None
    ends: list[int] = []
    seen: dict[Any, int] = {}
    while len(ends) < MAX_FRAMES:
        for one in forward:
            one()
        for one in backward:
            one()
        if source.ready:
            began = cycle if began is None else began
            entered += 1
        taken = sink.valid
        for one in steps:
            one()
        if taken:
            given += 1
            if given % outputs == 0:
                assert began is not None
                ends.append(cycle - began)
                state = (entered - len(ends) * inputs, tuple(p.state() for p in parts))
                if state in seen:
                    period = len(ends) - 1 - seen[state]
                    return Schedule(tuple(ends), period, ends[-1] - ends[-1 - period], True, _held(parts), warm_up)
                seen[state] = len(ends) - 1
                if cycle > CYCLES and len(ends) > 2:
                    break
        cycle += 1
    return Schedule(tuple(ends), 1, ends[-1] - ends[-2], False, _held(parts), warm_up)


def _held(parts: Sequence[Part]) -> tuple[int, ...]:
    return tuple(p.most for p in parts if isinstance(p, Fifo))


def _warm_up(parts: Sequence[Part]) -> int:
    """Without input, until nothing moves any more: what reads padding first has gone as far as it can. The cycles that
    it took."""
    before: Any = None
    cycles = -1
    while (state := tuple(p.state() for p in parts)) != before:
        before = state
        for part in parts:
            part.forward()
        for part in reversed(parts):
            part.backward()
        for part in parts:
            part.clock()
        cycles += 1
    return cycles


def schedule(design: Design, nodes: list[Node], fifos: list[FifoPlan]) -> Schedule:
    """The schedule of the nodes with these FIFOs between them."""
    count = {design.input.name: 0} | {n.name: 0 for n in nodes}
    for n in nodes:
        for name in n.layer.inputs:
            count[name] += 1
    parts: list[Part] = []
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
            for one in n.chain(port):
                inner = Stream()
                parts.append(PARTS[one.kind](one, [xs[port]], inner))
                xs[port] = inner
            if (n.name, port) in depth:
                inner = Stream()
                parts.append(Fifo(depth[n.name, port], xs[port], inner))
                xs[port] = inner
        y = xs[0] if n.kind == "wires" else Stream()
        if n.kind != "wires":
            parts.append(PARTS[n.kind](n, xs, y))
        publish(n.name, y)
    return run(parts, source, outlets[nodes[-1].name][0], design.input.size, design.output.size)


PARTS: dict[str, Callable[[Node, list[Stream], Stream], Part]] = {
    "mac": lambda n, xs, y: Engine(n, xs[0], y), "pool": lambda n, xs, y: Engine(n, xs[0], y),
    "gather": lambda n, xs, y: Engine(n, xs[0], y), "accumulate": lambda n, xs, y: Engine(n, xs[0], y),
    "map": Pipeline, "add": Pipeline, "multiply": Pipeline, "concat": Pipeline,
    "argmax": lambda n, xs, y: Widen(n, xs[0], y),
    "window": lambda n, xs, y: Engine(n, xs[0], y), "pixel": Pipeline,
    "widen": lambda n, xs, y: Widen(n, xs[0], y), "narrow": lambda n, xs, y: Narrow(n, xs[0], y),
    "unrolled": lambda n, xs, y: Unrolled(n, xs[0], y),
}
