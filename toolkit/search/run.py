"""A search as a command: its folder, full training of the finalists, its table and picture, building what it found."""

from __future__ import annotations

import json
import math
import re
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.capture.capture import Source
from toolkit.commands.build import Built, build
from toolkit.compress import Baselines, Data, Settings
from toolkit.compress.measure.measures import Step
from toolkit.compress.quantisation.ptq import Widths
from toolkit.compress.steps import Gate
from toolkit.design.layers.multiply import POWER
from toolkit.report import pointers
from toolkit.report.columns import EXPLAINED, flat, told
from toolkit.report.differences import quality
from toolkit.report.plot import BOTTOM, COLOURS, HEIGHT, Frame, paper
from toolkit.report.tables import WIDTH, fitted, size
from toolkit.search.search import OBJECTIVES, Found, Limits, adder_bits, full, hypervolume, pareto, search
from toolkit.search.space import Choice
from toolkit.utils import interrupts
from toolkit.utils.errors import InputError
from toolkit.utils.output_folder import also, write_whole
from toolkit.utils.printable import printable
from toolkit.utils.progress import bar

DATABASE = "study.db"
RESULT = "search.json"
CONFIG = "config.toml"
"""What the command line writes when there is a result."""
LEFT = re.compile(r"\.(search\.(json|txt|svg)|config\.toml)\.[a-z0-9_]{8}")
"""What a killed worker was writing."""
FORGOTTEN = 3600
"""Seconds after which nobody writes it any more."""
TRAINING = ("qat_epochs", "finetune_epochs", "lr", "rounding", "seed")
"""The settings that `search.json` keeps, so that a trial is built as its finalist was trained."""

COLUMNS = ("metric", "accuracy", "drop", "size", "ratio", "epochs", "validation_metric", "validation_accuracy",
           "validation_drop")
"""Of a finalist, in the text."""


@dataclass(frozen=True)
class SearchResult:
    """All trials by proxy, and the finalists trained in full. `original` is the float network as it was given,
    `baselines` the same trained on for as many epochs as the finalists."""

    trials: tuple[Found, ...]
    finalists: tuple[Found, ...]
    objectives: tuple[str, ...]
    original: Step
    baselines: tuple[Step, ...]
    limits: Limits
    settings: Settings
    data: dict[str, Any] | None = None

    @property
    def front(self) -> list[Found]:
        return pareto(list(self.finalists or self.trials), self.objectives)

    @property
    def volume(self) -> float:
        """The hypervolume of the finalists against the original's bytes and no accuracy, on the validation samples."""
        return hypervolume([(f.bytes, f.accuracy) for f in self.front], (float(self.original.size), 0.0))

    def to_json(self) -> dict[str, Any]:
        training = {key: getattr(self.settings, key) for key in TRAINING}
        training |= {"widths": asdict(self.settings.widths), "gate": self.settings.gate.kind}
        front = self.front
        return {"schema": 3, "settings": training, "objectives": list(self.objectives),
                "original": flat(self.original), "baselines": [flat(step) for step in self.baselines],
                "limits": asdict(self.limits), "hypervolume": self.volume, "front": [f.number for f in front],
                "finalists": [_finalist(f, front) for f in self.finalists], "trials": [_entry(f) for f in self.trials],
                **({} if self.data is None else {"data": self.data})}


