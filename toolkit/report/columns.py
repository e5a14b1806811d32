"""The columns of every table of networks: one list for text, JSON and CSV.

A column's title in lower case, with "_" for blanks, is its key in JSON and CSV; a text's head adds the unit. JSON and
CSV hold shares as fractions of 1 and drops in percentage points, as they were measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.compress.measure.intervals import Interval
from toolkit.compress.measure.measures import Step
from toolkit.report.differences import between, signed

NONE = "n/a"


def _plain(value: Any) -> str:
    return str(value)


def _count(value: int) -> str:
    return f"{value:,}"


def _number(value: float) -> str:
    return f"{value:.5g}"


def _ratio(value: float) -> str:
    return f"{value:.2f}"


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def _percents(interval: Interval) -> str:
    return f"{100 * interval[0]:.1f} .. {100 * interval[1]:.1f}"


def _rate(value: float) -> str:
    """A bit error rate in percent: it may be far below 1 %."""
    return f"{100 * value:.3g}"


def _rates(interval: Interval) -> str:
    return f"{100 * interval[0]:.3g} .. {100 * interval[1]:.3g}"


def _task_interval(step: Step) -> Interval | None:
    """Of the bits decided wrong: what the interval of those decided right leaves."""
    if step.task_ber is None or step.interval is None:
        return None
    return 1 - step.interval[1], 1 - step.interval[0]


def _signed(interval: Interval) -> str:
    return between(*interval)


@dataclass(frozen=True)
class Column:
    """One figure of a step. `show` and `show_interval` are how a text shows it; one that is not `told` is in JSON and
    CSV only."""

    title: str
    unit: str
    value: Callable[[Step], Any]
    show: Callable[[Any], str] = _plain
    interval: Callable[[Step], Interval | None] | None = None
    show_interval: Callable[[Interval], str] = _percents
    told: bool = True

    @property
    def key(self) -> str:
        return self.title.lower().replace(" ", "_")

    @property
    def head(self) -> str:
        return f"{self.title} [{self.unit}]" if self.unit else self.title

    def cell(self, step: Step) -> str:
        """As a text shows it: 97.11 (95.1 .. 98.3)."""
        value, interval = self.value(step), None if self.interval is None else self.interval(step)
        if value is None:
            return NONE
        return self.show(value) + (f" ({self.show_interval(interval)})" if interval else "")

    def flat(self, step: Step) -> dict[str, Any]:
        """As JSON and CSV hold it: the value, and the ends of its interval where it is one that has an interval."""
        found = {self.key: self.value(step)}
        if self.interval is not None:
            low, high = self.interval(step) or (None, None)
            found |= {f"{self.key}_low": low, f"{self.key}_high": high}
        return found


def judged_by(step: Step) -> str:
    """The figure that a network is judged by: metric, accuracy, error or agreement."""
    if step.metric is not None:
        return "metric"
    if step.accuracy is not None:
        return "accuracy"
    return "agreement" if step.error is None else "error"


def _if_judged(by: str, value: Callable[[Step], float | None]) -> Callable[[Step], float | None]:
    return lambda step: value(step) if judged_by(step) == by else None


def _quality(step: Step) -> float:
    return step.quality


def _drop(part: str, kind: str = "drop") -> Callable[[Step], Any]:
    return lambda step: getattr(getattr(step, kind), part, None)


def _drop_interval(kind: str = "drop") -> Callable[[Step], Interval | None]:
    def found(step: Step) -> Interval | None:
        drop = getattr(step, kind)
        return None if drop is None or drop.low is None or drop.high is None else (drop.low, drop.high)

    return found


COLUMNS = (
    Column("metric", "", lambda s: s.metric, _number),
    Column("accuracy", "%", lambda s: s.accuracy, _percent, lambda s: None if s.accuracy is None else s.interval),
    Column("RMS error", "", lambda s: s.error, _number),
    Column("agreement", "%", _if_judged("agreement", lambda s: s.reported), _percent),
    Column("drop", "pp", _drop("test"), signed, _drop_interval(), _signed),
    Column("size", "B", lambda s: s.size, _count),
    Column("ratio", "", lambda s: s.ratio, _ratio),
    Column("epochs", "", lambda s: s.epochs),
    Column("validation metric", "", _if_judged("metric", _quality), _number),
    Column("validation accuracy", "%", _if_judged("accuracy", _quality), _percent),
    Column("validation RMS error", "", _if_judged("error", lambda s: -s.quality), _number),
    Column("validation agreement", "%", _if_judged("agreement", _quality), _percent),
    Column("validation drop", "pp", _drop("validation"), signed),
    Column("compressed size", "B", lambda s: s.compressed_size, _count),
    Column("drop as given", "pp", _drop("test", "drop_as_given"), signed, _drop_interval("drop_as_given"), _signed),
    Column("validation drop as given", "pp", _drop("validation", "drop_as_given"), signed, told=False),
    Column("weight BER", "%", lambda s: s.weight_ber, _percent),
    Column("output BER", "%", lambda s: s.output_ber, _percent),
    Column("task BER", "%", lambda s: s.task_ber, _rate, _task_interval, _rates),
    Column("sparsity", "%", lambda s: s.sparsity, _percent),
    Column("non zeros", "", lambda s: s.non_zeros, _count),
    Column("disagreement", "%", lambda s: s.disagreement, _percent),
    Column("weights", "", lambda s: s.weights, _count),
    Column("non zero weights", "", lambda s: s.non_zero_weights, _count),
    Column("parameters", "", lambda s: s.parameters, _count, told=False),
    Column("output format", "", lambda s: s.output_format, told=False),
    Column("storage", "", lambda s: s.storage),
)
"""In the order of a text's columns. A text leaves out those that no step has."""
EXPLAINED = (
    "In parentheses: 95 % interval. A drop is in percentage points (pp) below the original trained for the same number",
    "of epochs; positive is worse.",
)


def told(steps: Iterable[Step], keys: Sequence[str] = ()) -> list[Column]:
    """The columns of a text about some steps; with `keys`, of these only."""
    steps = list(steps)
    return [column for column in COLUMNS if column.told and (not keys or column.key in keys)
            and any(column.value(step) is not None for step in steps)]


def flat(step: Step | None) -> dict[str, Any]:
    """A step for JSON and CSV; of a row without one, every key with None."""
    if step is None:
        return dict.fromkeys(KEYS)
    return {key: value for column in COLUMNS for key, value in column.flat(step).items()}


KEYS = tuple(key for column in COLUMNS
             for key in (column.key, *((f"{column.key}_low", f"{column.key}_high") if column.interval else ())))
