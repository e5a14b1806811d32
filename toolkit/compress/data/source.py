"""`--data`: which reader takes what was named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from toolkit.compress.data import entry_point
from toolkit.compress.data.arrays import Arrays
from toolkit.compress.data.images import SUFFIXES, read_images
from toolkit.compress.data.npy import read_folder, read_pair
from toolkit.compress.data.npz import read_npz
from toolkit.compress.data.table import read_csv
from toolkit.utils.errors import InputError

KNOWN = ("an .npz file, a pair x.npy,y.npy, a folder of .npy files or of images by class, a .csv table, or "
         "package.module:callable")
ENTRY_POINT = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def read(source: str, label_column: str | None = None) -> Any:
    """What `source` names, as Arrays; of a `package.module:callable` whatever it returned, where that is neither arrays
    nor data sets. `label_column` is of a .csv table. Raises InputError for what cannot be read."""
    path, suffix = Path(source), Path(source).suffix.lower()
    if label_column is not None and suffix != ".csv":
        raise InputError(f"--label-column is of a .csv table, and the data '{source[:200]}' are none")
    if path.is_dir():
        return _folder(path)
    if suffix == ".csv":
        return read_csv(path, label_column)
    if suffix == ".npy" or (".npy," in source.lower() and not path.exists()):
        return read_pair(source)
    if ENTRY_POINT.fullmatch(source) and not path.exists():
        return entry_point.call(source)
    if suffix != ".npz":
        if not path.exists():
            raise InputError(f"the data '{source[:200]}' do not exist; give {KNOWN}")
        more = "; what torch or pickle saved is never loaded: return it from a function of your own" \
            if suffix in (".pt", ".pth", ".pkl", ".pickle") else ""
        raise InputError(f"the data '{source[:200]}' are of no kind that is read here; give {KNOWN}{more}")
    return read_npz(path)


def _folder(folder: Path) -> Arrays:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"the data folder '{folder}' cannot be read: {error.strerror or error}") from error
    files = [path for path in entries if path.suffix.lower() == ".npy" and not path.name.startswith(".")]
    folders = [path for path in entries if path.is_dir() and not path.name.startswith(".")]
    if files and not folders:
        return read_folder(folder, files)
    if folders and not files:
        return read_images(folder)
    images = any(path.suffix.lower() in SUFFIXES for path in entries)
    raise InputError(f"the data folder '{folder}' " + (
        "holds .npy files and folders beside each other; leave one kind" if files else
        "holds images, but no folder for each class; sort them into folders named as the classes" if images else
        "holds neither x_train.npy, y_train.npy, ... nor a folder of images for each class"))
