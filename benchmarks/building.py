"""What building and simulating MLPerf Tiny's resnet8 takes: GPTQ, the schedule, the vectors, the RTL."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.imported import IMAGE, resnet8
from benchmarks.results import Figure
from toolkit.commands.generate import generate
from toolkit.commands.simulate import simulate
from toolkit.compress import Data, Settings, compress
from toolkit.design import Design
from toolkit.emit import vectors
from toolkit.hardware import Options, choose
from toolkit.hardware.folded import plan_folded
from toolkit.utils.progress import bar

SCHEME = "log2:4"
VECTORS = 20
MOST_SCHEDULE, MOST_VECTORS, MOST_BYTES = 3, 2, 2**30


def quantised(out: Path) -> int:
    """Write resnet8, quantised by GPTQ and not trained, to `out`; the peak memory of this process in bytes."""
    made = compress(resnet8(), Data.uniform(IMAGE, -1, 1), SCHEME, Settings(qat_epochs=0), name="resnet8")
    assert made.design is not None
    made.design.save(out)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(out: Path) -> list[Figure]:
    """Each stage by itself; the network is left as resnet8.swd, its project as build_resnet8."""
    path, folder = out / "resnet8.swd", out / "build_resnet8"
    shutil.rmtree(folder, ignore_errors=True)
    with bar("building resnet8", 5) as advance:
        start = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.building", str(path)]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        peak, compressing = int(json.loads(told.splitlines()[-1])), time.perf_counter() - start
        design, options = Design.load(path), Options(arch="folded")
        advance(note="schedule")
        start = time.perf_counter()
        plan = plan_folded(design, choose(design, options), options)
        planning = time.perf_counter() - start
        count = vectors.affordable(design, plan.initiation_interval)
        advance(note="boundary vectors")
        start = time.perf_counter()
        vectors.boundary(design, vectors.counts(design, count)["boundary"], np.random.default_rng(0))
        searching = time.perf_counter() - start
        advance(note="project")
        start = time.perf_counter()
        generate(design, folder, options=options, vectors=VECTORS)
        generating = time.perf_counter() - start
        advance(note="simulation")
        found = simulate(folder, bench="player", rebuild=True)
        advance()
    rate = found.data["checks"][0]["rate"]
    assert found.build_seconds is not None
    return [
        Figure(f"resnet8, GPTQ to {SCHEME}: peak memory", f"{peak / 2**20:,.0f} MiB, {compressing:.0f} s", "",
               "at most 1,024 MiB", peak <= MOST_BYTES),
        Figure("its schedule", f"{planning:.1f} s", "", f"at most {MOST_SCHEDULE} s", planning <= MOST_SCHEDULE),
        Figure("its boundary vectors", f"{searching:.1f} s", "", f"at most {MOST_VECTORS} s",
               searching <= MOST_VECTORS),
        Figure("design to folder", f"{generating:.1f} s", "", "", None),
        Figure("simulation build, cold", f"{found.build_seconds:.1f} s", "", "", None),
        Figure("simulated", f"{rate:.1f} samples/s, {rate * plan.initiation_interval:,.0f} cycles/s",
               f"{found.samples} vectors, {found.bit_errors} of {found.bits:,} bits wrong", "0 bits wrong", found.ok),
    ]


if __name__ == "__main__":
    print(json.dumps(quantised(Path(sys.argv[1]))))
