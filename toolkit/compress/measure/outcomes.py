"""What outputs are worth beside labels, and beside the original's outputs."""

from __future__ import annotations

import numpy as np

from toolkit.design.formats import FixedPoint


def right(outputs: np.ndarray, labels: np.ndarray | None, task: str) -> np.ndarray | None:
    """Whether each sample (each bit, where labels are bits) is right; None where labels are values."""
    if labels is None or task == "values":
        return None
    if task == "bits":
        return np.asarray((outputs > 0) == labels)
    return np.asarray(outputs.argmax(axis=1) == labels)


def accuracy(outputs: np.ndarray, labels: np.ndarray | None, task: str) -> float | None:
    """The share of samples (of bits, where labels are bits) that are right; None where labels are values."""
    found = right(outputs, labels, task)
    return None if found is None else float(found.mean())


def task_ber(outputs: np.ndarray, labels: np.ndarray | None, task: str) -> float | None:
    """The share of bit errors among those decided, against those sent; None where labels are not bits."""
    if labels is None or task != "bits":
        return None
    return float(((outputs > 0) != labels).mean())


def error(outputs: np.ndarray, labels: np.ndarray | None, task: str) -> float | None:
    """Root of the mean squared error against labels that are values; None where they are none."""
    if labels is None or task != "values":
        return None
    return float(np.sqrt(((outputs - labels) ** 2).mean()))


def output_ber(outputs: np.ndarray, theirs: np.ndarray, form: FixedPoint | None) -> float:
    """The share of bits that differ between outputs and what the original gives, as codes of `form` or as float32."""
    if form is None:
        patterns = outputs.astype(np.float32).view(np.uint32) ^ theirs.astype(np.float32).view(np.uint32)
        return float(np.bitwise_count(patterns).sum()) / (32 * outputs.size)
    ours, theirs = (form.quantise(np.nan_to_num(values)) for values in (outputs, theirs))
    different = (ours ^ theirs) & ((1 << form.width) - 1)
    return float(np.bitwise_count(different).sum()) / (form.width * outputs.size)
