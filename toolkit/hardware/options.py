"""What a user can choose about the hardware."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.errors import InputError


@dataclass(frozen=True)
class Options:
    """`adders_per_stage`: levels of adders between two registers; fewer is faster in MHz and costs registers and
    cycles of latency. `sharing_tries`: how many orders of a matrix the sharing solver is given; the best is kept."""

    adders_per_stage: int = 4
    sharing_tries: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.adders_per_stage <= 64:
            raise InputError(f"{self.adders_per_stage} adders per stage are outside 1..64")
        if not 1 <= self.sharing_tries <= 1000:
            raise InputError(f"{self.sharing_tries} sharing tries are outside 1..1000")
