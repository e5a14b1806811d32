"""Speed and size of the hardware flow beside its peers, on one network in one run."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from benchmarks.networks import mlp, samples
from benchmarks.peers import alkaid_peer, hls4ml_peer
from benchmarks.results import Figure
from toolkit.commands.generate import generate
from toolkit.commands.simulate import simulate
from toolkit.emit.verilog import verilog
from toolkit.estimate import synthesis
from toolkit.hardware import plan
from toolkit.utils.progress import bar

SAMPLES = 200_000
FAMILIES = ("xc7", "ecp5")


def measure(out: Path) -> list[Figure]:
    """All figures of the 16-64-32-32-5 network with log2 weights of 4 bits and 4 levels."""
    with bar("hardware", 6) as advance:
        start = time.perf_counter()
        design = mlp()
        text = verilog(plan(design))
        generate_seconds = time.perf_counter() - start
        advance(note="simulation")
        generated = generate(design, out / "ours", test=samples(design, SAMPLES))
        # Cold: not even Verilator's own runtime is kept from an earlier build.
        cold = simulate(out / "ours", bench="both", rebuild=True, cache=str(out / "cache"))
        speed = [_played(simulate(out / "ours", bench="player").data) for _ in range(3)]
        advance(note="reference")
        reference = _reference(design)
        advance(note="alkaid")
        codes = samples(design, SAMPLES)
        peer = alkaid_peer.measure(design, empty(out / "alkaid"), codes)
        advance(note="hls4ml")
        csim = hls4ml_peer.measure(design, empty(out / "hls4ml"), codes[:20_000])
        advance(note="LUTs")
        found = {}
        for target in FAMILIES:
            rtl = sorted((out / "ours" / "rtl").glob("*.v"))
            ours = synthesis.cells(rtl, text.top, target, empty(out / f"y_{target}"))
            theirs = synthesis.cells(list(peer.verilog), peer.top, target, empty(out / f"ya_{target}"))
            found[target] = ours, theirs
        advance()
    assert cold.build_seconds is not None
    return [
        Figure("design to Verilog", f"{generate_seconds:.1f} s", f"alkaid {peer.generate_seconds:.1f} s",
               "at most 10 s", generate_seconds <= 10),
        Figure("simulation build, cold", f"{cold.build_seconds:.1f} s", f"alkaid {peer.build_seconds:.1f} s, hls4ml "
               f"{csim.build_seconds:.1f} s", "at most 25 s", cold.build_seconds <= 25),
        Figure("simulated samples/s, 2 cores", f"{max(speed):,.0f}", f"alkaid {peer.samples_per_second:,.0f}",
               "at least alkaid's", max(speed) >= peer.samples_per_second),
        Figure("the same against csim", f"{max(speed) / csim.samples_per_second:.1f} times",
               f"hls4ml {csim.samples_per_second:,.0f}", "at least 30 times",
               max(speed) >= 30 * csim.samples_per_second),
        Figure("bit errors", f"{cold.bit_errors} of {cold.bits:,}", f"alkaid {peer.mismatches} words of "
               f"{5 * peer.samples:,}, hls4ml {csim.mismatches} of {5 * csim.samples:,}", "0",
               cold.ok and not peer.mismatches and not csim.mismatches),
        *(Figure(f"LUTs, {synthesis.SYNTHESIS[target].split(' -noiopad')[0]}", str(ours), f"alkaid {theirs}",
                 "at most alkaid's", ours.luts <= theirs.luts) for target, (ours, theirs) in found.items()),
        Figure("latency", f"{generated.entries['verilog']['latency']} cycles", "", "", None),
        Figure("reference samples/s", f"{reference:,.0f}", "", "at least 1,000,000", reference >= 1e6),
    ]


def _played(data: dict) -> float:
    return max(c["rate"] for c in data["checks"])


def _reference(design) -> float:
    codes = samples(design, 500_000)
    design.reference(codes[:1000])
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        design.reference(codes)
        best = min(best, time.perf_counter() - start)
    return len(codes) / best


def empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
