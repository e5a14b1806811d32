"""A measured figure, beside its peer's and its goal; and how a mean over seeds is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.compress.measure.intervals import mean
from toolkit.report.differences import between, difference


@dataclass(frozen=True)
class Figure:
    """`reached` is None where there is no goal."""

    name: str
    ours: str
    peer: str
    goal: str
    reached: bool | None

    @property
    def verdict(self) -> str:
        return "" if self.reached is None else "yes" if self.reached else "NO"


def told(drops: Sequence[float]) -> str:
    """The mean accuracy drop over seeds with its interval, or that there is none to be measured."""
    return difference(sum(drops) / len(drops), *mean(drops))


def spread(shares: Sequence[float]) -> str:
    """The mean of percentages over seeds with its interval."""
    return f"{sum(shares) / len(shares):.2f} % ({between(*mean(shares)).replace('+', '')})"


def counted(epochs: int) -> str:
    """A number of epochs in words."""
    return f"{epochs} epoch{'s' * (epochs != 1)}"
