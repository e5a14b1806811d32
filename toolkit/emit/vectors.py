"""Test vectors of a design: real ones, random ones, and ones driven to the bounds of every layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.design import Design
from toolkit.design.layers import Dense
from toolkit.hardware.workload import work
from toolkit.utils.errors import InputError
from toolkit.utils.progress import bar

MAX_BYTES = 1 << 28
"""Of one set's inputs as int64; a wider network gets fewer vectors, and the manifest says how many."""
TRACE_BYTES = 1 << 26
"""Of all layers' stored outputs together."""
DRIVEN = 2048
"""Layer elements that are driven to both of their bounds."""
ROUNDS = 24
LEAST_ROUNDS, LEAST_TRIED = 4, 64
"""Of the search for bounds, however large the network: rounds, and inputs to begin with."""
SEARCH = 1 << 32
"""Sums' terms in the reference that it may cost, about, if that is more: a quarter of them to begin with."""
USUAL = 100_000
TERMS, CYCLES = 1 << 33, 1 << 24
"""What the vectors of a project may cost: sums' terms in the reference, cycles in the simulation."""


@dataclass(frozen=True, eq=False)
class VectorSet:
    """Named input codes (n, *input.shape) with the reference's output codes."""

    name: str
    inputs: np.ndarray
    expected: np.ndarray


@dataclass(frozen=True, eq=False)
class Vectors:
    """All sets of a project, and what every layer makes of the first `trace_samples` vectors of the first set."""

    sets: tuple[VectorSet, ...]
    traces: dict[str, np.ndarray]
    trace_samples: int


def affordable(design: Design, interval: float) -> int:
    """How many random and boundary vectors a project gets unless it is told: USUAL, or fewer where they would take the
    reference or the simulation (with `interval` cycles a sample) too long."""
    return int(np.clip(min(TERMS / terms(design), CYCLES / interval), 100, USUAL))


def terms(design: Design) -> int:
    """Terms that the reference sums up for one sample."""
    works = (work(layer, design.inputs_of(layer), design.tensors[layer.name]) for layer in design.layers)
    return sum(w.positions * w.groups * w.outputs * w.taps for w in works)