def run_search(model: Source, data: Data, out: Path | str, *, trials: int = 100, storage: str | None = None,
               objectives: tuple[str, ...] = tuple(OBJECTIVES), limits: Limits | None = None,
               settings: Settings | None = None, seed: int = 0, finalists: int = 6) -> SearchResult:
    """Search in the folder `out`, which keeps the study (unless `storage` names another place): run it again to go on.

    Everything is chosen by the validation samples; the test samples are read for the finalists' figures alone. Ends
    with search.txt, search.json and search.svg there. Raises InputError for a folder that is not a search's.
    """
    out, limits, settings = Path(out), limits or Limits(), settings or Settings()
    if not 1 <= finalists <= 1000:
        raise InputError(f"{finalists} finalists are outside 1..1000")
    fresh = not out.exists()
    _claim(out)
    url = storage or f"sqlite:///{(out / DATABASE).resolve()}"
    try:
        found = search(model, data, url, trials=trials, objectives=objectives, limits=limits, settings=settings,
                       seed=seed)
    except InputError:
        if fresh:
            _leave_nothing(out)
        raise
    except KeyboardInterrupt:
        interrupts.left(f"finished trials are kept: run it again for '{out}' to go on")
        raise
    chosen = pareto(found, objectives) or sorted(found, key=lambda f: -f.accuracy)
    picked = spread(chosen, finalists)
    trained, baselines = [], Baselines(model, data, settings)
    with bar("training the finalists", len(picked)) as advance:
        for one in picked:
            made = full(model, data, one, settings, baselines=baselines)
            last = made.steps[-1]
            assert made.design is not None and last.drop is not None
            drop = last.drop.validation
            trained.append(replace(one, accuracy=last.quality, bytes=last.size, adder_bits=adder_bits(made.design),
                                   trained=True, fits=limits.kept(drop, last.size), drop=drop, epochs=last.epochs,
                                   step=last))
            advance(note=f"trial {one.number}")
    original, *others = (measured.step for measured in baselines.all)
    result = SearchResult(tuple(found), tuple(trained), objectives, original, tuple(others), limits, settings,
                          data.described())
    _write(out / RESULT, json.dumps(result.to_json(), indent=1) + "\n")
    _write(out / "search.txt", search_text(result))
    _write(out / "search.svg", search_svg(result))
    for name, content in also(out).items():
        write_whole(out / name, content)
    return result


def spread(front: list[Found], count: int) -> list[Found]:
    """At most `count` trials of a front: its two ends and what lies evenly between them. A choice that came up twice
    counts once."""
    once = list({one.choice: one for one in front}.values())
    places = np.linspace(0, len(once) - 1, min(count, len(once))).round().astype(int)
    return [once[i] for i in places]


