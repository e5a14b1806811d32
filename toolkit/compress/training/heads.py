"""The outputs of a network that has several, each with what it is trained for and held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import fx, nn

from toolkit.compress.data import Data
from toolkit.design.ports import Port


@dataclass(frozen=True)
class Head:
    """One of several outputs: elements `start` .. `stop` of the row of all. `task` as of the labels of one output, with
    `column` and `columns` their place among all labels (None: they are all of one output); `none` where it has no
    labels: then what the original gives is the target. `scale`: what an error is measured in, the standard deviation of
    the targets."""

    output: str
    start: int
    stop: int
    task: str
    scale: float
    column: int | None = None
    columns: int = 0

    def of(self, outputs: np.ndarray) -> np.ndarray:
        """Its own, of all outputs (n, elements)."""
        return outputs[:, self.start:self.stop]

    def labels(self, labels: np.ndarray | None) -> np.ndarray | None:
        """Its own, of all labels, in the type of their task."""
        if labels is None or self.task == "none":
            return None
        if self.column is None:
            return labels
        own = labels[:, self.column:self.column + self.columns]
        return own[:, 0].astype(np.int64) if self.task == "classes" else \
            own.astype(np.uint8) if self.task == "bits" else own


def heads_of(ports: Sequence[Port], data: Data, given: np.ndarray) -> tuple[Head, ...]:
    """The heads of a network with the outputs `ports`; `given` (n, elements) is what the original gives for samples.
    Labels that are not by output are of the first."""
    targets = {target.output: target for target in data.targets}
    found = []
    for number, port in enumerate(ports):
        target = targets.get(port.name)
        spread = float(given[:, port.elements].std()) or 1.0
        if target is not None:
            assert data.y_train is not None
            if target.task == "values":
                spread = float(data.y_train[:, target.start:target.stop].std()) or 1.0
            found.append(Head(port.name, port.start, port.stop, target.task, spread, target.start,
                              target.stop - target.start))
        elif not targets and number == 0 and data.y_train is not None:
            spread = float(data.y_train.std()) or 1.0 if data.task == "values" else spread
            found.append(Head(port.name, port.start, port.stop, data.task, spread))
        else:
            found.append(Head(port.name, port.start, port.stop, "none", spread))
    return tuple(found)


def heads(graph: nn.Module) -> tuple[Head, ...]:
    """Those that a captured graph carries; empty for a network of one output."""
    return graph.meta.get("heads", ()) if isinstance(graph, fx.GraphModule) else ()


def squared(head: Head, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The mean squared error in units of the head's scale."""
    return nn.functional.mse_loss(outputs, targets) / head.scale**2
