"""Data from the user's own code: what a function `package.module:callable` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
)

from toolkit.compress.data.arrays import PAIR, Arrays, check_names, named_classes
from toolkit.utils.entry_points import function
from toolkit.utils.errors import InputError

PARTS = {2: ("train", "test"), 3: ("train", "val", "test")}
KNOWN = ("a Data, a TensorDataset or other Dataset, a DataLoader, (x, y), (train, test) or (train, val, test) of such "
         "data sets, or a dict of x_train, y_train, ... or of train, val, test")
BATCH, SEED = 256, 0


def call(text: str) -> Any:
    """What the function that `text` names returns, called without an argument. Whatever it raises is an InputError."""
    made = function(text, "data set")
    assert made is not None
    try:
        return made()
    except InputError:
        raise
    except Exception as error:  # the user's own code raises what it likes
        raise InputError(f"'{text}' failed: {type(error).__name__}: {str(error)[:300]}") from error


def arrays_of(made: Any, text: str) -> Arrays:
    """The arrays in what `text` returned: see KNOWN. A DataLoader that goes over its whole data set is read in the data
    set's own order, so that the same bytes come of it however it shuffles. Labels may be texts: then they are names of
    classes, in sorted order."""
    def fail(why: str) -> InputError:
        return InputError(f"'{text}' {why}")

    found: dict[str, Any] = {}
    if isinstance(made, Mapping):
        if made and set(made) <= {"train", "val", "test"}:
            for part, one in made.items():
                found.update(_part(one, f"_{part}", fail))
        else:
            check_names(map(str, made), fail)
            found = {str(key): value for key, value in made.items() if value is not None}
    elif isinstance(made, Dataset | DataLoader):
        found = _part(made, "", fail)
    elif isinstance(made, tuple | list) and made and all(isinstance(one, Dataset | DataLoader) for one in made):
        if len(made) not in PARTS:
            raise fail(f"gives {len(made)} data sets; (train, test) or (train, val, test) are understood")
        for part, one in zip(PARTS[len(made)], made, strict=True):
            found.update(_part(one, f"_{part}", fail))
    elif isinstance(made, tuple | list) and 0 < len(made) <= 2:
        found = dict(zip(PAIR, made, strict=False))
    else:
        raise fail(f"gives {type(made).__name__}; {KNOWN} are understood")
    arrays = {key: _array(value, key, fail) for key, value in found.items()}
    texts = {key: [str(one) for one in value.tolist()] for key, value in arrays.items()
             if key.startswith("y") and value.dtype.kind == "U" and value.ndim == 1}
    labels, classes = named_classes(texts) if texts else ({}, ())
    return Arrays({key: {**arrays, **labels}[key] for key in sorted(arrays)}, classes)


def _part(made: Any, suffix: str, fail: Any) -> dict[str, Any]:
    """x and y of one data set or loader; of one without labels, x alone. Where x is a tuple or a dict of several
    inputs, theirs: by their names, or as input_0, input_1, ..."""
    if isinstance(made, tuple | list) and not isinstance(made, Dataset) and len(made) == 2:
        columns = tuple(made)
    elif isinstance(made, TensorDataset):
        columns = tuple(made.tensors)
    elif isinstance(made, Dataset | DataLoader):
        columns = _batches(made, fail)
    else:
        raise fail(f"gives {type(made).__name__} for one part of the samples; {KNOWN} are understood")
    if not 1 <= len(columns) <= 2:
        raise fail(f"gives samples of {len(columns)} parts; (x, y) or x is understood")
    found = {} if isinstance(columns[0], Mapping) else {f"x{suffix}": columns[0]}
    of = suffix if found else suffix or "_train"  # of several inputs there are no samples without a split
    for name, part in columns[0].items() if isinstance(columns[0], Mapping) else ():
        found[f"{name}{of}"] = part
    if len(columns) == 2:
        labels = columns[1] if isinstance(columns[1], Mapping) else {"": columns[1]}
        found.update({f"y_{name}{of or '_train'}" if name else f"y{of}": part for name, part in labels.items()})
    return found


def _batches(made: Any, fail: Any) -> tuple[Any, ...]:
    """The columns of all batches behind each other."""
    loader = made if isinstance(made, DataLoader) else DataLoader(made, batch_size=BATCH)
    if _goes_over_all(loader):
        if isinstance(loader.dataset, TensorDataset):
            return tuple(loader.dataset.tensors)
        loader = DataLoader(loader.dataset, batch_size=loader.batch_size or BATCH, collate_fn=loader.collate_fn
                            if loader.batch_size else None)
    columns: list[tuple[tuple[int, str], list[np.ndarray]]] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        for batch in loader:
            parts = _named_columns(batch)
            columns = columns or [(place, []) for place, _ in parts]
            if [place for place, _ in parts] != [place for place, _ in columns]:
                raise fail("gives batches of different kinds")
            for (_, column), (_, part) in zip(columns, parts, strict=True):
                column.append(_array(part, "a batch", fail))
    if not columns:
        raise fail("gives no batch")
    try:
        whole = [(place, np.concatenate(column)) for place, column in columns]
    except ValueError as error:
        raise fail(f"gives batches that do not fit together: {error}") from error
    found: dict[int, Any] = {}
    for (number, name), joint in whole:
        if name:
            found.setdefault(number, {})[name] = joint
        else:
            found[number] = joint
    return tuple(found[number] for number in sorted(found))


def _named_columns(batch: Any) -> list[tuple[tuple[int, str], Any]]:
    """The tensors of a batch, each with its place in it, and its name where one place holds several: a dict's own, or
    input_0, input_1, ... of a tuple."""
    if isinstance(batch, Mapping):
        batch = (batch,)
    found: list[tuple[tuple[int, str], Any]] = []
    for number, part in enumerate(batch if isinstance(batch, tuple | list) else (batch,)):
        if isinstance(part, Mapping):
            found += [((number, str(name)), one) for name, one in part.items()]
        elif isinstance(part, tuple | list) and part and all(
                isinstance(one, torch.Tensor | np.ndarray) for one in part):
            found += [((number, f"input_{i}" if number == 0 else f"output_{i}"), one) for i, one in enumerate(part)]
        else:
            found.append(((number, ""), part))
    return found


def _goes_over_all(loader: Any) -> bool:
    """Whether a loader goes once over every sample of its data set, in whatever order."""
    if isinstance(loader.dataset, IterableDataset) or type(loader.batch_sampler) not in (BatchSampler, type(None)):
        return False
    sampler = loader.sampler
    return isinstance(sampler, SequentialSampler) or (
        isinstance(sampler, RandomSampler) and not sampler.replacement and sampler.num_samples == len(loader.dataset))


def _array(value: Any, name: str, fail: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).resolve_conj().numpy()
    try:
        return np.asarray(value)
    except ValueError as error:
        raise fail(f"gives something for {name} that is no array: {str(error)[:200]}") from error
