"""Small models, their data and what the tests of compression do with them."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import nn

from toolkit.compress import Data, Settings

QUICK = Settings(qat_epochs=1, finetune_epochs=1)


class Branches(nn.Module):
    """A residual, a concatenation, clips with bounds of their own, a Linear that two layers read, an argmax."""

    def __init__(self, argmax: bool = False) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(16, 4)
        self.argmax = argmax

    def forward(self, x):
        h = torch.clamp(self.a(x), -0.5, 0.75)
        s = self.b(h) + h
        y = self.c(torch.cat([torch.relu(s), s], 1))
        return torch.argmax(y, 1) if self.argmax else y


def made(kind=Branches, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return kind().eval()


def blobs(classes: int = 4, features: int = 6, count: int = 600, seed: int = 0) -> Data:
    """Gaussian clouds, one a class."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 1.5, (classes, features))
    y = rng.integers(0, classes, count)
    x = (centres[y] + rng.normal(0, 0.7, (count, features))).astype(np.float32)
    half = count // 2
    return Data.of(x[:half], y[:half], x[half:], y[half:])


def plain(*sizes: int, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def linears(graph) -> list[nn.Linear]:
    return [m for m in graph.modules() if isinstance(m, nn.Linear)]


def in_eval_mode(model: nn.Module) -> nn.Module:
    """In eval mode, with BatchNorm statistics that are not the trivial ones."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.normal_(module.bias)
    return model.eval()


class Of(nn.Module):
    """A function over layers as a module."""

    def __init__(self, function, *layers: nn.Module) -> None:
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, x):
        return self.function(x, *self.layers)
