"""A compression scheme: a chain of steps, left to right, as `structured:0.5+log2:4,levels=4`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from toolkit.compress.prune import IMPORTANCES
from toolkit.design.weights import IntegerFormat, Log2Format, WeightFormat
from toolkit.errors import InputError

KNOWN = "structured:RATIO[,importance=NAME], log2:BITS[,levels=N], int:BITS"


@dataclass(frozen=True)
class Structured:
    """Remove `ratio` of the hidden neurons of every layer."""

    ratio: float
    importance: str = "l2"

    def __str__(self) -> str:
        return f"structured:{self.ratio:g}" + ("" if self.importance == "l2" else f",importance={self.importance}")


@dataclass(frozen=True)
class Quantise:
    """Bring all weights to one format."""

    format: WeightFormat

    def __str__(self) -> str:
        return str(self.format)


Step = Structured | Quantise


@dataclass(frozen=True)
class Scheme:
    """Steps in order; at most one quantisation, and that the last."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.steps))

    @property
    def quantise(self) -> Quantise | None:
        last = self.steps[-1] if self.steps else None
        return last if isinstance(last, Quantise) else None

    @classmethod
    def parse(cls, text: str) -> Scheme:
        """Read a scheme as a user writes it; an InputError names the part that is wrong."""
        steps = tuple(_step(part.strip()) for part in text.split("+"))
        for step in steps[:-1]:
            if isinstance(step, Quantise):
                raise InputError(f"the scheme '{text[:80]}' goes on after '{step}'; quantisation must be the last step")
        return cls(steps)


def _step(text: str) -> Step:
    match = re.fullmatch(r"([a-z][a-z0-9]*):([^,]+)((?:,[a-z]+=[^,]+)*)", text)
    if match is None:
        raise InputError(f"'{text[:80]}' is no step of a scheme; known are {KNOWN}")
    kind, value = match[1], match[2]
    options = dict(part.split("=", 1) for part in match[3].split(",") if part)
    if kind == "structured":
        importance = options.pop("importance", "l2")
        _none_left(kind, options)
        ratio = _number(text, value)
        if not 0 < ratio < 1:
            raise InputError(f"'{text}': the share of neurons to remove must lie between 0 and 1")
        if importance not in IMPORTANCES:
            raise InputError(f"'{text}': unknown importance '{importance}'; known are {', '.join(IMPORTANCES)}")
        return Structured(ratio, importance)
    if kind == "log2":
        levels = options.pop("levels", None)
        _none_left(kind, options)
        return Quantise(Log2Format.of(_integer(text, value), None if levels is None else _integer(text, levels)))
    if kind == "int":
        _none_left(kind, options)
        return Quantise(IntegerFormat(_integer(text, value)))
    raise InputError(f"unknown step '{kind}' in a scheme; known are {KNOWN}")


def _number(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f"'{text[:80]}': '{value[:20]}' is no number") from None


def _integer(text: str, value: str) -> int:
    if not re.fullmatch(r"\d{1,6}", value):
        raise InputError(f"'{text[:80]}': '{value[:20]}' is no whole number")
    return int(value)


def _none_left(kind: str, options: dict[str, str]) -> None:
    if options:
        raise InputError(f"'{kind}' has no option '{next(iter(options))}'; known are {KNOWN}")
