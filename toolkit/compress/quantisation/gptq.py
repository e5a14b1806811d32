"""Rounding that makes up for its own errors: GPTQ / OBQ with a weight grid as the projection, then a descent.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2022. After it,
coordinates are re-rounded one by one while that lowers the same error (as in Nair & Suggala, "CDQuant", 2024).
"""

from __future__ import annotations

import torch

from toolkit.compress.quantisation import grids
from toolkit.design.weights import WeightFormat

DAMPING = 0.01
SWEEPS = 8
BLOCK = 32


class Moments:
    """Mean and covariance of rows that come in parts. Rows that are codes on a grid are summed up exactly, so that the
    parts they came in, and their order, change no bit."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, rows: torch.Tensor) -> None:
        """Rows (n, in), of any real type."""
        rows = rows.double()
        if not self.count:  # distances from the first row: a large mean takes no bits away
            self.first = rows[0].clone()
            self.total = torch.zeros_like(self.first)
            self.products = torch.zeros(len(self.first), len(self.first), dtype=torch.float64)
        rows = rows - self.first
        self.count += len(rows)
        self.total += rows.sum(dim=0)
        self.products += rows.T @ rows

    @property
    def mean(self) -> torch.Tensor:
        return self.first + self.total / self.count

    @property
    def covariance(self) -> torch.Tensor:
        away = self.total / self.count
        return self.products / self.count - away[:, None] * away


def gptq(weight: torch.Tensor, inputs: Moments | torch.Tensor, form: WeightFormat, domain: str = "linear",
         scale: str = "channel") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(quantised weights (out, in), exponents (out,), bias correction (out,)), all float64 or int64.

    `weight` is (out, in), `inputs` (samples, in), or their moments, are what the layer really reads. For each row the
    exponent, and round to nearest or GPTQ, is the one with the least squared error of its output. Zeros, which pruning
    has made, stay zero.
    """
    w = weight.detach().double()
    if isinstance(inputs, torch.Tensor):
        rows, inputs = inputs, Moments()
        inputs.add(rows)
    mean, hessian = inputs.mean, inputs.covariance  # the mean's share of the error is a constant: the bias takes it
    ridge = DAMPING * float(hessian.diagonal().mean()) or 1.0
    damped = hessian + ridge * torch.eye(len(hessian), dtype=torch.float64)
    # Every candidate at once, one below the other: rows do not know of each other, and few long steps are fast.
    tried = grids.candidates(w, form, scale)
    many, exponents = w.repeat(len(tried), 1), torch.cat(tried)
    grid = _Grid(form, domain, exponents, many != 0)
    starts = grids.project(many, exponents, form, domain), _columns(many, damped, grid)
    found = torch.cat([_descent(many, start, damped, grid) for start in starts])
    error = _error(w.repeat(2 * len(tried), 1) - found, damped).reshape(2 * len(tried), len(w))
    if scale == "tensor":
        error = error.sum(dim=1, keepdim=True).expand_as(error)
    chosen, every = error.argmin(dim=0), torch.arange(len(w))
    best = found.reshape(2 * len(tried), *w.shape)[chosen, every]
    return best, torch.stack([*tried, *tried])[chosen, every], (w - best) @ mean


class _Grid:
    """The projection of one column of many rows, pruned weights kept at zero."""

    def __init__(self, form: WeightFormat, domain: str, exponents: torch.Tensor, live: torch.Tensor) -> None:
        self.form, self.domain, self.exponents, self.live = form, domain, exponents, live

    def column(self, values: torch.Tensor, index: int) -> torch.Tensor:
        return grids.project(values[:, None], self.exponents, self.form, self.domain)[:, 0] * self.live[:, index]

    def of(self, rows: torch.Tensor) -> _Grid:
        return _Grid(self.form, self.domain, self.exponents[rows], self.live[rows])


def _error(difference: torch.Tensor, hessian: torch.Tensor) -> torch.Tensor:
    return ((difference @ hessian) * difference).sum(dim=1)


def _columns(w: torch.Tensor, hessian: torch.Tensor, grid: _Grid) -> torch.Tensor:
    """GPTQ: round one column after the other, the most used first; the rest of the row makes up for each error."""
    order = torch.argsort(hessian.diagonal(), descending=True, stable=True)
    inverse = torch.linalg.cholesky(torch.linalg.inv(hessian[order][:, order]), upper=True)
    rest, found = w[:, order].T.contiguous(), torch.zeros_like(w)
    for block in _blocks(len(rest)):
        shares = torch.zeros_like(rest[block])
        for i, j in enumerate(range(block.start, block.stop)):
            now = grid.column(rest[j], int(order[j]))
            found[:, order[j]] = now
            shares[i] = (rest[j] - now) / inverse[j, j]
            rest[j + 1:block.stop].addr_(inverse[j, j + 1:block.stop], shares[i], alpha=-1)
        rest[block.stop:] -= inverse[block, block.stop:].T @ shares
    return found


def _descent(w: torch.Tensor, found: torch.Tensor, hessian: torch.Tensor, grid: _Grid) -> torch.Tensor:
    """Re-round each coordinate to its best value given all others of its row, until nothing moves."""
    found = found.clone()
    rows = torch.arange(len(w))
    for _ in range(SWEEPS):
        part, here = grid.of(rows), found[rows].T.contiguous()
        before, gradient = here.clone(), hessian @ (w[rows].T - here)
        for block in _blocks(len(here)):
            steps = torch.zeros_like(here[block])
            for i, j in enumerate(range(block.start, block.stop)):
                best = part.column(here[j] + gradient[j] / hessian[j, j], j)
                steps[i] = best - here[j]
                here[j] = best
                gradient[block].addr_(hessian[block, j], steps[i], alpha=-1)
            for others in (slice(0, block.start), slice(block.stop, None)):
                gradient[others] -= hessian[others, block] @ steps
        found[rows] = here.T
        rows = rows[(here != before).any(dim=0)]
        if not len(rows):
            break
    return found


def _blocks(count: int) -> list[slice]:
    """Columns in blocks: within one, each error is passed on at once; to all others, a whole block's in one product."""
    return [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
