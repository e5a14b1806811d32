"""What compression did to a network: sizes, sparsity, bit error rates, accuracy."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import fx

from toolkit.compress.data import Data
from toolkit.compress.measure.intervals import Interval, paired_right, wilson
from toolkit.compress.measure.outcomes import accuracy, error, output_ber, right, task_ber
from toolkit.compress.measure.several import OutputFigures, figures, first_right, together
from toolkit.compress.measure.storage import packed, parameters, smallest, stored_codes
from toolkit.compress.quantisation.fake_quant import FakeQuantLayer
from toolkit.compress.quantisation.layers import Quantised, Requantiser, Table
from toolkit.compress.training.heads import heads
from toolkit.compress.training.hooks import Metric, measured
from toolkit.compress.training.loop import evaluate
from toolkit.design.formats import FixedPoint, union


@dataclass(frozen=True)
class Drop:
    """How much worse a network is than another one, on the same samples: percentage points of accuracy (of bit
    accuracy; of agreement with the original where there are no labels), percent of the targets' standard deviation by
    which an RMS error grew, or percent of the original's figure for a metric of the caller's. Positive: worse.

    `epochs`: of training that the other one, the original, got on top. `low`, `high`: the 95 % interval of `test`,
    where labels are classes or bits.
    """

    epochs: int
    validation: float
    test: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Step:
    """One step of a compression and the network after it.

    `parameters` and `non_zeros` count weights and biases, `weights` and `non_zero_weights` no biases; a layer without
    a bias counts none. `size` and `compressed_size`: bytes of the parameters in `storage`, plain and under zlib level
    9. `ratio`: the original's dense float32 bytes over `size`. `weight_ber`: bits of the float32 patterns that differ
    from the original's, removed weights taken as zero.

    `quality`: how good it is on the validation samples, greater is better; choices are made by it. What follows is
    measured on the test samples, and None where those were not looked at. `output_ber`: bits of the outputs, both in
    the compressed network's format (`output_format`), that differ. `task_ber`: bits decided wrong, where labels are
    bits. `accuracy`, `disagreement`: shares of samples (of bits, where labels are bits); None where there are no
    classes; `interval`: the accuracy's, 95 %. `error`: root of the mean squared error, where labels are values.
    `metric`: the user's, where there is one. Of several outputs, each one's figures are `outputs`, `metric` is what all
    of them are worth together, and `accuracy` is of the first whose labels are classes or bits.

    `epochs`: of all training that the network got. `drop`: against the original trained for as many epochs;
    `drop_as_given`: against the original as it came. Only the last step of a scheme has them.
    """

    name: str
    storage: str
    parameters: int
    non_zeros: int
    sparsity: float
    size: int
    compressed_size: int
    ratio: float
    weight_ber: float | None
    output_ber: float | None
    accuracy: float | None
    disagreement: float | None
    error: float | None
    task_ber: float | None = None
    metric: float | None = None
    quality: float = 0.0
    interval: Interval | None = None
    weights: int = 0
    non_zero_weights: int = 0
    output_format: str = "float32"
    epochs: int = 0
    drop: Drop | None = None
    drop_as_given: Drop | None = None
    outputs: tuple[OutputFigures, ...] = ()

    @property
    def reported(self) -> float:
        """As `quality`, on the test samples: it is for showing."""
        return _quality(self.metric, self.accuracy, self.error, self.disagreement)

    def to_json(self) -> dict[str, Any]:
        found = asdict(self)
        for one in found["outputs"]:
            del one["right"]
        return found if self.outputs else {key: value for key, value in found.items() if key != "outputs"}


@dataclass(frozen=True, eq=False)
class Judged:
    """What a network's outputs for some samples are worth. `right`: bool (n,) or, of bits, (n, bits)."""

    quality: float
    accuracy: float | None
    disagreement: float | None
    error: float | None
    task_ber: float | None
    metric: float | None
    output_ber: float
    right: np.ndarray | None
    outputs: tuple[OutputFigures, ...] = ()


