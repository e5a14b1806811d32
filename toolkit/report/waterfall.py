"""Bit error rates over Eb/N0 of several receivers: a table, the losses in dB, and for machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.compress.measure.intervals import Z, wilson
from toolkit.radio.curves import Curve, Loss
from toolkit.report.tables import WIDTH, fitted


@dataclass(frozen=True, eq=False)
class Waterfall:
    """Receivers of one link. `theory`: a name and (Eb/N0 in dB, bit error rate), each (points,). `reference` and `rtl`
    are the compressed network's, as their software reference and their hardware decided; `different`: bits in which
    those two differ. `samples`, `seconds`: samples of the network that went through the RTL, and the time that took."""

    title: str
    theory: tuple[str, np.ndarray, np.ndarray]
    curves: tuple[Curve, ...]
    rtl: Curve
    losses: tuple[Loss, ...]
    different: int
    samples: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        name, ebn0, ber = self.theory
        return {"title": self.title, "theory": {"name": name, "ebn0_db": ebn0.tolist(), "ber": ber.tolist()},
                "curves": [{**one.to_json(), "intervals": [list(ends) for ends in intervals(one)]}
                           for one in (*self.curves, self.rtl)],
                "losses": [vars(one) for one in self.losses], "bits_that_differ": self.different,
                "samples": self.samples, "simulation_seconds": self.seconds}

    def text(self, width: int = WIDTH) -> list[str]:
        """The rates at the RTL's points, the losses, and what the hardware decided otherwise than its reference."""
        shown = [one for one in self.curves if np.array_equal(one.ebn0, self.rtl.ebn0)]
        rows = [["Eb/N0 [dB]", "bits", *(one.name for one in shown), "RTL", "RTL, 95 % interval", "RTL bit errors"]]
        for i, point in enumerate(self.rtl.ebn0):
            low, high = intervals(self.rtl)[i]
            rows.append([f"{point:g}", f"{self.rtl.bits[i].sum():,}", *(f"{one.ber[i]:.3g}" for one in shown),
                         f"{self.rtl.ber[i]:.3g}", f"{low:.3g} .. {high:.3g}", f"{self.rtl.errors[i].sum():,}"])
        lines = [f"{self.title}: bit error rate", "", *fitted(rows, width=width), ""]
        lines += [told(one) for one in self.losses]
        return [*lines, (f"RTL and reference differ in {self.different:,} of {self.rtl.bits.sum():,} decided bits "
                         f"({self.samples:,} samples, {self.seconds:.1f} s in simulation)")]


def intervals(curve: Curve, deviate: float = Z) -> list[tuple[float, float]]:
    """The interval of each point's bit error rate (Wilson; 95 % by default)."""
    return [wilson(int(wrong), int(count), deviate)
            for wrong, count in zip(curve.errors.sum(axis=1), curve.bits.sum(axis=1), strict=True)]


def told(loss: Loss) -> str:
    """A loss as a sentence."""
    what = f"{loss.receiver} against {loss.against} at BER {loss.ber:g}"
    if loss.db is None:
        return f"{what}: not measured, since a curve does not come down to that rate"
    ends = "" if loss.low is None else f" (95 % interval {loss.low:+.3f} .. {loss.high:+.3f})"
    return f"{what}: {loss.db:+.3f} dB{ends}"
