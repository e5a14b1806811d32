"""Weights of a folded layer as packed codes: for each lane a sign and an index (a shift), or an integer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.design.layers import Layer
from toolkit.hardware.csd import csd_terms

MOST_TERMS = 2
"""Signed powers of two a weight up to which it is stored as shifts; beyond, as an integer."""


@dataclass(frozen=True, eq=False)
class Coding:
    """Integer weights (out, taps) as codes of `bits` bits, and a `base` for each output.

    As shifts (`terms` 1 or 2): a code holds so many pairs of a sign above an index of `index_bits`; index 0 is zero, k
    is a shift by base - k. As integers (`terms` 0): two's complement, to be shifted by base.
    """

    terms: int
    bits: int
    index_bits: int
    codes: np.ndarray
    base: np.ndarray

    @property
    def reach(self) -> int:
        """Bits by which a term, and every step to it, can exceed its input."""
        return int(self.base.max()) + (self.terms - 2 if self.terms else self.bits - 1)


def code(weights: np.ndarray) -> Coding:
    """The coding of integer weights (out, taps): shifts where two powers of two at most make up each."""
    rows = [[csd_terms(int(v))[::-1] for v in row] for row in weights]
    terms = max(max((len(d) for row in rows for d in row), default=1), 1)
    if terms > MOST_TERMS:
        return _integers(weights)
    base = np.array([1 + max((shift for d in row for shift, _ in d), default=0) for row in rows], np.int64)
    deepest = max((int(b) - shift for row, b in zip(rows, base, strict=True) for d in row for shift, _ in d), default=1)
    index_bits = deepest.bit_length()
    codes = np.zeros(weights.shape, np.int64)
    for o, row in enumerate(rows):
        for i, found in enumerate(row):
            for place, (shift, sign) in enumerate(found):
                one = (int(base[o]) - shift) | (sign < 0) << index_bits
                codes[o, i] |= one << place * (index_bits + 1)
    return Coding(terms, terms * (index_bits + 1), index_bits, codes, base)


def _integers(weights: np.ndarray) -> Coding:
    lowest = np.bitwise_or.reduce(weights, axis=1)
    base = np.array([(int(v) & -int(v)).bit_length() - 1 if v else 0 for v in lowest], np.int64)
    small = weights >> base[:, None]
    bits = 1 + max(int(small.max()).bit_length(), int(~small.min()).bit_length())
    return Coding(0, bits, 0, small & ((1 << bits) - 1), base)


@dataclass(frozen=True, eq=False)
class Rom:
    """Codes as the memory holds them: `rows` (depth, words) of unsigned words of `word_bits`, `per_word` codes in a
    word, lane 0 lowest; row (group * folds + fold) * taps + tap serves output fold * lanes + lane of the group."""

    lanes: int
    folds: int
    per_word: int
    word_bits: int
    rows: np.ndarray

    @property
    def words(self) -> int:
        return self.rows.shape[1]

    @property
    def bits(self) -> int:
        """Of the whole memory, as declared."""
        return int(self.rows.size) * self.word_bits


def pack(coding: Coding, lanes: int, groups: int, layer: Layer) -> Rom:
    """The memory of a coding for `lanes` lanes that serve the outputs of each of `groups` in folds."""
    if coding.bits > 31:
        raise layer.fail(f"its weights would need codes of {coding.bits} bits in a folded HLS layer; 31 is the most "
                         "supported, so unroll it (--lanes NAME=0) or quantise its weights to fewer bits")
    filled = by_fold(coding.codes.T, groups, lanes).swapaxes(1, 2)
    depth, taps = filled.shape[:2]
    per_word = min(lanes, 64 // coding.bits)
    word_bits = next(b for b in (8, 16, 32, 64) if b >= per_word * coding.bits)
    words = -(-lanes // per_word)
    padded = np.zeros((depth * taps, words * per_word), np.uint64)
    padded[:, :lanes] = filled.reshape(-1, lanes).astype(np.uint64)
    places = np.arange(per_word, dtype=np.uint64) * np.uint64(coding.bits)
    rows = np.bitwise_or.reduce(padded.reshape(-1, words, per_word) << places, axis=2)
    return Rom(lanes, depth // groups, per_word, word_bits, rows)


def by_fold(values: np.ndarray, groups: int, lanes: int) -> np.ndarray:
    """Values (..., out) to (groups * folds, lanes, ...): the outputs of each fold, zeros where lanes have no work."""
    last = np.moveaxis(values, -1, 0)
    outputs = len(last) // groups
    folds = -(-outputs // lanes)
    filled = np.zeros((groups, folds * lanes, *last.shape[1:]), np.int64)
    filled[:, :outputs] = last.reshape(groups, outputs, *last.shape[1:])
    return filled.reshape(groups * folds, lanes, *last.shape[1:])
