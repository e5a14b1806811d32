"""Pools as folded modules: taps of a line buffer, or accumulators that take elements in as they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolkit.design.layers import AvgPool, MaxPool
from toolkit.emit.verilog.expressions import Operand, extend, join, literal, zeros
from toolkit.emit.verilog.folded.line_buffer import unsigned_bits
from toolkit.emit.verilog.folded.output_stage import output_stage
from toolkit.hardware.folded.accumulators import Axis, sum_bits
from toolkit.hardware.folded.node import Node
from toolkit.hardware.linear import signed_width


def arithmetic(node: Node, new: str, held: str) -> dict[str, Any]:
    """What both templates know of the sum or the maximum: how the element `new` and the accumulator `held` make the
    next one, and how the register `acc1` makes an output code."""
    layer, x = node.layer, node.inputs[0].format
    if isinstance(layer, MaxPool):
        greater = f"$signed({new}) > $signed({held})" if x.signed else f"{new} > {held}"
        return {"acc_bits": x.width, "fill": literal(x.min_code, x.width), "combine": f"({greater}) ? {new} : {held}",
                "total": "acc1", "total_bits": x.width, "steps": [], "code": "total2"}
    assert isinstance(layer, AvgPool) and node.found.accumulator is not None
    acc, requantise, acc_frac = node.found.accumulator, layer.requantise, node.found.acc_frac
    low, high = int(acc.low.min()), int(acc.high.max())
    acc_bits, total_bits = sum_bits(node.inputs[0], layer.window.positions), signed_width(low, high)
    total = _product(Operand("acc1", acc_bits), x.signed, layer.factor, requantise.half(acc_frac), total_bits)
    steps, code = output_stage(requantise, acc_frac - requantise.format.frac, low, high, "total2")
    return {"acc_bits": acc_bits, "fill": literal(0, acc_bits), "combine": f"{held} + {new}", "total": total,
            "total_bits": total_bits, "steps": steps, "code": code}


def _product(sums: Operand, signed: bool, factor: int, offset: int, width: int) -> str:
    """A sum times a constant, in signed digits, plus an offset."""
    terms = []
    place = 0
    while factor:
        if factor & 1:
            digit = 2 - (factor & 3)
            moved = join(extend(sums, width - place, signed), zeros(place)) if width > place else literal(0, width)
            terms.append(("+" if digit > 0 else "-", moved))
            factor -= digit
        factor >>= 1
        place += 1
    terms.sort(key=lambda t: t[0] == "-")
    text = " ".join(f"{sign} {term}" for sign, term in terms)[2:]
    return f"{text} + {literal(offset, width)}" if offset else text


@dataclass(frozen=True)
class Along:
    """An axis of the image in the text: the counter `name`, and `phase`, which counts within the windows where there
    are several. `covered`, `first` and `last` are conditions; an empty one always holds."""

    name: str
    axis: Axis

    @property
    def phased(self) -> bool:
        return self.axis.windows > 1 and self.axis.stride > 1

    @property
    def phase(self) -> str:
        return f"{self.name}_in"

    def _at(self, pixel: int) -> str:
        return f"{self.name} == {literal(pixel, unsigned_bits(self.axis.size - 1))}" if self.axis.size > 1 else ""

    def _phase_is(self, value: int, relation: str = "==") -> str:
        return f"{self.phase} {relation} {literal(value, unsigned_bits(self.axis.stride - 1))}"

    @property
    def covered(self) -> str:
        axis = self.axis
        tests = []
        if self.phased and axis.stride > axis.kernel:
            tests.append(self._phase_is(axis.kernel, "<"))
        if axis.end < axis.size:
            tests.append(f"{self.name} < {literal(axis.end, unsigned_bits(axis.size - 1))}")
        return " && ".join(tests)

    @property
    def first(self) -> str:
        if not self.phased:
            return self._at(0) if self.axis.windows == 1 else ""
        start = f" || {self._at(0)}" if self.axis.before else ""
        return f"({self._phase_is(0)}{start})" if start else self._phase_is(0)

    @property
    def last(self) -> str:
        """Without what `covered` says; it never holds behind the last window."""
        axis = self.axis
        if not self.phased:
            return self._at(min(axis.end, axis.size) - 1) if axis.windows == 1 else ""
        cut = f" || {self._at(axis.size - 1)}" if axis.end > axis.size else ""
        return f"({self._phase_is(axis.kernel - 1)}{cut})" if cut else self._phase_is(axis.kernel - 1)


def accumulating(node: Node) -> dict[str, Any]:
    """What the template of accumulators knows beside the arithmetic."""
    accumulators = node.accumulators
    assert accumulators is not None
    rows, columns = Along("row", accumulators.y), Along("column", accumulators.x)
    row, entries = accumulators.row, accumulators.entries
    sizes = {"channel": row, "column": accumulators.x.size, "row": accumulators.y.size}
    moving = [name for name, size in sizes.items() if size > 1]
    place_bits = unsigned_bits(max(entries - 1, 1))

    def when(name: str) -> str:
        """The condition under which a counter goes on: all that are faster are at their ends."""
        faster = [f"{one}_end" for one in list(sizes)[:list(sizes).index(name)] if one in moving]
        return f"if ({' && '.join(faster)}) " if faster else ""

    def both(part: str) -> str:
        found = [text for text in (getattr(rows, part), getattr(columns, part)) if text]
        return " && ".join(found) or "1'b1"

    counters = [{"name": name, "bits": unsigned_bits(sizes[name] - 1), "when": when(name),
                 "final": literal(sizes[name] - 1, unsigned_bits(sizes[name] - 1))} for name in moving]
    phases = [{"name": one.phase, "bits": unsigned_bits(one.axis.stride - 1), "when": when(one.name),
               "end": f"{one.name}_end", "start": literal(one.axis.before, unsigned_bits(one.axis.stride - 1)),
               "final": literal(one.axis.stride - 1, unsigned_bits(one.axis.stride - 1))}
              for one in (columns, rows) if one.phased]
    covered = both("covered")
    last = both("last")
    return {"counters": counters, "phases": phases, "covered": covered, "first": both("first"),
            "last": last if covered == "1'b1" else f"covered && {last}", "entries": entries, "row": row,
            "open_windows": entries // row, "place_bits": place_bits,
            "last_place": literal(max(entries - 1, 0), place_bits), "column_last": columns.last or "1'b1"}
