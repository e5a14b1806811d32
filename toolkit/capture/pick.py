"""Pick: elements of a sample by their places, as a slice, a permutation or a flip takes them."""

from __future__ import annotations

from math import prod

import torch
from torch import nn


class Pick(nn.Module):
    """Element j of the output (its elements in their order) is element `index[j]` (int64) of the input; `shape` is the
    output's, without the batch."""

    index: torch.Tensor

    def __init__(self, index: torch.Tensor, shape: tuple[int, ...]) -> None:
        super().__init__()
        if index.shape != (prod(shape),):
            raise ValueError(f"{tuple(index.shape)} places do not make a shape of {shape}")
        self.register_buffer("index", index.to(torch.int64))
        self.shape = tuple(shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, self.index].reshape(-1, *self.shape)

    def extra_repr(self) -> str:
        return f"{len(self.index)} elements as {self.shape}"
