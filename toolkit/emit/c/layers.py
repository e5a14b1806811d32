"""Each kind of layer as C: the template of its function, its constants, and the scratch memory that it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from toolkit.design import (
    Add,
    ArgMax,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Dense,
    Design,
    Extremum,
    Interval,
    Layer,
    LayerRange,
    Leaky,
    Lookup,
    MaxPool,
    Multiply,
    Reorder,
    Reshape,
    Slopes,
    Tensor,
    Upsample,
    Window,
)
from toolkit.design.layers.multiply import MULTIPLIER
from toolkit.emit.broadcast import walk
from toolkit.emit.c.linear import Linear, linear
from toolkit.emit.c.requantise import requantisation
from toolkit.emit.c.types import CType, literal, signed, smallest
from toolkit.hardware.csd import csd_table

MAX_ELEMENTS = 1 << 30
DOWN_BITS = 5
FEW = 4
"""Outputs of one input below which a table of its multiples costs more than shifts do (depthwise convolutions)."""


@dataclass(frozen=True, eq=False)
class Table:
    """A constant array `<layer>_<what>` of the generated file."""

    what: str
    type: CType
    values: np.ndarray

    @property
    def bytes(self) -> int:
        return self.values.size * self.type.bytes


@dataclass(frozen=True, eq=False)
class Part:
    """A layer's function: its template and context. `scratch`: (name, type, words); `late`: every input has been read
    before the first word of the output is written; `in_place`: output i is written right after inputs i were read, but
    of those in `again`, of which some are read again."""

    template: str
    context: dict[str, Any]
    tables: tuple[Table, ...] = ()
    scratch: tuple[tuple[str, CType, int], ...] = ()
    late: bool = False
    in_place: bool = False
    again: tuple[int, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What a layer reads: tensors, and the intervals that are proven of them."""

    tensors: list[Tensor]
    intervals: list[Interval]
    range: LayerRange


def part(design: Design, layer: Layer) -> Part:
    """The C of one layer. Raises InputError, with the layer's name, for what C cannot express."""
    if design.tensors[layer.name].size > MAX_ELEMENTS:
        raise layer.fail(f"an output of more than {MAX_ELEMENTS} elements is beyond what the target c addresses")
    form = design.input.format
    full = Interval.full(design.input.shape, form)
    intervals = [design.ranges[n].output if n in design.ranges else full for n in layer.inputs]
    return PARTS[type(layer)](layer, design.tensors[layer.name],
                              Seen(design.inputs_of(layer), intervals, design.ranges[layer.name]))


def _dense(layer: Dense, y: Tensor, seen: Seen) -> Part:
    return _weighted(layer, y, seen, "c/dense.c.j2", {})


