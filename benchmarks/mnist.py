"""MNIST, 6,400 images to train on, 1,600 to validate, 2,000 to test on: the digits' table for a 784-128-64-10
network."""

from __future__ import annotations

from pathlib import Path

from benchmarks.compression import Goal, tabled
from benchmarks.results import Figure
from benchmarks.rounding import compared
from benchmarks.trained import SEEDS, mnist
from toolkit.compress import Settings

SETTINGS = Settings(qat_epochs=10, finetune_epochs=20)
GOALS: dict[str, Goal | None] = {
    "log2:4": Goal(7, 0.5),
    "log2:3": None,
    "structured:0.5": None,
    "structured:0.5+log2:4": None,
    "structured:0.8,steps=5+log2:3": None,
}


def measure(folder: Path, seeds: int = SEEDS) -> list[Figure]:
    """What a scheme costs after training, and what GPTQ gains over round to nearest before it."""
    return [*tabled("MNIST", lambda seed: mnist(folder, seed), GOALS, SETTINGS, seeds),
            *compared("MNIST", lambda seed: mnist(folder, seed), ("log2:4", "log2:3", "log2:2"), seeds)]
