"""Training: one loop for the float network, for fine-tuning after pruning, and for quantised networks."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

from toolkit.compress.data import Data
from toolkit.progress import bar

BATCH = 64


def train(model: nn.Module, data: Data, *, epochs: int, rate: float, seed: int, what: str,
          teacher: nn.Module | None = None) -> None:
    """Train `model` in place: Adam, cosine schedule, cross-entropy on classes, squared error on targets.

    Without labels the targets are what `teacher` gives. The state with the least loss over the training samples, the
    one before training included, is kept.
    """
    if epochs < 1:
        return
    inputs = torch.from_numpy(data.x_train)
    targets = _targets(data, teacher, inputs)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    steps = -(-len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * steps)
    order = torch.Generator().manual_seed(seed)
    best, state = whole_loss(model, inputs, targets), copy.deepcopy(model.state_dict())
    with bar(what, epochs) as advance:
        for _ in range(epochs):
            model.train()
            for chosen in torch.randperm(len(inputs), generator=order).split(BATCH):
                optimiser.zero_grad(set_to_none=True)
                value = loss(model(inputs[chosen]), targets[chosen])
                value.backward()
                optimiser.step()
                schedule.step()
            now = whole_loss(model, inputs, targets)
            if now <= best:
                best, state = now, copy.deepcopy(model.state_dict())
            advance(note=f"loss {now:.4f}")
    model.load_state_dict(state)
    model.eval()


def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    if targets.dtype == torch.int64:
        return nn.functional.cross_entropy(outputs, targets)
    return nn.functional.mse_loss(outputs, targets)


def whole_loss(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> float:
    """The mean loss over all samples."""
    model.eval()
    total = 0.0
    with torch.no_grad():
        for x, y in zip(inputs.split(4096), targets.split(4096), strict=True):
            total += float(loss(model(x), y)) * len(x)
    return total / len(inputs)


def gradients(model: nn.Module, data: Data, teacher: nn.Module | None) -> None:
    """Fill in the gradients of the loss over a thousand training samples."""
    inputs = torch.from_numpy(data.x_train[:1024])
    model.zero_grad()
    loss(model(inputs), _targets(data, teacher, inputs)).backward()


def _targets(data: Data, teacher: nn.Module | None, inputs: torch.Tensor) -> torch.Tensor:
    if data.y_train is not None:
        return torch.from_numpy(data.y_train[:len(inputs)])
    assert teacher is not None
    return torch.from_numpy(evaluate(teacher, data.x_train[:len(inputs)]))


def evaluate(model: nn.Module, samples: np.ndarray, dtype: torch.dtype = torch.float32) -> np.ndarray:
    """The model's outputs for samples (n, *shape), in eval mode, as `dtype`."""
    model.eval()
    with torch.no_grad():
        parts = [model(torch.from_numpy(part).to(dtype)) for part in np.array_split(samples, -(-len(samples) // 4096))]
    return torch.cat(parts).numpy()
