"""C simulation of our HLS C++ beside hls4ml's of the same network, with the same headers and compiler."""

from __future__ import annotations

from pathlib import Path

from benchmarks.hardware import empty
from benchmarks.networks import mlp, samples
from benchmarks.peers import hls4ml_peer
from benchmarks.results import Figure
from toolkit.commands.generate import generate
from toolkit.commands.simulate import simulate
from toolkit.hardware import Options
from toolkit.report.simulation import SimulationResult
from toolkit.utils.progress import bar

SAMPLES = 400_000
PEER_SAMPLES = 40_000
TIMES = 20
"""What csim must be faster than the peer's."""


def measure(out: Path) -> list[Figure]:
    """Figures of the 16-64-32-32-5 network with log2 weights of 4 bits and 4 levels, unrolled and folded."""
    design = mlp()
    codes = samples(design, SAMPLES)
    with bar("HLS C++", 3) as advance:
        found = {}
        for arch in ("unrolled", "folded"):
            advance(note=arch)
            folder = empty(out / f"hls_{arch}") / "project"
            generate(design, folder, targets=("hls",), options=Options(arch=arch), test=codes)
            found[arch] = [simulate(folder, rebuild=True), *(simulate(folder) for _ in range(2))]
        advance(note="hls4ml")
        peer = hls4ml_peer.measure(design, empty(out / "hls_hls4ml"), codes[:PEER_SAMPLES])
        advance()
    rates = {arch: max(map(_rate, runs)) for arch, runs in found.items()}
    first = {arch: runs[0] for arch, runs in found.items()}
    built = [f"{first[arch].build_seconds:.1f} s" for arch in ("unrolled", "folded")]
    wrong, bits = (sum(getattr(r, key) for r in first.values()) for key in ("bit_errors", "bits"))
    return [
        Figure("HLS csim samples/s, unrolled", f"{rates['unrolled']:,.0f}", f"hls4ml {peer.samples_per_second:,.0f}",
               f"at least {TIMES} times", rates["unrolled"] >= TIMES * peer.samples_per_second),
        Figure("the same, folded", f"{rates['folded']:,.0f}", "", "", None),
        Figure("HLS csim build", f"{built[0]}, folded {built[1]}", f"hls4ml {peer.build_seconds:.1f} s", "", None),
        Figure("HLS csim bit errors", f"{wrong} of {bits:,}", f"hls4ml {peer.mismatches} words of "
               f"{design.output.size * peer.samples:,}", "0", not wrong and not peer.mismatches),
    ]


def _rate(result: SimulationResult) -> float:
    """Of the largest set, the program's start included."""
    return max(result.data["checks"], key=lambda c: c["samples"])["rate"]
