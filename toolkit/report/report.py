"""The figures of a run, collected; nothing is computed here that was not measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import toolkit
from toolkit.compress.compress import Compressed
from toolkit.compress.measure.measures import Step
from toolkit.design import Design
from toolkit.emit.generated import Generated
from toolkit.importing import Imported
from toolkit.report.columns import flat
from toolkit.report.simulation import SimulationResult
from toolkit.report.waterfall import Waterfall


@dataclass(frozen=True)
class Network:
    """One network under one scheme. `layers`: of the design, as (name, kind, shape, format). `baseline`: the original,
    trained for as many epochs as the last step's network."""

    name: str
    scheme: str
    steps: tuple[Step, ...]
    layers: tuple[tuple[str, str, str, str], ...]
    notes: tuple[str, ...]
    baseline: Step | None = None

    @classmethod
    def of(cls, name: str, compressed: Compressed) -> Network:
        return cls(name, str(compressed.scheme), compressed.steps, _layers(compressed.design), compressed.notes,
                   compressed.baseline)

    @classmethod
    def imported(cls, name: str, imported: Imported) -> Network:
        """A network that came as integers: nothing was compressed."""
        kind = "exactly the file's" if imported.exact else "approximated: see the notes"
        return cls(name, f"quantised .onnx, {kind}", (), _layers(imported.design), imported.notes)

    def to_json(self) -> dict[str, Any]:
        """Steps have the columns of the text's table."""
        return {"name": self.name, "scheme": self.scheme, "steps": [_named(step) for step in self.steps],
                "layers": [list(layer) for layer in self.layers], "notes": list(self.notes),
                "baseline": None if self.baseline is None else _named(self.baseline)}


def _named(step: Step) -> dict[str, Any]:
    return {"step": step.name, **flat(step)}


def _layers(design: Design | None) -> tuple[tuple[str, str, str, str], ...]:
    return () if design is None else tuple(
        (layer.name, layer.kind, "x".join(map(str, design.tensors[layer.name].shape)),
         str(design.tensors[layer.name].format)) for layer in design.layers)


@dataclass(frozen=True)
class Hardware:
    """What was generated of one network: the manifest's entry of each target; what a simulation measured is None where
    none was run. `folder`: the project's, in the folder that holds the report."""

    name: str
    targets: dict[str, dict[str, Any]]
    simulation: SimulationResult | None
    folder: str = "hardware"

    @classmethod
    def of(cls, name: str, generated: Generated, simulation: SimulationResult | None,
           folder: str = "hardware") -> Hardware:
        return cls(name, generated.entries, simulation, folder)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"name": self.name, "targets": self.targets}
        if self.simulation is not None:
            s = self.simulation
            found["simulation"] = {"ok": s.ok, "hardware_ber": s.hardware_ber, "bit_errors": s.bit_errors,
                                   "bits": s.bits, "samples": s.samples, "latency": s.latency,
                                   "ii": s.initiation_interval, "checks": s.data["checks"],
                                   "failures": s.failures}
        return found


@dataclass(frozen=True)
class Report:
    """A whole run: networks as they were compressed, and the hardware that was made of some. `data`: what was in the
    data (`Data.described`), where there were any; `waterfalls`: bit error rates over Eb/N0, of receivers."""

    title: str
    networks: tuple[Network, ...]
    hardware: tuple[Hardware, ...]
    seconds: float
    data: dict[str, Any] | None = None
    waterfalls: tuple[Waterfall, ...] = ()

    @property
    def ok(self) -> bool:
        """Every simulation that was run found every bit right."""
        return all(h.simulation is None or h.simulation.ok for h in self.hardware) \
            and not any(w.different for w in self.waterfalls)

    def to_json(self) -> dict[str, Any]:
        return {"schema": 3, "generator": f"shiftwright {toolkit.__version__}", "title": self.title, "ok": self.ok,
                "seconds": self.seconds, "networks": [n.to_json() for n in self.networks],
                "hardware": [h.to_json() for h in self.hardware],
                **({} if self.data is None else {"data": self.data}),
                **({"waterfalls": [w.to_json() for w in self.waterfalls]} if self.waterfalls else {})}
