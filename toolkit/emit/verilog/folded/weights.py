"""A lane's term: its weight's code turned into shifts of the input."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.emit.verilog.expressions import Operand, extend, join, literal, part, zeros
from toolkit.emit.verilog.folded.output_stage import Wire
from toolkit.hardware.folded.node import Lanes


@dataclass(frozen=True)
class Last:
    """The last stage of a shift, which the adder takes in: expressions over the registers `term3`, `far3` (whether it
    moves) and `minus3` (the sign, which fills what a move leaves empty) and over `code`."""

    still: str
    moved: str
    far: str
    minus: str


@dataclass(frozen=True)
class Term:
    """Wires over `code` and the two's complement `x2`, and the expression of the register `term3` that they end in."""

    wires: list[Wire]
    text: str
    width: int
    last: Last | None = None


def term(lanes: Lanes, x_bits: int) -> Term:
    """What the wire `code` makes of `x2`."""
    return _shifted(lanes, x_bits) if lanes.shifts else _multiplied(lanes, x_bits)


def _shifted(lanes: Lanes, x_bits: int) -> Term:
    """A shifter, a stage for each bit of the shift, the last of them behind the register. Where the shift is all ones
    nothing passes the first stage. A negative term is inverted; the one that is missing stands in the channel's offset.
    """
    field = lanes.bits - 1
    stages = lanes.span.bit_length()
    code = Operand("code", lanes.bits)
    wires = [Wire("none", 1, f"&{part(code, field - 1)}" if field > 1 else part(code, 0, 0))]
    before = Operand("x2", x_bits)
    minus = f"code[{field}]"
    if stages < 2:
        wires.append(Wire("by0", x_bits, f"(none ? {literal(0, x_bits)} : x2) ^ {{{x_bits}{{{minus}}}}}"))
        before = Operand("by0", x_bits)
    for stage in range(stages - 1):
        by = 1 << stage
        wide = before.width + by
        text = f"{part(code, stage, stage)} ? {join(before.name, zeros(by))} : {extend(before, wide, True)}"
        if stage == 0:
            text = f"none ? {literal(0, wide)} : {text}"
        if stage == stages - 2:
            text = f"({text}) ^ {{{wide}{{{minus}}}}}"
        before = Operand(f"by{2 * by - 1}", wide)
        wires.append(Wire(before.name, wide, text))
    held = Operand("term3", before.width)
    if not stages:
        return Term(wires, before.name, before.width)
    by = 1 << (stages - 1)
    kept = lanes.sum_bits - by
    moved = join(extend(held, kept, True), f"{{{by}{{minus3}}}}") if kept > 0 else f"{{{lanes.sum_bits}{{minus3}}}}"
    far = part(code, stages - 1, stages - 1)
    return Term(wires, before.name, before.width, Last(extend(held, lanes.sum_bits, True), moved, far, minus))


def _multiplied(lanes: Lanes, x_bits: int) -> Term:
    """A shifted input for each bit of the weight that is set, the top one taken away."""
    width = x_bits + lanes.bits
    code = Operand("code", lanes.bits)
    wires = []
    for bit in range(lanes.bits):
        moved = join(extend(Operand("x2", x_bits), width - bit, True), zeros(bit))
        wires.append(Wire(f"part{bit}", width, f"{part(code, bit, bit)} ? {moved} : {literal(0, width)}"))
    text = " + ".join(f"part{bit}" for bit in range(lanes.bits - 1))
    return Term(wires, f"{text} - part{lanes.bits - 1}", width)