def build_trial(folder: Path | str, number: int, model: Source, data: Data, out: Path | str, **options: Any) -> Built:
    """Build the network of trial `number` of the search in `folder`, trained as the search trains its finalists; the
    options are `build`'s, of the settings those that the search does not keep (metric, loss, trainer)."""
    path = Path(folder) / RESULT
    try:
        result = json.loads(path.read_text())
        known = result["settings"]
        kept = {key: known[key] for key in TRAINING} | {"widths": Widths(**known["widths"]),
                                                        "gate": Gate(known.get("gate", POWER))}
        choices = {int(t["trial"]): Choice.from_json(t["choice"]) for t in result["trials"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{folder}' holds no finished search ({error})") from error
    if number not in choices:
        raise InputError(f"the search in '{folder}' has no trial {number}; its best are "
                         f"{', '.join(map(str, result['front'][:12]))}")
    choice = choices[number]
    settings = choice.settings(replace(options.pop("settings", None) or Settings(), **kept))
    return build(model, data, choice.scheme, out, settings=settings, **options)


def search_text(result: SearchResult, folder: Path | str = ".", model: str = "MODEL", data: Path | str = "DATA",
                own: Mapping[str, str | None] | None = None, width: int = WIDTH) -> str:
    """The finalists as a table, their schemes and the way to build one below it.

    `folder`: the search's, as seen from where the reader's commands run; by default they run in it. `model`, `data` and
    `own` (options that the search does not keep, such as --metric) are as the user gave them.
    """
    finalists = sorted(result.finalists, key=lambda f: f.bytes)
    front = {f.number for f in result.front}
    columns = told((f.step for f in finalists if f.step is not None), COLUMNS)
    rows = [["trial", *(column.head for column in columns), "adder bits", "fits", "front"]]
    for f in finalists:
        assert f.step is not None
        rows.append([str(f.number), *(column.cell(f.step) for column in columns), f"{f.adder_bits:,}", _yes(f.fits),
                     _yes(f.number in front)])
    lines = [f"search: {len(result.trials)} trials, {len(result.finalists)} trained in full", "",
             *(f"{step.name if step.epochs else 'original as given'}: validation {quality(step, test=False)}, test "
               f"{quality(step, test=True)}, {size(step.size)}" for step in (result.original, *result.baselines)), "",
             *fitted(rows, width=width), "",
             *(f"trial {f.number}: {f.choice.scheme}; {' '.join(f.choice.layers)}; {f.choice.hidden_bits}-bit sums"
               for f in finalists), "",
             *EXPLAINED, ("Adder bits are an estimate. The front, and whether a trial fits the limits, go by the "
                          "validation samples."),
             f"hypervolume (validation accuracy over log2 of bytes, against the original's bytes): {result.volume:.4f}"]
    if finalists:
        one = max(result.front or finalists, key=lambda f: f.accuracy).number
        where = " (in this folder)" if str(folder) == "." else ""
        lines.append(f"build one with{where}: {pointers.build_trial(folder, one, model, data, own, _out(folder, one))}")
    return "\n".join(map(printable, lines)) + "\n"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _out(folder: Path | str, trial: int) -> str:
    """Where a trial is built: in the search's own folder nothing else is put."""
    return f"{'../' if str(folder) == '.' else ''}trial_{trial}"


def search_svg(result: SearchResult) -> str:
    """Every trial as a dot, the finalists trained in full as larger ones, their front joined."""
    every = [*result.trials, *result.finalists]
    sizes = [math.log2(f.bytes) for f in every] or [0.0]
    low, high = math.floor(min(sizes)), math.ceil(max(sizes))
    plot = Frame(low, max(high, low + 1), max(min((f.accuracy for f in every), default=0.0) - 0.02, 0.0), 1.0)
    parts = [*paper("search: validation accuracy over size"), *plot.axes()]
    for f in every:
        x, y = plot.at(math.log2(f.bytes), f.accuracy)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{5 if f.trained else 2.5}" '
                     f'fill="{COLOURS[0] if f.trained else "#aaaaaa"}"><title>{escape(f"trial {f.number}")}: {f.bytes} '
                     f"bytes, {100 * f.accuracy:.2f} %</title></circle>")
    line = " ".join("{:.1f},{:.1f}".format(*plot.at(math.log2(f.bytes), f.accuracy)) for f in result.front)
    parts.append(f'<polyline fill="none" stroke="{COLOURS[0]}" points="{line}"/>')
    parts.append(f'<text x="{plot.right - 260}" y="{HEIGHT - BOTTOM - 12}" fill="#777777">grey: proxies; '
                 "blue: trained in full</text>")
    return "\n".join([*parts, "</svg>", ""])


def _entry(found: Found) -> dict[str, Any]:
    """A trial: `validation` is its accuracy (the caller's metric, where there is one) on the validation samples."""
    return {"trial": found.number, "choice": found.choice.to_json(), "trained": found.trained,
            "validation": found.accuracy, "validation_drop": found.drop, "size": found.bytes, "epochs": found.epochs,
            "adder_bits": found.adder_bits, "fits": found.fits}


def _finalist(found: Found, front: list[Found]) -> dict[str, Any]:
    """A trial that was trained in full: the columns of the text's table, and those that it leaves out."""
    return {**_entry(found), **flat(found.step), "front": found in front}


def _claim(out: Path) -> None:
    """Make the folder, or take one that holds a search."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        foreign = []
        for path in sorted(out.iterdir()):
            if LEFT.fullmatch(path.name):
                if time.time() - path.lstat().st_mtime > FORGOTTEN:  # another worker may be writing a younger one
                    path.unlink(missing_ok=True)
            elif not path.name.startswith((DATABASE, "search.")) \
                    and not (path.name == CONFIG and (out / RESULT).is_file()):
                foreign.append(path.name)
        if foreign:
            raise InputError(f"the folder '{out}' also holds {foreign[0]!a}, which is not part of a search; name a new "
                             "one with -o")
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(f"cannot write the folder '{out}': {error.strerror}") from error


def _leave_nothing(out: Path) -> None:
    """Take away the folder that we made, unless a study has begun in it."""
    database = out / DATABASE
    if database.is_file() and database.stat().st_size == 0:
        database.unlink()
    with suppress(OSError):
        out.rmdir()


def _write(path: Path, text: str) -> None:
    write_whole(path, text.encode())
