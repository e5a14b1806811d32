"""What the benches found, as a result that a report can print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SimulationResult:
    """What the benches found. `data` is all of it, as `hw_sim` prints it with --json."""

    ok: bool
    hardware_ber: float
    bit_errors: int
    bits: int
    latency: int | None
    initiation_interval: float | None
    build_seconds: float | None
    data: dict[str, Any]

    @property
    def samples(self) -> int:
        """Vectors that went through the memory player without stalls, or through AXI4-Stream where that is all."""
        played = [c["samples"] for c in self.data["checks"] if c["bench"] == "player"]
        return sum(played) if played else sum(c["samples"] for c in self.data["checks"])

    @property
    def failures(self) -> list[str]:
        """Every reason why it is not ok, the first layer at fault included."""
        found = [*self.data["integrity"], *self.data["faults"]]
        for check in self.data["checks"]:
            found += [f"{check['bench']}, '{check['vectors']}': {line}" for line in check["failures"]]
        if self.data["diagnosis"]:
            found.append(self.data["diagnosis"]["note"])
        return found
