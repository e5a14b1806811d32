"""A lane's term: its weight's code turned into shifts of the input."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.emit.verilog.expressions import Operand, extend, join, literal, part, zeros
from toolkit.emit.verilog.folded.output_stage import Wire
from toolkit.hardware.folded.node import TREE_LEVELS, Lanes


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
    """Wires over `code` and a two's complement input, and the expression of the register `term3` that they end in."""

    wires: list[Wire]
    text: str
    width: int
    last: Last | None = None


def term(lanes: Lanes, x: Operand) -> Term:
    """What the wire `code` makes of the two's complement `x`; `Last` is left to the accumulator's adder where that
    takes the term as it is."""
    return _shifted(lanes, x) if lanes.shifts else _multiplied(lanes, x)


def _shifted(lanes: Lanes, x: Operand) -> Term:
    """A shifter, a stage for each bit of the shift; before an accumulator the last of them stands behind the register.
    Where the shift is all ones nothing passes the first stage. A negative term is inverted; the one that is missing
    stands in the channel's offset.
    """
    field = lanes.bits - 1
    stages = lanes.span.bit_length()
    own = stages if lanes.tree else max(stages - 1, 0)  # those before the register
    code = Operand("code", lanes.bits)
    wires = [Wire("none", 1, f"&{part(code, field - 1)}" if field > 1 else part(code, 0, 0))]
    before = x
    minus = f"code[{field}]"
    if not own:
        wires.append(Wire("by0", x.width, f"(none ? {literal(0, x.width)} : {x.name}) ^ {{{x.width}{{{minus}}}}}"))
        before = Operand("by0", x.width)
    for stage in range(own):
        by = 1 << stage
        wide = before.width + by
        text = f"{part(code, stage, stage)} ? {join(before.name, zeros(by))} : {extend(before, wide, True)}"
        if stage == 0:
            text = f"none ? {literal(0, wide)} : {text}"
        if stage == own - 1:
            text = f"({text}) ^ {{{wide}{{{minus}}}}}"
        before = Operand(f"by{2 * by - 1}", wide)
        wires.append(Wire(before.name, wide, text))
    held = Operand("term3", before.width)
    if own == stages:
        return Term(wires, before.name, before.width)
    by = 1 << (stages - 1)
    kept = lanes.sum_bits - by
    moved = join(extend(held, kept, True), f"{{{by}{{minus3}}}}") if kept > 0 else f"{{{lanes.sum_bits}{{minus3}}}}"
    far = part(code, stages - 1, stages - 1)
    return Term(wires, before.name, before.width, Last(extend(held, lanes.sum_bits, True), moved, far, minus))


@dataclass(frozen=True)
class TreeLine(Wire):
    """A wire of an adder tree, or a register where it ends a `stage`."""

    stage: bool = False


def adder_tree(lanes: Lanes, width: int) -> tuple[list[TreeLine], str]:
    """The sum of a lane's terms, each `width` bits of the wire `terms`, TREE_LEVELS levels of adders between two
    registers: its lines, and the sum in as many bits as the accumulator has."""
    lines = [TreeLine(f"term_{i}", width, part(Operand("terms", lanes.simd * width), (i + 1) * width - 1, i * width))
             for i in range(lanes.simd)]
    row = [Operand(line.name, width) for line in lines]
    level = 0
    while len(row) > 1:
        level += 1
        wide = min(row[0].width + 1, lanes.sum_bits)
        after = []
        for i in range(0, len(row), 2):
            text = " + ".join(extend(one, wide, True) for one in row[i:i + 2])
            after.append(Operand(f"sum{level}_{i // 2}", wide))
            lines.append(TreeLine(after[-1].name, wide, text))
        row = after
        if level % TREE_LEVELS == 0 or len(row) == 1:
            lines += [TreeLine(f"{one.name}r", one.width, one.name, True) for one in row]
            row = [Operand(f"{one.name}r", one.width) for one in row]
    return lines, extend(row[0], lanes.sum_bits, True)


def _multiplied(lanes: Lanes, x: Operand) -> Term:
    """A shifted input for each bit of the weight that is set, the top one taken away."""
    width = x.width + lanes.bits
    code = Operand("code", lanes.bits)
    wires = []
    for bit in range(lanes.bits):
        moved = join(extend(x, width - bit, True), zeros(bit))
        wires.append(Wire(f"part{bit}", width, f"{part(code, bit, bit)} ? {moved} : {literal(0, width)}"))
    text = " + ".join(f"part{bit}" for bit in range(lanes.bits - 1))
    return Term(wires, f"{text} - part{lanes.bits - 1}", width)
