"""GPTQ beside round to nearest, PTQ: what GPTQ alone is worth."""

from __future__ import annotations

import numpy as np

from benchmarks.compression import Network
from benchmarks.results import Figure, spread
from toolkit.compress import Settings, compress
from toolkit.compress.measure.intervals import mean
from toolkit.report.differences import between
from toolkit.utils.progress import bar


def compared(name: str, network: Network, schemes: tuple[str, ...], seeds: int) -> list[Figure]:
    """For each scheme the accuracies of both and their difference, seed by seed; the goal is that the interval of
    the mean difference lies above 0."""
    pairs: dict[str, list[tuple[float, float]]] = {scheme: [] for scheme in schemes}
    with bar(f"rounding on {name}", seeds * len(schemes)) as advance:
        for seed in range(seeds):
            model, data = network(seed)
            for scheme in schemes:
                made = [compress(model, data, scheme, Settings(qat_epochs=0, rounding=way)) for way in ("gptq",
                                                                                                        "nearest")]
                ours, nearest = (100 * one.steps[-1].reported for one in made)
                pairs[scheme].append((ours, nearest))
                advance(note=f"{scheme}, seed {seed}")
    figures = []
    for scheme, found in pairs.items():
        both = np.array(found)
        gain = both[:, 0] - both[:, 1]
        figures.append(Figure(
            f"{name}, PTQ {scheme}", spread([a for a, _ in found]),
            f"nearest {spread([b for _, b in found])}; gain {gain.mean():.2f} ({between(*mean(gain))})",
            "a gain whose interval is above 0", mean(gain)[0] > 0))
    return figures
