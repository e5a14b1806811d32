"""What is in the data: samples, shape, range, classes and their shares."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolkit.design.ports import entries

PARTS = ("train", "val", "test")


def described(data: Any) -> dict[str, Any]:
    """`shape` of a sample, `bytes` (whether the samples are raw bytes), `task`, `classes` (names; numbers where they
    have none), and for each of train, val and test: `samples`, `low` and `high` (the least and the greatest number of
    all), and what its labels hold: `shares` of the classes in their order, the share of `ones` of bits, or
    `target_low` and `target_high`."""
    labels = [getattr(data, f"y_{part}") for part in PARTS]
    count = 0
    if data.task == "classes":
        count = max(len(data.classes), *(int(y.max()) + 1 for y in labels if y is not None))
    names = [*data.classes, *(str(i) for i in range(len(data.classes), count))]
    if data.task == "classes" and not data.classes:
        used = np.unique(np.concatenate([y for y in labels if y is not None]))
        names = [str(i) for i in used]
    else:
        used = np.arange(count)
    parts = {part: _part(getattr(data, f"x_{part}"), None if data.targets else y, used)
             for part, y in zip(PARTS, labels, strict=True)}
    several = {"inputs": entries(data.inputs)} if data.inputs else {}
    if data.targets:
        several["targets"] = [{"output": one.output, "task": one.task} for one in data.targets]
    return {"shape": list(data.sample_shape), "bytes": data.raw, "task": data.task, "classes": names, **several,
            **parts}


def _part(x: np.ndarray, y: np.ndarray | None, used: np.ndarray) -> dict[str, Any]:
    found: dict[str, Any] = {"samples": len(x), "low": float(x.min()), "high": float(x.max())}
    if y is None:
        return found
    if y.dtype == np.int64:
        counts = (y[:, None] == used).sum(axis=0) if len(used) < 64 else np.array([(y == one).sum() for one in used])
        found["shares"] = [float(count) / len(y) for count in counts]
    elif y.dtype == np.uint8:
        found["ones"] = float(y.mean())
    else:
        found.update(target_low=float(y.min()), target_high=float(y.max()))
    return found
