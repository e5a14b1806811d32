"""Pieces of HLS C++ text: types, constants, sums of shifted inputs, tables."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.design.formats import FixedPoint, Overflow, Requantise, Rounding
from toolkit.design.layers import Layer, LayerRange
from toolkit.hardware.csd import csd_terms

LINE = 110


@dataclass(frozen=True)
class Word:
    """The native integer in which a layer's expressions are computed; its results go into exact ap_int types."""

    bits: int

    @property
    def name(self) -> str:
        return "int" if self.bits == 32 else "long long"


def literal(value: int) -> str:
    """A constant, wide where it must be: up to the words of a table of 64 bits."""
    return str(value) if abs(value) < 1 << 31 else f"{value}LL" if value < 1 << 63 else f"{value:#x}ULL"


def word(bound: int) -> Word:
    """The narrowest native integer for magnitudes up to `bound`."""
    return Word(32 if bound < 1 << 31 else 64)


def type_of(form: FixedPoint) -> str:
    """The integer type that holds a format's codes."""
    return f"ap_{'' if form.signed else 'u'}int<{form.width}>"


def holding(low: int, high: int) -> str:
    """The narrowest ap_int type for integers low..high."""
    return type_of(FixedPoint.holding(low, high, 0))


def accumulators(layer: Layer, span: LayerRange) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest value of each accumulator of a layer that has some, int64 of the output's shape."""
    if span.accumulator is None:
        raise TypeError(f"layer '{layer.name}' has no accumulators")
    return span.accumulator.low, span.accumulator.high


def shifted(text: str, shift: int) -> str:
    return f"({text} << {shift})" if shift else text


def weighted_sum(weights: dict[int, int], constant: int) -> str:
    """`constant` plus each input a[i] times its integer weight, as shifts and sums; one bracket for each shift."""
    groups: dict[int, list[tuple[int, int]]] = {}
    for index, value in weights.items():
        for shift, sign in csd_terms(value):
            groups.setdefault(shift, []).append((index, sign))
    text = literal(constant) if constant or not groups else ""
    for shift, members in sorted(groups.items()):
        plus = [f"a[{i}]" for i, sign in members if sign > 0]
        minus = [f"a[{i}]" for i, sign in members if sign < 0]
        negative = not plus
        inner = " - ".join([" + ".join(plus), *minus]) if plus else " + ".join(minus)
        if len(members) > 1 and (shift or negative):
            inner = f"({inner})"
        inner = shifted(inner, shift)
        text += f" {'-' if negative else '+'} {inner}" if text else f"-{inner}" if negative else inner
    return text


def wrapped(statement: str, indent: int = 4) -> str:
    """A long statement, broken at its spaces."""
    lines = textwrap.wrap(statement, LINE - indent, subsequent_indent=" " * (indent + 4), break_long_words=False,
                          break_on_hyphens=False)
    return "\n".join(lines)


def brackets(values: np.ndarray, indent: int = 0) -> str:
    """A table of integers as a C++ initialiser, an inner pair of braces for each inner axis."""
    pad = " " * (indent + 4)
    if values.ndim == 1:
        flat = ", ".join(literal(int(v)) for v in values)
        if len(flat) + indent < LINE:
            return "{" + flat + "}"
        return "{\n" + textwrap.fill(flat, LINE, initial_indent=pad, subsequent_indent=pad) + "}"
    return "{\n" + ",\n".join(pad + brackets(row, indent + 4) for row in values) + "}"


def requantisation(r: Requantise, acc_frac: int, low: int, high: int, form: Word) -> dict[str, Any]:
    """The steps from an accumulator in low..high (the half of a half-up rounding added) to an output code."""
    shift = acc_frac - r.format.frac
    steps, name = [], form.name
    if r.rounding is Rounding.HALF_EVEN and shift > 0:
        steps.append(f"acc += ((acc >> {shift}) & 1) + {literal((1 << (shift - 1)) - 1)};")
        low, high = low + (1 << (shift - 1)) - 1, high + (1 << (shift - 1))
    # Beyond the word only the sign is left, as at its end.
    moved = f"acc >> {min(shift, form.bits - 1)}" if shift > 0 else f"acc << {-shift}" if shift < 0 else "acc"
    low, high = (v >> shift if shift > 0 else v << -shift for v in (low, high))
    if r.overflow is Overflow.WRAP:
        return {"steps": [*steps, f"return {moved};"], "about": _about(r)}
    bounds = []
    if low < r.low:
        bounds.append(f"if (code < {literal(r.low)}) return {literal(r.low)};")
    if high > r.high:
        bounds.append(f"if (code > {literal(r.high)}) return {literal(r.high)};")
    if not bounds:
        return {"steps": [*steps, f"return {moved};"], "about": _about(r)}
    return {"steps": [*steps, f"const {name} code = {moved};", *bounds, "return code;"], "about": _about(r)}


def _about(r: Requantise) -> str:
    ends = f"saturates at {r.low}..{r.high}" if r.overflow is Overflow.SATURATE else "wraps"
    rounding = {Rounding.FLOOR: "rounded down", Rounding.HALF_UP: "rounded half up (the half is already added)",
                Rounding.HALF_EVEN: "rounded half to even"}[r.rounding]
    return f"to {r.format}: {rounding}, {ends}"
