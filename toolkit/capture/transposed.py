"""ConvTranspose: a transposed convolution whose weights lie as a convolution's do, outputs first."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import nn

Crop = tuple[tuple[int, int], ...]


class ConvTranspose(nn.Module):
    """nn.ConvTranspose1d or 2d. `weight` is (out, in / groups, *kernel), so that a row is what makes an output channel,
    and `bias` (out,). `crop`: pixels that go from each end of each axis of the full output; fewer than none at the end
    are pixels more, as output_padding asks for."""

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, ...], stride: tuple[int, ...],
                 crop: Crop, dilation: tuple[int, ...], groups: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel
        self.stride, self.crop, self.dilation, self.groups = stride, crop, dilation, groups
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *kernel))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As torch's own: uniform, within one over the root of a filter's size."""
        bound = prod(self.weight.shape[1:]) ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return conv_transpose(x, self.weight, self.bias, self.stride, self.crop, self.dilation, self.groups)

    def extra_repr(self) -> str:
        return (f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
                f"crop={self.crop}, dilation={self.dilation}, groups={self.groups}")


def conv_transpose(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, stride: tuple[int, ...], crop: Crop,
                   dilation: tuple[int, ...], groups: int) -> torch.Tensor:
    """What a ConvTranspose of these numbers makes of x (n, in, *spatial)."""
    run: Any = nn.functional.conv_transpose1d if len(stride) == 1 else nn.functional.conv_transpose2d
    before, more = [a for a, _ in crop], [a - b for a, b in crop]
    if all(a >= 0 and 0 <= m < max(s, d) for a, m, s, d in zip(before, more, stride, dilation, strict=True)):
        return run(x, turned(weight, groups), bias, stride, before, more, groups, dilation)
    # PyTorch's own options cannot say it.
    full = run(x, turned(weight, groups), None, stride, 0, 0, groups, dilation)
    cut = nn.functional.pad(full, [-n for ends in reversed(crop) for n in ends])
    return cut + bias.reshape(-1, *(1,) * len(stride))


def turned(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """Weights (out, in / groups, *kernel) as (in, out / groups, *kernel), and the other way round."""
    parts = weight.reshape(groups, -1, *weight.shape[1:]).transpose(1, 2)
    return parts.reshape(-1, *parts.shape[2:])
