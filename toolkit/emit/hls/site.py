"""A layer where it stands in the HLS sources, and what is written of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolkit.design import Design
from toolkit.design.layers import Layer, LayerRange
from toolkit.design.tensors import Tensor
from toolkit.emit.hls.cpp import Word, accumulators, requantisation
from toolkit.utils.identifiers import comment


@dataclass(frozen=True)
class Table:
    """A constant array: `type name[dims] = text`. `bits` as declared; `rom` where it is meant for block RAM."""

    type: str
    name: str
    dims: str
    text: str
    bits: int
    rom: bool = False


@dataclass(frozen=True)
class Written:
    """A layer's parts of the sources. `terms`: shifted inputs that it adds, where it is wiring."""

    function: str
    acc: str | None = None
    tables: tuple[Table, ...] = ()
    terms: int = 0


@dataclass(frozen=True)
class Site:
    """A layer where it stands: its tensors, its range, its lanes (0: unrolled), its identifier, its inputs' types.
    `task`: it is a process of a dataflow network, not a part of one pipeline."""

    design: Design
    layer: Layer
    name: str
    sources: tuple[str, ...]
    lanes: int
    task: bool

    @property
    def inputs(self) -> list[Tensor]:
        return self.design.inputs_of(self.layer)

    @property
    def output(self) -> Tensor:
        return self.design.tensors[self.layer.name]

    @property
    def range(self) -> LayerRange:
        return self.design.ranges[self.layer.name]

    def context(self, form: Word, **more: Any) -> dict[str, Any]:
        """What every layer's template is given."""
        ports = "x" if len(self.sources) == 1 else None
        return {
            "name": self.name, "code": f"{self.name}_Code", "size": self.output.size, "word": form.name,
            "layer": comment(self.layer.name), "kind": self.layer.kind,
            "about": describe(self.inputs, self.output),
            "inputs": [{"port": ports or f"x{i}", "code": f"{source}_Code", "size": t.size}
                       for i, (source, t) in enumerate(zip(self.sources, self.inputs, strict=True))],
            "entry": "inline" if not self.task else "inline off" if self.lanes else "pipeline II=1",
            "pragma": "pipeline II=1" if self.lanes else "unroll",
            "open": "{" if self.lanes else "{\n#pragma HLS unroll", **more}

    def requantisation(self, form: Word) -> dict[str, Any]:
        """The steps from an accumulator to an output code."""
        low, high = accumulators(self.layer, self.range)
        r = self.layer.requantise  # type: ignore[attr-defined]
        return requantisation(r, self.range.acc_frac, int(low.min()), int(high.max()), form)


def describe(inputs: list[Tensor], output: Tensor) -> str:
    """Shapes and formats of a layer, for a comment."""
    def one(t: Tensor) -> str:
        return f"{' x '.join(map(str, t.shape))} of {t.format}"

    return f"{', '.join(one(t) for t in inputs)} -> {one(output)}"
