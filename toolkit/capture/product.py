"""The product of two tensors, and what is a function of one of them: the modules that a captured graph has for them."""

from __future__ import annotations

import torch
from torch import nn


class Product(nn.Module):
    """`value * gate`, element by element; either is repeated along axes where it has one element and the other several.
    Which of the two is the gate matters once it is quantised: then it may be rounded to a power of two."""

    def forward(self, value: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        return value * gate


class Square(nn.Module):
    """`x * x`: a function of one element, so that hardware has a table for it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x
