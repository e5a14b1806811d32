"""When the samples of a folded network end, how many elements its FIFOs hold, and after how many it repeats itself."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from toolkit.hardware.folded.parts import Fifo, Part, Sink
from toolkit.hardware.folded.registers import Inlet
from toolkit.utils.errors import InputError

MAX_FRAMES = 4096
CYCLES = 1 << 17
"""After so many the search for a period ends; what is known by then is kept."""
MAX_CYCLES = 1 << 26
"""Of one frame."""
CALLS = 8
"""Python calls within each other, at the most, in which a part hands an element on."""


@dataclass(frozen=True)
class Schedule:
    """`ends`: for each of the first frames, cycles from the acceptance of the first element of all to the transfer of
    its last output; from then on the last `period` frames repeat, `span` cycles later each time. That is `proved` where
    the state of every register was found to repeat; else it holds for the frames of `ends` (buffers may still be
    filling up, slowly). `held`: the most elements that each FIFO held. All of it counts on `warm_up_cycles` cycles
    after reset, in which what begins with padding goes ahead."""

    ends: tuple[int, ...]
    period: int
    span: int
    proved: bool
    held: tuple[int, ...]
    warm_up_cycles: int

    @property
    def latency(self) -> int:
        return self.ends[0]

    @property
    def initiation_interval(self) -> float:
        """Clocks between two frames, when frames follow each other without a pause."""
        return self.span / self.period


def run(parts: Sequence[Part], source: Inlet, sink: Sink, inputs: int) -> Schedule:
    """Frames of `inputs` elements enter at `source` whenever they can, and leave at `sink`. `parts`: all between them,
    those nearest to the sink first."""
    with _deep(CALLS * len(parts)):
        return _run(parts, source, sink, inputs)


def _run(parts: Sequence[Part], source: Inlet, sink: Sink, inputs: int) -> Schedule:
    for part in parts:
        part.start()
    warm_up = 1 + max((part.last for part in parts), default=-1)
    came = array("q")
    ends: list[int] = []
    seen: dict[Any, int] = {}
    cycle = before = warm_up
    while True:
        cycle = source.ready(cycle)
        came.append(cycle)
        source.take(cycle)
        # All is known of what happens before the element that came last.
        while len(ends) < len(sink.ends) and sink.ends[len(ends)] < cycle:
            end = sink.ends[len(ends)]
            _check(end - before)
            before = end
            ends.append(end)
            state = bisect_left(came, end + 1) - len(ends) * inputs, tuple(part.state(end + 1) for part in parts)
            if state in seen:
                return _found(parts, ends, came[0], len(ends) - 1 - seen[state], True, warm_up)
            seen[state] = len(ends) - 1
            if (end - warm_up > CYCLES and len(ends) > 2) or len(ends) == MAX_FRAMES:
                return _found(parts, ends, came[0], 1, False, warm_up)
        _check(cycle - before)
        cycle += 1


def _found(parts: Sequence[Part], ends: list[int], began: int, period: int, proved: bool, warm_up: int) -> Schedule:
    held = tuple(part.most(ends[-1]) for part in reversed(parts) if isinstance(part, Fifo))
    return Schedule(tuple(end - began for end in ends), period, ends[-1] - ends[-1 - period], proved, held, warm_up)


def _check(cycles: int) -> None:
    if cycles > MAX_CYCLES:
        raise InputError(f"the schedule needs more than {MAX_CYCLES:,} cycles for a sample; give it more lanes")


@contextmanager
def _deep(calls: int) -> Iterator[None]:
    """Let functions call each other so deep; functions of Python's own take no room on the machine's stack."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + calls)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
