"""Many schemes on one model: the reference's rows, or the user's; a row that fails does not lose the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.capture import capture
from toolkit.capture.capture import Source
from toolkit.compress.artifact import save
from toolkit.compress.compress import Compressed, Settings, compress
from toolkit.compress.data import Data
from toolkit.compress.measures import Step
from toolkit.compress.scheme import Coded, Distill, Quantise, Scheme
from toolkit.emit.names import identifier
from toolkit.errors import ShiftwrightError
from toolkit.progress import bar

REFERENCE = {
    **{f"{kind}_{ratio}": f"{kind}:{ratio}" for ratio in (0.1, 0.3, 0.5, 0.7)
       for kind in ("magnitude", "random", "structured")},
    "dynamic_int8": "dynamic:int8",
    **{f"log2_{bits}bit": f"log2:{bits}" for bits in (4, 6, 8)},
    **{f"minifloat_{kind}": f"minifloat:{kind}" for kind in ("E4M3", "E5M2", "E3M4")},
    **{f"student_{ratio}": f"distill:{ratio}" for ratio in (0.25, 0.1, 0.05)},
}
"""The rows of the reference report by their names there."""
COMBINATIONS = {
    f"{first}+{last}": f"{step}+{end}"
    for first, step in (("magnitude_0.5", "magnitude:0.5"), ("structured_0.5", "structured:0.5"),
                        ("structured_0.8_steps", "structured:0.8,steps=5"), ("student_0.1", "distill:0.1"))
    for last, end in (("log2_4bit", "log2:4"), ("minifloat_E4M3", "minifloat:E4M3"))
}
"""What the reference report recommends and has no row of: fewer weights, then fewer bits for each."""
DEFAULT = {**REFERENCE, **COMBINATIONS}
"""The rows of a sweep that nobody chose."""


@dataclass(frozen=True)
class Row:
    """One network: `step` says all about it, or `error` why there is none. `artifact` is its JSON's file name."""

    name: str
    category: str
    scheme: str
    step: Step | None
    artifact: str | None = None
    error: str | None = None
    hardware: bool = False


@dataclass(frozen=True)
class Sweep:
    """All rows, the original first of all apart from them. `unit` of quality is what a loss is a percentage of: 1 for
    accuracies, the targets' standard deviation for errors, the original's figure for a metric of the caller's."""

    original: Step
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    task: str
    unit: float = 1.0

    @property
    def good(self) -> list[Row]:
        return [row for row in self.rows if row.step is not None]


TRAINED = ("distillation", "combination")
"""Categories whose rows are always trained, and only measured at their end."""


def category(scheme: Scheme) -> str:
    """Where a report lists it."""
    if len(scheme.steps) > 1:
        return "combination"
    step = scheme.steps[0]
    return "quantization" if isinstance(step, Quantise | Coded) else \
        "distillation" if isinstance(step, Distill) else "pruning"


def sweep(model: Source, data: Data, schemes: Iterable[tuple[str, str]], settings: Settings, folder: Path, *,
          trained: bool = True, name: str = "network") -> Sweep:
    """Carry out named schemes and write an artifact of every network into `folder`.

    Each scheme gives a row as it is, and with `trained` another one after training; a distillation is always trained,
    and has a row beside it of the same student without its teacher; a combination is only measured at its end. Raises
    what concerns all rows (a model or data that cannot be used).
    """
    parsed = [(label, Scheme.parse(text)) for label, text in schemes]
    data = data.arranged(model)
    graph = capture(model, data.sample_shape)
    first = compress(graph, data, Scheme(()), settings, name=name)
    rows: list[Row] = []
    untrained = replace(settings, epochs=0, tuning=0)
    with bar("sweep", len(parsed)) as advance:
        for label, scheme in parsed:
            kind = category(scheme)
            if kind not in TRAINED:
                rows.append(_row(label, kind, graph, data, scheme, untrained, folder, name))
            if trained or kind in TRAINED:
                suffix = "" if kind in TRAINED else "+trained"
                rows.append(_row(label + suffix, kind, graph, data, scheme, settings, folder, name))
            if kind == "distillation" and data.y_train is not None and rows[-1].step is not None \
                    and scheme.without_teacher != scheme:
                rows.append(_row(f"{label}_alone", kind, graph, data, scheme.without_teacher, settings, folder, name))
            advance(note=label)
    return Sweep(first.steps[0], tuple(rows), first.notes, data.task, _unit(first.steps[0], data))


def _unit(original: Step, data: Data) -> float:
    if original.metric is not None:
        return abs(original.metric) or 1.0
    return 1.0 if original.error is None or data.y_test is None else float(data.y_test.std()) or 1.0


def _row(label: str, kind: str, model: Source, data: Data, scheme: Scheme, settings: Settings, folder: Path,
         name: str) -> Row:
    try:
        found: Compressed = compress(model, data, scheme, settings, name=name)
        step = replace(found.steps[-1], name=label)
        file = "_".join(part for part in (identifier(label, fallback="row"),) if part).replace(".", "_")
        while (folder / f"{file}.json").exists():
            file += "_"
        save(folder, file, str(scheme), step, found.graph, found.design)
        return Row(label, kind, str(scheme), step, f"{file}.json", hardware=found.design is not None)
    except (ShiftwrightError, AssertionError, RuntimeError, ValueError) as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        return Row(label, kind, str(scheme), None, error=line[:300])
