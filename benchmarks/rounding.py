"""Compensated rounding beside plain rounding, untrained: what the compensation alone is worth."""

from __future__ import annotations

import numpy as np

from benchmarks.compression import Network
from benchmarks.results import Figure
from toolkit.compress import Settings, compress
from toolkit.progress import bar


def compared(name: str, network: Network, schemes: tuple[str, ...], seeds: int) -> list[Figure]:
    """For each scheme the accuracies of both and their difference, seed by seed; the goal is a mean difference above
    its spread."""
    pairs: dict[str, list[tuple[float, float]]] = {scheme: [] for scheme in schemes}
    with bar(f"rounding on {name}", seeds * len(schemes)) as advance:
        for seed in range(seeds):
            model, data = network(seed)
            for scheme in schemes:
                ours, plain = (100 * compress(model, data, scheme, Settings(epochs=0, compensate=way)).steps[-1].quality
                               for way in (True, False))
                pairs[scheme].append((ours, plain))
                advance(note=f"{scheme}, seed {seed}")
    figures = []
    for scheme, found in pairs.items():
        both = np.array(found)
        gain = both[:, 0] - both[:, 1]
        figures.append(Figure(
            f"{name}, untrained {scheme}", f"{both[:, 0].mean():.2f} ± {both[:, 0].std():.2f} %",
            f"plain {both[:, 1].mean():.2f} ± {both[:, 1].std():.2f} %; gain {gain.mean():.2f} ± {gain.std():.2f}",
            "a gain above its spread", bool(gain.mean() > gain.std())))
    return figures
