"""The compression report: text with the sections of the field's reference, JSON, CSV, and a picture."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Any

import toolkit
from toolkit.compress.measures import Step
from toolkit.compress.sweep import Row, Sweep
from toolkit.report.choices import WITHIN, analysis, best, loss, pareto, recommendations
from toolkit.report.tables import size, table

CATEGORIES = {"pruning": "PRUNING TECHNIQUES", "quantization": "QUANTIZATION TECHNIQUES",
              "distillation": "KNOWLEDGE DISTILLATION", "combination": "COMBINATIONS"}
LINE = "=" * 80
HEAD = ("row", "size", "compressed", "compression", "sparsity", "weight BER", "output BER", "lost", "disagreement",
        "parameters", "non-zero", "storage")


def text(sweep: Sweep, title: str = "NEURAL NETWORK COMPRESSION REPORT") -> str:
    """The whole report. The same rows give the same text: nothing in it depends on the clock."""
    original = sweep.original
    parts = [LINE, title, LINE, "", *_head("ORIGINAL MODEL"), f"Size: {size(original.size)}",
             f"Compressed size: {size(original.compressed_size)} (zlib level 9)",
             f"Parameters: {original.parameters:,}", f"Non-zero parameters: {original.non_zeros:,}",
             *([f"Task BER: {_percent(original.task_ber)}"] if original.task_ber is not None else []),
             f"{_quality_name(sweep)}: {_quality(original)}", "", *_head("BEST RESULTS PER CATEGORY"),
             f"Rule: the fewest bytes among the rows that lose at most {WITHIN:g} points; else the least loss.",
             f"A point is {_point(sweep)}.", ""]
    for key, heading in CATEGORIES.items():
        row = best(sweep, [r for r in sweep.good if r.category == key])
        if row is not None and row.step is not None:
            step = row.step
            parts += [f"Best of {heading.lower()}: {row.name}", f"  Size: {size(step.size)}",
                      f"  Compression: {step.ratio:.2f}x", f"  Sparsity: {100 * step.sparsity:.1f} %",
                      f"  Weight BER: {_percent(step.weight_ber)}",
                      f"  {_quality_name(sweep)}: {_quality(step)} ({loss(sweep, row):+.2f} points lost)", ""]
    parts += [LINE, "DETAILED RESULTS", LINE]
    for key, heading in CATEGORIES.items():
        rows = [r for r in sweep.rows if r.category == key]
        if rows:
            parts += ["", *_head(heading), *_rows(sweep, rows)]
    parts += ["", *_head("BER ANALYSIS"), *analysis(sweep), "", *_head("PARETO SET (bytes against quality)"),
              *_rows(sweep, pareto(sweep)), "", *_head("RECOMMENDATIONS (from the rows above)"),
              *(f"{i}. {line}" for i, line in enumerate(recommendations(sweep), 1)),
              *(["", *_head("NOTES"), *(f"- {note}" for note in sweep.notes)] if sweep.notes else []), "", LINE, ""]
    return "\n".join(parts)


def to_json(sweep: Sweep) -> dict[str, Any]:
    return {"schema": 1, "generator": f"shiftwright {toolkit.__version__}", "task": sweep.task,
            "original": sweep.original.to_json(), "rows": [asdict(row) for row in sweep.rows],
            "pareto": [row.name for row in pareto(sweep)],
            "best": {key: getattr(best(sweep, [r for r in sweep.good if r.category == key]), "name", None)
                     for key in CATEGORIES},
            "recommendations": recommendations(sweep), "notes": list(sweep.notes)}


def to_csv(sweep: Sweep) -> str:
    """One line a row, fractions as they are."""
    out = io.StringIO()
    fields = list(sweep.original.to_json())
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["row", "category", "scheme", "artifact", "error", *fields[1:]])
    for row in sweep.rows:
        step = {} if row.step is None else row.step.to_json()
        writer.writerow([row.name, row.category, row.scheme, row.artifact, row.error,
                         *(step.get(field) for field in fields[1:])])
    return out.getvalue()


def _head(heading: str) -> list[str]:
    return [heading, "-" * 40]


def _rows(sweep: Sweep, rows: list[Row]) -> list[str]:
    bits = sweep.task == "bits"
    lines = [(*HEAD[:7], *(["task BER"] if bits else []), _quality_name(sweep).lower(), *HEAD[7:])]
    for row in rows:
        s = row.step
        if s is not None:
            lines.append((row.name, f"{s.size:,} B", f"{s.compressed_size:,} B", f"{s.ratio:.2f}x",
                          f"{100 * s.sparsity:.1f} %", _percent(s.weight_ber), _percent(s.output_ber),
                          *([_percent(s.task_ber)] if bits else []), _quality(s), f"{loss(sweep, row):+.2f}",
                          _percent(s.disagreement), f"{s.parameters:,}", f"{s.non_zeros:,}", s.storage))
    return [*(table(lines) if len(lines) > 1 else []), *(f"{r.name}: FAILED: {r.error}" for r in rows if r.error)]


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.2f} %"


def _quality_name(sweep: Sweep) -> str:
    if sweep.original.metric is not None:
        return "Metric"
    return {"classes": "Accuracy", "bits": "Bit accuracy", "values": "RMS error", "none": "Agreement"}[sweep.task]


def _point(sweep: Sweep) -> str:
    if sweep.original.metric is not None:
        return "1 % of the original's metric"
    return {"classes": "1 % of the test samples", "bits": "1 % of the test bits", "none": "1 % of the test samples",
            "values": "an RMS error greater by 1 % of the targets' standard deviation"}[sweep.task]


def _quality(step: Step) -> str:
    if step.metric is not None:
        return f"{step.metric:.5g}"
    return f"{step.error:.5g}" if step.error is not None else _percent(step.quality)
