"""Values on any scale: what a quantiser makes of them, as a factor and a shift for each channel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from toolkit.capture.onnx.file import NodeError
from toolkit.capture.onnx.quantisers import ROUNDINGS
from toolkit.capture.onnx.steps import Clip, Quant, Step, Threshold
from toolkit.design import Add, Conv, FixedPoint, IntegerFormat, Requantise, Reshape, Rounding, Weights, Window
from toolkit.design.formats import MAX_WIDTH
from toolkit.importing.lowering import Lowering, exactly
from toolkit.importing.multiply_shift import MultiplyShift, Thresholds, multiply_shift, slopes, thresholds
from toolkit.importing.rounding import exponent
from toolkit.importing.symbolic import Curve, Scaled, Sums, SymbolicValue

ADDED_BITS = 24
"""Fractional bits of a sum of tensors of several scales, at the most."""
MAX_PAIRS = 1 << 22
FACTOR_BITS = 26
"""Of a factor that is only to be fine."""


def scaled(low: Lowering, name: str, step: Step) -> Scaled:
    """A value with its gain and offset, whatever it is."""
    value = low.values[name]
    if isinstance(value, Scaled):
        return value
    if isinstance(value, Sums):
        free = replace(value, low=-math.inf, high=math.inf)
        return Scaled.of(free, 1.0, 0.0, step.origin).clipped(value.low, value.high)
    if isinstance(value, Curve):
        value = low.held(name)
    return Scaled.of(value, value.unit, 0.0, step.origin)


def requantised(low: Lowering, value: Scaled, step: Step, label: str, *, scale: float, zero: int, least: int, most: int,
                rounding: str) -> SymbolicValue:
    """`clamp(round(value / scale + zero), least, most) - zero` as a layer."""
    return recoded(low, value, step, label, scale, lambda real: ROUNDINGS[rounding](
        np.clip(real / scale + zero, least, most)).astype(np.int64) - zero, "HALF" in rounding or rounding == "ROUND")


def recoded(low: Lowering, value: Scaled, step: Step, label: str, scale: float,
            coded: Callable[[np.ndarray], np.ndarray], nearest: bool = False,
            stride: float | None = None) -> SymbolicValue:
    """What `coded`, which never falls, makes of the numbers of a value as a layer, for every sum that can come, in
    codes of `scale`; where no factor does it, the nearest, with a note of how far apart they are. `nearest`: it rounds
    to the nearest code, so that it may have more codes than can be looked at one by one. `stride`: how far apart the
    numbers of two codes are, where that is not `scale`."""
    held, ends, grid = source(low, value)

    def chain(codes: np.ndarray) -> np.ndarray:
        return coded(value.value(np.ldexp(codes.astype(np.float64), -grid)))

    power = math.frexp(scale)[0] == 0.5
    frac = -exponent(scale) if power else 0
    try:
        found = thresholds(chain, *ends)
    except ValueError as error:
        if not nearest:
            raise step.fail(f"rounds to {error} on a scale that is not a power of two, and not to the nearest; 12 bits "
                            "are the most supported there") from None
        # A factor this fine is off by less than a hundredth of a step over all the codes of 16 bits.
        made = finely(np.ldexp(value.gain, -grid) / scale, value.offset / scale)
        low.notes.approximated(f"'{step.label}': it has {error}, which are up to 1 step from the file's where a sum "
                               "lies within a hundredth of a step of a half")
        edges = chain(np.stack(ends, axis=1))
        return layer(low, held, label, made, grid, frac, (int(edges.min()), int(edges.max())), 1.0 if power else scale)
    made = multiply_shift(found, np.ldexp(value.gain, -grid) / (stride or scale))
    if made.difference:
        apart = "1 step" if made.difference == 1 else f"{made.difference} steps"
        low.notes.approximated(f"'{step.label}': the scales of {int((~made.exact).sum())} of its {len(made.exact)} "
                               f"channels are rounded, so that its codes are up to {apart} from the file's")
    return layer(low, held, label, made, grid, frac, _ends(found), 1.0 if power else scale)


def finely(slope: np.ndarray, offset: np.ndarray) -> MultiplyShift:
    """`slope * codes + offset`, rounded, by factors of FACTOR_BITS bits."""
    shift = np.clip(FACTOR_BITS - np.frexp(np.where(slope != 0, slope, 1.0))[1], 0, 50).astype(np.int64)
    factor = np.rint(np.ldexp(slope, shift)).astype(np.int64)
    moved = np.rint(offset * 2.0**shift).astype(np.int64) + (np.int64(1) << shift >> 1)
    return MultiplyShift(factor, moved, shift, np.zeros(len(factor), bool), 1)


def counted(low: Lowering, value: Scaled, step: Threshold) -> SymbolicValue:
    """How many thresholds a value reaches, as codes of steps of `scale`. Raises InputError for thresholds that no
    factor puts in their places."""
    held, ends, grid = source(low, value)
    # Where an offset is a whole number of steps it is part of the codes; else half a step is.
    first = round(step.offset / step.scale)

    def chain(codes: np.ndarray) -> np.ndarray:
        real = value.value(np.ldexp(codes.astype(np.float64), -grid))
        counts = [np.searchsorted(each, row, side="right") for each, row in zip(step.thresholds, real, strict=True)]
        return np.stack(counts) + first

    found = thresholds(chain, *ends)
    made = multiply_shift(found, slopes(found))
    if made.difference:
        raise step.fail("its thresholds are so unevenly spaced that no factor and offset put each in its place; only "
                        "those of a uniform quantiser become hardware")
    power = math.frexp(step.scale)[0] == 0.5
    return layer(low, held, step.label, made, grid, -exponent(step.scale) if power else 0, _ends(found),
                 1.0 if power else step.scale)


def layer(low: Lowering, held: SymbolicValue, label: str, made: MultiplyShift, grid: int, frac: int,
          ends: tuple[int, int], unit: float) -> SymbolicValue:
    """The layer `clamp((tensor * factor + offset) >> shift)`: a convolution of one weight a channel. `grid`: fractional
    bits of the tensor; `frac`: of the codes; `ends`: the least and the largest of them."""
    order = np.arange(held.shape[0]) if held.order is None else held.order
    factor, offset, shift = (np.empty_like(a) for a in (made.factor, made.offset, made.shift))
    for into, values in ((factor, made.factor), (offset, made.offset), (shift, made.shift)):
        into[order] = values
    bits = max(int(np.abs(factor).max()).bit_length() + 1, 2)
    form = IntegerFormat(bits)
    deepest = int(shift.max())
    spatial = held.shape[1:] or (1,)
    ones = (1,) * len(spatial)
    weights = Weights(form, form.encode(factor).reshape(-1, *ones, 1), grid - shift - frac)
    requantise = Requantise(FixedPoint.holding(*ends, frac), *ends, Rounding.FLOOR)
    read = held.tensor
    if len(held.shape) == 1:
        read = low.append(Reshape(low.unique(f"{label} row"), (read,), (1, held.shape[0]))).name
    name = low.append(Conv(low.unique(label), (read,), weights, offset << (deepest - shift), deepest + frac,
                           Window.of(ones), len(factor), requantise)).name
    if len(held.shape) == 1:
        name = low.append(Reshape(low.unique(f"{label} vector"), (name,), held.shape)).name
    return SymbolicValue(name, held.shape, held.order, unit)


def added(low: Lowering, step: Step, parts: list[SymbolicValue]) -> Scaled:
    """The sum of tensors of several scales, for the Quant that follows: in steps of its scale, with so many fractional
    bits that the rounded sum is the file's for every pair of codes, or with the most there are and a note."""
    target = following(low, step)
    if target is None:
        units = ", ".join(f"{p.unit:.6g}" for p in parts)
        raise step.fail(f"adds tensors of the scales {units}, and no Quant follows it; quantise the sum")
    ratios = [p.unit / target.scale for p in parts]
    spans = [low.intervals[p.tensor] for p in parts]
    sources = [low.tensors[p.tensor] for p in parts]
    codes = [np.arange(int(i.low.min()), int(i.high.max()) + 1) for i in spans]
    frac, differing = _common_grid([np.ldexp(r, -t.format.frac) for r, t in zip(ratios, sources, strict=True)], codes,
                                   ROUNDINGS[target.rounding])
    if differing:
        low.notes.approximated(f"'{step.label}': it adds tensors of several scales, so that its codes are up to 1 step "
                               f"from the file's, for {differing:.2g} of the pairs of codes")
    moved = []
    for part, ratio, source in zip(parts, ratios, sources, strict=True):
        channels = part.shape[0]
        factor = np.full(channels, int(np.rint(np.ldexp(ratio, frac - source.format.frac))), np.int64)
        nothing = np.zeros(channels, np.int64)
        made = MultiplyShift(factor, nothing, nothing, np.ones(channels, bool), 0)
        span = low.intervals[part.tensor]
        ends = int(span.low.min()) * int(factor[0]), int(span.high.max()) * int(factor[0])
        moved.append(layer(low, part, f"{step.label} {part.tensor}", made, source.format.frac, frac, ends, 1.0))
    label, names = low.unique(step.label), tuple(m.tensor for m in moved)
    sums = low.summed(step, lambda r, power: Add(label, names, r), step.shape, frac, scalable=False,
                      order=parts[0].order)
    return Scaled.of(sums, target.scale, 0.0, step.origin)


