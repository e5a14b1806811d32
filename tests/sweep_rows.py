"""Rows of a sweep that nothing was computed for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from toolkit.compress.measure.measures import Drop, Step
from toolkit.compress.sweep import Row, Sweep


def row(name: str, size: int, drop: float, *, kind: str = "quantization", hardware: bool = False,
        **figures: Any) -> Row:
    """A row whose validation drop is `drop` points and whose test drop is half a point more."""
    step = Step(name, "packed", 10, 8, 0.2, size, size, 1000 / size, 0.1, 0.2, 0.9, 0.0, None,
                quality=0.95 - drop / 100, non_zero_weights=1234, drop=Drop(0, drop, drop + 0.5),
                drop_as_given=Drop(0, drop, drop))
    return Row(name, kind, f"scheme of {name}", replace(step, **figures), f"{name}.json", hardware=hardware)


def swept(*rows: Row) -> Sweep:
    broken = Row("broken", "pruning", "x", None, error="no")
    return Sweep(row("original", 1000, 0.0).step, (*rows, broken), (), "classes")
