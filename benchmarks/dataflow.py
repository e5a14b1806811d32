"""How fast networks of MLPerf Tiny's shapes are in folded hardware: cycles a sample, simulated, and LUTs by yosys."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from benchmarks.imported import IMAGE, resnet8
from benchmarks.networks.mlperf_tiny import DIGIT, KEYWORDS, WINDOW, autoencoder, dscnn, lenet
from benchmarks.results import Figure
from toolkit.commands.generate import generate
from toolkit.commands.simulate import simulate
from toolkit.compress import Data, Settings, compress
from toolkit.design import Design
from toolkit.estimate.synthesis import cells
from toolkit.hardware import Options
from toolkit.hardware.boards import device
from toolkit.utils.progress import bar

SCHEME = "log2:4"
VECTORS = 12
DEVICE = "ecp5-85f"


@dataclass(frozen=True)
class Case:
    """A network, the interval that is asked for, and the goal; `before`: its cycles with one element a cycle and lanes
    of one tap."""

    name: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    cycles: int
    goal: int
    before: int


CASES = (
    Case("resnet8", resnet8, IMAGE, 16_384, 16_384, 148_480),
    Case("DS-CNN", dscnn, KEYWORDS, 4_000, 4_000, 80_000),
    Case("autoencoder", autoencoder, WINDOW, 1_300, 1_300, 0),
    Case("LeNet", lenet, DIGIT, 786, 784, 20_384),
)


def measure(out: Path) -> list[Figure]:
    """Each network, quantised and not trained, folded for its interval, simulated, synthesised for an ECP5."""
    figures = []
    with bar("dataflow", 3 * len(CASES)) as advance:
        for case in CASES:
            design = _quantised(case)
            advance(note=f"{case.name}: simulation")
            figures += _measured(case, design, out / f"dataflow_{case.name}", advance)
    return figures


def _quantised(case: Case) -> Design:
    made = compress(case.make(), Data.uniform(case.shape, -1, 1), SCHEME, Settings(qat_epochs=0, rounding="nearest"),
                    name="network")
    assert made.design is not None
    return made.design


def _measured(case: Case, design: Design, folder: Path, advance: Callable[..., None]) -> list[Figure]:
    options = Options(arch="folded", ii=case.cycles)
    made = generate(design, folder, options=options, vectors=VECTORS)
    entry = made.entries["verilog"]
    found = simulate(folder, bench="player")
    advance(note=f"{case.name}: yosys")
    scratch = folder.with_name(f"{folder.name}_ecp5")
    shutil.rmtree(scratch, ignore_errors=True)
    chip = device(DEVICE)
    counted = cells([folder / name for name in entry["rtl"]], entry["top"], chip.family, scratch)
    advance()
    interval, weights = entry["initiation_interval"], entry["memory"]["adders"]
    return [
        Figure(f"{case.name}, {SCHEME}: cycles a sample", f"{interval:,.7g}",
               f"{case.before:,} before" if case.before else "", f"at most {case.goal:,}", interval <= case.goal),
        Figure("simulated", f"{found.bit_errors} of {found.bits:,} bits wrong, every cycle as promised", "",
               "0 bits wrong", found.ok),
        Figure(f"LUT4s, {weights:,} weights a cycle", f"{counted.luts:,} of {chip.luts:,} of {DEVICE} "
               f"({counted.luts / chip.luts:.0%})", "yosys, two for each carry cell", "", None),
    ]
