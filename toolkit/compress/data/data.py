"""The data that a network is calibrated, trained and measured on: checked once, here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.capture.ports import input_names, inputs_of, required_inputs
from toolkit.compress.data import entry_point, source
from toolkit.compress.data.arrays import SPLIT, Arrays
from toolkit.compress.data.described import described
from toolkit.compress.data.labels import TASKS, check_all_known, checked_rows, inferred_task, typed_labels
from toolkit.compress.data.several import (
    PLACE,
    Samples,
    Target,
    all_joined,
    check_targets,
    grouped,
    in_order,
    typed,
)
from toolkit.compress.data.split import held_out, in_three
from toolkit.design.ports import Port, consecutive
from toolkit.utils.errors import InputError

RANDOM = 2048
"""Samples that are drawn where there are no data; fewer of more than RANDOM_ELEMENTS together."""
RANDOM_ELEMENTS = 1 << 24
OUTLIER, FEW, ENOUGH = 64.0, 1000, 64
"""At most one value in FEW (and one in any case) that exceeds OUTLIER times all others is an outlier, of features with
ENOUGH values that are not 0."""
MANY = 100
"""Where more than one sample in MANY holds an outlier, none is one."""


@dataclass(frozen=True, eq=False)
class Data:
    """Samples float32 (n, *shape). Labels are int64 classes (n,), bits uint8 (n, outputs), float32 targets
    (n, outputs), or None: then a network learns to give what the original gives. Training samples train and calibrate,
    validation samples are what choices are made by, test samples are what is reported. `notes`: what is odd about the
    data but no error. `raw`: the samples were given as bytes (uint8), which the hardware takes as they are. `classes`:
    the names of classes 0, 1, ..., where they have names.

    `inputs`: which elements of a sample are which of several inputs, one after the other; then a sample is a row of
    all of them. `targets`: which columns of the labels, all float32 then, are of which of several outputs."""

    x_train: np.ndarray
    y_train: np.ndarray | None
    x_val: np.ndarray
    y_val: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray | None
    notes: tuple[str, ...] = field(default=())
    raw: bool = False
    classes: tuple[str, ...] = ()
    inputs: tuple[Port, ...] = ()
    targets: tuple[Target, ...] = ()

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.x_train.shape[1:]

    @classmethod
    def of(cls, x_train: Samples, y_train: Samples | None = None, x_test: Samples | None = None,
           y_test: Samples | None = None, task: str | None = None, *, x_val: Samples | None = None,
           y_val: Samples | None = None, seed: int = 0, classes: tuple[str, ...] = (),
           notes: tuple[str, ...] = ()) -> Data:
        """Check arrays of any real type. Without validation samples some training samples are held out (by `seed`, as
        many of each class as its share); without test samples the validation samples are reported on, or, where
        there are no labels, all samples. Notes say so.

        Samples of several inputs are a dict of arrays by the inputs' names; labels of several outputs are one by the
        outputs' names.

        `task` says what the labels are; without it, whole numbers are classes, rows of 0 and 1 are bits (or classes,
        where each row holds a single 1), and all others are values. `classes` and `notes` are what is known of them
        already.
        """
        told = list(notes)
        if task not in (None, *TASKS):
            raise InputError(f"unknown task '{task}'; known are {', '.join(TASKS)}")
        if x_val is None and y_val is not None:
            raise InputError("y_val holds labels of validation samples, but there is no x_val")
        given: dict[str, tuple[Any, Any]] = {"train": (x_train, y_train), "val": (x_val, y_val),
                                             "test": (x_test, y_test)}
        given, inputs = all_joined(given, told)
        raw = not inputs and _all_bytes({f"x_{key}": x for key, (x, _) in given.items()
                                         if key == "train" or x is not None})
        samples = {key: _samples(f"x_{key}", x) for key, (x, _) in given.items() if key == "train" or x is not None}
        for key, x in samples.items():
            if x.shape[1:] != samples["train"].shape[1:]:
                raise InputError(f"x_train has samples of shape {samples['train'].shape[1:]}, x_{key} of {x.shape[1:]}")
        if any(isinstance(y, Mapping) for _, y in given.values()):
            if any(y is not None and not isinstance(y, Mapping) for _, y in given.values()):
                raise InputError("the labels of train, val and test come in two ways; give them by output in each, or "
                                 "in none")
            labels, targets = typed({key: given[key][1] for key in samples}, {k: len(x) for k, x in samples.items()},
                                    task)
            chosen = "outputs"
        else:
            labels, chosen = cls._labels(given, samples, task, told)
            targets = ()
        if labels.get("val") is None and "val" in samples and labels["train"] is not None:
            raise InputError("x_val has no labels, x_train has; give y_val, or leave both out")
        flat = samples["train"].reshape(len(samples["train"]), -1)
        constant = np.flatnonzero(flat.min(axis=0) == flat.max(axis=0))
        if len(constant) == flat.shape[1]:
            raise InputError("every input feature is constant in x_train; there is nothing to learn from")
        if len(constant):
            shown = ", ".join(map(str, constant[:8])) + (", ..." if len(constant) > 8 else "")
            told.append(f"{len(constant)} of {flat.shape[1]} input features are constant in x_train ({shown})")
        for key in ("val", "test"):
            check_all_known(key, labels["train"], labels.get(key))
        whole = samples["train"]
        if "val" not in samples:
            note, (samples["train"], labels["train"]), (samples["val"], labels["val"]) = \
                held_out(samples["train"], labels["train"], seed)
            told.append(note)
        if "test" not in samples and labels["train"] is None:
            samples["test"] = whole
            told.append("there are no test samples: what is reported is measured on all the samples that were given")
        elif "test" not in samples:
            samples["test"], labels["test"] = samples["val"], labels["val"]
            told.append("there are no test samples: what is reported is measured on the validation samples, by which "
                         "choices are made too")
        return cls(samples["train"], labels["train"], samples["val"], labels["val"], samples["test"],
                   labels.get("test"), tuple(told), raw, classes if chosen == "classes" else (), inputs, targets)

    @staticmethod
    def _labels(given: Mapping[str, tuple[Any, Any]], samples: Mapping[str, np.ndarray], task: str | None,
                told: list[str]) -> tuple[dict[str, np.ndarray | None], str]:
        """Labels of one output, by train, val and test, in the type of their task; and the task."""
        rows = {key: checked_rows(f"y_{key}", given[key][1], len(x)) for key, x in samples.items()}
        if rows.get("val") is None and "val" in samples and rows["train"] is not None:
            raise InputError("x_val has no labels, x_train has; give y_val, or leave both out")
        known = [y for y in rows.values() if y is not None]
        chosen = task or inferred_task(known)
        for y in known[:1]:
            told += _one_hot(y, task, chosen)
        return {key: typed_labels(f"y_{key}", y, chosen) for key, y in rows.items()}, chosen

    @classmethod
    def split(cls, x: np.ndarray, y: np.ndarray | None = None, task: str | None = None, *, seed: int = 0,
              classes: tuple[str, ...] = (), notes: tuple[str, ...] = ()) -> Data:
        """As `of`, of samples that come without a split: three fifths to train on, a fifth to choose by and a fifth to
        report on (10,000 at the most for each of the two), drawn by `seed`, as many of each class as its share. A note
        says so. Without labels, or where there are too few samples, only validation samples are held out."""
        rows = None if y is None else checked_rows("y", y, len(x))
        if rows is not None:
            kind = task if task in TASKS else inferred_task([rows])
            groups = typed_labels("y", rows, kind) if kind == "classes" else None
            parts = in_three(groups, len(x), seed)
            if parts is not None:
                assert y is not None
                x, y = np.asarray(x), np.asarray(y)
                train, val, test = (int(part.sum()) for part in parts)
                how = "as many of each class as its share, " if groups is not None else ""
                note = (f"x and y come without a split: {train:,} samples are to train on, {val:,} to make choices by "
                        f"and {test:,} to report on ({how}drawn by seed {seed})")
                return cls.of(x[parts[0]], y[parts[0]], x[parts[2]], y[parts[2]], kind, x_val=x[parts[1]],
                              y_val=y[parts[1]], seed=seed, classes=classes,
                              notes=(*notes, note, *_one_hot(rows, task, kind)))
        return cls.of(x, y, task=task, seed=seed, classes=classes, notes=notes)

    @classmethod
    def load(cls, path: Path | str, task: str | None = None, *, label_column: str | None = None) -> Data:
        """Read what `path` names: an .npz file, `x.npy,y.npy`, a folder of .npy files or of images by class, a .csv
        table (labels in `label_column`), or `package.module:callable` (docs/data.md). No pickle is loaded. Samples that
        come as x and y are split as in `split`, all others as in `of`. Raises InputError for what cannot be used."""
        found = source.read(str(path), label_column)
        if isinstance(found, Data):
            return found
        arrays = found if isinstance(found, Arrays) else entry_point.arrays_of(found, str(path))
        named: Any = {"classes": arrays.classes, "notes": arrays.notes}
        if arrays.classes and task not in (None, "classes"):
            raise InputError(f"the labels are names of classes ({', '.join(arrays.classes[:3])}, ...), which are no "
                             f"{task}")
        one: dict[str, Any] = grouped(arrays.found)
        if "x" in one:
            return cls.split(one["x"], one.get("y"), task, **named)
        return cls.of(one["x_train"], one.get("y_train"), one.get("x_test"), one.get("y_test"), task,
                      x_val=one.get("x_val"), y_val=one.get("y_val"), **named)

    @classmethod
    def uniform(cls, shape: tuple[int, ...], low: float, high: float, seed: int = 0) -> Data:
        """Random samples without labels, for a model that comes without data; a note says so."""
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise InputError(f"an input range of {low:g}..{high:g} holds nothing; give LOW,HIGH as -1,1")
        count = max(min(RANDOM, RANDOM_ELEMENTS // int(np.prod(shape))), 16)
        rng = np.random.default_rng(seed)
        train, test, val = (rng.uniform(low, high, (n, *shape)).astype(np.float32)
                            for n in (count, max(count // 2, 8), max(count // 4, 8)))
        note = (f"no data were given: the network was calibrated, trained and measured on {count} + {len(val)} + "
                f"{len(test)} random inputs, uniform over {low:g}..{high:g} (--input-range), so that there is no "
                "accuracy; give --data for real figures")
        return cls(train, None, val, None, test, None, (note,))

    def described(self) -> dict[str, Any]:
        """What is in the data: samples, shape, range, classes and their shares (`toolkit.compress.data.described`)."""
        return described(self)

    @property
    def without_test(self) -> Data:
        """The same with the validation samples in the test samples' place: all that may be looked at while a network
        is made or chosen."""
        return Data(self.x_train, self.y_train, self.x_val, self.y_val, self.x_val, self.y_val, self.notes, self.raw,
                    self.classes, self.inputs, self.targets)

    def arranged(self, model: object) -> Data:
        """The samples with their axes as `model` takes them: an .onnx file of channels-last images is channels first
        here, and several inputs stand in the model's order. Raises InputError for samples that do not fit such a
        model."""
        if self.inputs or inputs_of(model):
            return self._sorted(model)
        if (needed := required_inputs(model)) > 1:
            names = input_names(model)
            raise InputError(f"the model takes {needed} inputs ({', '.join(names[:8])}), and the data hold samples of "
                             f"one; give arrays of each: {names[0]}_train, {names[1]}_train, ...")
        axes, shape = getattr(model, "sample_axes", None), getattr(model, "sample_shape", None)
        if axes is None or shape is None:
            return self
        theirs = tuple(shape[axes.index(i)] for i in range(len(axes)))
        if self.sample_shape == theirs:
            order = (0, *(a + 1 for a in axes))
            return replace(self, x_train=np.ascontiguousarray(self.x_train.transpose(order)),
                           x_val=np.ascontiguousarray(self.x_val.transpose(order)),
                           x_test=np.ascontiguousarray(self.x_test.transpose(order)))
        if self.sample_shape == shape:
            return self
        raise InputError(f"the data have samples of shape {self.sample_shape}, the model takes {theirs}")

    def _sorted(self, model: object) -> Data:
        """As `arranged`, of a model of several inputs."""
        known, names = inputs_of(model), input_names(model)
        own = self.inputs or (known if self.x_train.ndim == 2 and self.sample_shape == (sum(p.size for p in known),)
                              else ())
        if not own:
            told = ", ".join(f"{port.name} of shape {port.shape}" for port in known)
            raise InputError(f"the model takes {len(known)} inputs ({told}), and the data hold samples of one, of "
                             f"shape {self.sample_shape}; give arrays of each: {known[0].name}_train, and so on")
        if names and all(PLACE.fullmatch(port.name) for port in own) and len(own) <= len(names):
            own = tuple(replace(port, name=name) for port, name in zip(own, names, strict=False))
        if names and not (set(names) >= {port.name for port in own} and
                          len(own) >= (len(known) or required_inputs(model))):
            raise InputError(f"the model takes the {'inputs' if len(names) > 1 else 'one input'} "
                             f"{', '.join(names[:8])}, and the data hold {', '.join(port.name for port in own[:8])}")
        if not known and names and {port.name for port in own} != set(names[:len(own)]):
            raise InputError(f"the model takes the inputs {', '.join(names[:8])} in this order, and the data hold "
                             f"{', '.join(port.name for port in own[:8])}, which leaves out one before another")
        order = known or consecutive((port.name, port.shape) for name in names or [p.name for p in own]
                                     for port in own if port.name == name)
        axes = dict(zip(names, getattr(model, "input_axes", ()), strict=False))
        for port in order:
            given = next(p.shape for p in own if p.name == port.name)
            theirs = tuple(port.shape[axes[port.name].index(i)] for i in range(len(port.shape))) \
                if port.name in axes else port.shape
            if given not in (port.shape, theirs):
                raise InputError(f"the data have samples of shape {given} for the input '{port.name}', the model takes "
                                 f"{theirs}")
        x_train, x_val, x_test = (in_order(x, own, order, axes) for x in (self.x_train, self.x_val, self.x_test))
        return replace(self, inputs=order, x_train=x_train, x_val=x_val, x_test=x_test)

    def save(self, path: Path) -> None:
        """Write what `load` reads of samples of one input and labels of one output."""
        found = {key: getattr(self, key) for key in SPLIT if getattr(self, key) is not None}
        np.savez(path, allow_pickle=False, **{key: array.astype(np.uint8) if self.raw and key.startswith("x") else array
                                              for key, array in found.items()})

    def check_outputs(self, shape: tuple[int, ...], ports: tuple[Port, ...] = ()) -> None:
        """Raise InputError unless the labels fit a network with outputs of such a shape, or with several outputs:
        `ports` of the row that they make."""
        if self.targets:
            check_targets(self.targets, ports, {"y_train": self.y_train, "y_val": self.y_val, "y_test": self.y_test})
            return
        if ports:
            shape = (ports[0].size,)
        if len(shape) != 1 and self.y_train is not None:
            raise InputError(f"the network's outputs are of shape {shape}, the labels one row a sample; end the "
                             "network in a Flatten, or give no labels")
        outputs = shape[0]
        for name, labels in (("y_train", self.y_train), ("y_val", self.y_val), ("y_test", self.y_test)):
            if labels is None:
                continue
            if labels.ndim == 1 and labels.dtype == np.int64:
                if labels.min() < 0 or labels.max() >= outputs:
                    bad = labels.min() if labels.min() < 0 else labels.max()
                    raise InputError(f"{name} holds the label {bad}; the network's {outputs} outputs take labels "
                                     f"0..{outputs - 1} (if these are no classes, say --task bits or --task values)")
            elif labels.shape[1] != outputs:
                raise InputError(f"{name} has {labels.shape[1]} targets a sample, the network {outputs} outputs")

    @property
    def task(self) -> str:
        """`classes`, `bits`, `values` or `none`; `outputs` of labels of several outputs."""
        if self.targets:
            return "outputs"
        for key in ("y_train", "y_val", "y_test"):
            labels = getattr(self, key)
            if labels is not None:
                return {"int64": "classes", "uint8": "bits"}.get(labels.dtype.name, "values")
        return "none"

    def calibration(self, most: int) -> np.ndarray:
        """At most `most` training samples, in their order: spread evenly over the classes, with at least one of each;
        without those that hold an outlier."""
        return without_outliers(self._spread(most))

    def _spread(self, most: int) -> np.ndarray:
        count = len(self.x_train)
        if count <= most:
            return self.x_train
        spread = np.linspace(0, count - 1, most).astype(int)
        if self.y_train is None or self.y_train.ndim != 1:
            return self.x_train[spread]
        first = np.unique(self.y_train, return_index=True)[1]
        return self.x_train[np.union1d(np.argsort(self.y_train, kind="stable")[spread], first)]


def without_outliers(samples: np.ndarray) -> np.ndarray:
    """The samples (n, *shape) without those that hold an outlier of their feature (of images: channel): one such value
    would set the range of all others, whatever error is minimised. Outliers saturate in hardware."""
    rows = samples.reshape(*samples.shape[:2], -1)
    keep = np.ones(len(rows), bool)
    for feature in range(rows.shape[1]):
        size = np.abs(rows[:, feature].astype(np.float64)).max(axis=1)
        live = np.sort(size[size > 0])
        if len(live) < ENOUGH:
            continue
        bound = OUTLIER * live[-1 - max(len(live) // FEW, 1)]
        keep &= size <= bound
    return samples if (~keep).sum() > max(len(rows) // MANY, 1) else samples[keep]


def _all_bytes(samples: dict[str, np.ndarray | None]) -> bool:
    """Whether all samples are bytes; raises InputError where some are and some are not."""
    kinds = {name: np.asarray(x).dtype for name, x in samples.items()}
    raw = [name for name, kind in kinds.items() if kind == np.uint8]
    other = next((name for name in kinds if name not in raw), None)
    if raw and other is not None:
        raise InputError(f"{raw[0]} holds bytes (uint8), which the hardware takes as they are, but {other} holds "
                         f"{kinds[other]}; give all samples as bytes, or none")
    return bool(raw)


def _one_hot(rows: np.ndarray, task: str | None, found: str) -> list[str]:
    """What is said of rows with a single 1."""
    if task is not None or found != "classes" or rows.shape[1] == 1:
        return []
    return ["the labels are rows with a single 1: they are taken as classes (--task bits: as bits)"]


def _samples(name: str, values: np.ndarray | None) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "fiub" or values.ndim < 2 or values.size == 0:
        raise InputError(f"{name} must hold numbers of shape (samples, features...), not {values.dtype} of shape "
                         f"{values.shape}")
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        place = np.argwhere(~np.isfinite(values))[0]
        raise InputError(f"{name} holds NaN or infinity, first in sample {place[0]}")
    return values
