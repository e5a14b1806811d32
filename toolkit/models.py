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
