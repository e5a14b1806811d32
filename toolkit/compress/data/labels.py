"""What labels are: classes, bits or values; checked, and in the type that stands for their task."""

from __future__ import annotations

import numpy as np

from toolkit.utils.errors import InputError

TASKS = ("classes", "bits", "values")


def checked_rows(name: str, values: np.ndarray | None, samples: int) -> np.ndarray | None:
    """Labels as rows (samples, targets), all of them finite numbers."""
    if values is None:
        return None
    values = np.asarray(values)
    if values.dtype.kind not in "fiub" or len(values) != samples or values.ndim not in (1, 2) or values.size == 0:
        raise InputError(f"{name} must hold one label (or row of targets) for each of {samples} samples, not "
                         f"{values.dtype} of shape {values.shape}")
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds NaN or infinity")
    return values.reshape(samples, -1)


def inferred_task(labels: list[np.ndarray]) -> str:
    """What rows of labels are, inferred from their values."""
    if all(y.shape[1] == 1 for y in labels):
        whole = all(y.dtype.kind in "iub" or (np.array_equal(y, np.rint(y)) and y.min() >= 0) for y in labels)
        several = any(y.dtype.kind in "iub" or len(np.unique(y)) > 1 for y in labels)
        return "classes" if whole and several else "values"
    if not all(np.isin(y, (0, 1)).all() for y in labels):
        return "values"
    return "classes" if all((y.sum(axis=1) == 1).all() for y in labels) else "bits"


def typed_labels(name: str, values: np.ndarray | None, task: str) -> np.ndarray | None:
    """Rows of labels in the type that stands for their task."""
    if values is None:
        return None
    if task == "values":
        return values.astype(np.float32)
    if not np.array_equal(values, np.rint(values)):
        raise InputError(f"{name} holds fractions, which are no {task}; say --task values")
    if task == "bits":
        if not np.isin(values, (0, 1)).all():
            raise InputError(f"{name} holds {values.max():g}, which is not a bit; bits are 0 or 1")
        return values.astype(np.uint8)
    if values.shape[1] == 1:
        return values.reshape(-1).astype(np.int64)
    if not (np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all()):
        raise InputError(f"{name} has {values.shape[1]} numbers a sample; classes are one number each, or rows with a "
                         "single 1")
    return values.argmax(axis=1).astype(np.int64)


def check_all_known(key: str, y_train: np.ndarray | None, labels: np.ndarray | None) -> None:
    """Raise InputError for a class that no training sample has."""
    if y_train is None or labels is None or y_train.dtype != np.int64 or labels.dtype != np.int64:
        return
    missing = sorted(set(labels.tolist()) - set(y_train.tolist()))
    if missing:
        raise InputError(f"y_train holds no sample of {_listed(missing)}, which y_{key} holds: calibration and "
                         f"training would not know it; add such samples, or take the class out of y_{key}")


def _listed(classes: list[int]) -> str:
    shown = ", ".join(map(str, classes[:8])) + (", ..." if len(classes) > 8 else "")
    return f"class {shown}" if len(classes) == 1 else f"the classes {shown}"
