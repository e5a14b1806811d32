"""Many schemes on one model: the reference's rows, or the user's; a row that fails does not lose the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.capture.capture import Source
from toolkit.compress.artifact import save
from toolkit.compress.baseline import Baselines, Settings
from toolkit.compress.compress import Compressed, compress
from toolkit.compress.data import Data
from toolkit.compress.measure.measures import Step
from toolkit.compress.scheme import Scheme
from toolkit.compress.steps import Coded, Distill, Quantise
from toolkit.compress.training.student import TooSmall
from toolkit.utils.errors import ShiftwrightError
from toolkit.utils.identifiers import identifier
from toolkit.utils.progress import bar

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
    """One network: `step` says all about it, or `error` why there is none; with `possible` false, because this model is
    too small for a row that nobody chose. `artifact` is its JSON's file name."""

    name: str
    category: str
    scheme: str
    step: Step | None
    artifact: str | None = None
    error: str | None = None
    hardware: bool = False
    possible: bool = True


@dataclass(frozen=True)
class Sweep:
    """All rows, the original first of all apart from them; `baselines` are the original trained on for as many epochs
    as the rows were, each number of epochs once. `data`: what was in the data (`Data.described`), where any were
    given."""

    original: Step
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    task: str
    baselines: tuple[Step, ...] = ()
    data: dict[str, Any] | None = None

    @property
    def good(self) -> list[Row]:
        return [row for row in self.rows if row.step is not None]

    @property
    def failed(self) -> list[Row]:
        """The rows that could not be carried out, although they were chosen or the model is large enough for them."""
        return [row for row in self.rows if row.step is None and row.possible]


TRAINED = ("distillation", "combination")
"""Categories whose rows are always trained, and only measured at their end."""
TRAINED_SUFFIX = {"pruning": "+finetuned", "quantization": "+qat"}
"""What a row after training is called, behind the name of the row before it."""


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

    Each scheme gives a row as pruned or quantised (PTQ), and with `trained` another one, fine-tuned or after QAT; a
    distillation is always trained, and has a row beside it of the same student without its teacher; a combination is
    only measured at its end. Raises what concerns all rows (a model or data that cannot be used).
    """
    parsed = [(label, Scheme.parse(text)) for label, text in schemes]
    baselines = Baselines(model, data, settings)
    rows: list[Row] = []
    untrained = replace(settings, qat_epochs=0, finetune_epochs=0)
    with bar("sweep", len(parsed)) as advance:
        for label, scheme in parsed:
            kind = category(scheme)
            if kind not in TRAINED:
                rows.append(_row(label, kind, baselines, scheme, untrained, folder, name))
            if trained or kind in TRAINED:
                suffix = "" if kind in TRAINED else TRAINED_SUFFIX[kind]
                rows.append(_row(label + suffix, kind, baselines, scheme, settings, folder, name))
            if kind == "distillation" and data.y_train is not None and rows[-1].step is not None \
                    and scheme.without_teacher != scheme:
                rows.append(_row(f"{label}_no_teacher", kind, baselines, scheme.without_teacher, settings, folder,
                                 name))
            advance(note=label)
    first, *others = (found.step for found in baselines.all)
    notes = (*baselines.original.meta["notes"], *baselines.data.notes)
    return Sweep(first, tuple(rows), notes, baselines.data.task, tuple(others))


def _row(label: str, kind: str, baselines: Baselines, scheme: Scheme, settings: Settings, folder: Path,
         name: str) -> Row:
    try:
        found: Compressed = compress(baselines.original, baselines.data, scheme, settings, name=name,
                                     baselines=baselines)
        step = replace(found.steps[-1], name=label)
        file = "_".join(part for part in (identifier(label, fallback="row"),) if part).replace(".", "_")
        while (folder / f"{file}.json").exists():
            file += "_"
        save(folder, file, str(scheme), step, found.graph, found.design)
        return Row(label, kind, str(scheme), step, f"{file}.json", hardware=found.design is not None)
    except (ShiftwrightError, AssertionError, RuntimeError, ValueError) as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        chosen = label not in DEFAULT or scheme != Scheme.parse(DEFAULT[label])
        return Row(label, kind, str(scheme), None, error=line[:300],
                   possible=chosen or not isinstance(error, TooSmall))
