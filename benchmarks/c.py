"""The C of the 64-256-256-64-10 digits network: instructions beside a plain int8 loop, flash and RAM on a Cortex-M0."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np

from benchmarks.peers import emlearn_peer
from benchmarks.results import Figure
from toolkit.api import build
from toolkit.commands.demo import EPOCHS, RATE, SETTINGS
from toolkit.commands.simulate import simulate
from toolkit.compress.training.loop import train
from toolkit.examples import datasets, models
from toolkit.utils.progress import bar

FLASH_GOAL = 52 << 10
PEER = Path(__file__).parent / "peers" / "plain_int8.c"
COUNTED = 20, 60
"""Samples of two runs; their difference is what samples cost, without the start of a process."""
FLAGS = {"-Os": True, "-O2": True, "-O3": False}
"""Whether there is a goal. At -O3 gcc makes SIMD of the plain loop here, which no small microcontroller has."""


def measure(out: Path) -> list[Figure]:
    """Every figure, on the digits' own test set."""
    figures = []
    with bar("c", 3) as advance:
        data = datasets.digits(0)
        model = models.mlp(models.SIZES["large"], 0, dropout=0.0)
        train(model, data, epochs=EPOCHS, lr=RATE, seed=0, what="float")
        found, sizes = {}, models.SIZES["large"]
        for scheme in ("log2:4", "int:8"):
            folder = out / f"c_{scheme.replace(':', '_')}"
            build(model, data, scheme, folder, settings=SETTINGS, targets=("c",), vectors=1000, check=False)
            found[scheme] = folder / "hardware"
            advance(note=scheme)
        codes = np.load(found["log2:4"] / "vectors" / "test_in.npy").astype(np.int8)
        for flag, compared in FLAGS.items():
            ours = _instructions(_ours(found["log2:4"], flag), codes)
            plain = _instructions(_compiled(out / "plain", [PEER], [flag, f"-DSIZES={','.join(map(str, sizes))}"]),
                                  codes)
            source, headers = emlearn_peer.write(out, sizes)
            emlearn = _instructions(_compiled(out / "emlearn", [source], [flag, "-I", str(headers), "-lm"]), codes)
            figures.append(Figure(f"C, instructions a sample, gcc {flag}", f"{ours:,.0f}",
                                  f"plain int8 loop {plain:,.0f}, emlearn (float) {emlearn:,.0f}",
                                  "at most the peers'" if compared else "",
                                  ours <= min(plain, emlearn) if compared else None))
        advance()
    for scheme, folder in found.items():
        run = simulate(folder, targets=("c",), boards=("cortex-m0", "rv32i"))
        size = run.data["targets"]["c"]["figures"]["cortex-m0"]
        goal = FLASH_GOAL if scheme == "log2:4" else None
        figures.append(Figure(f"C, Cortex-M0, {scheme}: flash all in, RAM of the network",
                              f"{size['flash']:,} B, {size['network_ram']:,} B", f"constants {size['tables']:,} B",
                              f"at most {goal:,} B" if goal else "", size["flash"] <= goal if goal else None))
        figures.append(Figure(f"C, bit errors, host, Cortex-M0 and RV32I, {scheme}",
                              f"{run.bit_errors} of {run.bits:,}", "", "0", run.ok))
    return figures


def _ours(folder: Path, flag: str) -> Path:
    sources = sorted((folder / "c").glob("*.c"))
    return _compiled(folder / "counted", sources, [flag, "-I", str(folder / "c")])


def _compiled(path: Path, sources: list[Path], flags: list[str]) -> Path:
    subprocess.run(["gcc", "-std=gnu99", *map(str, sources), *flags, "-o", str(path)], check=True)
    return path


def _instructions(program: Path, codes: np.ndarray) -> float:
    """Instructions that one more sample takes, as callgrind counts them."""
    counts = []
    for samples in COUNTED:
        told = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", str(program)],
                              input=np.resize(codes, (samples, codes.shape[1])).tobytes(), capture_output=True,
                              check=True)
        match = re.search(rb"Collected : (\d+)", told.stderr)
        assert match is not None
        counts.append(int(match[1]))
    return (counts[1] - counts[0]) / (COUNTED[1] - COUNTED[0])
