"""The quantised layers in torch: what hardware computes, with a gradient. In float64 they equal it exactly."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from toolkit.compress import grids
from toolkit.design.formats import FixedPoint, Requantise
from toolkit.design.weights import WeightFormat, Weights


class StraightThrough(torch.autograd.Function):
    """Forward gives `replacement`; backward passes the gradient to `x` where `mask` is set.

    Bengio et al., "Estimating or Propagating Gradients Through Stochastic Neurons", 2013.
    """

    @staticmethod
    def forward(ctx, x: torch.Tensor, replacement: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(*([] if mask is None else [mask]))
        return replacement

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        return (gradient * ctx.saved_tensors[0] if ctx.saved_tensors else gradient), None, None


class QuantLinear(nn.Module):
    """A Linear whose weights lie on a grid. `weight` (out, in) and `bias` (out,) are real shadows that training moves;
    the exponents (out,) of the grid stay, and so do the weights that are not in `live` (out, in): pruned ones, zero.
    `bias_frac` is set when the accumulator's format is known."""

    exponents: torch.Tensor
    live: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, exponents: torch.Tensor, form: WeightFormat,
                 live: torch.Tensor | None = None, domain: str = "linear") -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().float().clone())
        self.bias = nn.Parameter(bias.detach().float().clone())
        self.register_buffer("exponents", exponents.clone())
        self.register_buffer("live", torch.ones_like(weight, dtype=torch.bool) if live is None else live.clone())
        self.format, self.domain = form, domain
        self.bias_frac = 0

    def quantised_weight(self) -> torch.Tensor:
        return grids.project(self.weight, self.exponents, self.format, self.domain) * self.live

    def quantised_bias(self) -> torch.Tensor:
        return torch.floor(self.bias * 2.0**self.bias_frac + 0.5) * 2.0**-self.bias_frac

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = StraightThrough.apply(self.weight, self.quantised_weight(), None)
        bias = StraightThrough.apply(self.bias, self.quantised_bias(), None)
        return nn.functional.linear(x, weight, bias)

    def codes(self) -> Weights:
        """The weights as they are stored."""
        return grids.encode(self.quantised_weight().detach(), self.exponents, self.format)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}, {self.format}"


class Requantiser(nn.Module):
    """Rounding to a format, with the activation as the clamp. Until `format` is set it only clamps to `bounds`."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.bounds = low, high
        self.requantise: Requantise | None = None

    def set(self, form: FixedPoint) -> None:
        """Fix the format; the bounds become codes."""
        low, high = self.bounds
        low_code = int(form.quantise(np.array(low))) if math.isfinite(low) else form.min_code
        high_code = int(form.quantise(np.array(high))) if math.isfinite(high) else form.max_code
        self.requantise = Requantise(form, low_code, max(low_code, high_code))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.requantise is None:
            return torch.clamp(x, *self.bounds)
        r = self.requantise
        scaled = x * 2.0**r.format.frac
        codes = torch.clamp(torch.floor(scaled + 0.5), r.low, r.high)
        inside = (scaled >= r.low - 0.5) & (scaled <= r.high + 0.5)
        return StraightThrough.apply(x, codes * 2.0**-r.format.frac, inside)

    def extra_repr(self) -> str:
        return str(self.bounds) if self.requantise is None else str(self.requantise)
