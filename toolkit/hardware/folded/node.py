"""One layer of folded hardware: what it reads, what it holds, and when it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from toolkit.design.layers import Layer, LayerRange
from toolkit.design.tensors import Tensor
from toolkit.hardware.datapath import Datapath
from toolkit.hardware.folded.accumulators import Accumulators
from toolkit.hardware.folded.line_buffer import LineBuffer
from toolkit.hardware.rows import Rows
from toolkit.hardware.words import Words

STAGES = {"mac": 4, "pool": 3, "gather": 3, "accumulate": 2, "window": 2}
"""Registers between a tap and the finished sum."""
OUTPUT_STAGES = 3
"""Registers from a result to the output stream; behind a window there is one."""
TREE_LEVELS = 2
"""Levels of a lane's adder tree between two registers."""


@dataclass(frozen=True, eq=False)
class Lanes:
    """The constants of a layer of weighted sums. For each of `folds` passes over the taps, `count` lanes make an output
    channel each; in a cycle each takes `simd` taps of the word that is read. In a depthwise layer the lanes stand side
    by side over `across` channels of a word, and each takes its own (0: all lanes read the same).

    `codes`: uint64 (groups, folds, words, lanes, simd), a tap's field of the ROM word: a sign above a shift, all ones
    of the shift for zero (`shifts`), or a two's complement integer. `offsets`: int64 (channels,), bias and rounding, on
    the accumulator's grid less `drop` bits. `moves`: how far left each channel's sum moves to that grid. `x_bits`: of
    an input in two's complement.
    """

    count: int
    folds: int
    taps: int
    simd: int
    across: int
    x_bits: int
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
    def tree(self) -> bool:
        """Terms are summed up before they reach the accumulator, which takes the first of a sum as it is; else each sum
        is followed by a cycle without a tap, in which it is handed on."""
        return self.simd > 1 or self.across > 0

    @property
    def tree_stages(self) -> int:
        """Registers behind a lane's terms, in its adder tree."""
        return -(-(self.simd - 1).bit_length() // TREE_LEVELS)

    @property
    def adder_bits(self) -> int:
        """Bits that all adders of the lanes add: their trees and their accumulators."""
        width = self.x_bits + ((1 << self.span.bit_length()) - 1 if self.shifts else self.bits)
        bits, terms, level = self.sum_bits, self.simd, 1
        while terms > 1:
            bits += terms // 2 * min(width + level, self.sum_bits)
            terms, level = -(-terms // 2), level + 1
        return self.count * bits

    @property
    def rom_words(self) -> int:
        return self.codes.shape[0] * self.folds * self.taps

    @property
    def rom_width(self) -> int:
        return self.count * self.simd * self.bits

    @property
    def rom_bits(self) -> int:
        return self.rom_words * self.rom_width


@dataclass(frozen=True, eq=False)
class Node:
    """A layer as hardware. `line_buffer` is None where it takes its input as it comes; a pool then keeps
    `accumulators`. `reads` and `gives`: the words in which its inputs come and its output goes. `sequence`: for each
    frame in order, how many words follow from each finished sum (a `mac` passes on a fold's outputs together), or from
    each word of a `narrow`; how many words a `widen` puts together; the input that each word of a `concat` is of. An
    `unrolled` layer's `datapath` takes all of a sample at once, that of a `pixel` a word. `before`: what stands before
    each input, in order: `narrow` and `widen` where it comes in other words, a `gather` where it has fewer elements
    than the output, a `window` (which `rows` describe) where a convolution takes its windows as words.
    """

    layer: Layer
    kind: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    found: LayerRange
    reads: tuple[Words, ...]
    gives: Words
    line_buffer: LineBuffer | None = None
    lanes: Lanes | None = None
    datapath: Datapath | None = None
    accumulators: Accumulators | None = None
    rows: Rows | None = None
    sequence: tuple[np.ndarray, ...] = field(default=())
    before: tuple[tuple[Node, ...], ...] = ()

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def bubbles(self) -> bool:
        """A cycle without a tap follows each sum."""
        return self.lanes is not None and not self.lanes.tree

    @property
    def stages(self) -> int:
        """Registers between a tap and the finished sum."""
        return STAGES[self.kind] + (self.lanes.tree_stages if self.lanes else 0)

    @property
    def output_stages(self) -> int:
        return 1 if self.kind == "window" else OUTPUT_STAGES

    @property
    def buffer_bits(self) -> int:
        """Bits of the memory that keeps the input, or sums of it, and of what stands before it."""
        if self.rows:
            own = self.rows.banks * self.rows.x.size * self.word_bits(0)
        elif self.accumulators:
            own = self.accumulators.entries * self.accumulators.bits * self.gives.elements
        else:
            own = self.line_buffer.depth * self.word_bits(0) if self.line_buffer else 0
        return own + sum(one.buffer_bits for chain in self.before for one in chain)

    def word_bits(self, port: int) -> int:
        """Bits of a word of an input."""
        return self.reads[port].elements * self.inputs[port].format.width

    def chain(self, port: int) -> tuple[Node, ...]:
        """What stands before an input."""
        return self.before[port] if self.before else ()
