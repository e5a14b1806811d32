"""Data from .npy files: a pair of them, or a folder."""

from __future__ import annotations

from pathlib import Path

from toolkit.compress.data.arrays import KINDS, PAIR, Arrays, check_names
from toolkit.utils.errors import InputError
from toolkit.utils.untrusted import read_npy


def read_pair(text: str) -> Arrays:
    """`x.npy,y.npy`, or `x.npy` alone: samples, and their labels in the same order. No pickle is loaded."""
    paths = [Path(text)] if Path(text).exists() else [Path(part.strip()) for part in text.split(",")]
    if len(paths) > 2 or any(path.suffix.lower() != ".npy" for path in paths):
        raise InputError(f"'{text[:200]}' is no pair of .npy files; write samples, labels as x.npy,y.npy, or put "
                         "x_train.npy, y_train.npy and so on into a folder and give that")
    return Arrays({key: read_npy(path, "the data", KINDS) for key, path in zip(PAIR, paths, strict=False)})


def read_folder(folder: Path, files: list[Path]) -> Arrays:
    """The .npy `files` of a folder, named as the arrays of an .npz: x_train.npy, y_train.npy, ..., or x.npy, y.npy."""
    found = {path.stem: path for path in files}
    check_names(found, lambda why: InputError(f"the data folder '{folder}' {why}"))
    return Arrays({key: read_npy(found[key], "the data", KINDS) for key in sorted(found)})
