"""A compression scheme: a chain of steps, left to right, as `structured:0.5+log2:4,levels=4`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from toolkit.compress.pruning.structured import IMPORTANCES
from toolkit.compress.quantisation.minifloat import KINDS, Minifloat
from toolkit.compress.steps import (
    Coded,
    Distill,
    Gate,
    Magnitude,
    Pattern,
    PerLayer,
    Quantise,
    Random,
    Step,
    Structured,
)
from toolkit.design.weights import IntegerFormat, Log2Format, TwoTermFormat
from toolkit.utils.errors import InputError

EXAMPLES = "write log2:4 or structured:0.5+log2:4,levels=4, for example"
STEPS = {"structured": "structured:0.5", "magnitude": "magnitude:0.5", "random": "random:0.5", "nm": "nm:2:4",
         "distill": "distill:0.25", "log2": "log2:4", "log2x2": "log2x2:5", "int": "int:8",
         "minifloat": "minifloat:E4M3", "dynamic": "dynamic:int8"}
"""Each step as it may be written."""


@dataclass(frozen=True)
class Scheme:
    """Steps in order; at most one quantisation, and that the last."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.steps))

    @property
    def quantise(self) -> Quantise | None:
        """The last step where hardware can be made of what it gives."""
        last = self.steps[-1] if self.steps else None
        return last if isinstance(last, Quantise) else None

    @property
    def without_teacher(self) -> Scheme:
        """The same with every student left to the labels."""
        return Scheme(tuple(step.alone if isinstance(step, Distill) else step for step in self.steps))

    @classmethod
    def parse(cls, text: str) -> Scheme:
        """Read a scheme as a user writes it; an InputError says where it is wrong and what would be right."""
        steps: list[Step] = []
        at = 0
        for part in text.split("+"):
            try:
                steps.append(_step(part.strip()))
            except InputError as error:
                place = at + len(part) - len(part.lstrip()) + 1
                raise InputError(f"scheme '{text[:80]}': '{part.strip()[:60]}' at character {place} is wrong: {error}; "
                                 f"{EXAMPLES}") from None
            at += len(part) + 1
        for step in steps[:-1]:
            if isinstance(step, Quantise | Coded):
                raise InputError(f"the scheme '{text[:80]}' goes on after '{step}'; quantisation must be the last "
                                 f"step; {EXAMPLES}")
        return cls(tuple(steps))


@dataclass(frozen=True)
class Overrides(PerLayer):
    """What single layers get instead: (pattern of paths, `keep`, `structured:RATIO`, a weight format, `act:BITS` for
    what the layer gives, or `gate:KIND` for a product of two tensors); of the rules of one kind, the first that matches
    counts."""

    rules: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for _, value in self.rules:
            if not isinstance(_setting(value), str | int | Quantise | Structured | Gate):
                raise InputError("a layer can be set to 'keep', to structured:RATIO, to a weight format as log2:6, to "
                                 f"act:BITS or to gate:KIND, not to '{value}'")

    @classmethod
    def parse(cls, texts: list[str]) -> Overrides:
        """Read `head.*=log2:6`, `stem=keep`."""
        rules = []
        for text in texts:
            pattern, equals, value = text.partition("=")
            if not equals or not pattern or not value:
                raise InputError(f"'{text[:80]}' is not a setting of a layer; write PATTERN=log2:6 or PATTERN=keep")
            rules.append((pattern, value))
        return cls(tuple(rules))

    def kept(self, paths: dict[str, str]) -> set[str]:
        """The module names that pruning leaves alone. `paths`: module name to path."""
        return {name for name, path in paths.items() if self._pruning(path) == "keep"}

    def ratios(self, paths: dict[str, str]) -> dict[str, float]:
        """The layers with a ratio of structured pruning of their own, by module name."""
        found = {name: self._pruning(path) for name, path in paths.items()}
        return {name: step.ratio for name, step in found.items() if isinstance(step, Structured)}

    def format(self, path: str, default: Quantise) -> Quantise:
        """The weight format of a layer."""
        return next((step for step in self._matching(path) if isinstance(step, Quantise)), default)

    def activation(self, path: str, default: int) -> int:
        """Bits of what a layer gives."""
        return next((setting for setting in self._matching(path) if isinstance(setting, int)), default)

    def gate(self, path: str, default: Gate) -> Gate:
        """How a product of two tensors is computed."""
        return next((setting for setting in self._matching(path) if isinstance(setting, Gate)), default)

    def check(self, paths: dict[str, str]) -> None:
        """Raise InputError for a pattern that matches no layer."""
        for pattern, _ in self.rules:
            if not any(fnmatchcase(path, pattern) for path in paths.values()):
                raise InputError(f"no layer matches '{pattern}'; the layers are {', '.join(paths.values())}")

    def _pruning(self, path: str) -> Step | str | None:
        return next((step for step in self._matching(path) if isinstance(step, str | Structured)), None)

    def _matching(self, path: str) -> list[Step | str | int | Gate]:
        return [_setting(value) for pattern, value in self.rules if fnmatchcase(path, pattern)]


