"""The compression report: text with the sections of the field's reference, JSON, CSV, and a picture."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import toolkit
from toolkit.compress.measure.measures import Step
from toolkit.compress.sweep import Row, Sweep
from toolkit.report import columns
from toolkit.report.choices import WITHIN, analysis, best, pareto, recommendations
from toolkit.report.differences import dropped, quality
from toolkit.report.tables import WIDTH, fitted, size
from toolkit.utils.printable import printable

CATEGORIES = {"pruning": "PRUNING TECHNIQUES", "quantization": "QUANTIZATION TECHNIQUES",
              "distillation": "KNOWLEDGE DISTILLATION", "combination": "COMBINATIONS"}
LINE = "=" * 80
EXPLAINED = (
    "Choices are made on the validation samples; results are measured on the test samples.", *columns.EXPLAINED,
    "Drop as given: below the original without further training.",
)


def text(sweep: Sweep, title: str = "NEURAL NETWORK COMPRESSION REPORT", folder: Path | str | None = None,
         width: int = WIDTH) -> str:
    """The whole report. The same rows give the same text: nothing in it depends on the clock. `folder`: what the sweep
    was written to, as seen from where the reader's commands run; by default they run in the report's own folder."""
    original = sweep.original
    parts = [LINE, title, LINE, "", *_head("ORIGINAL MODEL"), f"Size: {size(original.size)}",
             f"Compressed size: {size(original.compressed_size)} (zlib level 9)",
             f"Parameters: {original.parameters:,} ({original.weights:,} of them weights)",
             f"Non-zero parameters: {original.non_zeros:,}",
             f"Sparsity: {100 * original.sparsity:.2f} %",
             *([f"Task BER: {_percent(original.task_ber)}"] if original.task_ber is not None else []),
             *(_about(sweep, step) for step in (original, *sweep.baselines)), "", *_head("BEST RESULTS PER CATEGORY"),
             (f"Best: the smallest row with a validation drop of at most {WITHIN:g} points; where there is none, the "
             "row with the least validation drop."), *EXPLAINED, f"A point is {_point(sweep)}.", ""]
    for key, heading in CATEGORIES.items():
        row = best([r for r in sweep.good if r.category == key])
        if row is not None and row.step is not None:
            parts += [*_best(sweep, heading, row, row.step), ""]
    parts += [LINE, "DETAILED RESULTS", LINE]
    for key, heading in CATEGORIES.items():
        rows = [r for r in sweep.rows if r.category == key]
        if rows:
            parts += ["", *_head(heading), *_rows(sweep, rows, width)]
    parts += ["", *_head("BER ANALYSIS"), *analysis(sweep), "", *_head("PARETO SET (size and validation quality)"),
              *_rows(sweep, pareto(sweep), width), "", *_head("RECOMMENDATIONS (from the rows above)"),
              *(f"{i}. {line}" for i, line in enumerate(recommendations(sweep, folder), 1)),
              *(["", *_head("NOTES"), *(f"- {note}" for note in sweep.notes)] if sweep.notes else []), "", LINE, ""]
    return "\n".join(map(printable, parts))


def to_json(sweep: Sweep) -> dict[str, Any]:
    """Rows as in the CSV, fractions as they are."""
    return {"schema": 2, "generator": f"shiftwright {toolkit.__version__}", "task": sweep.task,
            "original": _step(sweep.original), "baselines": [_step(step) for step in sweep.baselines],
            "rows": [_flat(row) for row in sweep.rows], "pareto": [row.name for row in pareto(sweep)],
            "best": {key: getattr(best([r for r in sweep.good if r.category == key]), "name", None)
                     for key in CATEGORIES},
            "recommendations": recommendations(sweep), "notes": list(sweep.notes),
            **({} if sweep.data is None else {"data": sweep.data})}


def to_csv(sweep: Sweep) -> str:
    """One line a row, fractions as they are."""
    out = io.StringIO()
    writer = csv.DictWriter(out, HEAD, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_flat(row) for row in sweep.rows)
    return out.getvalue()


HEAD = ("row", *columns.KEYS, "category", "scheme", "artifact", "hardware", "possible", "error")


def _flat(row: Row) -> dict[str, Any]:
    """A row of the JSON and of the CSV."""
    return {"row": row.name, **columns.flat(row.step), "category": row.category, "scheme": row.scheme,
            "artifact": row.artifact, "hardware": row.hardware, "possible": row.possible, "error": row.error}


def _step(step: Step) -> dict[str, Any]:
    return {"row": step.name, **columns.flat(step)}


def _best(sweep: Sweep, heading: str, row: Row, step: Step) -> list[str]:
    return [f"Best of {heading.lower()}: {row.name}",
            f"  {_quality_name(sweep)}: {quality(step, test=True)}, validation {quality(step, test=False)}",
            (f"  Drop: {dropped(step.drop)} against the original trained for the same number of epochs "
             f"({step.epochs})"),
            f"  Size: {size(step.size)}", f"  Ratio: {step.ratio:.2f}",
            f"  Weight BER: {_percent(step.weight_ber)}", f"  Sparsity: {100 * step.sparsity:.2f} %"]


def _about(sweep: Sweep, step: Step) -> str:
    return (f"{_quality_name(sweep)}, {step.name if step.epochs else 'original as given'}: {quality(step, test=True)}, "
            f"validation {quality(step, test=False)}")


def _head(heading: str) -> list[str]:
    return [heading, "-" * 40]


def _rows(sweep: Sweep, rows: list[Row], width: int) -> list[str]:
    """A table of rows, and below it why others failed. Its columns are those of the whole sweep."""
    shown = columns.told(row.step for row in sweep.good if row.step is not None)
    lines = [["row", *(column.head for column in shown)]]
    lines += [[row.name, *(column.cell(row.step) for column in shown)] for row in rows if row.step is not None]
    return [*(fitted(lines, width=width) if len(lines) > 1 else []),
            *(f"{r.name}: {'FAILED' if r.possible else 'not possible'}: {r.error}" for r in rows if r.error)]


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.2f} %"


def _quality_name(sweep: Sweep) -> str:
    if sweep.original.metric is not None:
        return "Metric"
    return {"classes": "Accuracy", "bits": "Bit accuracy", "values": "RMS error", "none": "Agreement",
            "outputs": "Metric"}[sweep.task]


def _point(sweep: Sweep) -> str:
    if sweep.original.metric is not None:
        return "1 % of the original's metric"
    return {"classes": "1 % of the samples", "bits": "1 % of the bits", "none": "1 % of the samples",
            "outputs": "1 % of the original's metric",
            "values": "an RMS error greater by 1 % of the targets' standard deviation"}[sweep.task]
