"""The module of a folded Multiply: one multiplier, or one power of two and one barrel shifter, that all elements share.
"""

from __future__ import annotations

from typing import Any

from toolkit.design.layers import Multiply
from toolkit.design.layers.multiply import MULTIPLIER
from toolkit.emit.templates import render
from toolkit.emit.verilog.expressions import Operand, barrel, extend, literal, place, product, sign_of, turned
from toolkit.emit.verilog.folded.output_stage import output_stage
from toolkit.hardware.folded.node import Node
from toolkit.hardware.gates import gate as gate_of
from toolkit.hardware.linear import signed_width


def multiply(node: Node, head: dict[str, Any]) -> str:
    """The text of the module for one node; `head` names it and its ports."""
    layer = node.layer
    assert isinstance(layer, Multiply)
    value, factor = (t.format for t in node.inputs)
    gate = gate_of(layer, list(node.inputs))
    half = layer.requantise.half(node.found.acc_frac)
    low, high = gate.low + half, gate.high + half
    bits = signed_width(low, high)
    a, g = Operand("value1", value.width), Operand("gate1", factor.width)
    if layer.gate == MULTIPLIER:
        text = product([a, g], (value.signed, factor.signed), gate.product_bits)
    else:
        text = barrel(Operand("turned", gate.turned_bits), Operand("power1", gate.place_bits + 1), gate.product_bits)
    steps, code = output_stage(layer.requantise, node.found.acc_frac - layer.requantise.format.frac, low, high,
                               "total2")
    incoming = Operand("x1_data" if node.gives.elements == 1 else "x1", factor.width)
    sign = sign_of(g) if factor.signed else ""
    return render(
        "verilog/folded/multiply.v.j2", **head, multiplies=layer.gate == MULTIPLIER, gate=gate,
        keeps_gate=layer.gate == MULTIPLIER or factor.signed,
        value_width=value.width, gate_width=factor.width, total_bits=bits, steps=steps, code=code, product=text,
        magnitude=turned(incoming, True, sign_of(incoming), factor.width) if factor.signed else incoming.name,
        place=place(Operand("magnitude", factor.width), gate.top, gate.place_bits + 1),
        turned=turned(a, value.signed, sign, gate.turned_bits) if sign else extend(a, gate.turned_bits, value.signed),
        total=f"{extend(Operand('product', gate.product_bits), bits, True)}"
              + (f" + {literal(half, bits)}" if half else ""))