def _setting(text: str) -> Step | str | int | Gate:
    """What a layer is set to: `keep`, bits of its activations, the gate of a product, or a step."""
    if text == "keep":
        return text
    if text.startswith("act:"):
        return _count("activation bits", text.removeprefix("act:"), 2, 24)
    return Gate(text.removeprefix("gate:")) if text.startswith("gate:") else parse_step(text)


def parse_step(text: str) -> Step:
    """One step of a scheme."""
    try:
        return _step(text)
    except InputError as error:
        raise InputError(f"'{text[:60]}' is wrong: {error}; {EXAMPLES}") from None


def _step(text: str) -> Step:
    head, *parts = text.split(",")
    name, _, value = head.partition(":")
    if name not in PARSERS:
        near = get_close_matches(name, PARSERS, 1)
        raise InputError(f"'{name[:40]}' is not a step of a scheme{f' (did you mean {near[0]}?)' if near else ''}")
    if not value:
        raise InputError(f"'{name}' lacks its value, as in {STEPS[name]}")
    options = {}
    for part in parts:
        if not re.fullmatch("[a-z]+=.+", part):
            raise InputError(f"'{part[:40]}' is no option of a step; write NAME=VALUE, as in log2:4,levels=4")
        option, _, setting = part.partition("=")
        options[option] = setting
    step = PARSERS[name](value, options)
    if options:
        raise InputError(f"'{name}' has no option '{next(iter(options))[:40]}'")
    return step


def _structured(value: str, options: dict[str, str]) -> Step:
    importance = _choice("importance", options.pop("importance", "l2"), tuple(IMPORTANCES))
    return Structured(_ratio(value), importance, _count("steps", options.pop("steps", "1"), 1, 100))


def _magnitude(value: str, options: dict[str, str]) -> Step:
    scope = _choice("scope", options.pop("scope", "global"), ("global", "layer"))
    return Magnitude(_ratio(value), scope, _count("steps", options.pop("steps", "1"), 1, 100))


def _pattern(value: str, options: dict[str, str]) -> Step:
    n, _, m = value.partition(":")
    group = _count("group", m, 2, 1024)
    return Pattern(_count("kept weights", n, 1, group - 1), group)


def _distill(value: str, options: dict[str, str]) -> Step:
    temperature, mix = _number(options.pop("temperature", "4")), _number(options.pop("mix", "0.9"))
    if not 0 < temperature <= 1000:
        raise InputError(f"a temperature of {temperature:g} is outside 0..1000")
    if not 0 <= mix <= 1:
        raise InputError(f"a mix of {mix:g} is outside 0..1")
    return Distill(_ratio(value), temperature, mix)


def _log2(value: str, options: dict[str, str]) -> Step:
    levels = options.pop("levels", None)
    form = Log2Format.of(_count("bits", value, 0, 99), None if levels is None else _count("levels", levels, 0, 999))
    return Quantise(form, _choice("scale", options.pop("scale", "channel"), ("channel", "tensor")),
                    _choice("domain", options.pop("domain", "linear"), ("linear", "log")))


def _log2x2(value: str, options: dict[str, str]) -> Step:
    levels = options.pop("levels", None)
    form = TwoTermFormat.of(_count("bits", value, 0, 99), None if levels is None else _count("levels", levels, 0, 999))
    return Quantise(form, _choice("scale", options.pop("scale", "channel"), ("channel", "tensor")))


def _int(value: str, options: dict[str, str]) -> Step:
    bits = _count("bits", value, 0, 99)
    if bits > 8:
        raise InputError(f"integer weights of {bits} bits are outside 2..8")
    return Quantise(IntegerFormat(bits),
                    _choice("scale", options.pop("scale", "channel"), ("channel", "tensor")))


def _dynamic(value: str, options: dict[str, str]) -> Step:
    return Coded(f"dynamic:{_choice('dynamic', value, ('int8',))}")


PARSERS: dict[str, Callable[[str, dict[str, str]], Step]] = {
    "structured": _structured, "magnitude": _magnitude, "random": lambda value, _: Random(_ratio(value)),
    "nm": _pattern, "distill": _distill, "log2": _log2, "log2x2": _log2x2, "int": _int,
    "minifloat": lambda value, _: Coded(str(Minifloat(_choice("minifloat", value, tuple(KINDS))))),
    "dynamic": _dynamic,
}


def _ratio(value: str) -> float:
    found = _number(value)
    if not 0 < found < 1:
        raise InputError(f"a ratio of {value[:20]} does not lie between 0 and 1")
    return found


def _number(value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        raise InputError(f"'{value[:20]}' is not a number") from None
    if not math.isfinite(found):
        raise InputError(f"'{value[:20]}' is not a number")
    return found


def _count(what: str, value: str, low: int, high: int) -> int:
    if not re.fullmatch(r"\d{1,6}", value):
        raise InputError(f"'{value[:20]}' is not a whole number ({what})")
    if not low <= int(value) <= high:
        raise InputError(f"{what}: {value} is outside {low}..{high}")
    return int(value)


def _choice(what: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise InputError(f"unknown {what} '{value[:20]}'; known are {', '.join(known)}")
    return value
