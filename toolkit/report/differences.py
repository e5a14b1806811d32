"""Accuracies and accuracy drops as a report says them: with their 95 % interval, and no difference where none was
measured."""

from __future__ import annotations

from toolkit.compress.measure.intervals import Interval, none_between
from toolkit.compress.measure.measures import Drop, Step

NONE = "no measurable difference"


def share(value: float | None, interval: Interval | None = None) -> str:
    """A share in percent, as 97.11 % (95.1 .. 98.3)."""
    if value is None:
        return "n/a"
    return f"{100 * value:.2f} %" + (f" ({100 * interval[0]:.1f} .. {100 * interval[1]:.1f})" if interval else "")


def signed(points: float, digits: int = 2) -> str:
    """Points with their sign; what rounds to nothing is +0.00."""
    return f"{round(points, digits) + 0.0:+.{digits}f}"


def between(low: float | None, high: float | None) -> str:
    """An interval of percentage points, as -0.9 .. +1.2."""
    return "n/a" if low is None or high is None else f"{signed(low, 1)} .. {signed(high, 1)}"


def difference(points: float, low: float | None, high: float | None) -> str:
    """A drop with its interval: +0.22 points, no measurable difference (95 % interval -0.9 .. +1.2)."""
    if low is None or high is None:
        return f"{signed(points)} points"
    told = f"95 % interval {between(low, high)}"
    nothing = f", {NONE}" if none_between(low, high) else ""
    return f"{signed(points)} points{nothing} ({told})"


def dropped(drop: Drop | None) -> str:
    """A drop as it was measured on the test samples; on the validation samples where those were not looked at."""
    if drop is None:
        return "n/a"
    if drop.test is None:
        return f"{signed(drop.validation)} points on the validation samples"
    return difference(drop.test, drop.low, drop.high)


def quality(step: Step, *, test: bool) -> str:
    """What a network is judged by, on the test samples with its interval, or on the validation samples."""
    if step.metric is not None or (step.error is not None and step.accuracy is None):
        value = step.reported if test else step.quality
        return f"{value if step.metric is not None else -value:.5g}"
    return share(step.reported, step.interval if step.accuracy is not None else None) if test else share(step.quality)
