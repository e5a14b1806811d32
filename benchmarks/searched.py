"""The search beside the fixed sweep: 200 trials by proxies, and the area that each one's front covers."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.reference import swept
from benchmarks.results import Figure
from benchmarks.trained import digits
from toolkit.api import run_search
from toolkit.commands.demo import SETTINGS
from toolkit.report.choices import pareto
from toolkit.report.differences import dropped, quality
from toolkit.search.search import hypervolume

TRIALS, FINALISTS = 200, 16
SECONDS = 600


def measure(trials: int = TRIALS) -> list[Figure]:
    """The 64-256-256-64-10 digits network, seed 0, against accuracy and bytes, beside the rows of the reference sweep.

    Both fronts are chosen on the validation samples; all that is told of them was measured on the test samples.
    """
    model, data = digits("large", 0)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = run_search(model, data, Path(folder) / "search", trials=trials, objectives=("accuracy", "bytes"),
                           settings=SETTINGS, finalists=FINALISTS)
    seconds = time.perf_counter() - start
    sweep, _ = swept()
    theirs = [(float(row.step.size), row.step.reported) for row in pareto(sweep) if row.step is not None]
    ours = [(float(f.bytes), f.step.reported) for f in found.front if f.step is not None]
    corner = float(sweep.original.size), 0.0
    areas = hypervolume(ours, corner), hypervolume(theirs, corner)
    beaten = sum(any(size < s and accuracy > a for size, accuracy in ours) for s, a in theirs)
    equalled = sum(any(size <= s and accuracy >= a for size, accuracy in ours) for s, a in theirs) - beaten
    smallest = min(found.front, key=lambda f: f.bytes).step
    assert smallest is not None
    return [
        Figure(f"search, {trials} trials and {len(found.finalists)} trained in full", f"{seconds:.0f} s", "",
               f"at most {SECONDS} s", seconds <= SECONDS),
        Figure("hypervolume, test accuracy over log2 of bytes", f"{areas[0]:.3f}", f"fixed sweep {areas[1]:.3f}",
               "above the sweep's", areas[0] > areas[1]),
        Figure("rows of the sweep's front that the search beats", f"{beaten} of {len(theirs)}",
               f"{equalled} more are beaten in one of bytes and accuracy, equalled in the other", "", None),
        Figure("smallest of the search's front", f"{smallest.size:,} B at {quality(smallest, test=True)}, "
               f"drop {dropped(smallest.drop)} ({smallest.epochs} epochs both)",
               f"sweep {min(theirs)[0]:,.0f} B at {100 * min(theirs)[1]:.2f} %", "", None),
    ]
