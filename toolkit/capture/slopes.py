"""Slopes: each channel times a constant, another one where it is negative: PReLU, the absolute value, a scale."""

from __future__ import annotations

import torch
from torch import nn


class Slopes(nn.Module):
    """`x * negative` where x is negative, else `x * positive`; both (channels,) along the first axis of a sample, or of
    one number for all. `positive` is a parameter too where it is not 1."""

    def __init__(self, negative: torch.Tensor, positive: torch.Tensor | None = None) -> None:
        super().__init__()
        self.negative = nn.Parameter(negative.detach().float().reshape(-1).clone())
        self.positive = None if positive is None else nn.Parameter(positive.detach().float().reshape(-1).clone())

    @property
    def channels(self) -> int:
        """Of how many channels there is one each; 1 where all have the same."""
        return self.negative.numel()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sloped(x, self.negative, self.positive)

    def keep(self, channels: torch.Tensor) -> None:
        """Drop the slopes of channels: bool (channels,)."""
        if self.channels == len(channels) > 1:
            self.negative = nn.Parameter(self.negative.detach()[channels].clone())
            if self.positive is not None:
                self.positive = nn.Parameter(self.positive.detach()[channels].clone())

    def extra_repr(self) -> str:
        return f"{self.channels} channels" if self.channels > 1 else f"{float(self.negative):g}"


def sloped(x: torch.Tensor, negative: torch.Tensor, positive: torch.Tensor | None) -> torch.Tensor:
    """The function of a Slopes."""
    shape = (-1, *(1,) * (x.ndim - 2))
    above = x if positive is None else x * positive.reshape(shape)
    return torch.where(x < 0, x * negative.reshape(shape), above)
