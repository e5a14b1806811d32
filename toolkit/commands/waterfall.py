"""A neural receiver over a grid of Eb/N0: classical receivers, the float network, the compressed one's reference, and
the RTL itself, all on the same noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from toolkit.commands.generate import Generated, generate
from toolkit.commands.simulate import simulate
from toolkit.compress import Compressed
from toolkit.compress.training.loop import evaluate
from toolkit.hardware import Options
from toolkit.radio.curves import Curve, loss
from toolkit.radio.links import Decider, Link
from toolkit.report.simulation import SimulationResult
from toolkit.report.waterfall import Waterfall
from toolkit.utils.errors import CheckFailed
from toolkit.utils.progress import bar

PARTS = 50
"""Equal parts that each point's symbols are counted in."""
PILOT_BITS = 200_000
"""Bits a point that say how many symbols it wants: drawn for that alone, so that no error decides when to stop."""
WIDE_BITS = 200_000
"""Of each point of a receiver that is counted by itself."""
LEAST_ERRORS = 100
"""Bit errors of the compressed network that a point must have."""
MOST_BITS = 1 << 26
FLOAT, REFERENCE, RTL = "float network", "compressed, reference", "compressed, RTL"
TEST, PLANNED = 10, 11
"""Generators of the signals measured on and of the pilots (0, 1 and 2 are those of the data)."""


