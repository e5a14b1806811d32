"""What of a model is not supported: found all at once, told in one line each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from toolkit.utils.errors import InputError

MOST = 100
"""Lines of one error."""


@dataclass(frozen=True)
class Layer:
    """A layer of a model: the class of a module and its path in the model, or an operator of an ONNX file and the name
    of its node. An operation that stands in a module's own forward is called by its name in place of a class."""

    kind: str
    path: str


@dataclass(frozen=True)
class Fault:
    """A layer that is not supported: why, and what works in its place. `operation` is what stands in the way, where it
    is not the layer as a whole; `node`: `path` names a node of a file, not a module."""

    kind: str
    path: str
    why: str
    way_out: str
    operation: str = ""
    node: bool = False

    @property
    def layer(self) -> Layer:
        return Layer(self.kind, self.path)

    @property
    def told(self) -> str:
        """Why, and the way out."""
        return "; ".join(part for part in (self.why, self.way_out) if part)

    def __str__(self) -> str:
        if self.node:
            return f"the node '{self.path}' ({self.kind}): {self.told}"
        place = f"{self.kind} '{self.path}'" if self.path else f"the model itself ({self.kind})"
        what = f"the operation '{self.operation}' in {place}" if self.operation \
            else f"{self.kind} in '{self.path}'" if self.path else place
        return f"{what} is not supported: {self.told}"


def parted(advice: str) -> tuple[str, str]:
    """(why, way out) of a sentence that parts them by its first semicolon."""
    why, _, way_out = advice.partition("; ")
    return why, way_out


class Refused(InputError):
    """A model with layers that are not supported: `faults` has each, `layers` those that were found to be supported.
    One fault is one sentence; several are a line each."""

    def __init__(self, faults: Iterable[Fault], layers: Sequence[Layer] = (), where: str = "") -> None:
        self.faults, self.where = tuple(faults), where
        broken = {fault.path for fault in self.faults if not fault.operation}
        self.layers = tuple(layer for layer in layers if layer.path not in broken)
        lines = [str(fault) for fault in self.faults]
        if len(lines) == 1:
            super().__init__(where + lines[0])
            return
        more = [f"and {len(lines) - MOST:,} more"] if len(lines) > MOST else []
        super().__init__(f"{where}{len(lines):,} layers are not supported:", [*lines[:MOST], *more])

    def within(self, where: str) -> Refused:
        """The same, of the file that `where` names."""
        return Refused(self.faults, self.layers, where)
