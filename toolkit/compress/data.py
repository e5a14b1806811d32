"""The data that a network is calibrated, trained and measured on: checked once, here."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from toolkit.errors import InputError

MAX_BYTES = 8 << 30
FILE_KEYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True, eq=False)
class Data:
    """Samples float32 (n, *shape). Labels are int64 classes (n,), bits uint8 (n, outputs), float32 targets
    (n, outputs), or None: then a network learns to give what the original gives. `notes`: what is odd about the data
    but no error."""

    x_train: np.ndarray
    y_train: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray | None
    notes: tuple[str, ...] = field(default=())

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self.x_train.shape[1:]

    @classmethod
    def of(cls, x_train: np.ndarray, y_train: np.ndarray | None = None, x_test: np.ndarray | None = None,
           y_test: np.ndarray | None = None) -> Data:
        """Check arrays of any real type. Without test samples the training samples are measured, and a note says so."""
        notes = []
        if x_test is None:
            x_test, y_test = x_train, y_train
            notes.append("there are no test samples: what is measured is measured on the training samples")
        x_train, x_test = _samples("x_train", x_train), _samples("x_test", x_test)
        if x_train.shape[1:] != x_test.shape[1:]:
            raise InputError(f"x_train has samples of shape {x_train.shape[1:]}, x_test of {x_test.shape[1:]}")
        y_train, y_test = _labels("y_train", y_train, len(x_train)), _labels("y_test", y_test, len(x_test))
        flat = x_train.reshape(len(x_train), -1)
        constant = np.flatnonzero(flat.min(axis=0) == flat.max(axis=0))
        if len(constant) == flat.shape[1]:
            raise InputError("every input feature is constant in x_train; there is nothing to learn from")
        if len(constant):
            shown = ", ".join(map(str, constant[:8])) + (", ..." if len(constant) > 8 else "")
            notes.append(f"{len(constant)} of {flat.shape[1]} input features are constant in x_train ({shown})")
        if y_train is not None and y_test is not None and y_train.dtype == y_test.dtype == np.int64:
            missing = sorted(set(y_test.tolist()) - set(y_train.tolist()))
            if missing:
                notes.append(f"the classes {', '.join(map(str, missing[:8]))} of y_test are missing from y_train")
        return cls(x_train, y_train, x_test, y_test, tuple(notes))

    @classmethod
    def load(cls, path: Path | str) -> Data:
        """Read an .npz with x_train, y_train, x_test, y_test, or x alone. No pickle is loaded."""
        path = Path(path)
        if not path.is_file():
            raise InputError(f"the data '{path}' does not exist")
        if path.stat().st_size == 0:
            raise InputError(f"the data '{path}' is empty")
        try:
            with zipfile.ZipFile(path) as archive:
                size = sum(m.file_size for m in archive.infolist())
                if size > MAX_BYTES:
                    raise InputError(f"the data '{path}' unpacks to {size >> 20} MiB; {MAX_BYTES >> 20} is the most")
            with np.load(path, allow_pickle=False) as file:
                names = set(file.files)
                if "x_train" not in names and "x" not in names:
                    raise InputError(f"the data '{path}' holds {', '.join(sorted(names))[:80] or 'nothing'}; it must "
                                     "hold x_train, y_train, x_test, y_test, or x alone")
                found = {key: file[key] for key in ("x", *FILE_KEYS) if key in names}
        except (zipfile.BadZipFile, EOFError, KeyError) as error:
            raise InputError(f"the data '{path}' is no .npz file, or a truncated one") from error
        except ValueError as error:
            raise InputError(f"the data '{path}' cannot be read: {str(error).splitlines()[0]}") from error
        except OSError as error:
            raise InputError(f"the data '{path}' cannot be read: {error.strerror or error}") from error
        return cls.of(found["x_train"] if "x_train" in found else found["x"], found.get("y_train"), found.get("x_test"),
                      found.get("y_test"))

    def save(self, path: Path) -> None:
        """Write what `load` reads."""
        np.savez(path, allow_pickle=False, **{key: getattr(self, key) for key in FILE_KEYS
                                              if getattr(self, key) is not None})

    def check_outputs(self, outputs: int) -> None:
        """Raise InputError unless the labels fit a network with so many outputs."""
        for name, labels in (("y_train", self.y_train), ("y_test", self.y_test)):
            if labels is None:
                continue
            if labels.ndim == 1 and labels.dtype == np.int64:
                if labels.min() < 0 or labels.max() >= outputs:
                    bad = labels.min() if labels.min() < 0 else labels.max()
                    raise InputError(f"{name} holds the label {bad}; the network's {outputs} outputs take labels "
                                     f"0..{outputs - 1}")
            elif labels.shape[1] != outputs:
                raise InputError(f"{name} has {labels.shape[1]} targets a sample, the network {outputs} outputs")

    @property
    def task(self) -> str:
        """`classes`, `bits`, `values` or `none`."""
        if self.y_test is None:
            return "none"
        return {"int64": "classes", "uint8": "bits"}.get(self.y_test.dtype.name, "values")


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


def _labels(name: str, values: np.ndarray | None, samples: int) -> np.ndarray | None:
    if values is None:
        return None
    values = np.asarray(values)
    if values.dtype.kind not in "fiub" or len(values) != samples or values.ndim not in (1, 2):
        raise InputError(f"{name} must hold one label (or row of targets) for each of {samples} samples, not "
                         f"{values.dtype} of shape {values.shape}")
    if values.dtype.kind in "iub" and (values.ndim == 1 or values.shape[1] == 1):
        return values.reshape(-1).astype(np.int64)
    values = values.reshape(samples, -1).astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{name} holds NaN or infinity")
    if values.shape[1] > 1 and np.isin(values, (0.0, 1.0)).all() and not (values.sum(axis=1) == 1).all():
        return values.astype(np.uint8)
    if values.shape[1] == 1 and np.array_equal(values, np.rint(values)) and len(np.unique(values)) > 1 \
            and values.min() >= 0:
        return values.reshape(-1).astype(np.int64)
    return values
