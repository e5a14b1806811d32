"""Samples of several inputs, and labels of several outputs, each in one array."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.compress.data.arrays import OWN, SPLIT
from toolkit.compress.data.labels import check_all_known, checked_rows, inferred_task, typed_labels
from toolkit.design.ports import Port, consecutive
from toolkit.utils.errors import InputError

Samples = np.ndarray | Mapping[str, np.ndarray]
PLACE = re.compile(r"input_(0|[1-9]\d{0,3})")
"""What inputs are called that are told apart by their places alone."""


@dataclass(frozen=True)
class Target:
    """The labels of one output: columns `start` .. `stop` of all labels; `task` as of the labels of one output."""

    output: str
    task: str
    start: int
    stop: int


def grouped(found: Mapping[str, np.ndarray]) -> dict[str, Samples]:
    """Arrays by x_train, y_train, x_val, ...: where several inputs have arrays of their own (NAME_train, ...), or
    outputs (y_NAME_train, ...), each of those is a dict of them by name."""
    several = any(OWN.fullmatch(key) and not key.startswith("y_") and key not in SPLIT for key in found)
    made: dict[str, Samples] = {}
    for key, array in found.items():
        match = OWN.fullmatch(key)
        if match is None or (key in SPLIT and not (several and match[1] == "x")):
            made[key] = array
            continue
        side, name = ("y", match[1][2:]) if match[1].startswith("y_") else ("x", match[1])
        group = made.setdefault(f"{side}_{match[2]}", {})
        if not isinstance(group, dict):
            raise InputError(f"the data hold {side}_{match[2]} and {key}; give the labels of all outputs in one of the "
                             "two ways")
        group[name] = array
    return made


def joined(key: str, samples: Mapping[str, np.ndarray]) -> tuple[np.ndarray, tuple[Port, ...]]:
    """Samples of several inputs as rows (n, elements of all), and which elements are whose."""
    arrays = {name: np.asarray(array) for name, array in samples.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub" or array.ndim < 1 or not array.size:
            raise InputError(f"{key} of the input '{name}' must hold numbers of shape (samples, features...), not "
                             f"{array.dtype} of shape {array.shape}")
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        raise InputError(f"{key} has {', '.join(f'{n:,} samples of {name}' for name, n in counts.items())}; each input "
                         "needs as many as the others")
    ports = consecutive((name, array.shape[1:] or (1,)) for name, array in arrays.items())
    return np.concatenate([array.reshape(len(array), -1).astype(np.float32) for array in arrays.values()], 1), ports


def in_order(x: np.ndarray, ports: tuple[Port, ...], order: tuple[Port, ...],
             axes: Mapping[str, tuple[int, ...]]) -> np.ndarray:
    """Rows whose elements are `ports` as rows of the ports `order`, of the same names; the axes of one that is not of
    its shape are moved by `axes`."""
    known = {port.name: port for port in ports}
    parts = []
    for port in order:
        given = known[port.name]
        part = x[:, given.elements]
        if given.shape != port.shape:
            part = part.reshape(-1, *given.shape).transpose(0, *(a + 1 for a in axes[port.name]))
        parts.append(part.reshape(len(x), -1))
    return np.ascontiguousarray(np.concatenate(parts, 1))


def typed(labels: Mapping[str, Mapping[str, np.ndarray] | None], samples: Mapping[str, int],
          task: str | None) -> tuple[dict[str, np.ndarray | None], tuple[Target, ...]]:
    """Labels of several outputs, by train, val and test, as rows float32 (n, columns of all), and whose columns are
    which. Every part holds labels of the same outputs."""
    first = labels.get("train")
    if first is None:
        raise InputError("the data hold labels of outputs for val or test, but none for train")
    rows: dict[str, dict[str, np.ndarray]] = {}
    for part, of in labels.items():
        if of is None:
            continue
        if set(of) != set(first):
            name = sorted(set(of) ^ set(first))[0]
            raise InputError(f"the labels of the output '{name}' are there for some of train, val and test alone; give "
                             "the same outputs' for each")
        rows[part] = {name: checked for name, y in of.items()
                      if (checked := checked_rows(f"y_{name}_{part}", y, samples[part])) is not None}
    targets: list[Target] = []
    columns: dict[str, list[np.ndarray]] = {part: [] for part in rows}
    at = 0
    for name in first:
        chosen = task or inferred_task([of[name] for of in rows.values()])
        made = {part: typed_labels(f"y_{name}_{part}", of[name], chosen) for part, of in rows.items()}
        for part in rows:
            check_all_known(part, made["train"], made[part])
            one = made[part]
            assert one is not None
            columns[part].append(one.reshape(len(one), -1).astype(np.float32))
        width = columns["train"][-1].shape[1]
        targets.append(Target(name, chosen, at, at + width))
        at += width
    return {part: np.concatenate(columns[part], 1) if part in columns else None for part in labels}, tuple(targets)


Given = dict[str, tuple[Any, Any]]
"""(samples, labels) by train, val and test."""


def all_joined(given: Given, told: list[str]) -> tuple[Given, tuple[Port, ...]]:
    """Samples and labels by train, val and test, the samples of several inputs in one array; and whose is what."""
    if not any(isinstance(x, Mapping) for x, _ in given.values()):
        return given, ()
    if all(isinstance(x, Mapping) and len(x) == 1 for x, _ in given.values() if x is not None):
        return {key: (None if x is None else next(iter(x.values())), y) for key, (x, y) in given.items()}, ()
    made: Given = {}
    found: tuple[Port, ...] = ()
    for key, (x, y) in given.items():
        if x is None:
            made[key] = None, y
            continue
        if not isinstance(x, Mapping) or not x:
            raise InputError(f"x_{key} is no dict of the samples of each input, as the others are")
        if key != "train" and set(x) != {port.name for port in found}:
            raise InputError(f"x_{key} holds samples of other inputs ({', '.join(sorted(x))}) than x_train")
        joint, ports = joined(f"x_{key}", x if key == "train" else {port.name: x[port.name] for port in found})
        if key == "train" and any(np.asarray(one).dtype == np.uint8 for one in x.values()):
            told.append("bytes (uint8) among the samples of several inputs are numbers from 0 to 255, as others are")
        if key != "train" and ports != found:
            raise InputError(f"x_{key} has samples of other shapes than x_train")
        made[key], found = (joint, y), ports
    return made, found


def check_targets(targets: tuple[Target, ...], ports: tuple[Port, ...],
                  labels: Mapping[str, np.ndarray | None]) -> None:
    """Raise InputError unless labels by output, y_train and so on, fit a network of the outputs `ports`."""
    known = {port.name: port.size for port in ports}
    for target in targets:
        if target.output not in known:
            said = f"its outputs are {', '.join(list(known)[:8])}" if known else "it has one, whose labels are y_train"
            raise InputError(f"the data hold labels of the output '{target.output}', which the network has not; {said}")
        size, columns = known[target.output], target.stop - target.start
        if target.task != "classes" and columns != size:
            raise InputError(f"the data have {columns} targets a sample for the output '{target.output}', which has "
                             f"{size} elements")
        for key, rows in labels.items():
            if target.task != "classes" or rows is None:
                continue
            column = rows[:, target.start]
            wrong = column[(column < 0) | (column >= size)]
            if len(wrong):
                raise InputError(f"{key} holds the label {wrong[0]:g} of the output '{target.output}', whose {size} "
                                 f"elements take labels 0..{size - 1}")
