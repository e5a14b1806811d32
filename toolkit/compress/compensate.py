"""Rounding that makes up for its own errors: GPTQ / OBQ with a weight grid as the projection, then a descent.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2022. After it,
coordinates are re-rounded one by one while that lowers the same error (as in Nair & Suggala, "CDQuant", 2024).
"""

from __future__ import annotations

import torch

from toolkit.compress import grids
from toolkit.design.weights import WeightFormat

DAMPING = 0.01
SWEEPS = 8


def compensated(weight: torch.Tensor, inputs: torch.Tensor, form: WeightFormat, domain: str = "linear",
                scale: str = "channel") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(quantised weights (out, in), exponents (out,), bias correction (out,)), all float64 or int64.

    `weight` is (out, in), `inputs` (samples, in) are what the layer really reads. For each row the exponent, and
    plain rounding or compensated, is the one with the least squared error of its output. Zeros, which pruning has
    made, stay zero.
    """
    w = weight.detach().double()
    x = inputs.double()
    mean = x.mean(dim=0)
    x = x - mean  # the mean's share of the error is a constant: the bias takes it
    hessian = x.T @ x / len(x)
    ridge = DAMPING * float(hessian.diagonal().mean()) or 1.0
    damped = hessian + ridge * torch.eye(len(hessian), dtype=torch.float64)
    live = w != 0
    grid = _Grid(form, domain, live)
    best, least, chosen = None, None, None
    for exponents in grids.candidates(w, form, scale):
        for found in (grids.project(w, exponents, form, domain), _columns(w, damped, exponents, grid)):
            found = _descent(w, found, damped, exponents, grid)
            error = _error(w - found, damped)
            if scale == "tensor":
                error = error.sum().expand(len(w))
            if best is None or least is None or chosen is None:
                best, least, chosen = found, error, exponents.clone()
            else:
                better = error < least
                best = torch.where(better[:, None], found, best)
                least = torch.where(better, error, least)
                chosen = torch.where(better, exponents, chosen)
    assert best is not None and chosen is not None
    return best, chosen, (w - best) @ mean


class _Grid:
    """The projection of one column, pruned weights kept at zero."""

    def __init__(self, form: WeightFormat, domain: str, live: torch.Tensor) -> None:
        self.form, self.domain, self.live = form, domain, live

    def column(self, values: torch.Tensor, exponents: torch.Tensor, index: int) -> torch.Tensor:
        return grids.project(values[:, None], exponents, self.form, self.domain)[:, 0] * self.live[:, index]


def _error(difference: torch.Tensor, hessian: torch.Tensor) -> torch.Tensor:
    return ((difference @ hessian) * difference).sum(dim=1)


def _columns(w: torch.Tensor, hessian: torch.Tensor, exponents: torch.Tensor, grid: _Grid) -> torch.Tensor:
    """GPTQ: round one column after the other, the most used first; the rest of the row makes up for each error."""
    order = torch.argsort(hessian.diagonal(), descending=True, stable=True)
    inverse = torch.linalg.cholesky(torch.linalg.inv(hessian[order][:, order]), upper=True)
    rest, found = w[:, order].clone(), torch.zeros_like(w)
    for j in range(w.shape[1]):
        found[:, j] = grid.column(rest[:, j], exponents, int(order[j]))
        share = (rest[:, j] - found[:, j]) / inverse[j, j]
        rest[:, j + 1:] -= share[:, None] * inverse[j, j + 1:]
    return found[:, torch.argsort(order)]


def _descent(w: torch.Tensor, found: torch.Tensor, hessian: torch.Tensor, exponents: torch.Tensor,
             grid: _Grid) -> torch.Tensor:
    """Re-round each coordinate to its best value given all others, until nothing moves."""
    found = found.clone()
    gradient = (w - found) @ hessian
    for _ in range(SWEEPS):
        moved = False
        for j in range(w.shape[1]):
            best = grid.column(found[:, j] + gradient[:, j] / hessian[j, j], exponents, j)
            step = best - found[:, j]
            if bool(step.any()):
                moved = True
                found[:, j] = best
                gradient -= step[:, None] * hessian[j]
        if not moved:
            break
    return found
