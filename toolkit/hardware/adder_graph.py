"""A constant matrix as a graph of two-operand adders over shifted values, every width exact."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from toolkit.design.formats import FixedPoint
from toolkit.design.tensors import Interval


@dataclass(frozen=True)
class Term:
    """`±(node << shift)`: how an adder or an output reads a node."""

    node: int
    shift: int
    negative: bool

    def moved(self, shift: int, negate: bool = False) -> Term:
        return Term(self.node, self.shift + shift, self.negative != negate)


@dataclass(frozen=True, eq=False)
class AdderGraph:
    """`inputs` input nodes, numbered first, then one node an adder; `outputs` are terms, None for a constant zero.
    Of an adder's two terms only the second may be negative.

    Every node's *value* is an exact integer combination of the inputs. Hardware holds it as an unsigned *word*,
    `value - offset`, never negative: so no adder extends a sign. A word of w bits is taken away as `2**w - word`,
    which an adder's own subtraction gives when the bits above the word are set. The offsets, known constants, all end
    in the bias that is added to an output anyway.
    """

    inputs: Interval
    adders: tuple[tuple[Term, Term], ...]
    outputs: tuple[Term | None, ...]

    @property
    def input_count(self) -> int:
        return len(self.inputs.low)

    @cached_property
    def forms(self) -> np.ndarray:
        """int64 (nodes, inputs): each node's value as a combination of the inputs."""
        count = self.input_count
        forms = np.zeros((count + len(self.adders), count), np.int64)
        forms[:count] = np.eye(count, dtype=np.int64)
        for i, terms in enumerate(self.adders, count):
            for term in terms:
                part = forms[term.node] << term.shift
                forms[i] += -part if term.negative else part
        return forms

    def matrix(self) -> np.ndarray:
        """int64 (outputs, inputs): the matrix that the graph computes, read off the graph itself."""
        rows = np.zeros((len(self.outputs), self.input_count), np.int64)
        for row, term in zip(rows, self.outputs, strict=True):
            if term is not None:
                row += (self.forms[term.node] << term.shift) * (-1 if term.negative else 1)
        return rows

    @cached_property
    def bounds(self) -> Interval:
        """Exact minimum and maximum of each node's value."""
        plus, minus = np.maximum(self.forms, 0), np.minimum(self.forms, 0)
        low, high = self.inputs.low, self.inputs.high
        return Interval(plus @ low + minus @ high, plus @ high + minus @ low)

    @cached_property
    def words(self) -> tuple[np.ndarray, np.ndarray]:
        """(offsets, widths) of the nodes' words, int64 each. The word of a node lies in 0 .. 2**width - 1."""
        count = self.input_count
        offsets = np.zeros(count + len(self.adders), np.int64)
        widths = np.zeros_like(offsets)
        for i, (low, high) in enumerate(zip(self.inputs.low.tolist(), self.inputs.high.tolist(), strict=True)):
            # A signed input becomes a word by inverting its top bit: that is adding half its range.
            widths[i] = FixedPoint.holding(low, high, 0).width
            offsets[i] = -(1 << (int(widths[i]) - 1)) if low < 0 else 0
        for i, pair in enumerate(self.adders, count):
            offsets[i] = sum(self.term_offset(t, offsets, widths) for t in pair)
            widths[i] = max(int(self.bounds.high[i] - offsets[i]).bit_length(), 1)
        return offsets, widths

    @staticmethod
    def term_offset(term: Term, offsets: np.ndarray, widths: np.ndarray) -> int:
        """What a term's value exceeds its part of a sum of words by: `word`, or `2**width - word` where negative."""
        if not term.negative:
            return int(offsets[term.node]) << term.shift
        return -((int(offsets[term.node]) + (1 << int(widths[term.node]))) << term.shift)

    @cached_property
    def depths(self) -> np.ndarray:
        """Adders on the longest way from an input to each node."""
        count = self.input_count
        depths = np.zeros(count + len(self.adders), np.int64)
        for i, (a, b) in enumerate(self.adders, count):
            depths[i] = 1 + max(depths[a.node], depths[b.node])
        return depths

    @cached_property
    def adder_bits(self) -> np.ndarray:
        """Bits that each adder really adds: below the higher of its two shifts, bits only pass through."""
        widths = self.words[1][self.input_count:]
        through = np.array([b.shift if b.shift else a.shift * (not b.negative) for a, b in self.adders],
                           np.int64).reshape(-1)
        return np.maximum(widths - through, 0)
