"""Students beside the same students without a teacher: same shape, first weights and stopping rule; five seeds."""

from __future__ import annotations

import numpy as np
from scipy.stats import t

from benchmarks.results import Figure
from benchmarks.trained import SEEDS, digits
from toolkit.commands.demo import SETTINGS
from toolkit.compress import Scheme, Settings, compress
from toolkit.compress.baseline import Baselines
from toolkit.utils.progress import bar

SHARES = (0.1, 0.05, 0.027)
"""Of the 99,530 parameters of the digits network; the last is as large as a 64-32-16-10 network."""
TUNING = 60
"""Epochs of a round: `shiftwright compress`'s own."""


def measure(seeds: int = SEEDS) -> list[Figure]:
    """Accuracy of both, and what the teacher adds: mean over the seeds and its 95 % interval (Student's t)."""
    settings = Settings(qat_epochs=0, finetune_epochs=TUNING, lr=SETTINGS.lr)
    figures, every, known = [], [], dict[int, Baselines]()
    with bar("students", seeds * len(SHARES)) as advance:
        for share in SHARES:
            scheme = Scheme.parse(f"distill:{share}")
            found: list[tuple[float, float]] = []
            for seed in range(seeds):
                model, data = digits("large", seed)
                baselines = known.setdefault(seed, Baselines(model, data, settings))
                taught, alone = (compress(model, data, s, settings, baselines=baselines).steps[-1]
                                 for s in (scheme, scheme.without_teacher))
                found.append((100 * (taught.accuracy or 0.0), 100 * (alone.accuracy or 0.0)))
                advance(note=f"{scheme}, seed {seed}")
            every += found
            figures.append(_figure(f"{scheme}, {taught.parameters:,} parameters", np.array(found)))
    return [*figures, _figure("distillation, all students", np.array(every))]


def _figure(name: str, found: np.ndarray) -> Figure:
    """`found`: (runs, 2), taught and alone."""
    gain = found[:, 0] - found[:, 1]
    half = t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else 0.0
    taught, alone = found.mean(axis=0)
    return Figure(f"digits, {name}: accuracy", f"{taught:.2f} %, {gain.mean():+.2f} ± {half:.2f} by the teacher",
                  f"{alone:.2f} % alone", "at least as good", bool(gain.mean() >= 0))
