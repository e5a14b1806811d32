"""What each of a network's several outputs is worth, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.compress.measure.outcomes import error, right
from toolkit.compress.training.heads import Head

JUDGED = ("the network has several outputs; it is judged by one metric, the mean over them of the accuracy (labels "
          "that are classes or bits) or of 1 - RMS error / standard deviation (values; of an output without labels: of "
          "what the original gives)")


@dataclass(frozen=True)
class OutputFigures:
    """One output on the samples that are reported. `accuracy`: of classes or bits; `error`: the root of the mean
    squared error, against labels that are values or, without labels, against what the original gives; `worth`: the
    accuracy, or 1 less the error in standard deviations of its targets. `right` (n,) or (n, bits) is not reported."""

    output: str
    task: str
    accuracy: float | None
    error: float | None
    worth: float
    right: np.ndarray | None = None

    @property
    def told(self) -> str:
        """For people."""
        if self.accuracy is not None:
            return f"'{self.output}': {'bit ' * (self.task == 'bits')}accuracy {100 * self.accuracy:.2f} %"
        against = "labels" if self.task == "values" else "the original"
        return (f"'{self.output}': RMS error {self.error:.4g} against {against}, {100 * (1 - self.worth):.2f} % of "
                "their standard deviation")


def figures(heads: tuple[Head, ...], outputs: np.ndarray, labels: np.ndarray | None,
            original: np.ndarray) -> tuple[OutputFigures, ...]:
    """The figures of each head: of all outputs (n, elements), all labels, and what the original gives."""
    found = []
    for head in heads:
        own, wanted = head.of(outputs), head.labels(labels)
        hits = right(own, wanted, head.task)
        if hits is not None:
            share = float(hits.mean())
            found.append(OutputFigures(head.output, head.task, share, None, share, hits))
            continue
        wrong = error(own.astype(np.float64), head.of(original) if wanted is None else wanted, "values")
        assert wrong is not None
        found.append(OutputFigures(head.output, head.task if wanted is not None else "none", None, wrong,
                                   1 - wrong / head.scale))
    return tuple(found)


def together(found: tuple[OutputFigures, ...]) -> float:
    """The one metric of several outputs."""
    return float(np.mean([one.worth for one in found]))


def first_right(found: tuple[OutputFigures, ...]) -> np.ndarray | None:
    """Whether each sample is right at the first output whose labels are classes or bits."""
    return next((one.right for one in found if one.right is not None), None)
