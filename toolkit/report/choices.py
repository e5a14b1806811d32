"""What follows from the rows of a sweep: the best, the Pareto set, recommendations. Computed, never canned.

Rows are chosen by what they reach on the validation samples; what is said of them was measured on the test samples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toolkit.compress.measure.measures import Step
from toolkit.compress.sweep import TRAINED_SUFFIX, Row, Sweep
from toolkit.report.differences import dropped, signed
from toolkit.report.pointers import generate

WITHIN = 2.0
"""Points of accuracy that a best row may lose."""


def step_of(row: Row) -> Step:
    assert row.step is not None
    return row.step


def quality(row: Row) -> float:
    """On the validation samples; greater is better."""
    return step_of(row).quality


def drop(row: Row) -> float:
    """Points below the original trained for as many epochs, on the validation samples: what choices are made by."""
    found = step_of(row).drop
    assert found is not None
    return found.validation


def shown(row: Row) -> float:
    """The same on the test samples: what is told."""
    found = step_of(row).drop
    assert found is not None and found.test is not None
    return found.test


def best(rows: list[Row]) -> Row | None:
    """The fewest bytes among the rows whose accuracy drops by at most WITHIN points; where none is, the row whose
    accuracy drops least."""
    if not rows:
        return None
    fit = [row for row in rows if drop(row) <= WITHIN]
    if fit:
        return min(fit, key=lambda row: (_size(row), drop(row)))
    return min(rows, key=lambda row: (drop(row), _size(row)))


def pareto(sweep: Sweep) -> list[Row]:
    """The rows that no other beats in bytes or quality and equals or beats in the other, the smallest first."""
    front = [row for row in sweep.good if not any(_dominates(other, row) for other in sweep.good)]
    return sorted(front, key=lambda row: (_size(row), -quality(row)))


def beaten(sweep: Sweep) -> list[Row]:
    """The rows that another one beats in bytes and in quality: it equals them in neither."""
    return [row for row in sweep.good if any(_size(other) < _size(row) and quality(other) > quality(row)
                                             for other in sweep.good)]


def analysis(sweep: Sweep) -> list[str]:
    """What the bit error rates of this run say about accuracy, and what they do not."""
    rows = [row for row in sweep.good if step_of(row).weight_ber is not None]
    lines = [f"{what}: rank correlation with the accuracy drop over {len(values)} rows{which}: {_rank(values):+.2f}"
             for what, which, values in _alike(rows) if len(values) > 2]
    kept = [row for row in rows if drop(row) <= WITHIN]
    if kept:
        row = max(kept, key=lambda r: step_of(r).weight_ber or 0.0)
        lines.append(f"{row.name} changes {100 * (step_of(row).weight_ber or 0):.1f} % of the weight bits at an "
                     f"accuracy drop of {dropped(step_of(row).drop)}: weight BER tells how far the stored "
                     "weights moved, not how much accuracy was lost")
    lost = [row for row in rows if drop(row) > WITHIN]
    if lost:
        row = min(lost, key=lambda r: step_of(r).weight_ber or 0.0)
        lines.append(f"{row.name} changes only {100 * (step_of(row).weight_ber or 0):.1f} % of them at an accuracy "
                     f"drop of {dropped(step_of(row).drop)}")
    return lines or ["no row has a weight BER"]


def _alike(rows: list[Row]) -> list[tuple[str, str, list[tuple[float, float]]]]:
    """(which rate, which rows, (rate, drop) of each row): only rows whose rates count the same bits, and that were
    all trained or all not, since training moves every bit of a float weight."""
    found = []
    for trained in (False, True):
        which = "after training" if trained else "before training"
        some = [row for row in rows if (step_of(row).epochs > 0) == trained]
        found.append(("weight BER", f" {which}", [(step_of(r).weight_ber or 0.0, shown(r)) for r in some]))
        for form in sorted({step_of(row).output_format for row in some}):
            found.append(("output BER", f" {which}, outputs of {form}",
                          [(step_of(r).output_ber or 0.0, shown(r)) for r in some if step_of(r).output_format == form]))
    return found


def recommendations(sweep: Sweep, folder: Path | str | None = None) -> list[str]:
    """Advice with the row of this run that stands behind it. `folder`: what the sweep was written to, as seen from
    where commands run; by default they run in it."""
    lines = []
    smallest = best(sweep.good)
    if smallest is not None:
        what = f"Smallest with a validation drop of at most {WITHIN:g} points" if drop(smallest) <= WITHIN else \
            f"No row has a validation drop of at most {WITHIN:g} points; nearest"
        lines.append(f"{what}: {_told(smallest, scheme=True)}.")
    hardware = best([r for r in sweep.good if r.hardware])
    if hardware is not None:
        lines.append(f"For hardware: {_told(hardware)}, {step_of(hardware).non_zero_weights:,} non-zero weights. "
                     f"{_generate(hardware, folder)}")
    combined, single = (best([r for r in sweep.good if (r.category == "combination") == way]) for way in (True, False))
    if combined is not None and single is not None:
        lines.append(f"Best combination: {_told(combined, scheme=True)}. Best single technique: {_told(single)}.")
    closest = min(sweep.good, key=lambda r: (drop(r), _size(r)), default=None)
    if closest is not None:
        lines.append(f"Least drop: {_told(closest)}.")
    pairs = [(r, t) for r in sweep.good for t in sweep.good
             if t.name in (f"{r.name}{suffix}" for suffix in TRAINED_SUFFIX.values())]
    if pairs:
        changes = [shown(t) - shown(r) for r, t in pairs]
        most = min(range(len(changes)), key=changes.__getitem__)
        lines.append(f"Training after a step changed the drop by {signed(float(np.mean(changes)))} points on average "
                     f"over {len(pairs)} rows, by {signed(changes[most])} for {pairs[most][0].name}; the original was "
                     "trained for the same number of epochs.")
    students = [(r, t) for r in sweep.good for t in sweep.good if t.name == f"{r.name}_no_teacher"]
    if students:
        change = np.mean([shown(taught) - shown(alone) for taught, alone in students])
        lines.append(f"The teacher changed the drop by {signed(float(change))} points on average over {len(students)} "
                     "students, each compared with the same student trained without it.")
    both, rest = len(beaten(sweep)), len(sweep.good) - len(pareto(sweep))
    if rest:
        lines.append(f"{both} of {len(sweep.good)} rows are larger and also worse on the validation samples than "
                     f"another row; {rest - both} more are larger or worse, and equal in the other. The Pareto set "
                     "above is the rest.")
    return lines


def _told(row: Row, *, scheme: bool = False) -> str:
    step = step_of(row)
    named = f"{row.name} ({row.scheme})" if scheme and row.scheme != row.name else row.name
    return (f"{named}: drop {dropped(step.drop)}, {step.size:,} B, ratio "
            f"{step.ratio:.2f}")


def _generate(row: Row, folder: Path | str | None) -> str:
    """How to make a row's hardware. In the report's own folder nothing else is put."""
    assert row.artifact is not None
    design = Path("rows", row.artifact).with_suffix(".swd")
    if folder is None:
        return f"Generate it (in this folder): {generate(design, '../hardware')}"
    return f"Generate it: {generate(Path(folder) / design, 'hardware')}"


def _dominates(other: Row, row: Row) -> bool:
    return _size(other) <= _size(row) and quality(other) >= quality(row) \
        and (_size(other), quality(other)) != (_size(row), quality(row))


def _size(row: Row) -> int:
    return step_of(row).size


def _rank(values: list[tuple[float, float]]) -> float:
    """Spearman's rank correlation, ties at their mean rank."""
    from scipy.stats import spearmanr

    columns = np.array(values)
    if len(set(columns[:, 0])) < 2 or len(set(columns[:, 1])) < 2:
        return 0.0
    return float(spearmanr(columns[:, 0], columns[:, 1]).statistic)
