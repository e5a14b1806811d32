"""The last step of every layer of sums: an accumulator becomes an output code."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.design.formats import Requantise, Rounding
from toolkit.emit.verilog.expressions import Operand, extend, join, quantise, tie_to_even, zeros
from toolkit.hardware.datapath import Quantise, RoundEven
from toolkit.hardware.linear import signed_width


@dataclass(frozen=True)
class Wire:
    """`wire [width-1:0] name = text;`"""

    name: str
    width: int
    text: str


def output_stage(requantise: Requantise, shift: int, low: int, high: int, acc: str) -> tuple[list[Wire], str]:
    """The wires and the expression that make an output code of the two's complement accumulator `acc`, which lies in
    low..high with the half of its rounding added, by moving it right by `shift` bits."""
    wires = []
    operand = Operand(acc, signed_width(low, high))
    if requantise.rounding is Rounding.HALF_EVEN and shift > 0:
        low, high = (v + ((v >> shift) & 1) + (1 << (shift - 1)) - 1 for v in (low, high))
        width = signed_width(low, high)
        wires.append(Wire("even", width, tie_to_even(RoundEven(shift), operand, width)))
        operand = Operand("even", width)
    if shift < 0:
        low, high = low << -shift, high << -shift
        width = operand.width - shift
        wires.append(Wire("wide", width, join(extend(operand, width + shift, True), zeros(-shift))))
        operand = Operand("wide", width)
    code = quantise(Quantise(requantise, max(shift, 0), low, high), operand, requantise.format.width)
    if not any(acc in text for text in (code, *(wire.text for wire in wires))):
        wires.append(Wire("unused_total", 1, f"&{{1'b0, {acc}}}"))  # every sum that can come ends at the same bound
    return wires, code
