"""The RTL of a generated project, read from its manifest as a stranger's file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from toolkit.utils.errors import InputError
from toolkit.utils.untrusted import read_json

IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,199}")
RTL = re.compile(r"rtl/[A-Za-z0-9_]{1,200}\.v")
COUNTS = ("rom_bits", "buffer_bits", "register_bits", "hold_bits")


@dataclass(frozen=True)
class Project:
    """`memory_bits`: weights, buffers and FIFOs; `register_bits`: of unrolled layers. As the manifest counts them."""

    top: str
    rtl: tuple[Path, ...]
    memory_bits: int
    register_bits: int


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
        unrolled = entry.get("architecture", "unrolled") == "unrolled"
        counts = {name: entry["memory"].get(name, 0) for name in COUNTS}
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"'{path}' is damaged: {type(error).__name__} at {error}") from error
    good = isinstance(top, str) and IDENTIFIER.fullmatch(top) and isinstance(files, list) and files
    if not good or not all(isinstance(f, str) and RTL.fullmatch(f) and (folder / f).is_file()
                           and not (folder / f).is_symlink() for f in files):
        raise InputError(f"'{path}' names a top module or an RTL file that is not there, or is none of ours")
    if not all(type(n) is int and n >= 0 for n in counts.values()):
        raise InputError(f"'{path}' counts bits that are not whole numbers")
    memory, registers = counts["rom_bits"] + counts["buffer_bits"], counts["register_bits"]
    # What is held back waits in registers of unrolled layers, in the FIFOs of folded ones.
    if unrolled:
        registers += counts["hold_bits"]
    else:
        memory += counts["hold_bits"]
    return Project(top, tuple(folder / f for f in files), memory, registers)
