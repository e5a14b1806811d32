"""Each layer as HLS C++: its accumulator type, its tables, its function. One writer a layer, listed at the end."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from toolkit.design.layers import (
    Add,
    ArgMax,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Dense,
    Extremum,
    Leaky,
    Lookup,
    MaxPool,
    Multiply,
    Reorder,
    Slopes,
    Upsample,
)
from toolkit.design.layers.multiply import MULTIPLIER
from toolkit.design.tensors import Tensor
from toolkit.design.windows import Window
from toolkit.emit.broadcast import walk
from toolkit.emit.hls.cpp import (
    Word,
    accumulators,
    brackets,
    holding,
    literal,
    shifted,
    weighted_sum,
    word,
    wrapped,
)
from toolkit.emit.hls.rom import by_fold, code, pack
from toolkit.emit.hls.site import Site, Table, Written
from toolkit.emit.templates import render
from toolkit.hardware.csd import csd_table, csd_terms
from toolkit.hardware.gates import gate as gate_of
from toolkit.utils.identifiers import comment

MOST_TERMS = 1 << 18
"""Inputs that the unrolled sums of one layer may name: beyond, no compiler is done in a day."""


def _text(template: str, context: dict[str, Any]) -> str:
    return render(f"hls/layers/{template}.j2", **context)


def dense(site: Site) -> Written:
    """A matrix: wiring, or lanes that read packed codes."""
    layer = site.layer
    assert isinstance(layer, Dense)
    weights, bias, acc_frac = layer.matrix(site.inputs[0])
    bias = bias + layer.requantise.half(acc_frac)
    if site.lanes:
        return _folded(site, "dense_folded", weights, bias, 1, {})
    reads = [np.arange(weights.shape[1])] * len(weights)
    return _unrolled(site, "dense_unrolled", weights, bias, reads, {"taps": weights.shape[1]})


def conv(site: Site) -> Written:
    """A convolution: the wiring of one window at every position, or lanes that read packed codes."""
    layer = site.layer
    assert isinstance(layer, Conv)
    x = site.inputs[0]
    weights, bias, acc_frac = layer.matrix(x)
    bias = bias + layer.requantise.half(acc_frac)
    channels, outputs = x.shape[-1], len(weights)
    more = {**window(layer.window, x, site.output), "outputs": outputs}
    if site.lanes:
        return _folded(site, "conv_folded", weights, bias, layer.groups,
                       {**more, "group_channels": channels // layer.groups, "group_outputs": outputs // layer.groups})
    # Taps of a window are kernel position * channels + channel, over all groups.
    share = channels // layer.groups
    taps = np.arange(layer.window.positions * channels).reshape(layer.window.positions, layer.groups, share)
    reads = [taps[:, o // (outputs // layer.groups)].reshape(-1) for o in range(outputs)]
    return _unrolled(site, "conv_unrolled", weights, bias, reads, {**more, "taps": taps.size})


def window(w: Window, x: Tensor, y: Tensor) -> dict[str, Any]:
    """A window's numbers for two axes: an image of one axis is one row high. `where`: the test for padding."""
    one = (1,) * (2 - w.rank)
    before = (0,) * (2 - w.rank) + tuple(p[0] for p in w.padding)
    after = (0,) * (2 - w.rank) + tuple(p[1] for p in w.padding)
    height, width = one + x.shape[:-1]
    tests = []
    for name, size, pads in (("r", height, (before[0], after[0])), ("c", width, (before[1], after[1]))):
        tests += [f"{name} >= 0"] if pads[0] else []
        tests += [f"{name} < {size}"] if pads[1] else []
    kernel, stride, dilation = one + w.kernel, one + w.stride, one + w.dilation
    rows, columns = one + y.shape[:-1]

    def place(position: str, step: int, offset: str, spread: int, pad: int) -> str:
        return (f"{position}{f' * {step}' if step > 1 else ''} + {offset}{f' * {spread}' if spread > 1 else ''}"
                f"{f' - {pad}' if pad else ''}")

    where = f"if ({' && '.join(tests)}) " if tests else ""
    return {"rows": rows, "columns": columns, "channels": x.shape[-1], "width": width, "kernel": kernel, "where": where,
            "r": place("row", stride[0], "kr", dilation[0], before[0]),
            "c": place("column", stride[1], "kc", dilation[1], before[1])}


