"""What a caller brings: a metric, a loss, a training loop. Called with care, so that a failure names whose it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import fx

from toolkit.compress.data import Data
from toolkit.utils.errors import InputError

Metric = Callable[[np.ndarray, np.ndarray | None], float]
"""(outputs (n, outputs), their labels or None) to a number; the greater, the better."""
UserLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(outputs, targets) to a scalar; the targets are what the original gives where the data have no labels."""
Trainer = Callable[[fx.GraphModule, Data, int], None]
"""(graph, data, epochs): trains the graph in place. In the test samples' place the data hold the validation samples."""


def measured(metric: Metric, outputs: np.ndarray, targets: np.ndarray | None) -> float:
    """The caller's metric of some outputs."""
    value = _called(metric, "metric", outputs, targets)
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise InputError(f"the metric '{_name(metric)}' gives {type(value).__name__}; it must give a number") from None
    if not math.isfinite(found):
        raise InputError(f"the metric '{_name(metric)}' gives {found}; it must give a finite number")
    return found


def guarded(loss: UserLoss) -> UserLoss:
    """The caller's loss, whose result is checked."""
    def run(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        value = _called(loss, "loss", outputs, targets)
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            what = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
            raise InputError(f"the loss '{_name(loss)}' gives {what}; it must give a tensor of one number")
        return value.reshape(())

    return run


def trained(trainer: Trainer, graph: fx.GraphModule, data: Data, epochs: int) -> None:
    """Run the caller's training loop on a graph."""
    _called(trainer, "training loop", graph, data, epochs)


def _called(own: Callable[..., Any], what: str, *args: Any) -> Any:
    try:
        return own(*args)
    except InputError:
        raise
    except Exception as error:  # it is the caller's code: anything can come
        line = next(iter(str(error).splitlines()), "")
        raise InputError(f"the {what} '{_name(own)}' failed: {type(error).__name__}: {line[:200]}") from error


def _name(own: Callable[..., Any]) -> str:
    return getattr(own, "__name__", type(own).__name__)
