"""How small a network becomes and what that costs: pruning that removes, chains of 20 and of 100 times; five seeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import nn

from benchmarks.results import Figure, counted, spread, told
from benchmarks.trained import SEEDS, digits
from toolkit.commands.demo import SETTINGS
from toolkit.compress import Baselines, Compressed, Data, Settings, compress
from toolkit.utils.progress import bar

Network = Callable[[int], tuple[nn.Module, Data]]
"""A seed to a trained float network and its data."""


@dataclass(frozen=True)
class Goal:
    """Times smaller at the least, accuracy drop at the most."""

    ratio: float
    drop: float

    def __str__(self) -> str:
        return f"at least {self.ratio:g} times, a drop of at most {self.drop:g}"


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
    """A figure for each scheme: times smaller, and the accuracy drop against the float network trained for as many
    epochs, on the test samples: the mean over the seeds and its interval."""
    found: dict[str, list[Compressed]] = {scheme: [] for scheme in goals}
    with bar(f"chains on {name}", seeds * len(goals)) as advance:
        for seed in range(seeds):
            model, data = network(seed)
            baselines = Baselines(model, data, settings)
            for scheme in goals:
                found[scheme].append(compress(model, data, scheme, settings, baselines=baselines))
                advance(note=f"{scheme}, seed {seed}")
    return [_figure(name, scheme, goal, found[scheme]) for scheme, goal in goals.items()]


def _figure(name: str, scheme: str, goal: Goal | None, found: list[Compressed]) -> Figure:
    last = [c.steps[-1] for c in found]
    ratio = float(np.mean([step.ratio for step in last]))
    drops = [step.drop.test for step in last if step.drop is not None and step.drop.test is not None]
    reached = None if goal is None else bool(ratio >= goal.ratio and np.mean(drops) <= goal.drop)
    return Figure(
        f"{name}, {scheme}", f"{ratio:.1f} times smaller, drop {told(drops)}",
        f"float {spread([100 * c.baseline.reported for c in found])}, {counted(last[0].epochs)} more on both sides; as "
        f"given {spread([100 * c.steps[0].reported for c in found])}; {found[0].steps[0].size:,} B to "
        f"{last[0].size:,} B",
        "" if goal is None else str(goal), reached)