def _unrolled(site: Site, template: str, weights: np.ndarray, bias: np.ndarray, reads: list[np.ndarray],
              more: dict[str, Any]) -> Written:
    """`reads`: for each output, the input of the wiring that each of its weights belongs to."""
    form = word(2 * site.range.bound)
    low, high = (side.reshape(-1, len(weights)) for side in accumulators(site.layer, site.range))
    terms = sum(len(csd_terms(int(v))) for v in weights.reshape(-1))
    if terms > MOST_TERMS:
        raise site.layer.fail(f"unrolled, it would add {terms:,} terms; {MOST_TERMS:,} are the most that HLS C++ is "
                              "written for, so fold it (--arch folded, or lanes for it)")
    sums = []
    for o, row in enumerate(weights):
        used = {int(reads[o][i]): int(row[i]) for i in np.flatnonzero(row)}
        sums.append({"acc": holding(int(low[:, o].min()), int(high[:, o].max())),
                     "text": wrapped(f"= {weighted_sum(used, int(bias[o]))};", 24).removeprefix("= ")})
    context = site.context(form, sums=sums, reads=terms > 0, requantise=site.requantisation(form), **more)
    return Written(_text(template, context), terms=terms)


def _folded(site: Site, template: str, weights: np.ndarray, bias: np.ndarray, groups: int,
            more: dict[str, Any]) -> Written:
    coding = code(weights)
    rom = pack(coding, site.lanes, groups, site.layer)
    x = site.inputs[0].format
    largest = max(-x.min_code, x.max_code) << coding.reach
    if largest.bit_length() > 62:
        raise site.layer.fail(f"its terms would need {largest.bit_length()} bits in a folded HLS layer; 62 is the most "
                              "supported, so unroll it (--lanes NAME=0)")
    form = word(2 * max(site.range.bound, largest))
    low, high = accumulators(site.layer, site.range)
    acc = holding(int(low.min()), int(high.max()))
    bias_form = word(int(np.abs(bias).max()))
    folded_bias, folded_base = by_fold(bias, groups, site.lanes), by_fold(coding.base, groups, site.lanes)
    name, rows = site.name, rom.rows
    unsigned = {8: "unsigned char", 16: "unsigned short", 32: "unsigned int", 64: "unsigned long long"}
    tables = (
        Table(unsigned[rom.word_bits], f"{name}_Rom", f"[{len(rows)}][{rom.words}]" if rom.words > 1 else
              f"[{len(rows)}]", brackets(rows if rom.words > 1 else rows[:, 0]), rom.bits, True),
        Table(bias_form.name, f"{name}_Bias", f"[{len(folded_bias)}][{site.lanes}]", brackets(folded_bias),
              folded_bias.size * bias_form.bits),
        Table("unsigned char", f"{name}_Base", f"[{len(folded_base)}][{site.lanes}]", brackets(folded_base),
              folded_base.size * 8))
    context = site.context(form, acc=f"{name}_Acc", requantise=site.requantisation(form), coding=coding, rom=rom,
                           lanes=site.lanes, folds=rom.folds, groups=groups, taps=weights.shape[1],
                           mask=(1 << coding.bits) - 1, **more)
    return Written(_text(template, context), acc, tables)


def _each(site: Site, form: Word, lines: list[str], note: str, done: bool = True, rom: str = "") -> Written:
    """A function that makes output i from inputs i, element by element; `rom`: the table that it reads."""
    context = site.context(form, lines=lines, note=note, requantise=site.requantisation(form) if done else None,
                           rom=rom if site.lanes else "")
    return Written(_text("each", context))


def clamp(site: Site) -> Written:
    assert isinstance(site.layer, Clamp)
    form = word(site.range.bound)
    half = site.layer.requantise.half(site.inputs[0].format.frac)
    return _each(site, form, [f"const {form.name} acc = x[i];", f"y[i] = {site.name}_Finish(acc{_plus(half)});"],
                 "a requantisation")


def leaky(site: Site) -> Written:
    layer = site.layer
    assert isinstance(layer, Leaky)
    form = word(site.range.bound)
    half = layer.requantise.half(layer.acc_frac(site.inputs[0]))
    return _each(site, form, [f"const {form.name} value = x[i];",
                              f"const {form.name} acc = value < 0 ? value : {shifted('value', layer.slope)};",
                              f"y[i] = {site.name}_Finish(acc{_plus(half)});"],
                 f"what is negative, times 2^-{layer.slope}; a requantisation")


