"""Which layers of a model are supported and which are not, before any work is put into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from toolkit.capture import QuantisedModel, capture
from toolkit.capture.capture import Source
from toolkit.capture.exported import refused_modules
from toolkit.capture.faults import Fault, Layer, Refused
from toolkit.capture.ports import inputs_of
from toolkit.capture.program import Program
from toolkit.capture.source import load_model
from toolkit.compress import Data
from toolkit.design import Port
from toolkit.importing import design_of
from toolkit.report.tables import fitted
from toolkit.utils.errors import InputError

CLASSES_ALONE = ("without data only the classes of the modules were looked at; with --data, whose samples say what "
                 "shape the network takes, everything else is, too")


@dataclass(frozen=True)
class Checked:
    """What a model is made of: `layers` that are supported, `faults` that are not, and notes."""

    layers: tuple[Layer, ...]
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Every layer is supported."""
        return not self.faults

    def to_json(self) -> dict[str, Any]:
        unsupported = [{"layer": f.kind, "path": f.path, "operation": f.operation, "why": f.why, "way_out": f.way_out,
                        "told": str(f)} for f in self.faults]
        return {"ok": self.ok, "supported": [{"layer": x.kind, "path": x.path} for x in self.layers],
                "unsupported": unsupported, "notes": list(self.notes)}


def check(model: str | Source | QuantisedModel, data: Data | None = None, *, requantise: bool = False) -> Checked:
    """Look at every layer of a model, or of the one that a command would load by its name.

    `data` say what shape the samples of an nn.Module have; a .pt2 and an .onnx file say that themselves. Raises
    InputError for what is no model, or does not take such samples.
    """
    try:
        loaded = load_model(model, requantise=requantise) if isinstance(model, str) else model
        if isinstance(loaded, QuantisedModel):
            return Checked(loaded.network.layers, notes=design_of(loaded).notes)
        shape, inputs = _samples(loaded, data)
        if shape is None:
            return _by_class(loaded)
        graph = capture(loaded, shape, inputs)
    except Refused as error:
        return Checked(error.layers, error.faults)
    layers = getattr(loaded, "layers", None) or graph.meta.get("layers", ())
    return Checked(tuple(layers), notes=tuple(graph.meta["notes"]))


def text(checked: Checked, width: int = 100) -> list[str]:
    """Lines for people."""
    lines = fitted([("supported", "path"), *((x.kind, x.path or "-") for x in checked.layers)], 2, width) \
        if checked.layers else []
    lines += [f"note: {note}" for note in checked.notes]
    if checked.ok:
        return [*lines, "every layer is supported"]
    count = len(checked.faults)
    return [*lines, *([""] if lines else []), f"not supported: {count} layer{'s' if count > 1 else ''}",
            *(f"  {fault}" for fault in checked.faults)]


def _samples(model: Any, data: Data | None) -> tuple[tuple[int, ...] | None, tuple[Port, ...]]:
    """The shape of one sample, channels first, and which elements of it are of which of several inputs; None where
    nothing tells."""
    if data is not None:
        sorted_data = data.arranged(model)
        return sorted_data.sample_shape, sorted_data.inputs
    if several := inputs_of(model):
        return (sum(port.size for port in several),), several
    if isinstance(model, Program) and model.inputs:
        value = next(n for n in model.graph.nodes if n.name == model.inputs[0]).meta["val"]
        return tuple(value.shape[1:]), ()
    shape = getattr(model, "sample_shape", None)
    return None if shape is None else tuple(shape), ()


def _by_class(model: Any) -> Checked:
    faults = tuple(refused_modules(model)) if isinstance(model, torch.nn.Module) else ()
    if not faults:
        raise InputError("data are needed to check this model (--data): a .pt2 and an .onnx file say what their "
                         "samples look like, code does not")
    return Checked((), faults, (CLASSES_ALONE,))