def make(design: Design, test: np.ndarray | None, count: int, seed: int) -> Vectors:
    """Sets `boundary` (a fifth of `count`), `random` (the rest) and, where given, the `test` codes."""
    if count < 10:
        raise InputError(f"{count} random and boundary vectors are too few; ask for 10 at least")
    numbers = counts(design, count)
    rng = np.random.default_rng(seed)
    bounds = boundary(design, numbers["boundary"], rng)
    form, shape = design.input.format, design.input.shape
    drawn = rng.integers(form.min_code, form.max_code, (numbers["random"], *shape), endpoint=True)
    named = [("boundary", bounds), ("random", drawn)]
    if test is not None and len(test):
        named.append(("test", np.asarray(test, np.int64)[:_most(design)]))
    sets = []
    with bar("reference outputs", len(named)) as advance:
        for name, codes in named:
            sets.append(VectorSet(name, codes, design.reference(codes)))
            advance(note=name)
    per_sample = sum(design.tensors[layer.name].size for layer in design.layers)
    traced = int(min(len(bounds), max(TRACE_BYTES // per_sample, 1)))
    traces = design.trace(bounds[:traced])
    return Vectors(tuple(sets), {layer.name: traces[layer.name] for layer in design.layers}, traced)


def counts(design: Design, count: int) -> dict[str, int]:
    """How many vectors the sets `boundary` and `random` get, of `count` that were asked for."""
    most = _most(design)
    return {"boundary": min(max(count // 5, 2), most), "random": min(count - count // 5, most)}


def _most(design: Design) -> int:
    return max(MAX_BYTES // (8 * design.input.size), 10)


def boundary(design: Design, count: int, rng: np.random.Generator) -> np.ndarray:
    """int64 (count, *input.shape): corners of the input, and inputs found by search that bring each element of each
    layer to the least and to the greatest output that was found. A saturation that can happen does happen in them."""
    form = design.input.format
    low, high, size = form.min_code, form.max_code, design.input.size
    quiet = min(max(0, low), high)
    corners = [np.full((1, size), v) for v in (low, high, quiet)]
    for v in (low, high):
        single = np.full((min(size, 256), size), quiet)
        np.fill_diagonal(single, v)
        corners.append(single)
    both = np.where(rng.random((256, size)) < rng.random((256, 1)), low, high)
    pool = np.concatenate([*corners, both, *_matched(design), _near(rng, quiet, low, high, size)])
    tried = SEARCH // 4 // terms(design)
    driven = int(np.clip(3 * tried // (2 * ROUNDS), 16, DRIVEN))
    best = _Best(design, rng, driven)
    rounds = int(np.clip(3 * tried // (2 * driven), LEAST_ROUNDS, ROUNDS))
    with bar("searching for boundary vectors", rounds + 1) as advance:
        best.offer(_some(pool, max(tried, LEAST_TRIED), rng))
        advance()
        for i in range(rounds):
            best.offer(_mutated(best.inputs, rng, low, high, 0.5 ** (i % 6 + 1)))
            advance()
    found = np.unique(np.concatenate([best.inputs, pool]), axis=0)
    rng.shuffle(found)
    ends = best.inputs.reshape(2, -1, size).swapaxes(0, 1).reshape(-1, size)  # each maximum beside its minimum
    keep = np.concatenate([ends, found])[:max(count // 2, 1)]
    more = keep[rng.integers(0, len(keep), max(count - len(keep), 0))]
    calm = _near(rng, quiet, low, high, size, len(more))
    changed = np.where((rng.random(len(more)) < 0.5)[:, None], _mutated(more, rng, low, high, 0.1), calm)
    return np.concatenate([keep, changed])[:count].reshape(-1, *design.input.shape)


def _some(pool: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """All of them, or the three flat ones at the beginning and a random choice of the others."""
    if len(pool) <= most:
        return pool
    return pool[np.concatenate([np.arange(3), 3 + rng.permutation(len(pool) - 3)[:most - 3]])]


def _near(rng: np.random.Generator, quiet: int, low: int, high: int, size: int, count: int = 256) -> np.ndarray:
    """Vectors of every loudness, from silence to the whole range."""
    span = (high - low) * 0.5 ** rng.uniform(0, 8, (count, 1))
    drawn = np.rint(rng.uniform(-1, 1, (count, size)) * span).astype(np.int64)
    return np.clip(np.clip(drawn, low - quiet, high - quiet) + quiet, low, high)


def _matched(design: Design) -> list[np.ndarray]:
    """For each neuron that reads the input itself, the two inputs that take its sum to its exact extremes."""
    form = design.input.format
    found = []
    for layer in design.layers:
        if isinstance(layer, Dense) and layer.inputs == (design.input.name,):
            positive = layer.matrix(design.input)[0][:DRIVEN] > 0
            ends = form.min_code, form.max_code
            found += [np.where(positive, *ends), np.where(positive, *ends[::-1])]
    return found


def _mutated(codes: np.ndarray, rng: np.random.Generator, low: int, high: int, share: float) -> np.ndarray:
    """A copy in which about `share` of the elements are redrawn, mostly from the two ends; of half of them, bits of
    two parents are mixed first."""
    mothers = codes[rng.integers(0, len(codes), len(codes))]
    mixed = np.where((rng.random(codes.shape) < 0.5) & (rng.random((len(codes), 1)) < 0.5), mothers, codes)
    ends = np.where(rng.random(codes.shape) < 0.5, low, high)
    drawn = np.where(rng.random(codes.shape) < 0.75, ends, rng.integers(low, high, codes.shape, endpoint=True))
    return np.where(rng.random(codes.shape) < max(share, 1.0 / codes.shape[1]), drawn, mixed)


class _Best:
    """For each watched element of each layer, the input with the least and the one with the greatest output so far."""

    def __init__(self, design: Design, rng: np.random.Generator, driven: int) -> None:
        self.design = design
        sizes = [design.tensors[layer.name].size for layer in design.layers]
        watched = np.sort(rng.permutation(sum(sizes))[:driven])
        starts = np.cumsum([0, *sizes])
        self.elements = {layer.name: watched[(watched >= a) & (watched < b)] - a
                         for layer, a, b in zip(design.layers, starts, starts[1:], strict=False)}
        self.inputs = np.zeros((2 * len(watched), design.input.size), np.int64)
        self.scores = np.full(2 * len(watched), np.iinfo(np.int64).min)

    def offer(self, codes: np.ndarray) -> None:
        """Keep those of `codes` (n, input size) that beat the best so far."""
        for start in range(0, len(codes), 1024):
            part = codes[start:start + 1024]
            outputs = self.design.watch(part.reshape(-1, *self.design.input.shape), self.elements)
            scores = np.concatenate([outputs, -outputs], 1)
            rows = scores.argmax(axis=0)
            found = scores[rows, np.arange(len(rows))]
            better = found > self.scores
            self.inputs[better], self.scores[better] = part[rows[better]], found[better]
