"""What a gate of a Multiply layer takes in hardware: the widths of its parts, whatever the architecture."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.design.formats import FixedPoint
from toolkit.design.layers import Multiply
from toolkit.design.layers.multiply import MULTIPLIER
from toolkit.design.tensors import Tensor
from toolkit.hardware.linear import signed_width


@dataclass(frozen=True)
class Gate:
    """`top`: the exponent of the largest power of two that a gate becomes; `place_bits`: of an exponent;
    `turned_bits`: of the value with the gate's sign; `product_bits`: of the product, exact, in two's complement, which
    lies in `low`..`high` whatever the codes are."""

    top: int
    place_bits: int
    turned_bits: int
    product_bits: int
    low: int
    high: int


def gate(layer: Multiply, inputs: list[Tensor]) -> Gate:
    """The parts of a layer's gate, from the formats of what it reads."""
    value, factor = (t.format for t in inputs)
    largest = max(factor.max_code, -factor.min_code)
    top = largest.bit_length() - 1 + (largest.bit_count() > 1 and largest >> (largest.bit_length() - 2) == 3)
    plain = layer.gate == MULTIPLIER
    ends = (factor.min_code, factor.max_code) if plain else (-(1 << top) if factor.signed else 0, 1 << top)
    corners = [a * b for a in (value.min_code, value.max_code) for b in ends]
    return Gate(top, max(top.bit_length(), 1), _turned(value, factor), signed_width(min(corners), max(corners)),
                min(corners), max(corners))


def _turned(value: FixedPoint, factor: FixedPoint) -> int:
    """Bits of a value in two's complement: with its own sign, or with the gate's."""
    ends = (value.min_code, value.max_code, -value.min_code, -value.max_code)
    return signed_width(min(ends), max(ends)) if factor.signed else signed_width(*ends[:2])
