"""What compression costs in accuracy on the digits: five seeds, with the interval of their mean."""

from __future__ import annotations

import numpy as np
from torch import nn

from benchmarks.results import Figure, counted, spread, told
from benchmarks.trained import SEEDS, digits
from toolkit.commands.demo import SETTINGS
from toolkit.compress import Baselines, Compressed, Data, Settings, compress
from toolkit.compress.measure.intervals import mean
from toolkit.examples import models
from toolkit.report.differences import between
from toolkit.utils.progress import bar

GOALS = {"log2:4": 1.0, "structured:0.5+log2:4": 2.0}


def measure(seeds: int = SEEDS) -> list[Figure]:
    """Float against log2 of 4 bits with 8-bit activations, whole and with half of the hidden neurons; and GPTQ
    against round to nearest, PTQ. Accuracies are the test samples'; the float network is trained for
    as many epochs."""
    figures = []
    with bar("accuracy", seeds * len(models.SIZES)) as advance:
        rounding: dict[str, list[tuple[float, float]]] = {f"log2:{bits}": [] for bits in (2, 3, 4)}
        for size in models.SIZES:
            found: dict[str, list[Compressed]] = {scheme: [] for scheme in GOALS}
            for seed in range(seeds):
                model, data = digits(size, seed)
                baselines = Baselines(model, data, SETTINGS)
                for scheme in GOALS:
                    found[scheme].append(compress(model, data, scheme, SETTINGS, baselines=baselines))
                for scheme in rounding:
                    rounding[scheme].append(_ptq(model, data, scheme))
                advance(note=f"{size}, seed {seed}")
            for scheme, goal in GOALS.items():
                figures.append(beside_float(f"accuracy drop, {size}, {scheme}", found[scheme], goal))
    for scheme, pairs in rounding.items():
        ours, nearest = np.mean(pairs, axis=0)
        gain = [100 * (a - b) for a, b in pairs]
        figures.append(Figure(f"PTQ {scheme}, both networks", f"{100 * ours:.2f} %",
                              f"round to nearest {100 * nearest:.2f} %; gain {np.mean(gain):.2f} "
                              f"({between(*mean(gain))})",
                              "better than nearest", mean(gain)[0] > 0))
    return figures


def beside_float(name: str, found: list[Compressed], goal: float) -> Figure:
    """The mean drop of some networks, one a seed, against the original trained for as many epochs."""
    drops = [c.steps[-1].drop.test or 0.0 for c in found if c.steps[-1].drop is not None]
    floats = [100 * (c.baseline.accuracy or 0.0) for c in found]
    given = [100 * (c.steps[0].accuracy or 0.0) for c in found]
    return Figure(name, told(drops), f"float {spread(floats)}, {counted(found[0].steps[-1].epochs)} more on both "
                  f"sides; as given {spread(given)}", f"at most {goal:g}", float(np.mean(drops)) <= goal)


def _ptq(model: nn.Module, data: Data, scheme: str) -> tuple[float, float]:
    """(GPTQ, round to nearest) accuracy."""
    ours, nearest = (compress(model, data, scheme, Settings(qat_epochs=0, rounding=way)).steps[-1].accuracy or 0.0
                   for way in ("gptq", "nearest"))
    return ours, nearest