def add(site: Site) -> Written:
    layer = site.layer
    assert isinstance(layer, Add)
    form = word(site.range.bound)
    half = layer.requantise.half(layer.acc_frac(site.inputs))
    names = [f"v{i}" for i in range(len(site.inputs))]
    lines = [f"const {form.name} {v} = x{i}[i];" for i, v in enumerate(names)]
    total = " + ".join(shifted(v, s) for v, s in zip(names, layer.shifts(site.inputs), strict=True))
    return _each(site, form, [*lines, f"y[i] = {site.name}_Finish({total}{_plus(half)});"], "the sum")


def multiply(site: Site) -> Written:
    """A multiplier, or a shift by the power of two nearest to the gate."""
    layer = site.layer
    assert isinstance(layer, Multiply)
    form = word(2 * site.range.bound)
    plain = layer.gate == MULTIPLIER
    axes = walk([*(t.shape for t in site.inputs), site.output.shape])
    places = [" + ".join(f"i{n}" if axis.strides[port] == 1 else f"i{n} * {axis.strides[port]}"
                         for n, axis in enumerate(axes) if axis.strides[port]) or "0" for port in range(3)]
    product = "value * gate" if plain else f"{site.name}_Times(value, gate)"
    half = layer.requantise.half(site.range.acc_frac)
    context = site.context(form, axes=axes, places=places, product=product + _plus(half),
                           power=None if plain else gate_of(layer, site.inputs),
                           note="the product of two tensors" if plain else "a product with powers of two",
                           requantise=site.requantisation(form))
    return Written(_text("multiply", context))


def extremum(site: Site) -> Written:
    layer = site.layer
    assert isinstance(layer, Extremum)
    form = word(site.range.bound)
    lines = [f"{'const ' if i else ''}{form.name} {'v' + str(i) if i else 'v'} = {shifted(f'{form.name}(x{i}[i])', s)};"
             for i, s in enumerate(layer.shifts(site.inputs))]
    sign = "<" if layer.least else ">"
    lines += [f"if (v{i} {sign} v) v = v{i};" for i in range(1, len(site.inputs))]
    return _each(site, form, [*lines, "y[i] = v;"], f"the {'smaller' if layer.least else 'larger'}", done=False)


def slopes(site: Site) -> Written:
    """Shifted inputs added and taken away: the same ones for all channels, or by a table of signed digits."""
    layer = site.layer
    assert isinstance(layer, Slopes)
    form = word(site.range.bound)
    half = layer.requantise.half(layer.acc_frac(site.inputs[0]))
    count, note = len(layer.positive), "each channel times a constant, another where it is negative; a requantisation"
    lines = [f"const {form.name} value = x[i];"]
    if count == 1:
        above, below = (_times("value", int(side[0])) for side in (layer.positive, layer.negative))
        lines += [f"const {form.name} acc = value < 0 ? {form.name}({below}) : {form.name}({above});",
                  f"y[i] = {site.name}_Finish(acc{_plus(half)});"]
        return _each(site, form, lines, note)
    shifts, signs = csd_table(np.stack([layer.positive, layer.negative], 1).reshape(-1))
    digits = shifts.shape[1]
    if not digits:
        return _each(site, form, [f"y[i] = {site.name}_Finish({half});"], note)
    # A digit is the places above two bits: 0 for none, 1 where it is added, 2 where it is taken away.
    codes = (shifts << 2 | np.where(signs < 0, 2, signs)).reshape(count, 2, digits)
    table = Table("unsigned char", f"{site.name}_Digits", f"[{count}][2][{digits}]", brackets(codes), codes.size * 8)
    lines += [f"{form.name} acc = {half};",
              f"for (int k = 0; k < {digits}; ++k) {{",
              "#pragma HLS unroll",
              f"    const int digit = {table.name}[i % {count}][value < 0][k];",
              f"    const {form.name} moved = value << (digit >> 2);",
              "    acc += (digit & 1) ? moved : (digit & 2) ? -moved : 0;",
              "}", f"y[i] = {site.name}_Finish(acc);"]
    return Written(_each(site, form, lines, note).function, tables=(table,))


