"""Counted bit errors over Eb/N0, and how far apart two receivers are, in dB, at one bit error rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

ROUNDS = 1000
"""Of the bootstrap."""
TARGET = 1e-3
"""The bit error rate at which receivers are compared."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One receiver: `errors` int64 (points, parts) of `bits` (points, parts) decided bits at `ebn0` (points,) dB,
    rising. The symbols of a point are counted in equal parts, so that intervals can be drawn from them; curves with the
    same parts decided for the same symbols."""

    name: str
    ebn0: np.ndarray
    errors: np.ndarray
    bits: np.ndarray

    @property
    def ber(self) -> np.ndarray:
        """(points,)."""
        return self.errors.sum(axis=1) / self.bits.sum(axis=1)

    def to_json(self) -> dict[str, Any]:
        return {"receiver": self.name, "ebn0_db": self.ebn0.tolist(), "ber": self.ber.tolist(),
                "bit_errors": self.errors.sum(axis=1).tolist(), "bits": self.bits.sum(axis=1).tolist()}


@dataclass(frozen=True)
class Loss:
    """How many dB more `receiver` needs than `against` for the bit error rate `ber`; `low`, `high`: the 95 % interval
    over the noise that was drawn (percentiles of a bootstrap over the parts). None where a curve does not come down to
    that rate."""

    receiver: str
    against: str
    ber: float
    db: float | None
    low: float | None
    high: float | None


def crossing(ebn0: np.ndarray, ber: np.ndarray, target: float = TARGET) -> float | None:
    """The Eb/N0 in dB at which a curve first falls to `target`, interpolated on a straight line of log(BER); None where
    it does not, or begins below it. The point behind the crossing must have errors."""
    below = np.flatnonzero(ber <= target)
    if not len(below) or not below[0] or ber[below[0]] <= 0:
        return None
    i = int(below[0])
    high, low = np.log(ber[i - 1]), np.log(ber[i])
    return float(ebn0[i - 1] + (ebn0[i] - ebn0[i - 1]) * (high - np.log(target)) / (high - low))


def loss(curve: Curve, against: Curve, target: float = TARGET, rounds: int = ROUNDS) -> Loss:
    """`curve`'s crossing less that of `against`. Receivers that decided for the same symbols are redrawn together: what
    the noise did to both cancels."""
    ours, theirs = crossing(curve.ebn0, curve.ber, target), crossing(against.ebn0, against.ber, target)
    if ours is None or theirs is None:
        return Loss(curve.name, against.name, target, None, None, None)
    drawn = [crossing(curve.ebn0, a, target) - crossing(against.ebn0, b, target)  # type: ignore[operator]
             for a, b in zip(_redrawn(curve, rounds), _redrawn(against, rounds), strict=True)
             if crossing(curve.ebn0, a, target) is not None and crossing(against.ebn0, b, target) is not None]
    low, high = np.percentile(drawn, (2.5, 97.5)) if len(drawn) > rounds // 2 else (None, None)
    return Loss(curve.name, against.name, target, ours - theirs, None if low is None else float(low),
                None if high is None else float(high))


def _redrawn(curve: Curve, rounds: int) -> np.ndarray:
    """Bit error rates (rounds, points) of parts drawn with replacement; the same draws for curves with the same
    parts."""
    points, parts = curve.errors.shape
    chosen = np.random.default_rng(0).integers(0, parts, (rounds, points, parts))
    places = np.arange(points)[None, :, None]
    return curve.errors[places, chosen].sum(axis=2) / curve.bits[places, chosen].sum(axis=2)
