"""A lane's term: its weight's code turned into shifts of the input."""

from __future__ import annotations

from toolkit.emit.verilog.expressions import Operand, extend, join, literal, part, zeros
from toolkit.emit.verilog.folded.settle import Wire
from toolkit.hardware.folded.node import Lanes


def term_wires(lanes: Lanes, x_bits: int) -> tuple[list[Wire], str, int]:
    """(wires, expression, width) of the term that the wire `code` makes of the two's complement `x2`."""
    return _shifted(lanes, x_bits) if lanes.shifts else _multiplied(lanes, x_bits)


def _shifted(lanes: Lanes, x_bits: int) -> tuple[list[Wire], str, int]:
    """A shifter, a stage for each bit of the shift. Where the shift is all ones nothing passes the first stage."""
    field = lanes.bits - 1
    width = x_bits + lanes.span
    stages = max(lanes.span.bit_length(), 1)
    code = Operand("code", lanes.bits)
    wires = [Wire("none", 1, f"&{part(code, field - 1)}" if field > 1 else part(code, 0, 0))]
    before = Operand("x2", x_bits)
    for stage in range(stages):
        by = 1 << stage
        wide = min(before.width + by, width)
        still = extend(before, wide, True)
        moved = join(extend(before, wide - by, True), zeros(by)) if wide > by else literal(0, wide)
        chosen = f"{part(code, stage, stage)} ? {moved} : {still}" if lanes.span else still
        text = f"none ? {literal(0, wide)} : {chosen}" if stage == 0 else chosen
        before = Operand(f"by{2 * by - 1}", wide)
        wires.append(Wire(before.name, wide, text))
    # A negative term is inverted; the one that is missing stands in the channel's offset.
    return wires, f"{before.name} ^ {{{width}{{code[{field}]}}}}", width


def _multiplied(lanes: Lanes, x_bits: int) -> tuple[list[Wire], str, int]:
    """A shifted input for each bit of the weight that is set, the top one taken away."""
    width = x_bits + lanes.bits
    code = Operand("code", lanes.bits)
    wires = []
    for bit in range(lanes.bits):
        moved = join(extend(Operand("x2", x_bits), width - bit, True), zeros(bit))
        wires.append(Wire(f"part{bit}", width, f"{part(code, bit, bit)} ? {moved} : {literal(0, width)}"))
    text = " + ".join(f"part{bit}" for bit in range(lanes.bits - 1))
    return wires, f"{text} - part{lanes.bits - 1}", width
