"""The data that a network is calibrated, trained and measured on: checked once, here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from toolkit.utils.errors import InputError
from toolkit.utils.untrusted import Archive

SPARE = 1 << 24
"""Numbers that a file may hold, and PER_BYTE more for each byte of it: deflate can make a thousand out of one."""
PER_BYTE = 32
RANDOM = 2048
"""Samples that are drawn where there are no data; fewer of more than RANDOM_ELEMENTS together."""
RANDOM_ELEMENTS = 1 << 24
OUTLIER, FEW, ENOUGH = 64.0, 1000, 64
"""At most one value in FEW (and one in any case) that exceeds OUTLIER times all others is an outlier, of features with
ENOUGH values that are not 0."""
MANY = 100
"""Where more than one sample in MANY holds an outlier, none is one."""
TASKS = ("classes", "bits", "values")
FILE_KEYS = ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test")
HELD_OUT, MOST_HELD_OUT = 0.2, 10_000
"""Share of the training samples that become validation samples where none are given, and how many at the most."""


@dataclass(frozen=True, eq=False)
class Data:
    """Samples float32 (n, *shape). Labels are int64 classes (n,), bits uint8 (n, outputs), float32 targets
    (n, outputs), or None: then a network learns to give what the original gives. Training samples train and calibrate,
    validation samples are what choices are made by, test samples are what is reported. `notes`: what is odd about the
    data but no error."""

    x_train: np.ndarray
    y_train: np.ndarray | None
    x_val: np.ndarray
    y_val: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray | None
    notes: tuple[str, ...] = field(default=())

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.x_train.shape[1:]

    @classmethod
    def of(cls, x_train: np.ndarray, y_train: np.ndarray | None = None, x_test: np.ndarray | None = None,
           y_test: np.ndarray | None = None, task: str | None = None, *, x_val: np.ndarray | None = None,
           y_val: np.ndarray | None = None, seed: int = 0) -> Data:
        """Check arrays of any real type. Without validation samples some training samples are held out (by `seed`, as
        many of each class as its share); without test samples the validation samples are reported on, or, where
        there are no labels, all samples. Notes say so.

        `task` says what the labels are; without it, whole numbers are classes, rows of 0 and 1 are bits (or classes,
        where each row holds a single 1), and all others are values.
        """
        notes = []
        if task not in (None, *TASKS):
            raise InputError(f"unknown task '{task}'; known are {', '.join(TASKS)}")
        if x_val is None and y_val is not None:
            raise InputError("y_val holds labels of validation samples, but there is no x_val")
        given = {"train": (x_train, y_train), "val": (x_val, y_val), "test": (x_test, y_test)}
        samples = {key: _samples(f"x_{key}", x) for key, (x, _) in given.items() if key == "train" or x is not None}
        for key, x in samples.items():
            if x.shape[1:] != samples["train"].shape[1:]:
                raise InputError(f"x_train has samples of shape {samples['train'].shape[1:]}, x_{key} of {x.shape[1:]}")
        rows = {key: _checked(f"y_{key}", given[key][1], len(x)) for key, x in samples.items()}
        if rows.get("val") is None and "val" in samples and rows["train"] is not None:
            raise InputError("x_val has no labels, x_train has; give y_val, or leave both out")
        known = [y for y in rows.values() if y is not None]
        chosen = task or _task(known)
        if task is None and chosen == "classes" and any(y.shape[1] > 1 for y in known):
            notes.append("the labels are rows with a single 1: they are taken as classes (--task bits: as bits)")
        labels = {key: _labels(f"y_{key}", y, chosen) for key, y in rows.items()}
        flat = samples["train"].reshape(len(samples["train"]), -1)
        constant = np.flatnonzero(flat.min(axis=0) == flat.max(axis=0))
        if len(constant) == flat.shape[1]:
            raise InputError("every input feature is constant in x_train; there is nothing to learn from")
        if len(constant):
            shown = ", ".join(map(str, constant[:8])) + (", ..." if len(constant) > 8 else "")
            notes.append(f"{len(constant)} of {flat.shape[1]} input features are constant in x_train ({shown})")
        for key in ("val", "test"):
            _all_known(key, labels["train"], labels.get(key))
        whole = samples["train"]
        if "val" not in samples:
            note, (samples["train"], labels["train"]), (samples["val"], labels["val"]) = \
                _held_out(samples["train"], labels["train"], seed)
            notes.append(note)
        if "test" not in samples and labels["train"] is None:
            samples["test"] = whole
            notes.append("there are no test samples: what is reported is measured on all the samples that were given")
        elif "test" not in samples:
            samples["test"], labels["test"] = samples["val"], labels["val"]
            notes.append("there are no test samples: what is reported is measured on the validation samples, by which "
                         "choices are made too")
        return cls(samples["train"], labels["train"], samples["val"], labels["val"], samples["test"],
                   labels.get("test"), tuple(notes))

    @classmethod
    def load(cls, path: Path | str, task: str | None = None) -> Data:
        """Read an .npz with x_train, y_train, x_val, y_val, x_test, y_test (the last four may be missing), or x and
        perhaps y, as `of`. No pickle is loaded. Raises InputError for an array of any other name."""
        with Archive(Path(path), "the data", SPARE, PER_BYTE) as archive:
            names = {name.removesuffix(".npy") for name in archive.members}
            if "x_train" not in names and "x" not in names:
                raise archive.fail(f"holds {', '.join(sorted(names))[:80] or 'nothing'}; it must hold x_train, "
                                   "y_train, x_test, y_test, or x and y")
            if foreign := sorted(names - ({"x", "y"} if "x" in names else set(FILE_KEYS))):
                raise archive.fail(f"holds '{foreign[0][:60]}', which is not understood; it must hold x_train, "
                                   "y_train, x_val, y_val, x_test, y_test, or x and y, and nothing else")
            try:
                found = {key: archive.array(f"{key}.npy", "fiub") for key in ("x", "y", *FILE_KEYS) if key in names}
            except KeyError as error:
                raise archive.fail(f"has no member {error}; an array is stored under its name and '.npy'") from error
            except MemoryError as error:
                raise archive.fail("needs more memory than there is") from error
        if "x" in found:
            return cls.of(found["x"], found.get("y"), task=task)
        return cls.of(found["x_train"], found.get("y_train"), found.get("x_test"), found.get("y_test"), task,
                      x_val=found.get("x_val"), y_val=found.get("y_val"))

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

    @property
    def without_test(self) -> Data:
        """The same with the validation samples in the test samples' place: all that may be looked at while a network
        is made or chosen."""
        return Data(self.x_train, self.y_train, self.x_val, self.y_val, self.x_val, self.y_val, self.notes)

    def arranged(self, model: object) -> Data:
        """The samples with their axes as `model` takes them: an .onnx file of channels-last images is channels first
        here. Raises InputError for samples that do not fit such a model."""
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

    def save(self, path: Path) -> None:
        """Write what `load` reads."""
        np.savez(path, allow_pickle=False, **{key: getattr(self, key) for key in FILE_KEYS
                                              if getattr(self, key) is not None})

    def check_outputs(self, shape: tuple[int, ...]) -> None:
        """Raise InputError unless the labels fit a network with outputs of such a shape."""
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
        """`classes`, `bits`, `values` or `none`."""
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


def _checked(name: str, values: np.ndarray | None, samples: int) -> np.ndarray | None:
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


def _task(labels: list[np.ndarray]) -> str:
    """What rows of labels are, inferred from their values."""
    if all(y.shape[1] == 1 for y in labels):
        whole = all(y.dtype.kind in "iub" or (np.array_equal(y, np.rint(y)) and y.min() >= 0) for y in labels)
        several = any(y.dtype.kind in "iub" or len(np.unique(y)) > 1 for y in labels)
        return "classes" if whole and several else "values"
    if not all(np.isin(y, (0, 1)).all() for y in labels):
        return "values"
    return "classes" if all((y.sum(axis=1) == 1).all() for y in labels) else "bits"


def _labels(name: str, values: np.ndarray | None, task: str) -> np.ndarray | None:
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


def _all_known(key: str, y_train: np.ndarray | None, labels: np.ndarray | None) -> None:
    """Raise InputError for a class that no training sample has."""
    if y_train is None or labels is None or y_train.dtype != np.int64 or labels.dtype != np.int64:
        return
    missing = sorted(set(labels.tolist()) - set(y_train.tolist()))
    if missing:
        raise InputError(f"y_train holds no sample of {_listed(missing)}, which y_{key} holds: calibration and "
                         f"training would not know it; add such samples, or take the class out of y_{key}")


Part = tuple[np.ndarray, np.ndarray | None]


def _held_out(x: np.ndarray, y: np.ndarray | None, seed: int) -> tuple[str, Part, Part]:
    """(note, training part, validation part): HELD_OUT of the samples drawn evenly from the classes, both parts in
    their old order. One sample of each class always stays to train on; too few samples are not split."""
    count = len(x)
    wanted = min(round(HELD_OUT * count), MOST_HELD_OUT)
    classes = y if y is not None and y.dtype == np.int64 else np.zeros(count, np.int64)
    order = np.lexsort((np.random.default_rng(seed).random(count), classes))
    first = np.unique(classes[order], return_index=True)[1]
    pool = np.delete(order, first)
    if not 0 < wanted <= len(pool):
        return (f"no validation samples were given, and {count} training samples are too few to hold some out: choices "
                "are made on the training samples"), (x, y), (x, y)
    held = np.zeros(count, bool)
    held[pool[((np.arange(wanted) + 0.5) * len(pool) / wanted).astype(int)]] = True
    how = "as many of each class as its share, " if classes is y else ""
    note = (f"no validation samples were given: {wanted:,} of {count:,} training samples "
            f"({100 * wanted / count:.0f} %, {how}drawn by seed {seed}) are held out to make choices by; "
            f"{count - wanted:,} are left to train on")
    parts = [(x[mask], None if y is None else y[mask]) for mask in (~held, held)]
    return note, parts[0], parts[1]


def _listed(classes: list[int]) -> str:
    shown = ", ".join(map(str, classes[:8])) + (", ..." if len(classes) > 8 else "")
    return f"class {shown}" if len(classes) == 1 else f"the classes {shown}"
