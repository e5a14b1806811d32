"""How small a network becomes and what that costs: pruning that removes, chains of 20 and of 100 times; five seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import nn

from benchmarks.results import Figure
from benchmarks.trained import SEEDS, digits
from toolkit.compress import Data, Settings, compress
from toolkit.compress.measures import Step
from toolkit.demo import SETTINGS
from toolkit.progress import bar

Network = Callable[[int], tuple[nn.Module, Data]]
"""A seed to a trained float network and its data."""


@dataclass(frozen=True)
class Goal:
    """Times smaller at the least, points lost at the most."""

    ratio: float
    lost: float

    def __str__(self) -> str:
        return f"at least {self.ratio:g} times, at most {self.lost:g} lost"


REMOVED = 0.6
"""Share of the bytes that half of the neurons must take with them."""
GOALS: dict[str, Goal | None] = {
    "structured:0.5": Goal(1 / (1 - REMOVED), 1.0),
    "structured:0.5+log2:4": Goal(20, 2.0),
    "structured:0.8,steps=5+log2:4": Goal(100, 2.0),
    "structured:0.85,steps=5+log2:3": None,
    "log2:4": None,
    "log2x2:4": None,
    "int:4": None,
}
"""Schemes and what each must reach; None: measured beside them."""


def measure(seeds: int = SEEDS) -> list[Figure]:
    """The 64-256-256-64-10 digits network."""
    return tabled("digits", lambda seed: digits("large", seed), GOALS, SETTINGS, seeds)


def tabled(name: str, network: Network, goals: dict[str, Goal | None], settings: Settings,
           seeds: int) -> list[Figure]:
    """A figure for each scheme: times smaller and points lost, mean and spread over the seeds."""
    steps: dict[str, list[tuple[Step, Step]]] = {scheme: [] for scheme in goals}
    with bar(f"chains on {name}", seeds * len(goals)) as advance:
        for seed in range(seeds):
            model, data = network(seed)
            for scheme in goals:
                made = compress(model, data, scheme, settings).steps
                steps[scheme].append((made[0], made[-1]))
                advance(note=f"{scheme}, seed {seed}")
    return [_figure(name, scheme, goal, steps[scheme]) for scheme, goal in goals.items()]


def _figure(name: str, scheme: str, goal: Goal | None, steps: list[tuple[Step, Step]]) -> Figure:
    ratio = np.array([after.ratio for _, after in steps])
    lost = np.array([100 * (before.quality - after.quality) for before, after in steps])
    floats = np.array([100 * before.quality for before, _ in steps])
    reached = None if goal is None else bool(ratio.mean() >= goal.ratio and lost.mean() <= goal.lost)
    return Figure(
        f"{name}, {scheme}", f"{ratio.mean():.1f} times smaller, {lost.mean():+.2f} ± {lost.std():.2f} points lost",
        f"float {floats.mean():.2f} ± {floats.std():.2f} %, {steps[0][0].size:,} B to {steps[0][1].size:,} B",
        "" if goal is None else str(goal), reached)
