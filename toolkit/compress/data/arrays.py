"""What every reader gives: arrays by name, before anything about their values is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from toolkit.utils.errors import InputError

PAIR = ("x", "y")
SPLIT = ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test")
SPARE = 1 << 24
"""Numbers that a file, or a folder of images, may hold, and PER_BYTE more for each byte of it: deflate can make a
thousand out of one."""
PER_BYTE = 32
KINDS = "fiub"
"""Of arrays: numpy's letters for real numbers, whole numbers, bytes and truth values."""


@dataclass(frozen=True, eq=False)
class Arrays:
    """Samples and labels of one source, by the names of SPLIT, or by those of PAIR: then they come without a split.
    `classes`: the names of classes 0, 1, ..., where the source has names; `notes`: what was done to read them."""

    found: dict[str, np.ndarray]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check_names(names: Iterable[str], fail: Callable[[str], InputError]) -> None:
    """Raise what `fail` makes of a sentence, unless the names are those of SPLIT (x_train among them) or of PAIR (x
    among them)."""
    names = set(names)
    if "x_train" not in names and "x" not in names:
        raise fail(f"holds {', '.join(sorted(names))[:80] or 'nothing'}; it must hold x_train, y_train, x_test, "
                   "y_test, or x and y")
    if foreign := sorted(names - set(PAIR if "x" in names else SPLIT)):
        raise fail(f"holds '{foreign[0][:60]}', which is not understood; it must hold {', '.join(SPLIT)}, or x and y, "
                   "and nothing else")


def named_classes(labels: dict[str, list[str]]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels that are texts, as int64 classes under the same keys; the names of all classes, sorted."""
    names = tuple(sorted({label for part in labels.values() for label in part}))
    number = {name: i for i, name in enumerate(names)}
    return {key: np.array([number[label] for label in part], np.int64) for key, part in labels.items()}, names