def _times(name: str, factor: int) -> str:
    """A value times a constant, in signed digits."""
    parts = [f"{'-' if sign < 0 else '+'} {shifted(name, shift)}" for shift, sign in csd_terms(factor)]
    return " ".join(parts).removeprefix("+ ") or "0"


def lookup(site: Site) -> Written:
    layer = site.layer
    assert isinstance(layer, Lookup)
    least = site.inputs[0].format.min_code
    bits = next(b for b in (8, 16, 32, 64) if layer.format.width <= b)
    kind = {8: "char", 16: "short", 32: "int", 64: "long long"}[bits]
    kind = f"{'signed' if layer.format.signed else 'unsigned'} {kind}"
    table = Table(kind, f"{site.name}_Table", f"[{len(layer.table)}]", brackets(layer.table), len(layer.table) * bits,
                  True)
    lines = ["const int value = x[i];", f"y[i] = {table.name}[value{_plus(-least)}];"]
    done = _each(site, Word(32), lines, f"a table: {comment(layer.function)}", done=False, rom=table.name)
    return Written(done.function, tables=(table,))


def reorder(site: Site) -> Written:
    layer = site.layer
    assert isinstance(layer, Reorder)
    wide = site.inputs[0].size > 1 << 16
    table = Table("unsigned int" if wide else "unsigned short", f"{site.name}_Index", f"[{len(layer.index)}]",
                  brackets(layer.index), len(layer.index) * (32 if wide else 16))
    done = _each(site, Word(32), [f"y[i] = x[{table.name}[i]];"], "elements in another order", done=False)
    return Written(done.function, tables=(table,))


def concat(site: Site) -> Written:
    layer = site.layer
    assert isinstance(layer, Concat)
    parts, offset = [], 0
    for t, shift in zip(site.inputs, layer.shifts(site.inputs), strict=True):
        inner = prod(t.shape[layer.axis:])
        parts.append({"inner": inner, "offset": offset, "shift": shift})
        offset += inner
    form = word(site.range.bound)
    return Written(_text("concat", site.context(form, pieces=parts, joined=offset,
                                                outer=prod(site.output.shape[:layer.axis]))))


def upsample(site: Site) -> Written:
    layer = site.layer
    assert isinstance(layer, Upsample)
    one = (1,) * (2 - len(layer.scale))
    rows, columns = one + site.output.shape[:-1]
    scale = one + layer.scale
    return Written(_text("upsample", site.context(Word(32), rows=rows, columns=columns, scale=scale,
                                                  width=columns // scale[1], channels=site.output.shape[-1])))


def maxpool(site: Site) -> Written:
    layer = site.layer
    assert isinstance(layer, MaxPool)
    form = word(site.range.bound)
    return Written(_text("maxpool", site.context(form, least=literal(site.output.format.min_code),
                                                 **window(layer.window, site.inputs[0], site.output))))


def avgpool(site: Site) -> Written:
    layer = site.layer
    assert isinstance(layer, AvgPool)
    form = word(2 * site.range.bound)
    half = layer.requantise.half(layer.acc_frac(site.inputs[0]))
    parts = [f"{'-' if sign < 0 else '+'} {shifted('sum', shift)}" for shift, sign in reversed(csd_terms(layer.factor))]
    mean = " ".join(parts).removeprefix("+ ") + _plus(half)
    return Written(_text("avgpool", site.context(form, mean=mean, requantise=site.requantisation(form),
                                                 factor=layer.factor, factor_frac=layer.factor_frac,
                                                 **window(layer.window, site.inputs[0], site.output))))


def argmax(site: Site) -> Written:
    assert isinstance(site.layer, ArgMax)
    return Written(_text("argmax", site.context(word(site.inputs[0].format.max_code + 1))))


def _plus(value: int) -> str:
    return f" + {literal(value)}" if value else ""


WRITERS: dict[str, Callable[[Site], Written]] = {
    Dense.kind: dense, Conv.kind: conv, MaxPool.kind: maxpool, AvgPool.kind: avgpool, Upsample.kind: upsample,
    Add.kind: add, Multiply.kind: multiply, Concat.kind: concat, Reorder.kind: reorder, Clamp.kind: clamp,
    Extremum.kind: extremum, Slopes.kind: slopes, Leaky.kind: leaky, Lookup.kind: lookup, ArgMax.kind: argmax}
"""By kind; a Reshape is the same array under another name and needs nothing."""
