"""The RTL of a generated project, read from its manifest as a stranger's file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.hardware.blocks import BLOCK, DISTRIBUTED, LOGIC
from toolkit.hardware.storage import Storage
from toolkit.utils.errors import InputError
from toolkit.utils.untrusted import read_json

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,199}")
RTL = re.compile(r"rtl/[A-Za-z0-9_]{1,200}\.v")
TEXTS = ("module", "name", "holds", "style", "layer")
STYLES = (LOGIC, DISTRIBUTED, BLOCK)
MOST = 1 << 40
"""Bits that a manifest may say; more are none of ours."""


@dataclass(frozen=True)
class Project:
    """Memories, bits of registers, `multipliers` (of products of two tensors) and cycles between two samples
    (`interval`; None where the manifest has none), as the manifest counts them. `unrolled_tables`: it has tables that
    are no memory of the RTL but choices of a code, of which a tool makes logic or blocks."""

    top: str
    rtl: tuple[Path, ...]
    memories: tuple[Storage, ...]
    register_bits: int
    multipliers: int
    interval: float | None = None
    unrolled_tables: bool = False

    @property
    def memory_bits(self) -> int:
        return sum(memory.bits for memory in self.memories)


def load(folder: Path) -> Project:
    """Read a project folder; InputError for one that is none, is damaged, or holds no RTL."""
    path = folder / "manifest.json"
    if not path.is_file():
        raise InputError(f"'{folder}' has no manifest.json; give the folder that shiftwright generated")
    try:
        if any(p.is_symlink() for p in (path, folder / "rtl")):
            raise InputError(f"'{path}' or rtl/ is a link, which shiftwright does not write")
        targets = read_json(path)["targets"]
        if "verilog" not in targets:
            raise InputError(f"'{folder}' holds no RTL to estimate; generate it with --target verilog")
        entry = targets["verilog"]
        top, files = entry["top"], entry["rtl"]
        memories, registers = entry["memory"]["memories"], entry["memory"]["register_bits"]
        multipliers = entry["memory"].get("multipliers", 0)
        stored = [Storage(*(one[name] for name in (*TEXTS[:3], "words", "width", "style", "written", "layer")))
                  for one in memories]
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"'{path}' is damaged: {type(error).__name__} at {error}") from error
    good = isinstance(top, str) and IDENTIFIER.fullmatch(top) and isinstance(files, list) and files
    if not good or not all(isinstance(f, str) and RTL.fullmatch(f) and (folder / f).is_file()
                           and not (folder / f).is_symlink() for f in files):
        raise InputError(f"'{path}' names a top module or an RTL file that is not there, or is none of ours")
    counts = [registers, multipliers, *(count for memory in stored for count in (memory.words, memory.width))]
    whole = all(type(count) is int and 0 <= count <= MOST for count in counts)
    if not whole or not all(isinstance(getattr(m, text), str) for m in stored for text in TEXTS):
        raise InputError(f"'{path}' counts memories, registers or multipliers in what are no whole numbers")
    if not all(m.style in STYLES for m in stored):
        raise InputError(f"'{path}' does not say of every memory whether it is logic, distributed or block: it is of "
                         "an older version; generate it again with `shiftwright generate`")
    interval = entry.get("initiation_interval")
    known = type(interval) in (int, float) and 1 <= interval <= MOST
    return Project(top, tuple(folder / f for f in files), tuple(stored), registers, multipliers,
                   float(interval) if known else None, _unrolled_tables(entry))


def _unrolled_tables(entry: dict[str, Any]) -> bool:
    """Whether an unrolled network has tables."""
    layers = entry["memory"].get("layers", [])
    if not isinstance(layers, list):
        return False
    return entry.get("architecture") == "unrolled" and any(
        isinstance(layer, dict) and layer.get("kind") == "lookup" for layer in layers)