@dataclass(frozen=True, eq=False)
class Measured:
    """A network's figures, and what it takes to hold another one against it."""

    step: Step
    validation: Judged
    test: Judged | None


class Measure:
    """Measures networks against one original. With `test` off, it never looks at the test samples."""

    def __init__(self, original: fx.GraphModule, data: Data, metric: Metric | None = None, *,
                 test: bool = True) -> None:
        self.original, self.task, self.metric = original, data.task, metric
        self.heads = heads(original)
        self.bytes = 4 * sum(v.size for v in parameters(original).values())
        self.validation = _Part(original, data.x_val, data.y_val)
        self.test = _Part(original, data.x_test, data.y_test) if test else None
        self.unit = 1.0
        first = self._judged(original, self.validation, None)
        if first.metric is not None:
            self.unit = abs(first.metric) or 1.0
        elif first.error is not None and data.y_train is not None:
            self.unit = float(data.y_train.std()) or 1.0

    def copy(self) -> fx.GraphModule:
        """The original, to be trained on."""
        return copy.deepcopy(self.original)

    def step(self, name: str, graph: fx.GraphModule, epochs: int = 0) -> Step:
        """The figures of one network."""
        return self.measured(name, graph, epochs).step

    def measured(self, name: str, graph: fx.GraphModule, epochs: int = 0) -> Measured:
        """The figures of one network that was trained for so many epochs in all."""
        quantised = any(isinstance(m, Quantised) for m in graph.modules())
        coded = any(isinstance(m, FakeQuantLayer) for m in graph.modules())
        values = parameters(graph)
        weights = [v for key, v in values.items() if key.endswith(".weight")]
        count = sum(v.size for v in values.values())
        non_zeros = sum(int(np.count_nonzero(v)) for v in values.values())
        storage, stored = packed(graph) if quantised else stored_codes(graph) if coded else smallest(values)
        form = output_format(graph)
        validation = self._judged(graph, self.validation, form)
        test = None if self.test is None else self._judged(graph, self.test, form)
        seen = test or Judged(validation.quality, *(None,) * 5, 0.0, None)
        step = Step(name, storage, count, non_zeros, 1 - _of(non_zeros, self.bytes // 4, 1.0), len(stored),
                    len(zlib.compress(stored, 9)), _of(self.bytes, len(stored), 1.0), self._weight_ber(graph, values),
                    None if test is None else test.output_ber, seen.accuracy, seen.disagreement, seen.error,
                    seen.task_ber, seen.metric, validation.quality,
                    None if seen.right is None else wilson(int(seen.right.sum()), seen.right.size),
                    sum(v.size for v in weights), sum(int(np.count_nonzero(v)) for v in weights),
                    "float32" if form is None else f"{form.width}-bit codes", epochs,
                    outputs=tuple(replace(one, right=None) for one in seen.outputs))
        return Measured(step, validation, test)

    def drop(self, found: Measured, other: Measured) -> Drop:
        """How much worse `found` is than `other`, an original."""
        validation = 100 * (other.validation.quality - found.validation.quality) / self.unit
        if found.test is None or other.test is None:
            return Drop(other.step.epochs, validation)
        test = 100 * (other.test.quality - found.test.quality) / self.unit
        if found.test.right is None or other.test.right is None or self.metric is not None:
            return Drop(other.step.epochs, validation, test)
        low, high = paired_right(other.test.right, found.test.right)
        return Drop(other.step.epochs, validation, test, 100 * low, 100 * high)

    def _judged(self, graph: fx.GraphModule, part: _Part, form: FixedPoint | None) -> Judged:
        quantised = any(isinstance(m, Quantised) for m in graph.modules())
        outputs = evaluate(graph.double() if quantised else graph, part.samples,
                           torch.float64 if quantised else torch.float32)
        graph.float()
        if self.heads:
            return self._several(outputs, part, form)
        share, wrong, metric = accuracy(outputs, part.labels, self.task), error(outputs, part.labels, self.task), \
            None if self.metric is None else measured(self.metric, outputs, part.labels)
        moved = self._disagreement(outputs, part.outputs)
        return Judged(_quality(metric, share, wrong, moved), share, moved, wrong,
                      task_ber(outputs, part.labels, self.task), metric, output_ber(outputs, part.outputs, form),
                      right(outputs, part.labels, self.task))

    def _several(self, outputs: np.ndarray, part: _Part, form: FixedPoint | None) -> Judged:
        """As `_judged`, of a network of several outputs."""
        found = figures(self.heads, outputs, part.labels, part.outputs)
        metric = together(found) if self.metric is None else measured(self.metric, outputs, part.labels)
        right = first_right(found)
        first = next((one for one in found if one.accuracy is not None), None)
        ber = 1 - first.accuracy if first is not None and first.accuracy is not None and first.task == "bits" else None
        return Judged(metric, None if first is None else first.accuracy, None, None, ber, metric,
                      output_ber(outputs, part.outputs, form), right, found)

    def _weight_ber(self, graph: fx.GraphModule, values: Mapping[str, np.ndarray]) -> float | None:
        if graph.meta.get("student"):
            return None  # another network: no weight of it stands for one of the original's
        origin = graph.meta.get("origin", {})
        wrong = 0
        for name, parameter in self.original.named_parameters():
            before = parameter.detach().numpy().astype(np.float32)
            after = np.zeros(before.size, np.float32)
            if name in values:
                place = origin.get(name)
                if place is None and values[name].size != before.size:
                    return None
                after[slice(None) if place is None else place.numpy().ravel()] = values[name].ravel()
            elif not name.endswith(".bias"):  # a bias that is not there is one of zeros
                return None
            wrong += int(np.bitwise_count(before.ravel().view(np.uint32) ^ after.view(np.uint32)).sum())
        return _of(wrong, 8 * self.bytes, 0.0)

    def _disagreement(self, outputs: np.ndarray, theirs: np.ndarray) -> float | None:
        if self.task == "bits":
            return float(((outputs > 0) != (theirs > 0)).mean())
        if self.task == "values" or outputs.shape[1] < 2:
            return None
        return float((outputs.argmax(axis=1) != theirs.argmax(axis=1)).mean())


class _Part:
    """One of the data sets, and what the original gives for it."""

    def __init__(self, original: fx.GraphModule, samples: np.ndarray, labels: np.ndarray | None) -> None:
        self.samples, self.labels = samples, labels
        self.outputs = evaluate(original, samples)


def _quality(metric: float | None, share: float | None, wrong: float | None, moved: float | None) -> float:
    """Greater is better: the caller's metric, else accuracy, else minus the error, else agreement with the original."""
    if metric is not None:
        return metric
    if share is not None:
        return share
    return -wrong if wrong is not None else 1 - (moved or 0.0)


def _of(part: int, whole: int, empty: float) -> float:
    """A share; `empty` of a network without weights."""
    return part / whole if whole else empty


def output_format(graph: fx.GraphModule) -> FixedPoint | None:
    """The format of a quantised network's output, which holds every one of several; None for a float one."""
    found: list[FixedPoint] = []
    stack = list(next(n for n in graph.graph.nodes if n.op == "output").all_input_nodes)
    while stack:
        node = stack.pop()
        module = graph.get_submodule(str(node.target)) if node.op == "call_module" else None
        form = module.requantise.format if isinstance(module, Requantiser) and module.requantise is not None else \
            module.format if isinstance(module, Table) else None
        if form is not None:
            found.append(form)
        elif node.op == "placeholder":
            return None
        else:
            stack += node.all_input_nodes if node.target is torch.cat else node.all_input_nodes[:1]
    return union(found)
