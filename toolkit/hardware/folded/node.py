"""One layer of folded hardware: what it reads, what it holds, and when it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from toolkit.design.layers import Layer, LayerRange
from toolkit.design.tensors import Tensor
from toolkit.hardware.datapath import Datapath
from toolkit.hardware.folded.accumulators import Accumulators
from toolkit.hardware.folded.line_buffer import LineBuffer

MAC_STAGES, POOL_STAGES, ACCUMULATE_STAGES, OUTPUT_STAGES = 4, 3, 2, 3
"""Registers between a tap and the finished sum; the same in a pool with a line buffer, and in one without; and from a
result to the output stream."""


@dataclass(frozen=True, eq=False)
class Lanes:
    """The constants of a layer of weighted sums. For each of `folds` passes over the taps, `count` lanes make an output
    channel each.

    `codes`: uint64 (groups, folds, taps, lanes), a lane's field of the ROM word: a sign above a shift, all ones of the
    shift for zero (`shifts`), or a two's complement integer. `offsets`: int64 (channels,), bias and rounding, on the
    accumulator's grid less `drop` bits. `moves`: how far left each channel's sum moves to that grid.
    """

    count: int
    folds: int
    taps: int
    bits: int
    shifts: bool
    span: int
    codes: np.ndarray
    sum_bits: int
    offsets: np.ndarray
    moves: np.ndarray
    drop: int
    low: int
    high: int

    @property
    def rom_words(self) -> int:
        return self.codes.shape[0] * self.folds * self.taps

    @property
    def rom_width(self) -> int:
        return self.count * self.bits

    @property
    def rom_bits(self) -> int:
        return self.rom_words * self.rom_width


@dataclass(frozen=True, eq=False)
class Node:
    """A layer as hardware. `line_buffer` is None where it takes its input as it comes; a pool then keeps
    `accumulators`. `sequence`: for each frame in order, how many outputs follow from each finished sum (a `mac` passes
    on a fold's outputs together). An `unrolled` layer's `datapath` takes all of a sample at once. `repeats`: before
    each input that has fewer elements than the output, a `gather` that repeats them, else None; no entries where no
    input has.
    """

    layer: Layer
    kind: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    found: LayerRange
    line_buffer: LineBuffer | None = None
    lanes: Lanes | None = None
    datapath: Datapath | None = None
    accumulators: Accumulators | None = None
    sequence: tuple[np.ndarray, ...] = field(default=())
    repeats: tuple[Node | None, ...] = ()

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def buffer_bits(self) -> int:
        """Bits of the memory that keeps the input, or sums of it, and what is repeated."""
        if self.accumulators:
            return self.accumulators.entries * self.accumulators.bits
        own = self.line_buffer.depth * self.inputs[0].format.width if self.line_buffer else 0
        return own + sum(r.buffer_bits for r in self.repeats if r)

    def repeat(self, port: int) -> Node | None:
        """What repeats the elements of an input."""
        return self.repeats[port] if self.repeats else None