def _conv(layer: Conv, y: Tensor, seen: Seen) -> Part:
    geometry = _geometry(layer.window, seen.tensors[0].shape, y.shape)
    geometry |= {"groups": layer.groups, "deep": seen.tensors[0].shape[-1] // layer.groups}
    return _weighted(layer, y, seen, "c/conv.c.j2", geometry)


def _weighted(layer: Dense | Conv, y: Tensor, seen: Seen, template: str, more: dict[str, Any]) -> Part:
    made = linear(layer, seen.tensors[0], seen.intervals[0], seen.range)
    groups, taps, row = made.codes.shape
    tables = [Table("codes", CType(False, 8), made.codes)]
    count = made.channels // groups
    direct = made.codebook.kind == "powers" and count < FEW
    context = {**more, "codebook": made.codebook, "direct": direct, "inputs": taps, "count": count,
               "channels": made.channels,
               "row_bytes": row, "acc": made.acc, "type": made.type, "lines": made.lines,
               "weights": str(layer.weights.format)}
    for what, shifts in (("down", made.down), ("up", made.up)):
        same = len(shifts) > 0 and int(shifts.min()) == int(shifts.max())
        context[what] = None if not len(shifts) else int(shifts[0]) if same else "table"
    start = made.start
    if context["down"] == "table" and smallest(int(start.min()), int(start.max())).bits == 32 and _beside(made):
        context["down"], start = "start", (start << DOWN_BITS) + made.down
    for what, values in (("start", start), ("bias", made.bias)):
        context[what] = bool(values.any())
        if context[what]:
            tables.append(Table(what, smallest(int(values.min()), int(values.max())), values))
            context[f"{what}_type"] = tables[-1].type
    tables += [Table(what, CType(False, 8), shifts) for what, shifts in (("down", made.down), ("up", made.up))
               if context[what] == "table"]
    scratch = [("acc", made.acc, count)] + ([] if direct else [("tab", made.acc, made.codebook.entries)])
    return Part(template, context, tuple(tables), tuple(scratch), late=template == "c/dense.c.j2")


def _beside(made: Linear) -> bool:
    """Whether a channel's start and shift fit one word of 32 bits together, which spares a byte of flash each."""
    most = 1 << (31 - DOWN_BITS)
    return bool(np.all((-most <= made.start) & (made.start < most) & (made.down < 1 << DOWN_BITS)))


def _each(layer: Layer, y: Tensor, seen: Seen, type: CType, lines: list[str], tables: tuple[Table, ...] = (),
          first: str = "x0[i]") -> Part:
    return Part("c/each.c.j2", {"type": type, "first": first, "lines": lines}, tables, in_place=True)


def _clamp(layer: Clamp, y: Tensor, seen: Seen) -> Part:
    type = signed(max(seen.range.bound, seen.intervals[0].bound))
    return _each(layer, y, seen, type, list(requantisation(layer.requantise, seen.range, type).lines))


def _leaky(layer: Leaky, y: Tensor, seen: Seen) -> Part:
    type = signed(seen.range.bound)
    lines = [f"if (v > 0) {{ v = shl_{type.short}(v, {layer.slope}); }}"] if layer.slope else []
    return _each(layer, y, seen, type, [*lines, *requantisation(layer.requantise, seen.range, type).lines])


def _add(layer: Add, y: Tensor, seen: Seen) -> Part:
    type = signed(seen.range.bound)
    terms = [_shifted(f"({type})x{i}[i]", shift, type) for i, shift in enumerate(layer.shifts(seen.tensors))]
    lines = [*(f"v += {term};" for term in terms[1:]), *requantisation(layer.requantise, seen.range, type).lines]
    return _each(layer, y, seen, type, lines, first=terms[0])


def _multiply(layer: Multiply, y: Tensor, seen: Seen) -> Part:
    type = signed(seen.range.bound)
    if layer.gate == MULTIPLIER:
        lines = [f"v = ({type})(v * g);"]
    else:
        lines = [f"if (g < 0) {{ v = ({type})-v; g = ({type})-g; }}"] if seen.tensors[1].format.signed else []
        lines += [f"v = g == 0 ? 0 : shl_{type.short}(v, nearest_{type.short}(g));"]
    lines += requantisation(layer.requantise, seen.range, type).lines
    again = tuple(port for port, t in enumerate(seen.tensors) if t.shape != y.shape)
    return Part("c/multiply.c.j2", {"type": type, "lines": lines, "axes": _steps([t.shape for t in seen.tensors])},
                in_place=True, again=again)


def _steps(shapes: list[tuple[int, ...]]) -> list[dict[str, Any]]:
    """Nested loops over tensors that are repeated where one has one element: what each input moves by at the end of
    each round of a loop, when the loop within it has run."""
    axes = walk(shapes)
    inner = [*axes[1:], None]
    return [{"name": name, "count": axis.count,
             "steps": [stride - (below.count * below.strides[port] if below else 0)
                       for port, stride in enumerate(axis.strides)]}
            for name, axis, below in zip("ijkl", axes, inner, strict=False)]


def _extremum(layer: Extremum, y: Tensor, seen: Seen) -> Part:
    type = signed(max(seen.range.bound, 1))
    terms = [_shifted(f"({type})x{i}[i]", shift, type) for i, shift in enumerate(layer.shifts(seen.tensors))]
    sign = "<" if layer.least else ">"
    lines = [f"if ({term} {sign} v) {{ v = {term}; }}" for term in terms[1:]]
    return _each(layer, y, seen, type, lines, first=terms[0])


def _slopes(layer: Slopes, y: Tensor, seen: Seen) -> Part:
    """Signed digits, a byte each: the places in the low six bits, 64 for one that is taken away, 128 for none."""
    type = signed(seen.range.bound)
    shifts, signs = csd_table(np.stack([layer.positive, layer.negative], 1).reshape(-1))
    codes = np.where(signs == 0, 128, shifts + np.where(signs < 0, 64, 0))
    lines = list(requantisation(layer.requantise, seen.range, type).lines)
    context = {"type": type, "lines": lines, "digits": codes.shape[1], "channels": len(layer.positive)}
    return Part("c/slopes.c.j2", context, (Table("digits", CType(False, 8), codes),) if codes.size else (),
                in_place=True)


def _lookup(layer: Lookup, y: Tensor, seen: Seen) -> Part:
    type = signed(seen.range.bound)
    table = Table("table", smallest(int(layer.table.min()), int(layer.table.max())), layer.table)
    least = seen.tensors[0].format.min_code
    line = f"v = ({type})NET_READ_{table.type.short.upper()}(&{{name}}_table[v - {literal(least)}]);"
    return _each(layer, y, seen, type, [line.replace("- -", "+ ")], (table,))


def _reorder(layer: Reorder, y: Tensor, seen: Seen) -> Part:
    table = Table("index", smallest(0, seen.tensors[0].size - 1), layer.index)
    return Part("c/reorder.c.j2", {"index": table.type}, (table,))


def _reshape(layer: Reshape, y: Tensor, seen: Seen) -> Part:
    return Part("c/reorder.c.j2", {"index": None}, in_place=True)


def _concat(layer: Concat, y: Tensor, seen: Seen) -> Part:
    type = signed(seen.range.bound)
    runs = [prod(t.shape[layer.axis:]) for t in seen.tensors]
    shifts = layer.shifts(seen.tensors)
    terms = [f"shl_{type.short}(({type})*x{i}, {shift})" if shift else f"*x{i}" for i, shift in enumerate(shifts)]
    return Part("c/concat.c.j2", {"outer": prod(y.shape[:layer.axis]), "runs": runs, "terms": terms})


def _argmax(layer: ArgMax, y: Tensor, seen: Seen) -> Part:
    return Part("c/argmax.c.j2", {"inputs": seen.tensors[0].size}, late=True)


def _maxpool(layer: MaxPool, y: Tensor, seen: Seen) -> Part:
    least = seen.tensors[0].format.min_code
    type = signed(max(seen.range.bound, abs(least)))
    return Part("c/maxpool.c.j2", {**_geometry(layer.window, seen.tensors[0].shape, y.shape), "type": type,
                                   "least": literal(least)})


def _avgpool(layer: AvgPool, y: Tensor, seen: Seen) -> Part:
    type = signed(seen.range.bound)
    lines = [*times(layer.factor, type), *requantisation(layer.requantise, seen.range, type).lines]
    return Part("c/avgpool.c.j2", {**_geometry(layer.window, seen.tensors[0].shape, y.shape), "type": type,
                                   "lines": lines, "factor": layer.factor, "factor_frac": layer.factor_frac})


def _upsample(layer: Upsample, y: Tensor, seen: Seen) -> Part:
    height, width, channels = _plane(seen.tensors[0].shape)
    tall, wide = layer.scale if len(layer.scale) == 2 else (1, *layer.scale)
    return Part("c/upsample.c.j2", {"height": height, "width": width, "channels": channels, "tall": tall, "wide": wide})


PARTS: dict[type[Layer], Callable[[Any, Tensor, Seen], Part]] = {
    Dense: _dense, Conv: _conv, Clamp: _clamp, Leaky: _leaky, Add: _add,
    Multiply: _multiply, Lookup: _lookup, Extremum: _extremum, Slopes: _slopes, Reorder: _reorder,
    Reshape: _reshape, Concat: _concat, ArgMax: _argmax, MaxPool: _maxpool, AvgPool: _avgpool, Upsample: _upsample}


def times(factor: int, type: CType) -> list[str]:
    """Statements that multiply `v` by a positive constant: its signed digits from the top, each a shift and an add."""
    digits = []
    rest, place = factor, 0
    while rest:
        digit = 0 if rest % 2 == 0 else 2 - rest % 4
        if digit:
            digits.append((place, digit))
        rest, place = (rest - digit) // 2, place + 1
    if len(digits) == 1:
        return [f"v = shl_{type.short}(v, {digits[0][0]});"] if digits[0][0] else []
    lines = [f"const {type} s = v;"]
    for (upper, _), (lower, digit) in zip(reversed(digits[1:]), reversed(digits[:-1]), strict=True):
        lines.append(f"v = shl_{type.short}(v, {upper - lower}) {'+' if digit > 0 else '-'} s;")
    if digits[0][0]:
        lines.append(f"v = shl_{type.short}(v, {digits[0][0]});")
    return lines


def _shifted(value: str, shift: int, type: CType) -> str:
    return f"shl_{type.short}({value}, {shift})" if shift else value


def _plane(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(height, width, channels) of an image; one of one dimension is a single row."""
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else (1, shape[0], shape[1])


def _geometry(window: Window, shape: tuple[int, ...], output: tuple[int, ...]) -> dict[str, Any]:
    """Every constant that a window's loops step by: no index is ever multiplied where the code runs."""
    height, width, channels = _plane(shape)
    rows, columns, _ = _plane(output)

    def axes(values: tuple[Any, ...], single: Any) -> tuple[Any, Any]:
        return (values[0], values[1]) if len(values) == 2 else (single, values[0])

    (tall, wide), (down, along) = axes(window.kernel, 1), axes(window.stride, 1)
    (above, left), (apart_y, apart_x) = axes(window.padding, (0, 0)), axes(window.dilation, 1)
    line = width * channels
    reach = (height + sum(above) + tall * apart_y + down) * (line + (sum(left) + along + wide * apart_x) * channels)
    return {"height": height, "width": width, "depth": channels, "rows": rows, "columns": columns, "tall": tall,
            "wide": wide, "stride_y": down, "stride_x": along, "dilation_y": apart_y, "dilation_x": apart_x,
            "pad_y": above[0], "pad_x": left[0], "guard_y": sum(above) > 0, "guard_x": sum(left) > 0,
            "corner": -(above[0] * line + left[0] * channels), "next_row": down * line, "next_column": along * channels,
            "next_line": apart_y * line, "next_pixel": apart_x * channels,
            "place": "int_fast16_t" if reach < 1 << 15 else "int32_t"}
