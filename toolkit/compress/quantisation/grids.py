"""The weight formats as grids in torch: nearest values, and the exponent of each channel."""

from __future__ import annotations

import numpy as np
import torch

from toolkit.design.weights import IntegerFormat, Log2Format, TwoTermFormat, WeightFormat, Weights

LOG_MIDDLE = 0.70710677
"""Half-way between two powers of two in the log domain, as a float32: both precisions must decide alike."""


def project(values: torch.Tensor, exponents: torch.Tensor, form: WeightFormat, domain: str = "linear") -> torch.Tensor:
    """The nearest value of the grid for each of `values` (out, in); `exponents` (out,) are int64. Ties go away from
    zero for log2 (its threshold is 1.5 * 2**k, or sqrt(2) * 2**k in the `log` domain) and for sums of two powers,
    upwards for integers."""
    if isinstance(form, Log2Format):
        mantissa, power = torch.frexp(values.abs())
        # |v| = mantissa * 2**power with mantissa in [1/2, 1): 3/4 is half-way between the two powers around it.
        power = power.long() - (mantissa < (0.75 if domain == "linear" else LOG_MIDDLE)).long()
        top = exponents[:, None]
        lowest = top - (form.levels - 1)
        kept = torch.minimum(torch.maximum(power, lowest), top)
        size = torch.ldexp(torch.ones_like(values), kept)
        zero = values.abs() < _powers(lowest - 1, values)
        return torch.where(zero, torch.zeros_like(values), torch.copysign(size, values))
    if isinstance(form, TwoTermFormat):
        sizes = torch.from_numpy(form.magnitudes).to(values.dtype)
        nearest = sizes[torch.bucketize(values.abs() * _powers(-exponents[:, None], values),
                                        (sizes[1:] + sizes[:-1]) / 2, right=True)]
        found = torch.copysign(nearest * _powers(exponents[:, None], values), values)
        return torch.where(nearest == 0, nearest, found)
    half = 2 ** (form.bits - 1)
    scaled = values * _powers(-exponents[:, None], values)
    return torch.clamp(torch.floor(scaled + 0.5), -half, half - 1) * _powers(exponents[:, None], values)


def _powers(exponents: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """2**exponents, exact, in the type of `like`."""
    return torch.ldexp(torch.ones_like(exponents, dtype=like.dtype), exponents)


def largest(values: torch.Tensor, form: WeightFormat) -> torch.Tensor:
    """int64 (out,): for each row, the exponent at which its largest value just fits. Rows of zeros get the least
    exponent of the others."""
    peak = values.abs().amax(dim=1)
    exponents = torch.frexp(peak / (form.magnitudes[-1] if isinstance(form, TwoTermFormat) else 1))[1].long()
    if isinstance(form, IntegerFormat):
        exponents = exponents - (form.bits - 1)
    live = peak > 0
    rest = int(exponents[live].min()) if live.any() else 0
    return torch.where(live, exponents, torch.full_like(exponents, rest))


def candidates(values: torch.Tensor, form: WeightFormat, scale: str = "channel") -> list[torch.Tensor]:
    """Exponents worth trying, the largest first."""
    top = largest(values, form)
    if scale == "tensor":
        top = torch.full_like(top, int(top.max()))
    return [top - step for step in range(4)]


def fit(values: torch.Tensor, form: WeightFormat, domain: str = "linear", scale: str = "channel") -> torch.Tensor:
    """int64 (out,): the exponent of each row (or, with `scale` tensor, of all) with the least squared error of plain
    rounding."""
    tried = candidates(values, form, scale)
    errors = torch.stack([((project(values, e, form, domain) - values) ** 2).sum(dim=1) for e in tried])
    if scale == "tensor":
        return tried[int(errors.sum(dim=1).argmin())]
    return torch.stack(tried)[errors.argmin(dim=0), torch.arange(len(values))]


def encode(values: torch.Tensor, exponents: torch.Tensor, form: WeightFormat) -> Weights:
    """The codes of values that lie on the grid."""
    v = values.detach().double().numpy()
    e = exponents.numpy().astype(np.int64)
    if isinstance(form, Log2Format):
        power = np.frexp(np.abs(v))[1].astype(np.int64) - 1
        index = np.where(v != 0, e[:, None] - power + 1, 0)
        return Weights(form, form.encode(np.sign(v), index), e)
    return Weights(form, form.encode(np.ldexp(v, -e[:, None]).astype(np.int64)), e)
