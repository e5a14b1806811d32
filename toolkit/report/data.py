"""What is in the data, as lines of text."""

from __future__ import annotations

from typing import Any

from toolkit.report.tables import WIDTH, fitted

PREFIX = "data: "
"""Of every line: it goes to stderr, among progress and errors."""
MOST = 12
"""Classes that are shown one by one; of more, the least and the most frequent ones."""
PARTS = {"train": "training", "val": "validation", "test": "test"}
LONGEST = 16
"""Characters of the name of a class."""


def data_text(told: dict[str, Any], notes: tuple[str, ...] = (), width: int = WIDTH) -> str:
    """The lines that tell what `described` found, each at most `width` columns wide (a sentence of `notes`: one line
    each, however long)."""
    inner = width - len(PREFIX)
    shape = " x ".join(map(str, told["shape"]))
    what = "bytes (uint8), which the hardware takes as they are" if told["bytes"] else "numbers"
    lines = [f"samples of shape {shape}, {what}", _task(told)]
    lines += [f"input '{one['name']}': elements {one['start']} to {one['stop'] - 1}, of shape "
              f"{' x '.join(map(str, one['shape']))}" for one in told.get("inputs", ())]
    lines += [f"labels of the output '{one['output']}': {one['task']}" for one in told.get("targets", ())]
    columns = ["samples", "range"]
    extra: dict[str, list[str]] = {}
    if told["task"] == "classes":
        shown = _shown(told)
        columns += [name if len(name) <= LONGEST else f"{name[:LONGEST - 3]}..." for _, name in shown]
        extra = {part: [_percent(told[part]["shares"][i]) for i, _ in shown] for part in PARTS}
    elif told["task"] == "bits":
        columns.append("ones")
        extra = {part: [_percent(told[part]["ones"])] for part in PARTS}
    elif told["task"] == "values":
        columns.append("range of targets")
        extra = {part: [f"{told[part]['target_low']:.4g} .. {told[part]['target_high']:.4g}"] for part in PARTS}
    rows = [["set", *columns]]
    rows += [[name, f"{told[part]['samples']:,}", f"{told[part]['low']:.4g} .. {told[part]['high']:.4g}",
              *extra.get(part, [])] for part, name in PARTS.items()]
    lines += [line for line in fitted(rows, width=inner) if line]
    lines += [f"note: {note}" for note in notes]
    return "\n".join(PREFIX + line for line in lines)


def _task(told: dict[str, Any]) -> str:
    if told["task"] == "classes":
        many = f"; the {MOST // 2} most and the {MOST // 2} least frequent are shown" \
            if len(told["classes"]) > MOST else ""
        return f"labels: {len(told['classes']):,} classes and their shares{many}"
    return {"bits": "labels: bits", "values": "labels: values", "none": "no labels",
            "outputs": "labels of several outputs"}[told["task"]]


def _shown(told: dict[str, Any]) -> list[tuple[int, str]]:
    """(place, name) of the classes that have a column."""
    every = list(enumerate(told["classes"]))
    if len(every) <= MOST:
        return every
    order = sorted(every, key=lambda one: -told["train"]["shares"][one[0]])
    return [*order[:MOST // 2], *order[-(MOST // 2):]]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