@dataclass(frozen=True)
class Bench:
    """A link and what is compared on it. `as_input`: what is received, as the network takes it; `classical`: receivers
    by name, of which the first is what losses are told against; `theory`: the name and the closed form of a bound,
    over Eb/N0 in dB; `bits`, `wanted`: decided bits that a point has at least, and bit errors of the compressed network
    that it is planned for; `wide`: receivers that are counted by themselves on a grid of their own."""

    title: str
    link: Link
    as_input: Callable[[np.ndarray], np.ndarray]
    classical: Mapping[str, Decider]
    theory: tuple[str, Callable[[np.ndarray], np.ndarray]]
    grid: tuple[float, ...]
    bits: int
    wanted: int
    wide: Mapping[str, tuple[Decider, tuple[float, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Sent:
    """One point: bits uint8 (blocks, bits), what was received (blocks, values), the network's input codes."""

    ebn0: float
    bits: np.ndarray
    received: np.ndarray
    codes: np.ndarray


def waterfall(bench: Bench, real: nn.Module, compressed: Compressed, out: Path, *, targets: tuple[str, ...],
              options: Options, vectors: int | None, seed: int,
              scale: float = 1.0) -> tuple[Waterfall, Generated, SimulationResult]:
    """Write the project `out` of a compressed network with every point's signals as its test vectors, simulate it, and
    count what each receiver decides; `real` is the float network. `scale`: of the bits and errors that a point wants;
    below 1 for a quick look."""
    assert compressed.design is not None
    points: list[Sent] = []
    counted: dict[str, list[np.ndarray]] = {name: [] for name in (*bench.classical, FLOAT, REFERENCE)}
    expected: list[np.ndarray] = []
    with bar(f"{bench.title}: Eb/N0", len(bench.grid)) as advance:
        for number, ebn0 in enumerate(bench.grid):
            sent, ours = _point(bench, compressed, ebn0, (seed, TEST, number), (seed, PLANNED, number), scale)
            points.append(sent)
            expected.append(ours)
            for name, decide in bench.classical.items():
                counted[name].append(errors(decide(sent.received, ebn0), sent.bits))
            counted[FLOAT].append(errors(evaluate(real, bench.as_input(sent.received)) > 0, sent.bits))
            counted[REFERENCE].append(errors(ours, sent.bits))
            advance(note=f"{ebn0:g} dB")
    generated = generate(compressed.design, out, targets=targets, options=options, vectors=vectors, seed=seed,
                         test=np.concatenate([one.codes for one in points]))
    simulation = simulate(out, keep_outputs=True)
    decided = rtl_bits(out, "test", sum(len(one.bits) for one in points))
    parts = np.split(decided, np.cumsum([len(one.bits) for one in points])[:-1])
    grid, bits = np.array(bench.grid), np.stack([_bits(one.bits) for one in points])
    curves = [Curve(name, grid, np.stack(found), bits) for name, found in counted.items()]
    rtl = Curve(RTL, grid, np.stack([errors(one, sent.bits) for one, sent in zip(parts, points, strict=True)]), bits)
    wide = [_wide(bench, name, decide, own, seed, scale) for name, (decide, own) in bench.wide.items()]
    by_name = {one.name: one for one in (*curves, *wide, rtl)}
    first = next(iter(bench.classical))
    pairs = [(FLOAT, first), (RTL, FLOAT), (RTL, first), *((name, RTL) for name in bench.wide)]
    name, closed = bench.theory
    everywhere = np.linspace(grid.min(), max(one.ebn0.max() for one in by_name.values()), 200)
    played = [c for c in simulation.data["checks"] if c["bench"] == "player" and c["vectors"] == "test"]
    found = Waterfall(bench.title, (name, everywhere, closed(everywhere)), (*curves, *wide), rtl,
                      tuple(loss(by_name[one], by_name[other]) for one, other in pairs),
                      int(sum((a != b).sum() for a, b in zip(parts, expected, strict=True))),
                      len(decided), sum(c["seconds"] for c in played))
    return found, generated, simulation


def errors(decided: np.ndarray, sent: np.ndarray) -> np.ndarray:
    """Bits decided wrong, int64 (PARTS,), of bits (blocks, bits)."""
    return (decided != sent.astype(bool)).reshape(PARTS, -1).sum(axis=1)


def rtl_bits(project: Path, name: str, samples: int) -> np.ndarray:
    """bool (samples, outputs): what the simulated RTL of a project decided for a set of vectors, whose outputs were
    kept."""
    path = project / "build" / "outputs" / f"{name}.npy"
    if not path.is_file():
        raise CheckFailed(f"the simulation left no outputs in '{path}'")
    found = np.load(path, allow_pickle=False)
    if len(found) != samples:
        raise CheckFailed(f"the RTL gave {len(found)} samples of '{name}', {samples} are due")
    return found > 0


def reference_bits(compressed: Compressed, codes: np.ndarray) -> np.ndarray:
    """bool (n, outputs): what the software reference of a compressed network decides for input codes."""
    assert compressed.design is not None
    return compressed.design.reference(codes).reshape(len(codes), -1) > 0


def _point(bench: Bench, compressed: Compressed, ebn0: float, test: tuple[int, ...], pilot: tuple[int, ...],
           scale: float) -> tuple[Sent, np.ndarray]:
    """The signals of a point, and what the reference decides for them."""
    sent = _sent(bench, compressed, ebn0, PILOT_BITS * scale, pilot)
    wrong = int((reference_bits(compressed, sent.codes) != sent.bits).sum()) + 1
    wanted = max(bench.bits * scale, bench.wanted * scale * sent.bits.size / wrong)
    while True:
        sent = _sent(bench, compressed, ebn0, min(wanted, MOST_BITS), test)
        decided = reference_bits(compressed, sent.codes)
        if (decided != sent.bits).sum() >= LEAST_ERRORS * scale or wanted >= MOST_BITS:
            return sent, decided
        wanted *= 2


def _sent(bench: Bench, compressed: Compressed, ebn0: float, wanted: float, seed: tuple[int, ...]) -> Sent:
    """At least so many bits, in PARTS equal parts."""
    width = bench.link(1, ebn0, np.random.default_rng(0))[0].shape[1]
    blocks = PARTS * max(int(np.ceil(wanted / (PARTS * width))), 1)
    bits, received = bench.link(blocks, ebn0, np.random.default_rng(seed))
    return Sent(ebn0, bits, received, compressed.codes(bench.as_input(received)))


def _wide(bench: Bench, name: str, decide: Decider, grid: tuple[float, ...], seed: int, scale: float) -> Curve:
    """A receiver by itself."""
    found, counts = [], []
    for number, ebn0 in enumerate(grid):
        width = bench.link(1, ebn0, np.random.default_rng(0))[0].shape[1]
        blocks = PARTS * int(np.ceil(WIDE_BITS * scale / (PARTS * width)))
        bits, received = bench.link(blocks, ebn0, np.random.default_rng((seed, TEST, 1000 + number)))
        found.append(errors(decide(received, ebn0), bits))
        counts.append(_bits(bits))
    return Curve(name, np.array(grid), np.stack(found), np.stack(counts))


def _bits(sent: np.ndarray) -> np.ndarray:
    return np.full(PARTS, sent.size // PARTS)
