"""A module as it computes in use: in evaluation mode, not compiled."""

from __future__ import annotations

import copy

import torch
from torch import nn

COMPILED = torch._dynamo.eval_frame.OptimizedModule
SWITCHED = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
"""What computes something else while it trains."""


def in_eval_mode(model: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """(module, notes): `model` itself where nothing is to be done but to evaluate it, else a copy without what
    torch.compile wraps around its parts."""
    notes = []
    switched = [name or type(m).__name__ for name, m in model.named_modules() if isinstance(m, SWITCHED) and m.training]
    if switched:
        notes.append(f"the model is in training mode; its Dropout and BatchNorm (as '{switched[0]}') are taken as in "
                     "evaluation mode")
    if isinstance(model, COMPILED):
        model = model._orig_mod
    if any(isinstance(m, COMPILED) for m in model.modules()):
        model = _copied(model)
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, COMPILED):
                    setattr(parent, name, child._orig_mod)
    return model, tuple(notes)


def _copied(model: nn.Module) -> nn.Module:
    """A copy, for which torch refuses the tensors that a mask or a norm has left behind at its last call."""
    left = [t for m in model.modules() for t in vars(m).values() if isinstance(t, torch.Tensor) and not t.is_leaf]
    return copy.deepcopy(model, {id(t): t.detach().clone() for t in left})
