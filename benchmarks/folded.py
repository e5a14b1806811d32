"""Size and speed of folded hardware: 64-256-256-64-10 on an ECP5-25F, and growth with the number of weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks import growth
from benchmarks.networks import mlp
from benchmarks.results import Figure
from toolkit.commands.generate import generate
from toolkit.estimate.place import place
from toolkit.estimate.synthesis import BLOCK_KBIT, cells
from toolkit.hardware import Options
from toolkit.hardware.boards import device
from toolkit.utils.progress import bar

SIZES = (64, 256, 256, 64, 10)
LANES = 64
DEVICE = "ecp5-25f"
MOST_LUTS, LEAST_MEGAHERTZ, MOST_RAM = 75, 100, 1.15
MOST_SECONDS, MOST_BYTES = 60, 4 * 2**30


def measure(out: Path) -> list[Figure]:
    """The network of log2 weights with 4 bits and 7 levels, 64 lanes in its largest layer."""
    folder, scratch = out / "folded", out / "folded_ecp5"
    shutil.rmtree(scratch, ignore_errors=True)
    chip = device(DEVICE)
    with bar("folded", 4) as advance:
        made = generate(mlp(SIZES, levels=7), folder, options=Options(arch="folded", max_lanes=LANES), vectors=100)
        entry = made.entries["verilog"]
        advance(note="yosys")
        found = cells([folder / name for name in entry["rtl"]], entry["top"], chip.family, scratch)
        advance(note="nextpnr")
        placed = place(scratch, chip)
        advance(note="growth")
        points = growth.measure(out)
        advance()
    lanes = sum(layer["lanes"] for layer in entry["memory"]["layers"])
    codes = sum(layer["weight_bits"] for layer in entry["memory"]["layers"])
    held = _weight_blocks(scratch / "netlist.json", entry["top"]) * BLOCK_KBIT["DP16KD"] * 1024
    largest = points[-1]
    fits = found.luts <= chip.luts and found.registers <= chip.registers and found.ram_bits <= chip.ram_bits
    small, spread = points[-2], largest.weights / points[-2].weights
    return [
        Figure(f"{'-'.join(map(str, SIZES))} folded to {LANES} lanes", f"{found}, {found.ram_bits // 1024:,} Kbit",
               "", f"fits {DEVICE}", fits),
        Figure("LUT4 a lane, two for each carry cell", f"{found.luts / lanes:.1f}",
               f"{found.plain_luts / lanes:.1f} without carries", f"at most {MOST_LUTS}",
               found.luts <= MOST_LUTS * lanes),
        Figure("block RAM of weights over their codes", f"{held / codes:.3f}", "18 Kbit a block",
               f"at most {MOST_RAM}", held <= MOST_RAM * codes),
        Figure("nextpnr-ecp5", f"{placed.megahertz:.1f} MHz", "", f"at least {LEAST_MEGAHERTZ} MHz",
               placed.megahertz >= LEAST_MEGAHERTZ),
        Figure("initiation interval", f"{entry['initiation_interval']:.0f} cycles", "", "", None),
        Figure(f"{largest.weights:,} weights, design to folder", f"{largest.seconds:.1f} s, "
               f"{largest.peak_bytes / 2**20:,.0f} MiB", "", "at most 60 s, 4 GiB",
               largest.seconds <= MOST_SECONDS and largest.peak_bytes <= MOST_BYTES),
        Figure(f"growth, {small.weights:,} to {largest.weights:,} weights", f"{largest.seconds / small.seconds:.1f} "
               f"times the seconds, {largest.rtl_bytes / small.rtl_bytes:.1f} the bytes", "growth.txt, growth.svg",
               f"linear: at most {1.5 * spread:.0f} times",
               max(largest.seconds / small.seconds, largest.rtl_bytes / small.rtl_bytes) <= 1.5 * spread),
    ]


def _weight_blocks(netlist: Path, top: str) -> int:
    """Block RAMs that hold weights: those made of a layer's `rom`."""
    made = json.loads(netlist.read_text())["modules"][top]["cells"]
    return sum(1 for name, cell in made.items() if cell["type"] == "DP16KD" and ".rom." in name)
