"""A whole scheme: prune, train, quantise, train, measure after each step, lower to a design, prove the design."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import fx

from toolkit.capture import capture
from toolkit.capture.capture import Source
from toolkit.compress.data import Data
from toolkit.compress.lower import lower
from toolkit.compress.measures import Measure, Step
from toolkit.compress.prune import prune
from toolkit.compress.quantise import Widths, quantise
from toolkit.compress.scheme import Quantise, Scheme
from toolkit.compress.train import evaluate, gradients, train
from toolkit.design import Design
from toolkit.errors import InputError

CALIBRATION = 2048


@dataclass(frozen=True)
class Settings:
    """How a scheme is carried out. `epochs` of training after quantisation (0: as it is), `tuning` epochs after
    pruning, of Adam at `rate`; `compensate`: GPTQ instead of plain rounding."""

    widths: Widths = field(default_factory=Widths)
    epochs: int = 30
    tuning: int = 60
    rate: float = 2e-3
    compensate: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "tuning"):
            if not 0 <= getattr(self, name) <= 100_000:
                raise InputError(f"{getattr(self, name)} {name} are outside 0..100000")
        if not 0 < self.rate < 10:
            raise InputError(f"a learning rate of {self.rate} is outside 0..10")


@dataclass(frozen=True, eq=False)
class Compressed:
    """What a scheme made of a network. `design` is None where the scheme does not quantise; `argmax` says that the
    network ends in one. `test_codes` are the test samples as input codes."""

    scheme: Scheme
    original: fx.GraphModule
    graph: fx.GraphModule
    design: Design | None
    argmax: bool
    steps: tuple[Step, ...]
    notes: tuple[str, ...]
    data: Data

    @property
    def test_codes(self) -> np.ndarray:
        """int64 (n, *shape): the test samples in the design's input format."""
        if self.design is None:
            raise InputError(f"the scheme '{self.scheme}' quantises nothing, so there are no codes")
        return self.design.input.format.quantise(self.data.x_test)


def compress(model: Source, data: Data, scheme: Scheme | str, settings: Settings | None = None, *,
             name: str = "network") -> Compressed:
    """Carry out `scheme` on a trained model. The model itself is left as it is.

    Raises InputError for a model or data that cannot be used. The design's reference has been compared with the
    compressed network in float64 on every test sample; a difference would raise AssertionError.
    """
    scheme = Scheme.parse(scheme) if isinstance(scheme, str) else scheme
    settings = settings or Settings()
    torch.manual_seed(settings.seed)
    original, argmax = without_argmax(capture(model, data.sample_shape))
    outputs = evaluate(original, data.x_test[:2])
    if not np.isfinite(outputs).all():
        raise InputError("the model's outputs are not finite on the test samples")
    data.check_outputs(outputs.shape[1])
    measure = Measure(original, data)
    steps = [measure.step("original", original)]
    graph = copy.deepcopy(original)
    for step in scheme.steps:
        if isinstance(step, Quantise):
            samples = torch.from_numpy(data.x_train[:_enough(data.x_train)])
            graph = quantise(graph, samples, step.format, settings.widths, compensate=settings.compensate)
            steps.append(measure.step(f"{step}, as it is", graph))
            training = settings.epochs
        else:
            graph = prune(graph, step.ratio, step.importance, lambda g: gradients(g, data, original))
            steps.append(measure.step(f"{step}, as it is", graph))
            training = settings.tuning
        if training:
            train(graph, data, epochs=training, rate=settings.rate, seed=settings.seed, what=f"training {step}",
                  teacher=original)
            steps.append(measure.step(f"{step}, trained", graph))
    design = None
    if scheme.quantise is not None:
        design = lower(graph, name, argmax=argmax)
        prove(graph, design, data, argmax)
    notes = (*graph.meta["notes"], *data.notes)
    return Compressed(scheme, original, graph.float(), design, argmax, tuple(steps), notes, data)


def _enough(samples: np.ndarray) -> int:
    """Calibration samples: fewer where they are large, so that they fit into a GiB as float64."""
    return min(CALIBRATION, max((1 << 27) // samples[0].size, 16))


def prove(graph: fx.GraphModule, design: Design, data: Data, argmax: bool) -> None:
    """Compare the design's reference with the quantised graph in float64 on all test samples, code by code."""
    form = design.input.format
    ours = design.reference(form.quantise(data.x_test)).reshape(len(data.x_test), -1)
    theirs = evaluate(copy.deepcopy(graph).double(), data.x_test, torch.float64)
    expected = theirs.argmax(axis=1)[:, None] if argmax else np.ldexp(theirs, design.output.format.frac)
    if not np.array_equal(ours, expected):
        wrong = int((ours != expected).any(axis=1).sum())
        raise AssertionError(f"the design's reference differs from the network in {wrong} of {len(ours)} samples")


def without_argmax(graph: fx.GraphModule) -> tuple[fx.GraphModule, bool]:
    """A graph that gives what its final argmax would read, and whether there was one."""
    end = next(n for n in graph.graph.nodes if n.op == "output")
    node = end.args[0]
    if not (isinstance(node, fx.Node) and node.op == "call_function" and node.target is torch.argmax):
        return graph, False
    end.replace_input_with(node, node.args[0])
    graph.graph.erase_node(node)
    graph.recompile()
    return graph, True
