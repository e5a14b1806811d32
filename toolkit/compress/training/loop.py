"""Training: one loop for the float network, for fine-tuning after pruning, and for quantised networks."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from toolkit.compress.data import Data
from toolkit.compress.matmul import WEIGHTED
from toolkit.compress.training.heads import Head, heads, squared
from toolkit.compress.training.hooks import UserLoss, guarded
from toolkit.utils.progress import bar
from toolkit.utils.threads import threads

BATCH = 64
Loss = Callable[[torch.Tensor, torch.Tensor | None, torch.Tensor], torch.Tensor]
"""(outputs, targets or None, what the teacher gives) to a scalar."""


def train(model: nn.Module, data: Data, *, epochs: int, lr: float, seed: int, what: str,
          teacher: nn.Module | None = None, loss: Loss | None = None) -> None:
    """Train `model` in place: Adam, cosine schedule; cross-entropy on classes and on bits, squared error on targets. Of
    several outputs the loss is the mean of theirs.

    Without labels the targets are what `teacher` gives. Weights that are zero, because they were pruned,
    stay zero. The state with the least loss over the training samples, the one before training included, is kept.
    """
    if epochs < 1 or not any(p.requires_grad for p in model.parameters()):
        return
    with threads():
        _train(model, data, epochs, lr, seed, what, teacher, loss or own_loss(model))


def _train(model: nn.Module, data: Data, epochs: int, lr: float, seed: int, what: str, teacher: nn.Module | None,
           cost: Loss) -> None:
    inputs = torch.from_numpy(data.x_train)
    labels = None if data.y_train is None else torch.from_numpy(data.y_train)
    taught = inputs if teacher is None else torch.from_numpy(evaluate(teacher, data.x_train))
    gone = pruned(model)
    optimiser = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    steps = -(-len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * steps)
    order = torch.Generator().manual_seed(seed)
    best, state = whole_loss(model, inputs, labels, taught, cost), copy.deepcopy(model.state_dict())
    with bar(what, epochs) as advance:
        for _ in range(epochs):
            model.train()
            for chosen in torch.randperm(len(inputs), generator=order).split(BATCH):
                optimiser.zero_grad(set_to_none=True)
                value = cost(model(inputs[chosen]), None if labels is None else labels[chosen], taught[chosen])
                value.backward()
                optimiser.step()
                schedule.step()
                keep_pruned(gone)
            now = whole_loss(model, inputs, labels, taught, cost)
            if now <= best:
                best, state = now, copy.deepcopy(model.state_dict())
            advance(note=f"loss {now:.4f}")
    model.load_state_dict(state)
    model.eval()


def pruned(model: nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The weights of Linears and Convs that hold zeros, which pruning made, each with a bool mask of what is left."""
    return [(m.weight, m.weight.detach() != 0) for m in model.modules()
            if isinstance(m, WEIGHTED) and not bool(m.weight.detach().all())]


@torch.no_grad()
def keep_pruned(gone: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Set pruned weights back to zero."""
    for weight, live in gone:
        weight.mul_(live)


def task_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy on classes (int64) and bits (uint8), squared error on values."""
    if targets.dtype == torch.int64:
        return nn.functional.cross_entropy(outputs, targets)
    if targets.dtype == torch.uint8:
        return nn.functional.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype))
    return nn.functional.mse_loss(outputs, targets)


def default_loss(outputs: torch.Tensor, targets: torch.Tensor | None, taught: torch.Tensor) -> torch.Tensor:
    """The task's loss; without labels, the distance from the teacher."""
    return task_loss(outputs, taught if targets is None else targets)


def own_loss(model: nn.Module) -> Loss:
    """The task's loss of a network: of several outputs the mean of each one's, errors in units of their targets'
    standard deviations."""
    known = heads(model)
    return default_loss if not known else lambda outputs, targets, taught: torch.stack(
        [head_loss(head, outputs, targets, taught) for head in known]).mean()


def head_loss(head: Head, outputs: torch.Tensor, targets: torch.Tensor | None, taught: torch.Tensor) -> torch.Tensor:
    """The loss of one of several outputs, of all outputs and all targets."""
    own = outputs[:, head.start:head.stop]
    labels = None if targets is None else head.labels(targets.numpy())
    if labels is None:
        return squared(head, own, taught[:, head.start:head.stop])
    wanted = torch.from_numpy(labels)
    return squared(head, own, wanted) if head.task == "values" else task_loss(own, wanted)


def whole_loss(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor | None, taught: torch.Tensor,
               cost: Loss = default_loss) -> float:
    """The mean loss over all samples."""
    model.eval()
    total = 0.0
    with torch.no_grad():
        step = batch_of(inputs)
        for i in range(0, len(inputs), step):
            part = slice(i, i + step)
            total += float(cost(model(inputs[part]), None if labels is None else labels[part], taught[part])) \
                * len(inputs[part])
    return total / len(inputs)


def validation_loss(model: nn.Module, data: Data, teacher: nn.Module, cost: Loss) -> float:
    """The mean loss over the validation samples."""
    return whole_loss(model, torch.from_numpy(data.x_val), None if data.y_val is None else torch.from_numpy(data.y_val),
                      torch.from_numpy(evaluate(teacher, data.x_val)), cost)


def user_loss(loss: UserLoss | None, model: nn.Module) -> Loss:
    """The caller's loss as training calls it, or the task's of `model`. The caller's sees all outputs in a row, and all
    labels."""
    if loss is None:
        return own_loss(model)
    checked = guarded(loss)
    return lambda outputs, targets, taught: checked(outputs, taught if targets is None else targets)


def gradients(model: nn.Module, data: Data, teacher: nn.Module, cost: Loss = default_loss) -> None:
    """Fill in the gradients of the loss over a thousand training samples."""
    samples = data.x_train[:1024]
    labels = None if data.y_train is None else torch.from_numpy(data.y_train[:1024])
    model.zero_grad()
    cost(model(torch.from_numpy(samples)), labels, torch.from_numpy(evaluate(teacher, samples))).backward()


def batch_of(samples: np.ndarray | torch.Tensor) -> int:
    """How many samples go through a network at once: images, whose activations are larger than they are, in fewer."""
    return 4096 if samples.ndim == 2 else 256


def evaluate(model: nn.Module, samples: np.ndarray, dtype: torch.dtype = torch.float32) -> np.ndarray:
    """The model's outputs for samples (n, *shape), in eval mode, as `dtype`."""
    model.eval()
    step = batch_of(samples)
    with torch.no_grad():
        parts = [model(torch.from_numpy(part).to(dtype)) for part in np.array_split(samples, -(-len(samples) // step))]
    return torch.cat(parts).numpy()
