"""Runs the schedule of a whole folded network until it repeats itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolkit.hardware.folded.schedule import ArgMaxUnit, Engine, Fifo, Fork, Pipeline, Schedule, Stream, Unrolled
from toolkit.utils.errors import InputError

MAX_FRAMES = 4096
CYCLES = 1 << 17
"""After so many the search for a period ends; what is known by then is kept."""
MAX_CYCLES = 1 << 26
"""Of one frame."""

Part = Engine | Pipeline | ArgMaxUnit | Unrolled | Fifo | Fork


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
        if cycle - (ends[-1] + (began or 0) if ends else 0) > MAX_CYCLES:
            raise InputError(f"the schedule needs more than {MAX_CYCLES:,} cycles for a sample; give it more lanes")
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
