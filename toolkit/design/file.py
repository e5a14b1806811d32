"""The `.swd` file: a zip of `design.json` and `.npy` arrays. No pickle, no path that leaves it, no surprise in size."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from toolkit.design.formats import FixedPoint
from toolkit.design.layers import LAYERS, Layer
from toolkit.design.network import Network
from toolkit.design.ports import Ports
from toolkit.design.tensors import Tensor
from toolkit.utils.errors import InputError
from toolkit.utils.limits import MAX_LAYERS
from toolkit.utils.output_folder import write_whole
from toolkit.utils.untrusted import Archive

Made = TypeVar("Made")
Maker = Callable[[str, Tensor, tuple[Layer, ...], Ports], Made]

SCHEMA, SCALED, SEVERAL = 1, 2, 3
"""Of a file whose input has one format; of one with an exponent for each feature; and of one of several inputs or
outputs. Older versions refuse those that they do not know."""
SPARE = 1 << 23
"""Elements that all arrays of a design may have, and PER_BYTE more for each byte of the file."""
PER_BYTE = 8
MEMBER = re.compile(r"design\.json|arrays/|arrays/(0|[1-9]\d{0,6})_([a-z_]{1,40})\.npy")


def save(design: Network, path: Path) -> None:
    """Write `design` to `path`, whole or not at all."""
    arrays = {f"arrays/{i}_{key}.npy": array for i, layer in enumerate(design.layers)
              for key, array in layer.arrays().items()}
    scaled = {"exponents": list(design.input.exponents)} if design.input.exponents else {}
    pairs = [list(pair) for pair in design.input.normalisation]
    record = {"normalisation": pairs} if pairs else {}
    text = json.dumps({
        "schema": SEVERAL if design.ports else SCALED if scaled else SCHEMA,
        "name": design.name,
        "input": {"name": design.input.name, "shape": list(design.input.shape), "format": str(design.input.format),
                  **scaled, **record},
        "layers": [{"kind": layer.kind, "name": layer.name, "inputs": list(layer.inputs), **layer.attributes()}
                   for layer in design.layers],
        **({"ports": design.ports.to_json()} if design.ports else {}),
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


def load(path: Path, make: Maker[Made]) -> Made:
    """Read and check a `.swd` file: what `make` makes of its name, its input, its layers and its ports."""
    try:
        with Archive(path, "the design", SPARE, PER_BYTE) as archive:
            return _read(archive, make)
    except MemoryError as error:
        raise InputError(f"the design '{path}' needs more memory than there is") from error


def _read(archive: Archive, make: Maker[Made]) -> Made:
    arrays: dict[str, list[str]] = {}
    for name in archive.members:
        match = MEMBER.fullmatch(name)
        if not match:
            raise archive.fail(f"holds '{name[:60]}', which is not part of a design; a path that leaves it is none")
        arrays.setdefault(match[1] or "", []).append(match[2] or "")
    try:
        if "design.json" not in archive.members:
            raise archive.fail("is not a design file: 'design.json' is missing")
        document = archive.json("design.json")
        if not isinstance(document, dict) or document.get("schema") not in (SCHEMA, SCALED, SEVERAL):
            found = document.get("schema") if isinstance(document, dict) else None
            raise archive.fail(f"has schema version {str(found)[:40]}; this version reads {SCHEMA} to "
                               f"{SEVERAL}")
        layers = document["layers"]
        if not isinstance(layers, list) or len(layers) > MAX_LAYERS:
            raise archive.fail(f"has no list of at most {MAX_LAYERS:,} layers")
        head = document["input"]
        tensor = Tensor(str(head["name"]), tuple(int(n) for n in head["shape"]), FixedPoint.parse(head["format"]),
                        _exponents(head, document["schema"]), _normalisation(head))
        if not tensor.shape or any(n < 1 for n in tensor.shape):
            raise archive.fail(f"has an input of impossible shape {str(tensor.shape)[:80]}")
        made = [_layer(archive, i, entry, arrays.get(str(i), [])) for i, entry in enumerate(layers)]
        ports = Ports.from_json(document["ports"]) if document["schema"] == SEVERAL else Ports()
        return make(str(document["name"]), tensor, tuple(made), ports)
    except InputError as error:
        told = str(error)
        raise error if told.startswith("the design '") else archive.fail(f"cannot be used: {told}") from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        what = f"'{str(error.args[0])[:60]}' is missing" if isinstance(error, KeyError) else str(error)
        raise archive.fail(f"is not a design file, or a damaged one: {what[:200]}") from error


def _exponents(head: dict[str, Any], schema: int) -> tuple[int, ...]:
    """The exponents of an input's features, where it has some."""
    if schema == SCHEMA or (schema == SEVERAL and "exponents" not in head):
        return ()
    found = head["exponents"]
    if not isinstance(found, list) or not found or not all(type(n) is int for n in found):
        raise InputError("its input's exponents are no list of whole numbers")
    return tuple(found)


def _normalisation(head: dict[str, Any]) -> tuple[tuple[float, float], ...]:
    """Scales and offsets that an input's record holds."""
    found = head.get("normalisation", [])
    if not isinstance(found, list) or not all(isinstance(pair, list) and len(pair) == 2 and
                                              all(type(n) in (int, float) for n in pair) for pair in found):
        raise InputError("its input's normalisation is no list of scales and offsets")
    return tuple((float(scale), float(offset)) for scale, offset in found)


def _layer(archive: Archive, index: int, entry: dict[str, Any], keys: list[str]) -> Layer:
    kind = entry["kind"]
    if kind not in LAYERS:
        raise InputError(f"layer '{str(entry['name'])[:80]}' is of the unknown kind '{str(kind)[:40]}'")
    arrays = {key: archive.array(f"arrays/{index}_{key}.npy", "iu") for key in keys}
    inputs = entry["inputs"]
    if not isinstance(inputs, list):
        raise InputError(f"layer '{str(entry['name'])[:80]}' has no list of inputs")
    return LAYERS[kind].load(str(entry["name"]), tuple(str(n) for n in inputs), entry, arrays)
