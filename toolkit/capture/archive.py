""".pt2 files from strangers: vetted before torch sees them, so that no pickle is loaded and no expression evaluated."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from toolkit.errors import InputError

MAX_BYTES = 4 << 30
MAX_JSON = 256 << 20
TARGET = re.compile(r"torch\.ops\.aten\.[A-Za-z0-9_]+\.[A-Za-z0-9_]+|_operator\.[a-z_]+")
SYMBOL = re.compile(r"[su]?\d+|-?(int_)?oo|Integer\(\d+\)|"
                    r"Symbol\('[su]\d+'(, (positive|integer|nonnegative)=True)*\)")
CONFIG = re.compile(r"data/(weights|constants)/[A-Za-z0-9_]+_config\.json")


def load_pt2(path: Path | str) -> torch.export.ExportedProgram:
    """Read a file that `torch.export.save` wrote. Whatever is wrong with it is an InputError that says so.

    Of the archive only the graph, the raw weights and their tables reach torch: the sample inputs (a pickle) are
    dropped, and pickled weights, constants, foreign operators and computed shapes are refused.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"the model '{path}' does not exist")
    try:
        if path.stat().st_size == 0:
            raise InputError(f"the model '{path}' is empty")
        with zipfile.ZipFile(path) as archive:
            clean = _vetted(path, archive)
        return torch.export.load(clean)
    except InputError:
        raise
    except zipfile.BadZipFile as error:
        raise InputError(f"'{path}' is no .pt2 file, or a truncated one; write it with torch.export.save") from error
    except (OSError, MemoryError) as error:
        raise InputError(f"the model '{path}' cannot be read: {error}") from error
    except Exception as error:  # torch raises anything for a damaged archive
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"'{path}' cannot be read by torch {torch.__version__}: {line[:200]}") from error


def _vetted(path: Path, archive: zipfile.ZipFile) -> io.BytesIO:
    """A copy of the archive that holds nothing but what is known to be harmless."""
    members = archive.infolist()
    if sum(m.file_size for m in members) > MAX_BYTES:
        raise InputError(f"'{path}' unpacks to more than {MAX_BYTES >> 30} GiB")
    tops = {m.filename.split("/", 1)[0] for m in members}
    if len(tops) != 1:
        raise InputError(f"'{path}' is no .pt2 file: it holds {len(tops)} top folders instead of one")
    top = tops.pop()
    kept = io.BytesIO()
    models = 0
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_STORED) as out:
        for member in members:
            name = member.filename[len(top) + 1:]
            if name.startswith("data/sample_inputs/"):
                data = b""
            elif name.startswith("models/") and name.endswith(".json"):
                models += 1
                data = _checked_model(path, archive, member)
            elif CONFIG.fullmatch(name):
                data = _checked_config(path, archive, member)
            elif re.fullmatch(r"data/weights/weight_\d+|data/constants/tensor_\d+|archive_format|archive_version|"
                              r"byteorder|\.data/[a-z_]+|version", name):
                data = archive.read(member)
            elif name.startswith("extra/") or member.is_dir():
                continue
            else:
                raise InputError(f"'{path}' holds '{name[:60]}', which is neither graph nor weights; export the model "
                                 "with torch.export.save alone")
            out.writestr(f"{top}/{name}", data)
    if models != 1:
        raise InputError(f"'{path}' is no .pt2 file of one model: it holds {models}")
    kept.seek(0)
    return kept


def _json(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[bytes, Any]:
    if member.file_size > MAX_JSON:
        raise InputError(f"'{path}': its '{member.filename[:60]}' is larger than {MAX_JSON >> 20} MiB")
    data = archive.read(member)
    try:
        return data, json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}': its '{member.filename[:60]}' is damaged") from error


def _checked_config(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A table of raw tensors; an entry that is a pickle is refused."""
    data, table = _json(path, archive, member)
    for name, entry in table.get("config", {}).items():
        file = str(entry.get("path_name"))
        if entry.get("use_pickle") or not re.fullmatch(r"(weight|tensor)_\d+", file):
            raise InputError(f"'{path}' stores '{str(name)[:60]}' as a pickle, which could run code when it is "
                             "loaded; export the model with plain dense parameters")
    return data


def _checked_model(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The graph; operators beyond aten and expressions that would have to be evaluated are refused."""
    data, model = _json(path, archive, member)
    stack: list[Any] = [model]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            for key, value in item.items():
                if key == "expr_str" and not (isinstance(value, str) and SYMBOL.fullmatch(value)):
                    raise InputError(f"'{path}' computes a shape as '{str(value)[:60]}'; export the model with a batch "
                                     "dimension that is dynamic and no other")
                if key == "target" and "inputs" in item and not TARGET.fullmatch(str(value)):
                    raise InputError(f"'{path}' calls '{str(value)[:60]}', which is no plain tensor operation")
                stack.append(value)
        elif isinstance(item, list):
            stack.extend(item)
    return data
