"""A measured figure, beside its peer's and its goal."""

from __future__ import annotations

from dataclasses import dataclass


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
