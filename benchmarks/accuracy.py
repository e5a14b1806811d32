"""What compression costs in accuracy on the digits: five seeds, with their spread."""

from __future__ import annotations

import numpy as np

from benchmarks.results import Figure
from benchmarks.trained import SEEDS, digits
from toolkit import models
from toolkit.compress import Data, Settings, compress
from toolkit.demo import SETTINGS
from toolkit.progress import bar

GOALS = {"log2:4": 1.0, "structured:0.5+log2:4": 2.0}


def measure() -> list[Figure]:
    """Float against log2 of 4 bits with 8-bit activations, whole and with half of the hidden neurons; and compensated
    against plain rounding, untrained."""
    figures = []
    with bar("accuracy", SEEDS * len(models.SIZES)) as advance:
        rounding: dict[str, list[tuple[float, float]]] = {f"log2:{bits}": [] for bits in (2, 3, 4)}
        for size in models.SIZES:
            losses: dict[str, list[float]] = {scheme: [] for scheme in GOALS}
            floats = []
            for seed in range(SEEDS):
                model, data = digits(size, seed)
                for scheme in GOALS:
                    steps = compress(model, data, scheme, SETTINGS).steps
                    losses[scheme].append(100 * ((steps[0].accuracy or 0) - (steps[-1].accuracy or 0)))
                floats.append(100 * (steps[0].accuracy or 0))
                for scheme in rounding:
                    rounding[scheme].append(_untrained(model, data, scheme))
                advance(note=f"{size}, seed {seed}")
            for scheme, goal in GOALS.items():
                loss = float(np.mean(losses[scheme]))
                figures.append(Figure(f"points lost, {size}, {scheme}", f"{loss:+.2f} ± {np.std(losses[scheme]):.2f}",
                                      f"float {np.mean(floats):.2f} ± {np.std(floats):.2f} %",
                                      f"at most {goal:g}", loss <= goal))
    for scheme, pairs in rounding.items():
        ours, plain = np.mean(pairs, axis=0)
        figures.append(Figure(f"untrained {scheme}, both networks", f"{100 * ours:.2f} %",
                              f"plain rounding {100 * plain:.2f} %", "better than plain", bool(ours > plain)))
    return figures


def _untrained(model, data: Data, scheme: str) -> tuple[float, float]:
    """(compensated, plain) accuracy."""
    ours, plain = (compress(model, data, scheme, Settings(epochs=0, compensate=way)).steps[-1].accuracy or 0.0
                   for way in (True, False))
    return ours, plain
