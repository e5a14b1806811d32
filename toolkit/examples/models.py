"""Networks that the demo and the benchmarks train."""

from __future__ import annotations

import itertools

import torch
from torch import nn

SIZES = {"large": (64, 256, 256, 64, 10), "small": (64, 32, 16, 10)}


def mlp(sizes: tuple[int, ...], seed: int = 0, *, norm: bool = True, dropout: float = 0.1) -> nn.Sequential:
    """Linear, BatchNorm1d, ReLU, Dropout for each hidden layer; a Linear at the end."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes[:-1]):
        layers += [nn.Linear(inputs, outputs), *([nn.BatchNorm1d(outputs)] if norm else []), nn.ReLU(),
                   nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def lenet(side: int = 28, seed: int = 0) -> nn.Sequential:
    """LeCun's network of 1998 with ReLU and max pools, for images (1, side, side) of 10 classes."""
    torch.manual_seed(seed)
    kernel = 5 if side > 16 else 3
    left = (side // 2 - kernel + 1) // 2
    return nn.Sequential(
        nn.Conv2d(1, 6, kernel, padding=kernel // 2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, kernel), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * left**2, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a strided 1x1 convolution where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs),
                                   nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.short = nn.Identity() if inputs == outputs and stride == 1 else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.relu(self.second(self.first(x)) + self.short(x))


def resnet(side: int = 28, seed: int = 0, widths: tuple[int, int] = (8, 16)) -> nn.Sequential:
    """A small residual network: a convolution (strided for large images), two blocks, the mean over the image, a
    Linear; for images (1, side, side) of 10 classes."""
    torch.manual_seed(seed)
    narrow, wide = widths
    return nn.Sequential(
        nn.Conv2d(1, narrow, 3, 2 if side > 16 else 1, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU(),
        Residual(narrow, narrow, 1), Residual(narrow, wide, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(wide, 10))
