"""The quantised layers in torch: what hardware computes, with a gradient. In float64 they equal it exactly."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from toolkit.capture.curve import Curve, finite
from toolkit.capture.slopes import Slopes, sloped
from toolkit.compress.matmul import Matmul
from toolkit.compress.quantisation import grids
from toolkit.design import AvgPool, Lookup
from toolkit.design.formats import FixedPoint, Requantise
from toolkit.design.weights import IntegerFormat, TwoTermFormat, WeightFormat, Weights


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


class InputScale(nn.Module):
    """Each feature (or channel) of the input times 2**-exponent: a choice of units, exact, that the design's input
    codes carry; no layer of a design comes of it. `shape`: of the exponents, as they stretch over a sample."""

    scale: torch.Tensor

    def __init__(self, exponents: tuple[int, ...], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.exponents, self.shape = tuple(int(k) for k in exponents), tuple(int(n) for n in shape)
        scale = torch.tensor([2.0**-k for k in self.exponents]).reshape(self.shape)
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale


class Quantised(nn.Module):
    """A Linear or a Conv whose weights lie on a grid. `weight` (out, ...) and `bias` (out,) are real shadows that
    training moves; the exponents (out,) of the grid stay, and so do the weights that are not in `live`, of the weight's
    shape: pruned ones, zero. `bias_frac` is set when the accumulator's format is known."""

    exponents: torch.Tensor
    live: torch.Tensor

    def __init__(self, product: Matmul, weight: torch.Tensor, bias: torch.Tensor, exponents: torch.Tensor,
                 form: WeightFormat, live: torch.Tensor | None = None, domain: str = "linear") -> None:
        super().__init__()
        self.product = product
        self.weight = nn.Parameter(weight.detach().float().clone())
        self.bias = nn.Parameter(bias.detach().float().clone())
        self.register_buffer("exponents", exponents.clone())
        self.register_buffer("live", torch.ones_like(weight, dtype=torch.bool) if live is None else live.clone())
        self.format, self.domain = form, domain
        self.bias_frac = 0

    def quantised_weight(self) -> torch.Tensor:
        rows = grids.project(self.weight.flatten(1), self.exponents, self.format, self.domain)
        return rows.reshape(self.weight.shape) * self.live

    def quantised_bias(self) -> torch.Tensor:
        return torch.floor(self.bias * 2.0**self.bias_frac + 0.5) * 2.0**-self.bias_frac

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = StraightThrough.apply(self.weight, self.quantised_weight(), None)
        bias = StraightThrough.apply(self.bias, self.quantised_bias(), None)
        return self.product(x, weight, bias)

    def codes(self) -> Weights:
        """The weights as they are stored, in the shape of `weight`."""
        rows = grids.encode(self.quantised_weight().detach().flatten(1), self.exponents, self.format)
        return Weights(rows.format, rows.codes.reshape(self.weight.shape), rows.exponents)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, {self.format}"


class QuantisedSlopes(nn.Module):
    """A Slopes whose constants lie on a grid: sums of two signed powers of two where weights are powers of two, else
    integers of as many bits as theirs, each on an exponent of its own, none below 2**-LEAST. The parameters are real
    shadows."""

    LEAST = 16

    def __init__(self, slopes: Slopes, form: WeightFormat) -> None:
        super().__init__()
        self.format: WeightFormat = form if isinstance(form, IntegerFormat) else TwoTermFormat.of(8)
        self.negative = nn.Parameter(slopes.negative.detach().clone())
        self.positive = None if slopes.positive is None else nn.Parameter(slopes.positive.detach().clone())

    @property
    def channels(self) -> int:
        return self.negative.numel()

    def on_grid(self, values: torch.Tensor) -> torch.Tensor:
        """The nearest constants of the grid."""
        rows = values.detach()[:, None]
        exponents = grids.fit(rows, self.format).clamp(min=-self.LEAST)
        return grids.project(rows, exponents, self.format)[:, 0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        negative = StraightThrough.apply(self.negative, self.on_grid(self.negative), None)
        positive = None if self.positive is None else \
            StraightThrough.apply(self.positive, self.on_grid(self.positive), None)
        return sloped(x, negative, positive)

    def codes(self) -> tuple[np.ndarray, np.ndarray, int]:
        """int64 negative and positive constants, and how many fractional bits they have."""
        negative, positive = (np.ones(self.channels) if v is None else self.on_grid(v).double().numpy()
                              for v in (self.negative, self.positive))
        frac = next(f for f in range(self.LEAST + 1) if f == self.LEAST or all(
            np.array_equal(np.ldexp(v, f), np.rint(np.ldexp(v, f))) for v in (negative, positive)))
        return *(np.rint(np.ldexp(v, frac)).astype(np.int64) for v in (negative, positive)), frac  # type: ignore[return-value]

    def extra_repr(self) -> str:
        return f"{self.channels} of {self.format}"


class Mean(nn.Module):
    """An average pool as hardware computes it: the sum under each window times a constant. `window` holds kernel,
    stride and padding, each a number an axis; `divisor` is the window's size where none is given."""

    def __init__(self, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...],
                 divisor: int | None = None) -> None:
        super().__init__()
        self.window = kernel, stride, padding
        self.factor, self.factor_frac = AvgPool.constant(divisor or math.prod(kernel))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x if len(self.window[0]) == 2 else x[:, :, None]
        kernel, stride, padding = self.window if flat is x else ((1, *self.window[0]), (1, *self.window[1]),
                                                                 (0, *self.window[2]))
        sums = nn.functional.avg_pool2d(flat, kernel, stride, padding, divisor_override=1)
        return (sums if flat is x else sums[:, :, 0]) * (self.factor * 2.0**-self.factor_frac)


class Table(nn.Module):
    """A function of one element by its table: for every code of the input, the nearest code of the output. Until the
    formats are set it is the function itself."""

    entries: torch.Tensor

    def __init__(self, function: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.source: FixedPoint | None = None
        self.format: FixedPoint | None = None

    def set(self, source: FixedPoint, form: FixedPoint) -> None:
        """Fix the formats of what it reads and gives."""
        self.source, self.format = source, form
        self.register_buffer("entries", torch.from_numpy(form.value(self.lookup("", ()).table)))

    def lookup(self, name: str, inputs: tuple[str, ...]) -> Lookup:
        """The same as a layer of a design."""
        assert self.source is not None and self.format is not None
        return Lookup.of(name, inputs, lambda values: finite(self.function(torch.from_numpy(values))).numpy(),
                         self.function.label if isinstance(self.function, Curve)
                         else type(self.function).__name__.lower(), self.source, self.format)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        smooth = self.function(x)
        if self.source is None or self.format is None:
            return smooth
        index = torch.round(x.detach() * 2.0**self.source.frac).long() - self.source.min_code
        scaled = smooth.detach() * 2.0**self.format.frac
        inside = (scaled >= self.format.min_code - 0.5) & (scaled <= self.format.max_code + 0.5)
        return StraightThrough.apply(smooth, self.entries.to(x.dtype)[index], inside)

    def extra_repr(self) -> str:
        return f"{self.source} -> {self.format}"


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
