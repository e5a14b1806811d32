"""`shiftwright estimate --all`: one project against every device, the smallest first."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.estimate.estimate import Estimate, Use, uses_of
from toolkit.estimate.project import Project, load
from toolkit.estimate.synthesis import SYNTHESIS, Cells, cells
from toolkit.hardware.blocks import needed
from toolkit.hardware.devices import DEVICES, Device

UNKNOWN = "not known"
HEAD = ("part", "fits", "LUTs", "blocks", "registers", "MHz", "samples/s", "takes most of")


@dataclass(frozen=True)
class Every:
    """An estimate for each device."""

    project: Project
    found: tuple[Estimate, ...]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.project.top, "cycles_a_sample": self.project.interval,
                "devices": [one.to_json() for one in self.found]}


def every(folder: Path | str, *, synth: bool = False) -> Every:
    """The estimate of a project for every device, the smallest first. `synth`: yosys counts the cells, once for each
    family that it is used for; else no LUTs are known."""
    project = load(Path(folder))
    counted: dict[str, Cells] = {}
    if synth:
        for family in SYNTHESIS:
            with tempfile.TemporaryDirectory() as scratch:
                counted[family] = cells(project.rtl, project.top, family, Path(scratch))
    found = []
    for device in sorted(DEVICES.values(), key=size):
        made = counted.get(device.family)
        found.append(Estimate(project.top, device, uses_of(project, device, made), made, None,
                              needed(project.memories, device.memories)))
    return Every(project, tuple(found))


def size(device: Device) -> tuple[int, int]:
    """By which devices are sorted: LUTs, those of four inputs before those of six; then bits of block RAM."""
    return device.luts * device.inputs, device.ram_bits


def rows(found: Every) -> list[tuple[str, ...]]:
    """The table: a row for each device."""
    made: list[tuple[str, ...]] = [HEAD]
    for one in found.found:
        device = one.device
        assert device is not None and one.memories is not None
        luts = _used(one, "LUTs", device.cells)
        blocks = UNKNOWN if found.project.unrolled_tables else f"{one.memories.blocks:,}"
        registers = _used(one, "registers", "register bits declared")
        made.append((device.name, UNKNOWN if one.fits is None else "yes" if one.fits else "NO",
                     f"{UNKNOWN} of {device.luts:,}" if luts is None else f"{luts:,} of {device.luts:,}",
                     f"{blocks} of {device.blocks:,} {device.memories.block}",
                     f"{registers:,} of {device.registers:,}", UNKNOWN, UNKNOWN, _most(one)))
    return made


def text(found: Every) -> list[str]:
    """What stands above the table."""
    interval = found.project.interval
    cycles = UNKNOWN if interval is None else f"{interval:,.7g}"
    told = "samples a second are the clock over that, and the clock is known after --place alone"
    return [f"{found.project.top}: cycles between two samples: {cycles}; {told}"]


def _used(one: Estimate, *names: str) -> int | None:
    return next((use.used for use in one.uses if use.name in names and use.used is not None), None)


def _most(one: Estimate) -> str:
    """The resource of which the largest share is taken, of those that were counted."""
    shares = [(use.used / use.available, use) for use in one.uses if use.used is not None and use.available]
    lacking = [use for use in one.uses if use.used and use.available == 0]
    if lacking:
        return f"{lacking[0].name}: there are none"
    share, use = max(shares, key=lambda pair: pair[0], default=(0.0, Use("", None, None)))
    return f"{use.name}: {100 * share:.1f} %" if use.name else UNKNOWN
