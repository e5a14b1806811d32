"""The tail of what the player plays: samples that come once more, under every kind of stall and after resets."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benches.rtl import Rtl

CYCLES = 4000
"""That each of its first parts takes at the most, were there no stalls and one sample not longer."""
MOST = 64
"""Samples of a part."""
MARGIN = 64
"""Clocks that an output waits at the least while the network fills up."""
RESETS = 3
FILLING = 1 << 14
"""Samples that fill a network up, at the most."""


@dataclass(frozen=True)
class Handshake:
    """`quarter` samples each for three kinds of stalls, the rest of `samples` to fill the network and drain it; `full`:
    cycles after which nothing can move in it any more."""

    samples: int
    quarter: int
    full: int

    @property
    def args(self) -> list[str]:
        return [f"+tail={self.samples}", f"+quarter={self.quarter}", f"+full={self.full}", f"+resets={RESETS}"]


def handshake_of(rtl: Rtl) -> Handshake:
    """As long as the network's size wants, and as its speed allows."""
    pace = max(rtl.initiation_interval, rtl.input.beats, rtl.output.beats)
    quarter = max(min(MOST, int(CYCLES / pace)), 1)
    full = rtl.latency + MARGIN
    filling = min(math.ceil(full / pace), FILLING)
    return Handshake(4 * quarter + filling, quarter, full)
