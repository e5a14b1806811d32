"""What every reader gives: arrays by name, before anything about their values is checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from toolkit.utils.errors import InputError

PAIR = ("x", "y")
OWN = re.compile(r"(.{1,200})_(train|val|test)", re.S)
"""An array of one of several inputs, NAME_train, or of the labels of one of several outputs, y_NAME_train."""
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
    among them), or of OWN."""
    names = set(names)
    own = {match[1] for name in names - set(SPLIT) if (match := OWN.fullmatch(name))}
    if any(f"{name}_train" in names for name in own) and "x" not in names:
        check_own(names, own, fail)
        return
    if "x_train" not in names and "x" not in names:
        raise fail(f"holds {', '.join(sorted(names))[:80] or 'nothing'}; it must hold x_train, y_train, x_test, "
                   "y_test, or x and y")
    if foreign := sorted(names - set(PAIR if "x" in names else SPLIT)):
        raise fail(f"holds '{foreign[0][:60]}', which is not understood; it must hold {', '.join(SPLIT)}, or x and y, "
                   "and nothing else")


def check_own(names: set[str], own: Iterable[str], fail: Callable[[str], InputError]) -> None:
    """As `check_names`, where inputs or outputs have arrays of their own."""
    inputs = sorted(name for name in own if not name.startswith("y_"))
    if not inputs and "x_train" not in names:
        raise fail("holds labels, and no samples: x_train, or NAME_train of each of several inputs")
    known = {*SPLIT, *(f"{name}_{part}" for name in own for part in ("train", "val", "test"))}
    if foreign := sorted(names - known):
        raise fail(f"holds '{foreign[0][:60]}', which is not understood beside arrays of several inputs or outputs "
                   "(NAME_train, NAME_val, NAME_test)")
    if len(inputs) == 1 and "x_train" not in names:
        raise fail(f"holds samples of the one input '{inputs[0][:60]}'; name them x_train, x_val and x_test")
    for name in [*inputs, *(["x"] if inputs and "x_train" in names else [])]:
        if f"{name}_train" not in names:
            raise fail(f"holds no {name[:60]}_train")
        for part in ("val", "test"):
            if (f"{name}_{part}" in names) != (f"{inputs[0]}_{part}" in names):
                raise fail(f"holds {part} samples of some inputs and of others none")


def named_classes(labels: dict[str, list[str]]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels that are texts, as int64 classes under the same keys; the names of all classes, sorted."""
    names = tuple(sorted({label for part in labels.values() for label in part}))
    number = {name: i for i, name in enumerate(names)}
    return {key: np.array([number[label] for label in part], np.int64) for key, part in labels.items()}, names
