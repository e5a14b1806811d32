"""What follows from the rows of a sweep: the best, the Pareto set, recommendations. Computed, never canned.

Rows are chosen by what they reach on the validation samples; what is said of them was measured on the test samples.
"""

from __future__ import annotations

import numpy as np

from toolkit.compress.measure.measures import Step
from toolkit.compress.sweep import TRAINED_SUFFIX, Row, Sweep
from toolkit.report.differences import dropped

WITHIN = 2.0
"""Points of accuracy that a best row may lose."""


def step_of(row: Row) -> Step:
    assert row.step is not None
    return row.step


def quality(row: Row) -> float:
    """On the validation samples; greater is better."""
    return step_of(row).quality


def drop(row: Row) -> float:
    """Points below the original trained as long, on the validation samples: what choices are made by."""
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
                     f"accuracy drop of {dropped(step_of(row).drop)}: weight BER says how far the numbers moved, not "
                     "what was lost")
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


def recommendations(sweep: Sweep) -> list[str]:
    """Advice with the row of this run that stands behind it."""
    lines = []
    smallest = best(sweep.good)
    if smallest is not None:
        step = step_of(smallest)
        lines.append(f"Fewest bytes within {WITHIN:g} points: {smallest.name} ({smallest.scheme}): {step.size:,} B, "
                     f"{step.ratio:.1f} times smaller; accuracy drop {dropped(step.drop)}.")
    hardware = best([r for r in sweep.good if r.hardware])
    if hardware is not None:
        step = step_of(hardware)
        lines.append(f"For hardware: {hardware.name} ({step.size:,} B, {step.non_zero_weights:,} non-zero weights; "
                     f"accuracy drop {dropped(step.drop)}); its design is {hardware.artifact}.")
    combined, single = (best([r for r in sweep.good if (r.category == "combination") == way]) for way in (True, False))
    if combined is not None and single is not None:
        one, other = step_of(combined), step_of(single)
        lines.append(f"Combined: {combined.name} ({combined.scheme}): {one.size:,} B, {one.ratio:.1f} times smaller; "
                     f"accuracy drop {dropped(one.drop)}. The best without a combination, {single.name}: "
                     f"{other.size:,} B, {other.ratio:.1f} times smaller; accuracy drop {dropped(other.drop)}.")
    closest = min(sweep.good, key=lambda r: (drop(r), _size(r)), default=None)
    if closest is not None:
        step = step_of(closest)
        lines.append(f"Least drop: {closest.name}, {step.ratio:.1f} times smaller; accuracy drop {dropped(step.drop)}.")
    pairs = [(r, t) for r in sweep.good for t in sweep.good
             if t.name in (f"{r.name}{suffix}" for suffix in TRAINED_SUFFIX.values())]
    if pairs:
        gains = [shown(r) - shown(t) for r, t in pairs]
        most = max(range(len(gains)), key=gains.__getitem__)
        lines.append(f"Training after a step lessened the accuracy drop by {np.mean(gains):.2f} points on average over "
                     f"{len(pairs)} rows, most for {pairs[most][0].name} ({gains[most]:.2f}); the original was trained "
                     "as long.")
    students = [(r, t) for r in sweep.good for t in sweep.good if t.name == f"{r.name}_no_teacher"]
    if students:
        gain = np.mean([shown(alone) - shown(taught) for taught, alone in students])
        lines.append(f"The teacher was worth {gain:+.2f} points of accuracy on average over {len(students)} students, "
                     "each beside the same one trained without it.")
    both, rest = len(beaten(sweep)), len(sweep.good) - len(pareto(sweep))
    if rest:
        lines.append(f"{both} of {len(sweep.good)} rows are beaten by another one in bytes and quality both, "
                     f"{rest - both} in one of them and equalled in the other; what is left is the Pareto set above.")
    return lines


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
