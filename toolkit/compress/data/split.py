"""Samples that are held out of others: as many of each class as its share, drawn by a seed."""

from __future__ import annotations

import numpy as np

HELD_OUT, MOST_HELD_OUT = 0.2, 10_000
"""Share of the training samples that become validation samples where none are given, and how many at the most."""

Part = tuple[np.ndarray, np.ndarray | None]


def held_mask(classes: np.ndarray | None, count: int, wanted: int, seed: int) -> np.ndarray | None:
    """bool (count,): which samples are held out, `wanted` of them, drawn evenly from the `classes` (count,) where there
    are any. One sample of each class always stays; None where there are too few samples."""
    groups = np.zeros(count, np.int64) if classes is None else classes
    order = np.lexsort((np.random.default_rng(seed).random(count), groups))
    first = np.unique(groups[order], return_index=True)[1]
    pool = np.delete(order, first)
    if not 0 < wanted <= len(pool):
        return None
    held = np.zeros(count, bool)
    held[pool[((np.arange(wanted) + 0.5) * len(pool) / wanted).astype(int)]] = True
    return held


def share(count: int) -> int:
    """How many of so many samples are held out."""
    return min(round(HELD_OUT * count), MOST_HELD_OUT)


def held_out(x: np.ndarray, y: np.ndarray | None, seed: int) -> tuple[str, Part, Part]:
    """(note, training part, validation part), both in their old order; too few samples are not split."""
    count, wanted = len(x), share(len(x))
    classes = y if y is not None and y.dtype == np.int64 else None
    held = held_mask(classes, count, wanted, seed)
    if held is None:
        return (f"no validation samples were given, and {count} training samples are too few to hold some out: choices "
                "are made on the training samples"), (x, y), (x, y)
    how = "as many of each class as its share, " if classes is not None else ""
    note = (f"no validation samples were given: {wanted:,} of {count:,} training samples "
            f"({100 * wanted / count:.0f} %, {how}drawn by seed {seed}) are held out to make choices by; "
            f"{count - wanted:,} are left to train on")
    parts = [(x[mask], None if y is None else y[mask]) for mask in (~held, held)]
    return note, parts[0], parts[1]


def in_three(classes: np.ndarray | None, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """bool (count,) three times: the samples to train on, to choose by and to report on, HELD_OUT of all of them for
    each of the last two; None where there are too few."""
    wanted = share(count)
    test = held_mask(classes, count, wanted, seed)
    if test is None:
        return None
    rest = np.flatnonzero(~test)
    chosen = held_mask(None if classes is None else classes[rest], len(rest), wanted, seed + 1)
    if chosen is None:
        return None
    val = np.zeros(count, bool)
    val[rest[chosen]] = True
    return ~(test | val), val, test
