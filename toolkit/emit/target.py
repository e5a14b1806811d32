"""What a target is: a function from a job to the files of one language, and what the manifest says of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from toolkit.design import Design
from toolkit.hardware import Architecture, Options, Plan, choose, plan
from toolkit.hardware.folded import FoldedPlan, plan_folded
from toolkit.utils.identifiers import identifiers

TOP = "network"


@dataclass(frozen=True)
class Job:
    """A design to be written in one or more languages. What several targets need is worked out once, when asked for."""

    design: Design
    options: Options

    @cached_property
    def top(self) -> str:
        """The identifier that the network has in every language."""
        return identifiers([self.design.name], fallback=TOP)[self.design.name]

    @cached_property
    def architecture(self) -> Architecture:
        return choose(self.design, self.options)

    @cached_property
    def plan(self) -> Plan:
        """Of an unrolled network."""
        return plan(self.design, self.options)

    @cached_property
    def folded(self) -> FoldedPlan:
        """Of a network with folded layers."""
        return plan_folded(self.design, self.architecture, self.options)


@dataclass(frozen=True)
class Emitted:
    """One target's part of a project. `files`: contents by path in the project folder; `entry`: the target's entry in
    the manifest, JSON of plain types; `layers`: what its README table says of each layer, by layer name."""

    files: dict[str, bytes]
    entry: dict[str, Any]
    layers: dict[str, dict[str, Any]]
