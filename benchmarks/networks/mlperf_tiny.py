"""Networks that people put on small devices, in shape, with random weights: MLPerf Tiny's keyword spotter and
autoencoder, and LeNet."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

KEYWORDS, WINDOW, DIGIT = (1, 49, 10), (640,), (1, 28, 28)
"""Shapes of their inputs."""


def dscnn() -> nn.Sequential:
    """MLPerf Tiny's depthwise separable network for key words: 64 channels, 12 classes."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(1, 64, (10, 4), 2, (4, 1)), nn.BatchNorm2d(64), nn.ReLU()]
    for _ in range(4):
        layers += [nn.Conv2d(64, 64, 3, 1, 1, groups=64), nn.BatchNorm2d(64), nn.ReLU(),
                   nn.Conv2d(64, 64, 1), nn.BatchNorm2d(64), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 12)).eval()


def autoencoder() -> nn.Sequential:
    """MLPerf Tiny's network that finds anomalies: 640-128-128-128-128-8-128-128-128-128-640."""
    torch.manual_seed(0)
    sizes = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128)
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 640)).eval()


def lenet() -> nn.Sequential:
    """LeNet-5 with ReLU and max pools."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
                         nn.Linear(84, 10)).eval()
