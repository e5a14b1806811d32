"""Distillation: a smaller student of the teacher's own architecture, trained on the teacher's outputs.

Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial

import torch
from torch import fx, nn

from toolkit.compress.matmul import WEIGHTED
from toolkit.compress.pruning.structured import prune
from toolkit.compress.training.heads import Head, squared
from toolkit.compress.training.loop import Loss, default_loss
from toolkit.compress.training.student import widths

ROUNDS = 4
"""Rounds that a student is trained for at the most."""


def student(teacher: fx.GraphModule, share: float, seed: int) -> fx.GraphModule:
    """A fresh network of `share` of the teacher's parameters, shaped as `widths` says; residuals and concatenations fit
    because what depends on a neuron goes with it."""
    wide = {name: len(m.weight) for name, m in teacher.named_modules() if isinstance(m, WEIGHTED)}
    cuts = {name: 1 - width / wide[name] for name, width in widths(teacher, share).items()}
    made = prune(teacher, 0.0, "l1", ratios=cuts)
    made.meta.pop("origin", None)
    made.meta["student"] = True
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in made.modules():
            if isinstance(module, WEIGHTED):
                module.reset_parameters()
    return made


def distilling(temperature: float, mix: float, task: Loss = default_loss, several: tuple[Head, ...] = ()) -> Loss:
    """A loss (student outputs, targets, teacher outputs): `mix` of what the teacher says, softened by `temperature`,
    the rest of the `task`'s own. Of `several` outputs what the teacher says of each counts alike."""
    def softened(outputs: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
        return nn.functional.kl_div(nn.functional.log_softmax(outputs / temperature, 1),
                                    nn.functional.log_softmax(taught / temperature, 1), log_target=True,
                                    reduction="batchmean") * temperature**2

    def loss(outputs: torch.Tensor, targets: torch.Tensor | None, taught: torch.Tensor) -> torch.Tensor:
        if several:
            soft = torch.stack([
                (softened if head.task == "classes" else partial(squared, head))(
                    outputs[:, head.start:head.stop], taught[:, head.start:head.stop]) for head in several]).mean()
        elif targets is not None and targets.dtype == torch.int64:
            soft = softened(outputs, taught)
        else:
            soft = nn.functional.mse_loss(outputs, taught)
        return soft if targets is None else mix * soft + (1 - mix) * task(outputs, targets, taught)

    return loss


def train_to_plateau(network: nn.Module, once: Callable[[int], None], judged: Callable[[], float]) -> int:
    """Train a network in rounds until one brings no smaller loss, ROUNDS at the most; returns how many there were.

    `once(number)` trains it for a round, from the learning rate's start to its end (warm restarts: Loshchilov & Hutter,
    "SGDR", 2017); `judged()` is its loss on validation samples. The state of the best round stays.
    """
    best, state = math.inf, copy.deepcopy(network.state_dict())
    for number in range(ROUNDS):
        once(number)
        now = judged()
        if not now < best:  # a loss that is not a number is no better either
            network.load_state_dict(state)
            return number + 1
        best, state = now, copy.deepcopy(network.state_dict())
    return ROUNDS
