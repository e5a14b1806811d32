"""What follows from the rows of a sweep: the best, the Pareto set, recommendations. Computed, never canned."""

from __future__ import annotations

import numpy as np

from toolkit.compress.sweep import Row, Sweep

WITHIN = 2.0
"""Points of accuracy that a best row may lose."""


def quality(row: Row) -> float:
    """Greater is better."""
    assert row.step is not None
    return row.step.quality


def loss(sweep: Sweep, row: Row) -> float:
    """Points below the original: hundredths of the sweep's unit."""
    return 100 * (sweep.original.quality - quality(row)) / sweep.unit


def best(sweep: Sweep, rows: list[Row]) -> Row | None:
    """The fewest bytes among the rows that lose at most WITHIN points; where none does, the row that loses least."""
    if not rows:
        return None
    fit = [row for row in rows if loss(sweep, row) <= WITHIN]
    if fit:
        return min(fit, key=lambda row: (_size(row), loss(sweep, row)))
    return min(rows, key=lambda row: (loss(sweep, row), _size(row)))


def pareto(sweep: Sweep) -> list[Row]:
    """The rows that no other beats in bytes and quality both, the smallest first."""
    found: list[Row] = []
    for row in sorted(sweep.good, key=lambda r: (_size(r), -quality(r))):
        if not found or quality(row) > quality(found[-1]):
            found.append(row)
    return found


def analysis(sweep: Sweep) -> list[str]:
    """What the bit error rates of this run say about accuracy, and what they do not."""
    rows = [r for r in sweep.good if r.step is not None and r.step.weight_ber is not None]
    lines = []
    for what, key in (("weight BER", "weight_ber"), ("output BER", "output_ber")):
        values = [(getattr(r.step, key), loss(sweep, r)) for r in rows if getattr(r.step, key) is not None]
        if len(values) > 2:
            lines.append(f"{what}: rank correlation with the points lost over {len(values)} rows: {_rank(values):+.2f}")
    kept = [r for r in rows if loss(sweep, r) <= WITHIN]
    if kept:
        row = max(kept, key=lambda r: r.step.weight_ber or 0.0)  # type: ignore[union-attr]
        assert row.step is not None
        lines.append(f"{row.name} changes {100 * (row.step.weight_ber or 0):.1f} % of the weight bits and loses "
                     f"{loss(sweep, row):.2f} points: weight BER says how far the numbers moved, not what was lost")
    lost = [r for r in rows if loss(sweep, r) > WITHIN]
    if lost:
        row = min(lost, key=lambda r: r.step.weight_ber or 0.0)  # type: ignore[union-attr]
        assert row.step is not None
        lines.append(f"{row.name} changes only {100 * (row.step.weight_ber or 0):.1f} % of them and loses "
                     f"{loss(sweep, row):.2f} points")
    return lines or ["no row has a weight BER"]


def recommendations(sweep: Sweep) -> list[str]:
    """Advice with the row of this run that stands behind it."""
    lines = []
    smallest = best(sweep, sweep.good)
    if smallest is not None and smallest.step is not None:
        lines.append(f"Fewest bytes within {WITHIN:g} points: {smallest.name} ({smallest.scheme}): "
                     f"{smallest.step.size:,} B, {smallest.step.ratio:.1f} times smaller, "
                     f"{loss(sweep, smallest):+.2f} points lost.")
    hardware = best(sweep, [r for r in sweep.good if r.hardware])
    if hardware is not None and hardware.step is not None:
        lines.append(f"For hardware: {hardware.name} ({hardware.step.size:,} B, {hardware.step.non_zeros:,} non-zero "
                     f"weights, {loss(sweep, hardware):+.2f} points lost); its design is {hardware.artifact}.")
    closest = min(sweep.good, key=lambda r: (loss(sweep, r), _size(r)), default=None)
    if closest is not None and closest.step is not None:
        lines.append(f"Least lost: {closest.name}: {loss(sweep, closest):+.2f} points at {closest.step.ratio:.1f} "
                     "times smaller.")
    pairs = [(r, t) for r in sweep.good for t in sweep.good if t.name == f"{r.name}+trained"]
    if pairs:
        gains = [loss(sweep, r) - loss(sweep, t) for r, t in pairs]
        most = max(range(len(gains)), key=gains.__getitem__)
        lines.append(f"Training after a step brought back {np.mean(gains):.2f} points on average over {len(pairs)} "
                     f"rows, most for {pairs[most][0].name} ({gains[most]:.2f}).")
    beaten = len(sweep.good) - len(pareto(sweep))
    if beaten:
        lines.append(f"{beaten} of {len(sweep.good)} rows are beaten in bytes and quality both; the others are the "
                     "Pareto set above.")
    return lines


def _size(row: Row) -> int:
    assert row.step is not None
    return row.step.size


def _rank(values: list[tuple[float, float]]) -> float:
    """Spearman's rank correlation, ties at their mean rank."""
    from scipy.stats import spearmanr

    columns = np.array(values)
    if len(set(columns[:, 0])) < 2 or len(set(columns[:, 1])) < 2:
        return 0.0
    return float(spearmanr(columns[:, 0], columns[:, 1]).statistic)