def following(low: Lowering, step: Step) -> Quant | None:
    """The Quant that reads what a step makes and nothing else does, clips between them left out."""
    while len(users := low.network.users(step.output)) == 1:
        step = users[0]
        if isinstance(step, Quant):
            return step
        if not isinstance(step, Clip):
            return None
    return None


def _common_grid(ratios: list[float], codes: list[np.ndarray],
                 rounding: Callable[[np.ndarray], np.ndarray]) -> tuple[int, float]:
    """(fractional bits, share of the pairs of codes whose rounded sum differs) for a sum of codes times ratios."""
    pairs = math.prod(len(c) for c in codes)
    if len(codes) > 2 or pairs > MAX_PAIRS:
        return ADDED_BITS, 1.0
    first, second = codes[0][:, None], codes[1][None]
    due = rounding(first * ratios[0] + second * ratios[1])
    share = 1.0
    for frac in range(4, ADDED_BITS + 1):
        factors = [int(np.rint(np.ldexp(r, frac))) for r in ratios]
        ours = rounding(np.ldexp((first * factors[0] + second * factors[1]).astype(np.float64), -frac))
        share = float((ours != due).mean())
        if not share:
            break
    return frac, share


def source(low: Lowering, value: Scaled) -> tuple[SymbolicValue, tuple[np.ndarray, np.ndarray], int]:
    """(tensor, (least, largest) codes of each channel of the step, fractional bits) of what a value scales."""
    made = value.source
    held = low.close(made, exactly(made)) if isinstance(made, Sums) else made
    tensor, interval = low.tensors[held.tensor], low.intervals[held.tensor]
    channels = held.shape[0]
    first, last = interval.low.reshape(-1, channels).min(axis=0), interval.high.reshape(-1, channels).max(axis=0)
    if held.order is not None:
        first, last = first[held.order], last[held.order]
    if tensor.format.width > MAX_WIDTH // 2:
        raise NodeError(value.origin, f"its sums take {tensor.format.width} bits; {MAX_WIDTH // 2} are the most that "
                                      "can be brought to another scale")
    return held, (first, last), tensor.format.frac


def _ends(found: Thresholds) -> tuple[int, int]:
    return int(found.first.min()), int(found.last.max())
