"""Shared subexpressions: a constant integer matrix becomes an adder graph. The solver is alkaid's, the proof ours."""

from __future__ import annotations

import numpy as np
from alkaid.cmvm import cmvm_solve

from toolkit.design.tensors import Interval
from toolkit.hardware.adder_graph import AdderGraph, Term
from toolkit.hardware.csd import csd_terms

METHODS = ("wmc", "mc")
"""The solver's greedy rules: which common pair to share next, by count weighted with overlap, or by count alone."""
FLOAT_EXACT = 1 << 24
"""The solver holds weights as float32."""


def share(matrix: np.ndarray, inputs: Interval, tries: int = 8, seed: int = 0) -> AdderGraph:
    """An adder graph that computes `matrix @ x`: matrix int64 (outputs, inputs), with x inside `inputs`.

    The greedy solver depends on the order of rows and columns: `tries` orders are solved by every method and the
    graph with the fewest adder bits wins. Raises AssertionError if the solver's graph is not the matrix exactly.
    """
    # A power of two that all weights share is a shift of the outputs, and no business of the solver.
    common = np.full(len(matrix), _trailing_zeros(int(np.bitwise_or.reduce(matrix, axis=None))))
    whole, matrix = matrix, matrix >> common[:, None]
    if np.abs(matrix).max(initial=0) >= FLOAT_EXACT:
        # Each output by its own power of two.
        common = np.array([_trailing_zeros(int(row)) for row in np.bitwise_or.reduce(whole, axis=1)])
        matrix = whole >> common[:, None]
    if np.abs(matrix).max(initial=0) >= FLOAT_EXACT:
        return _unshared(whole, inputs)
    rng = np.random.default_rng(seed)
    best: AdderGraph | None = None
    for attempt in range(max(tries, 1)):
        rows, columns = np.arange(matrix.shape[0]), np.arange(matrix.shape[1])
        if attempt:
            rows, columns = rng.permutation(rows), rng.permutation(columns)
        for method in METHODS:
            found = _solve(matrix, inputs, rows, columns, method)
            if best is None or found.adder_bits.sum() < best.adder_bits.sum():
                best = found
    assert best is not None
    best = AdderGraph(best.inputs, best.adders, tuple(
        t and t.moved(int(n)) for t, n in zip(best.outputs, common, strict=True)))
    matrix = whole
    if not np.array_equal(best.matrix(), matrix):
        raise AssertionError("the shared graph is not the weight matrix")
    return best


def _unshared(matrix: np.ndarray, inputs: Interval) -> AdderGraph:
    """Each output by itself: its weights' signed digits, added in a balanced tree."""
    builder = _Builder(inputs)
    outputs: list[Term | None] = []
    for row in matrix.tolist():
        terms: list[Term | None] = [Term(i, shift, sign < 0) for i, weight in enumerate(row)
                                    for shift, sign in csd_terms(weight)]
        while len(terms) > 1:
            terms = [*terms[2:], builder._add(terms[0], terms[1])]
        outputs.append(terms[0] if terms else None)
    return builder.finish(outputs)


def _trailing_zeros(value: int) -> int:
    return (value & -value).bit_length() - 1 if value else 0


def _solve(matrix: np.ndarray, inputs: Interval, rows: np.ndarray, columns: np.ndarray, method: str) -> AdderGraph:
    """One run of the solver on the matrix with its rows and columns in the given order."""
    kernel = np.ascontiguousarray(matrix[np.ix_(rows, columns)].T, np.float64)
    intervals = [(float(lo), float(hi), 1.0)
                 for lo, hi in zip(inputs.low[columns].tolist(), inputs.high[columns].tolist(), strict=True)]
    stages = cmvm_solve(kernel.astype(np.float32, order="C"), method0=method, qintervals=intervals)
    builder = _Builder(inputs)
    terms: list[Term | None] = [Term(int(c), 0, False) for c in columns]
    for stage in stages:
        terms = builder.append(stage, terms)
    outputs: list[Term | None] = [None] * len(rows)
    for row, term in zip(rows, terms, strict=True):
        outputs[row] = term
    return builder.finish(outputs)


class _Builder:
    """Collects adders from the solver's stages, each node scaled so that it is odd-shifted nowhere."""

    def __init__(self, inputs: Interval) -> None:
        self.inputs = inputs
        self.adders: list[tuple[Term, Term]] = []

    def append(self, stage, inputs: list[Term | None]) -> list[Term | None]:
        """One CombLogic of the solver over terms of this graph; returns its outputs as terms."""
        buffers: list[Term | None] = []
        for op in stage.ops:
            if op.opcode == -1:
                term = inputs[op.data[0]]
                buffers.append(term and term.moved(int(stage.inp_shifts[op.data[0]])))
            elif op.opcode in (0, 1):
                first, second = buffers[op.addr[0]], buffers[op.addr[1]]
                buffers.append(self._add(first, second and second.moved(int(op.data[0]), negate=op.opcode == 1)))
            elif op.opcode == -2:
                term = buffers[op.addr[0]]
                buffers.append(term and term.moved(0, negate=True))
            else:
                raise AssertionError(f"the solver used operation {op.opcode}, which is not an adder")
        outputs: list[Term | None] = []
        for index, shift, negative in zip(stage.out_idxs, stage.out_shifts, stage.out_negs, strict=True):
            term = buffers[index] if index >= 0 else None
            outputs.append(term and term.moved(int(shift), negate=bool(negative)))
        return outputs

    def _add(self, a: Term | None, b: Term | None) -> Term | None:
        if a is None or b is None:
            return a or b
        common, negate = min(a.shift, b.shift), a.negative and b.negative
        first, second = (b, a) if a.negative and not b.negative else (a, b)
        self.adders.append((first.moved(-common, negate), second.moved(-common, negate)))
        return Term(len(self.inputs.low) + len(self.adders) - 1, common, negate)

    def finish(self, outputs: list[Term | None]) -> AdderGraph:
        """The graph without the nodes that no output needs."""
        count = len(self.inputs.low)
        needed = {t.node for t in outputs if t is not None}
        for i in range(len(self.adders) - 1, -1, -1):
            if count + i in needed:
                needed.update(t.node for t in self.adders[i])
        place: dict[int, int] = {i: i for i in range(count)}
        kept: list[tuple[Term, Term]] = []
        for i, (a, b) in enumerate(self.adders):
            if count + i in needed:
                place[count + i] = count + len(kept)
                kept.append((Term(place[a.node], a.shift, a.negative), Term(place[b.node], b.shift, b.negative)))
        return AdderGraph(self.inputs, tuple(kept),
                          tuple(t and Term(place[t.node], t.shift, t.negative) for t in outputs))
