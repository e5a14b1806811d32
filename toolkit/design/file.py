"""The `.swd` file: a zip of `design.json` and `.npy` arrays. No pickle, no path that leaves it, no surprise in size."""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.design.formats import FixedPoint
from toolkit.design.layers import LAYERS
from toolkit.design.tensors import Tensor
from toolkit.errors import InputError

if TYPE_CHECKING:
    from toolkit.design.design import Design

SCHEMA = 1
MAX_BYTES = 1 << 30
"""All arrays of a design together; a file that declares more is refused before any memory is taken."""
MAX_LAYERS = 10_000


def save(design: Design, path: Path) -> None:
    """Write `design` to `path`, whole or not at all."""
    arrays = {f"arrays/{i}_{key}.npy": array for i, layer in enumerate(design.layers)
              for key, array in layer.arrays().items()}
    text = json.dumps({
        "schema": SCHEMA,
        "name": design.name,
        "input": {"name": design.input.name, "shape": list(design.input.shape), "format": str(design.input.format)},
        "layers": [{"kind": layer.kind, "name": layer.name, "inputs": list(layer.inputs), **layer.attributes()}
                   for layer in design.layers],
    }, indent=1)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "design.json", text.encode())
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            _add(archive, name, data.getvalue())
    write_whole(path, buffer.getvalue())


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # a fixed date: the same design gives the same bytes
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, data)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there complete or not at all, also when the disk is full."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise InputError(f"cannot write '{path}': {error.strerror}") from error


def load(path: Path) -> Design:
    """Read and check a `.swd` file."""
    from toolkit.design.design import Design

    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path)
            document = json.loads(archive.read("design.json"))
            if not isinstance(document, dict) or document.get("schema") != SCHEMA:
                found = document.get("schema") if isinstance(document, dict) else None
                raise InputError(f"'{path}' has schema version {found}; this version reads {SCHEMA}")
            layers = document["layers"]
            if not isinstance(layers, list) or len(layers) > MAX_LAYERS:
                raise InputError(f"'{path}' has no list of at most {MAX_LAYERS} layers")
            made = [_layer(archive, i, entry) for i, entry in enumerate(layers)]
            head = document["input"]
            tensor = Tensor(str(head["name"]), tuple(int(n) for n in head["shape"]), FixedPoint.parse(head["format"]))
            if not tensor.shape or any(n < 1 for n in tensor.shape) or tensor.size > MAX_BYTES // 8:
                raise InputError(f"'{path}' has an input of impossible shape {tensor.shape}")
            design = Design(str(document["name"]), tensor, tuple(made))
            _ = design.ranges  # a design whose accumulators cannot be proved is no use to anyone
            return design
    except FileNotFoundError as error:
        raise InputError(f"there is no file '{path}'") from error
    except InputError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # zip, zlib, JSON and numpy each raise their own kinds for a damaged file
        what = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"'{path}' is no design file, or a damaged one: {what[:200]}") from error


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    total = 0
    for info in archive.infolist():
        parts = Path(info.filename).parts
        if info.filename.startswith(("/", "\\")) or ".." in parts or "\\" in info.filename or ":" in info.filename:
            raise InputError(f"'{path}' holds a path that leaves the archive: '{info.filename[:80]}'")
        total += info.file_size
    if total > MAX_BYTES:
        raise InputError(f"'{path}' unpacks to {total} bytes; {MAX_BYTES} is the most supported")


def _layer(archive: zipfile.ZipFile, index: int, entry: dict[str, Any]):
    kind = entry["kind"]
    if kind not in LAYERS:
        raise InputError(f"layer '{str(entry['name'])[:80]}' is of the unknown kind '{str(kind)[:40]}'")
    arrays = {}
    prefix = f"arrays/{index}_"
    for name in archive.namelist():
        if name.startswith(prefix) and name.endswith(".npy"):
            with archive.open(name) as stream:
                arrays[name[len(prefix):-4]] = _read_array(stream.read(), name)
    return LAYERS[kind].load(str(entry["name"]), tuple(str(n) for n in entry["inputs"]), entry, arrays)


def _read_array(data: bytes, name: str) -> np.ndarray:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"'{name}' has an array header of version {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.hasobject or dtype.kind not in "iu":
        raise ValueError(f"'{name}' holds {dtype}, not integers")
    count = 1
    for n in shape:
        count *= n
    if count * dtype.itemsize != len(data) - stream.tell():
        raise ValueError(f"'{name}' declares {shape} but holds {len(data) - stream.tell()} bytes")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)
