"""The compression report: text with the sections of the field's reference, JSON, CSV, and a picture."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Any

import toolkit
from toolkit.compress.measure.measures import Step
from toolkit.compress.sweep import Row, Sweep
from toolkit.report.choices import WITHIN, analysis, best, pareto, recommendations
from toolkit.report.differences import between, dropped, quality
from toolkit.report.tables import size, table
from toolkit.utils.printable import printable

CATEGORIES = {"pruning": "PRUNING TECHNIQUES", "quantization": "QUANTIZATION TECHNIQUES",
              "distillation": "KNOWLEDGE DISTILLATION", "combination": "COMBINATIONS"}
LINE = "=" * 80
HEAD = ("row", "size", "compressed", "compression", "sparsity", "weight BER", "output BER")
TAIL = ("drop", "95 % interval", "drop as given", "validation drop", "epochs", "disagreement", "weights", "non-zero",
        "storage")
EXPLAINED = (
    "Choices are made on the validation samples; rows are reported on the test samples, with 95 % intervals.",
    "Drop: points below the original trained for as many epochs as the row; as given: without. Positive is worse.",
)


def text(sweep: Sweep, title: str = "NEURAL NETWORK COMPRESSION REPORT") -> str:
    """The whole report. The same rows give the same text: nothing in it depends on the clock."""
    original = sweep.original
    parts = [LINE, title, LINE, "", *_head("ORIGINAL MODEL"), f"Size: {size(original.size)}",
             f"Compressed size: {size(original.compressed_size)} (zlib level 9)",
             f"Parameters: {original.parameters:,} ({original.weights:,} of them weights)",
             f"Non-zero parameters: {original.non_zeros:,}",
             *([f"Task BER: {_percent(original.task_ber)}"] if original.task_ber is not None else []),
             *(_about(sweep, step) for step in (original, *sweep.baselines)), "", *_head("BEST RESULTS PER CATEGORY"),
             (f"Rule: the fewest bytes among the rows with a validation drop of at most {WITHIN:g} points; else the "
             "least drop."), *EXPLAINED, f"A point is {_point(sweep)}.", ""]
    for key, heading in CATEGORIES.items():
        row = best([r for r in sweep.good if r.category == key])
        if row is not None and row.step is not None:
            step = row.step
            parts += [f"Best of {heading.lower()}: {row.name}", f"  Size: {size(step.size)}",
                      f"  Compression: {step.ratio:.2f}x", f"  Sparsity: {100 * step.sparsity:.1f} %",
                      f"  Weight BER: {_percent(step.weight_ber)}",
                      f"  {_quality_name(sweep)}: {quality(step, test=True)}, validation {quality(step, test=False)}",
                      f"  Drop: {dropped(step.drop)} against the original trained as long ({step.epochs} epochs both)",
                      ""]
    parts += [LINE, "DETAILED RESULTS", LINE]
    for key, heading in CATEGORIES.items():
        rows = [r for r in sweep.rows if r.category == key]
        if rows:
            parts += ["", *_head(heading), *_rows(sweep, rows)]
    parts += ["", *_head("BER ANALYSIS"), *analysis(sweep), "", *_head("PARETO SET (bytes against quality)"),
              *_rows(sweep, pareto(sweep)), "", *_head("RECOMMENDATIONS (from the rows above)"),
              *(f"{i}. {line}" for i, line in enumerate(recommendations(sweep), 1)),
              *(["", *_head("NOTES"), *(f"- {note}" for note in sweep.notes)] if sweep.notes else []), "", LINE, ""]
    return "\n".join(map(printable, parts))


def to_json(sweep: Sweep) -> dict[str, Any]:
    return {"schema": 1, "generator": f"shiftwright {toolkit.__version__}", "task": sweep.task,
            "original": sweep.original.to_json(),
            "baselines": [step.to_json() for step in sweep.baselines], "rows": [asdict(row) for row in sweep.rows],
            "pareto": [row.name for row in pareto(sweep)],
            "best": {key: getattr(best([r for r in sweep.good if r.category == key]), "name", None)
                     for key in CATEGORIES},
            "recommendations": recommendations(sweep), "notes": list(sweep.notes)}


def to_csv(sweep: Sweep) -> str:
    """One line a row, fractions as they are."""
    out = io.StringIO()
    fields = list(_flat(sweep.original))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["row", "category", "scheme", "artifact", "error", *fields[1:]])
    for row in sweep.rows:
        step = {} if row.step is None else _flat(row.step)
        writer.writerow([row.name, row.category, row.scheme, row.artifact, row.error,
                         *(step.get(field) for field in fields[1:])])
    return out.getvalue()


def _flat(step: Step) -> dict[str, Any]:
    """A step with its drops and its interval as columns of their own."""
    found = step.to_json()
    low, high = found.pop("interval") or (None, None)
    found |= {"accuracy_low": low, "accuracy_high": high}
    for key in ("drop", "drop_as_given"):
        drop = found.pop(key) or {}
        found |= {f"{key}_{part}": drop.get(part) for part in ("validation", "test", "low", "high")}
    return found


def _about(sweep: Sweep, step: Step) -> str:
    return (f"{_quality_name(sweep)}, {step.name if step.epochs else 'original as given'}: {quality(step, test=True)}, "
            f"validation {quality(step, test=False)}")


def _head(heading: str) -> list[str]:
    return [heading, "-" * 40]


def _rows(sweep: Sweep, rows: list[Row]) -> list[str]:
    bits = sweep.task == "bits"
    name = _quality_name(sweep).lower()
    lines = [(*HEAD, *(["task BER"] if bits else []), f"validation {name}", f"test {name}", *TAIL)]
    for row in rows:
        s = row.step
        if s is not None:
            lines.append((row.name, f"{s.size:,} B", f"{s.compressed_size:,} B", f"{s.ratio:.2f}x",
                          f"{100 * s.sparsity:.1f} %", _percent(s.weight_ber), _percent(s.output_ber),
                          *([_percent(s.task_ber)] if bits else []), quality(s, test=False), quality(s, test=True),
                          *_drops(s), f"{s.epochs}", _percent(s.disagreement), f"{s.weights:,}",
                          f"{s.non_zero_weights:,}", s.storage))
    return [*(table(lines) if len(lines) > 1 else []),
            *(f"{r.name}: {'FAILED' if r.possible else 'not possible'}: {r.error}" for r in rows if r.error)]


def _drops(step: Step) -> tuple[str, str, str, str]:
    fair, given = step.drop, step.drop_as_given
    assert fair is not None and given is not None
    return f"{fair.test:+.2f}", between(fair.low, fair.high), f"{given.test:+.2f}", f"{fair.validation:+.2f}"


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{100 * value:.2f} %"


def _quality_name(sweep: Sweep) -> str:
    if sweep.original.metric is not None:
        return "Metric"
    return {"classes": "Accuracy", "bits": "Bit accuracy", "values": "RMS error", "none": "Agreement"}[sweep.task]


def _point(sweep: Sweep) -> str:
    if sweep.original.metric is not None:
        return "1 % of the original's metric"
    return {"classes": "1 % of the samples", "bits": "1 % of the bits", "none": "1 % of the samples",
            "values": "an RMS error greater by 1 % of the targets' standard deviation"}[sweep.task]
