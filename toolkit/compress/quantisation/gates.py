"""The product of two tensors as hardware computes it, with a gradient: by a multiplier, or by a power of two."""

from __future__ import annotations

import torch
from torch import nn

from toolkit.compress.quantisation.layers import StraightThrough
from toolkit.design.layers.multiply import POWER


def nearest_power(values: torch.Tensor) -> torch.Tensor:
    """The signed power of two nearest to each value; halfway, at 1.5 * 2**k, the larger; 0 of 0. The same of a code
    and of the number that it stands for."""
    mantissa, power = torch.frexp(values.abs())
    return torch.ldexp(torch.sign(values), power - (mantissa < 0.75).int())


class GatedProduct(nn.Module):
    """`value * gate`, exact; the gate rounded to a power of two first where `gate` says so. In training the gradient
    goes through the rounding as if it were not there, so that the weights before the gate learn to live with it."""

    def __init__(self, gate: str) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, value: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        if self.gate == POWER:
            gate = StraightThrough.apply(gate, nearest_power(gate.detach()), None)
        return value * gate

    def extra_repr(self) -> str:
        return self.gate
