"""Distillation: a narrower student of the teacher's own architecture, trained on the teacher's outputs.

Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015.
"""

from __future__ import annotations

import torch
from torch import fx, nn

from toolkit.compress.product import WEIGHTED
from toolkit.compress.prune import outputs, prune
from toolkit.compress.train import Loss, plain_loss
from toolkit.errors import InputError


def student(teacher: fx.GraphModule, ratio: float, seed: int) -> fx.GraphModule:
    """A fresh network in which every hidden layer has `ratio` of the teacher's neurons; residuals and concatenations
    fit because what depends on a neuron goes with it."""
    last = outputs(teacher)
    for name, module in teacher.named_modules():
        if isinstance(module, WEIGHTED) and module not in last and len(module.weight) * ratio < 1:
            path = teacher.meta["paths"].get(name, name)
            raise InputError(f"a student of {ratio:g} leaves the layer '{path}' ({len(module.weight)} neurons) less "
                             "than one neuron; choose a larger one")
    made = prune(teacher, 1 - ratio, "l2")
    made.meta.pop("origin", None)
    made.meta["student"] = True
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in made.modules():
            if isinstance(module, WEIGHTED):
                module.reset_parameters()
    return made


def distilling(temperature: float, mix: float, task: Loss = plain_loss) -> Loss:
    """A loss (student outputs, targets, teacher outputs): `mix` of what the teacher says, softened by `temperature`,
    the rest of the `task`'s own."""
    def loss(outputs: torch.Tensor, targets: torch.Tensor | None, taught: torch.Tensor) -> torch.Tensor:
        if targets is not None and targets.dtype == torch.int64:
            soft = nn.functional.kl_div(nn.functional.log_softmax(outputs / temperature, 1),
                                        nn.functional.log_softmax(taught / temperature, 1), log_target=True,
                                        reduction="batchmean") * temperature**2
        else:
            soft = nn.functional.mse_loss(outputs, taught)
        return soft if targets is None else mix * soft + (1 - mix) * task(outputs, targets, taught)

    return loss
