"""`shiftwright estimate`: what a generated project takes of a device."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.estimate.memories import memory_json, memory_lines
from toolkit.estimate.place import Placed, place
from toolkit.estimate.project import Project, load
from toolkit.estimate.synthesis import SYNTHESIS, Cells, cells
from toolkit.hardware.blocks import Needed, needed
from toolkit.hardware.boards import device as find_device
from toolkit.hardware.devices import Device
from toolkit.utils.errors import InputError


@dataclass(frozen=True)
class Use:
    """One resource: how much the network takes (None: that was not counted), and how much the device has (None: no
    device was named)."""

    name: str
    used: int | None
    available: int | None
    counted_by: str = ""

    @property
    def fits(self) -> bool | None:
        """None where that is not known."""
        return None if self.used is None or self.available is None else self.used <= self.available


@dataclass(frozen=True)
class Estimate:
    """`uses`: from the manifest, exact, and from synthesis where that was asked for. `memories`: what each becomes on
    the device."""

    name: str
    device: Device | None
    uses: tuple[Use, ...]
    cells: Cells | None
    placed: Placed | None
    memories: Needed | None = None

    @property
    def fits(self) -> bool | None:
        """False where the device has too little of one resource; True only where each was counted; else None."""
        found = {use.fits for use in self.uses if use.available is not None} or {None}
        return False if False in found else None if None in found else True

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "device": self.device.name if self.device else None, "fits": self.fits,
                "source": self.device.source if self.device else None,
                "uses": [{"name": u.name, "used": u.used, "available": u.available, "fits": u.fits}
                         for u in self.uses],
                "memories": None if self.memories is None else [memory_json(one) for one in self.memories.uses],
                "cells": self.cells.counts if self.cells else None,
                "megahertz": self.placed.megahertz if self.placed else None}


def estimate(folder: Path | str, *, device: str = "", synth: bool = False, placed: bool = False) -> Estimate:
    """What the RTL of the project `folder` takes.

    Without tools: the memories and registers that it declares, against `device` (or a board of that name) where one is
    named. `synth`: also yosys's cells for the device's family, ECP5 by default. `placed`: also nextpnr's clock (ECP5
    only). Raises InputError for a folder that is none of ours, an unknown device, or one that no tool here knows,
    ToolMissing where a tool is.
    """
    target = find_device(device) if device else None
    if placed and target is None:
        raise InputError("--place needs a device; name one with --device, such as ecp5-25f")
    if placed and target and not target.place:
        raise InputError(f"{target.name} cannot be placed here: only ECP5 devices can; leave --place away")
    family = target.family if target else "ecp5"
    synth = synth or placed
    if synth and family not in SYNTHESIS:
        raise InputError(f"the cells of {target.name if target else family} cannot be counted here: only those of "
                         f"{', '.join(SYNTHESIS)} can; leave --synth away")
    project = load(Path(folder))
    found: Cells | None = None
    result: Placed | None = None
    if synth:
        with tempfile.TemporaryDirectory() as scratch:
            found = cells(project.rtl, project.top, family, Path(scratch))
            if placed and target:
                result = place(Path(scratch), target)
    return Estimate(project.top, target, uses_of(project, target, found), found, result,
                    needed(project.memories, target.memories) if target else None)


def uses_of(project: Project, target: Device | None, found: Cells | None) -> tuple[Use, ...]:
    """What is declared, and the cells that synthesis `found`, against what the device has."""
    # What is declared is judged only where no tool says what becomes of it.
    judged = target if found is None else None
    by = "--synth" if target and target.family in SYNTHESIS else "the maker's tool"
    uses = [Use("memory bits declared", project.memory_bits, None)]
    if target:
        made = needed(project.memories, target.memories)
        # Whether a tool makes logic or blocks of an unrolled layer's tables is its own choice.
        blocks = None if project.unrolled_tables else made.blocks
        if blocks is not None or found is None:
            uses.append(Use(f"memory blocks ({target.memories.block})", blocks, judged.blocks if judged else None, by))
        if made.luts:
            uses.append(Use(f"{target.cells} as memory", made.luts, judged.luts if judged else None))
    uses.append(Use("register bits declared", project.register_bits, judged.registers if judged else None))
    if project.multipliers:
        uses.append(Use("multipliers declared", project.multipliers, None))
    if found:
        uses += [Use("LUTs", found.luts, target.luts if target else None),
                 Use("registers", found.registers, target.registers if target else None),
                 Use("block RAM bits", found.ram_bits, target.ram_bits if target else None)]
        if found.multipliers:
            uses.append(Use("multiplier blocks", found.multipliers, target.multipliers if target else None))
    elif target:
        uses.append(Use(target.cells, None, target.luts, by))
    return tuple(uses)


def text(found: Estimate, short: bool = False) -> list[str]:
    """The lines that the command prints; `short`: not what becomes of each memory."""
    on = f" on {found.device.name} ({found.device.source})" if found.device else ""
    lines = [f"{found.name}{on}"]
    for use in found.uses:
        of = "" if use.available is None else f" of {use.available:,}{_share(use)}"
        used = f"not counted ({use.counted_by} does)" if use.used is None else f"{use.used:,}"
        lines.append(f"  {use.name}: {used}{of}")
    if not short and found.memories and found.device and found.memories.uses:
        lines += ["  memories:", *memory_lines(found.memories)]
        lines += [f"    {found.device.memories.note}"] if found.device.memories.note else []
    if found.cells:
        lines.append(f"  cells: {found.cells}")
    if found.placed:
        lines.append(f"  clock after routing: {found.placed.megahertz:.1f} MHz")
    if found.device:
        missing = [f"{use.name} ({use.counted_by})" for use in found.uses if use.used is None]
        lines.append("  DOES NOT FIT" if found.fits is False else "  FITS" if found.fits else
                     f"  whether it fits is not known: not counted were {', '.join(missing)}")
    return lines


def _share(use: Use) -> str:
    """How much of what there is, in words; nothing where that was not counted."""
    if use.used is None or use.available is None:
        return ""
    if not use.available:
        return ": DOES NOT FIT" if use.used else ""
    return f" ({100 * use.used / use.available:.1f} %){': DOES NOT FIT' if use.fits is False else ''}"
