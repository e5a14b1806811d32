""".pt2 files from strangers: an archive of a graph in JSON and of raw tensors. Nothing of it is handed to torch's
loader, no pickle is loaded and no expression evaluated."""

from __future__ import annotations

import re
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import torch

from toolkit.capture.faults import Refused
from toolkit.capture.program import DTYPES, STRIDED, Program, program_of
from toolkit.utils.errors import InputError
from toolkit.utils.limits import SPARE
from toolkit.utils.untrusted import Archive

MAX_PAYLOAD = 4 << 30
"""Bytes of one stored tensor."""
MODEL = re.compile(r"models/([A-Za-z0-9_.-]{1,200})\.json")
UNREAD = re.compile(r"data/sample_inputs/.*|extra/.*|archive_format|archive_version|byteorder|version|\.data/[a-z_]+|"
                    r".*/")
"""What torch writes beside graph and weights. The sample inputs are a pickle."""
PAYLOAD = re.compile(r"(weight|tensor)_\d{1,9}")


def load_pt2(path: Path | str) -> Program:
    """Read a file that `torch.export.save` wrote. Whatever is wrong with it is an InputError that says so.

    Of the archive only the graph, the raw weights and their tables are read: pickled weights, constants, foreign
    operators, computed shapes and structures of other types than Python's own are refused.
    """
    path = Path(path)
    try:
        with Archive(path, "the model", SPARE, 4, (zipfile.ZIP_STORED,)) as archive:
            try:
                return _read(archive)
            except Refused as error:
                raise error.within(f"the model '{path}': ") from None
            except InputError as error:
                told = str(error)
                if told.startswith("the model '"):
                    raise
                raise archive.fail(f"is too large: {told}" if told.startswith("the network ") else told) from error
            except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError, OverflowError) as error:
                line = next(iter(str(error).splitlines()), "")
                raise archive.fail(f"is damaged: {type(error).__name__} at {line[:160]}") from error
    except MemoryError as error:
        raise InputError(f"the model '{path}' needs more memory than there is") from error


def _read(archive: Archive) -> Program:
    tops = {name.split("/", 1)[0] for name in archive.members}
    if len(tops) != 1:
        raise archive.fail(f"is not a .pt2 file: it holds {len(tops)} top folders instead of one")
    top = tops.pop()
    names = [name[len(top) + 1:] for name in archive.members]
    models = [match[1] for name in names if (match := MODEL.fullmatch(name))]
    if len(models) != 1:
        raise archive.fail(f"is not a .pt2 file of one model: it holds {len(models)}; write it with torch.export.save")
    tables = {f"data/{kind}/{models[0]}_{kind}_config.json": f"{top}/data/{kind}/" for kind in ("weights", "constants")}
    for name in names:
        folder, _, file = name.rpartition("/")
        if not (name in tables or MODEL.fullmatch(name) or UNREAD.fullmatch(name)
                or (folder in ("data/weights", "data/constants") and PAYLOAD.fullmatch(file))):
            raise archive.fail(f"holds '{name[:60]}', which is neither graph nor weights; export the model with "
                               "torch.export.save alone")
    stored: dict[str, torch.Tensor] = {}
    for table, place in tables.items():
        payloads: dict[tuple[str, torch.dtype], torch.Tensor] = {}
        for fqn, entry in archive.json(f"{top}/{table}")["config"].items():
            stored[fqn] = _tensor(archive, place, fqn, entry, payloads)
    return program_of(archive.json(f"{top}/models/{models[0]}.json"), stored)


def _tensor(archive: Archive, place: str, name: str, entry: dict[str, Any],
            payloads: dict[tuple[str, torch.dtype], torch.Tensor]) -> torch.Tensor:
    """A stored tensor: raw numbers under a shape, strides and an offset that must lie inside them, none twice."""
    file, meta = entry["path_name"], entry["tensor_meta"]
    if entry["use_pickle"] is not False or not isinstance(file, str) or not PAYLOAD.fullmatch(file):
        raise archive.fail(f"stores '{name[:60]}' as a pickle, which could run code when it is loaded; export the "
                           "model with plain dense parameters")
    if meta["layout"] != STRIDED or meta["dtype"] not in DTYPES:
        raise archive.fail(f"stores '{name[:60]}' sparse or in a type that is not supported; use float32")
    dtype = DTYPES[meta["dtype"]]
    key = file, dtype
    if key not in payloads:
        payloads[key] = _payload(archive, place + file, dtype)
    sizes, strides = ([_whole(n["as_int"]) for n in meta[k]] for k in ("sizes", "strides"))
    offset = _whole(meta["storage_offset"]["as_int"])
    count: int = prod(sizes)
    archive.take(count)
    reach = 1  # what the axes of smaller strides reach over
    for stride, size in sorted(zip(strides, sizes, strict=True)):
        if size > 1 and stride < reach:
            raise archive.fail(f"stores '{name[:60]}' with elements that share their place (strides {strides[:8]}); "
                               "export the model with plain dense parameters")
        reach += stride * max(size - 1, 0)
    flat = payloads[key]
    if len(sizes) > 8 or (count and offset + reach > len(flat)):
        raise archive.fail(f"stores '{name[:60]}' of shape {sizes[:8]}, of which it holds {len(flat):,} numbers")
    return flat.as_strided(sizes, strides, offset) if count else flat.new_empty(sizes)


def _payload(archive: Archive, member: str, dtype: torch.dtype) -> torch.Tensor:
    data = archive.read(member, MAX_PAYLOAD)
    if len(data) % dtype.itemsize:
        raise archive.fail(f"is damaged: its '{member[-60:]}' holds no whole number of {dtype}")
    if not data:
        return torch.empty(0, dtype=dtype)
    raw = bytearray(data)
    return torch.frombuffer(raw, dtype=torch.uint8) != 0 if dtype == torch.bool else torch.frombuffer(raw, dtype=dtype)


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise ValueError(f"{str(value)[:40]} is no size")
    return value
