"""The float network that a compressed one is held against: the original, trained on as long, the same way."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import fx

from toolkit.capture import capture
from toolkit.capture.capture import Source
from toolkit.compress.data import Data
from toolkit.compress.measure.measures import Measure, Measured
from toolkit.compress.measure.several import JUDGED
from toolkit.compress.quantisation.input_exponents import with_byte_units, with_input_exponents
from toolkit.compress.quantisation.ptq import ROUNDINGS, Widths
from toolkit.compress.scheme import Overrides
from toolkit.compress.steps import Gate
from toolkit.compress.training.heads import heads_of
from toolkit.compress.training.hooks import Metric, Trainer, UserLoss, trained
from toolkit.compress.training.loop import Loss, evaluate, keep_pruned, pruned, train, user_loss
from toolkit.utils.errors import InputError
from toolkit.utils.threads import threads

CALIBRATION = 2048
"""Training samples that formats are chosen by, at the most."""


@dataclass(frozen=True)
class Settings:
    """How a scheme is carried out. `qat_epochs` of quantisation-aware training (0: PTQ), `finetune_epochs` after
    pruning or of a student, of Adam at `lr`; `rounding` of weights: to `nearest`, or by `gptq`; `gate`: of products of
    two tensors; `overrides`: what single layers get instead. `metric`, `loss` and `trainer` are the user's: see
    toolkit/compress/training/hooks.py."""

    widths: Widths = field(default_factory=Widths)
    qat_epochs: int = 30
    finetune_epochs: int = 60
    lr: float = 2e-3
    rounding: str = "gptq"
    seed: int = 0
    overrides: Overrides = field(default_factory=Overrides)
    metric: Metric | None = None
    loss: UserLoss | None = None
    trainer: Trainer | None = None
    gate: Gate = field(default_factory=Gate)

    def __post_init__(self) -> None:
        for name in ("qat_epochs", "finetune_epochs"):
            if not 0 <= getattr(self, name) <= 100_000:
                raise InputError(f"{name} is {getattr(self, name)}, outside 0..100000")
        if not 0 < self.lr < 10:
            raise InputError(f"a learning rate of {self.lr} is outside 0..10")
        if self.rounding not in ROUNDINGS:
            raise InputError(f"unknown rounding '{self.rounding[:40]}'; known are {', '.join(ROUNDINGS)}")

    @property
    def training(self) -> tuple[object, ...]:
        """All that the training of a float network, and its figures, depend on."""
        return self.lr, self.seed, self.metric, self.loss, self.trainer


def train_by(settings: Settings, graph: fx.GraphModule, data: Data, epochs: int, *, teacher: fx.GraphModule, what: str,
             loss: Loss | None = None) -> None:
    """Train a network in place, by the caller's loop or by ours: compressed networks and their baseline alike."""
    if settings.trainer is not None:
        gone = pruned(graph)
        trained(settings.trainer, graph, data.without_test, epochs)
        keep_pruned(gone)
        graph.eval()
        return
    train(graph, data, epochs=epochs, lr=settings.lr, seed=settings.seed, what=what, teacher=teacher,
          loss=loss or user_loss(settings.loss, graph))


class Baselines:
    """The original network, captured and measured, and the same trained on: for each number of epochs once, however
    many compressed networks are held against it.

    Raises InputError for a model or data that cannot be used. With `test` off, the test samples are never looked at.
    """

    @threads()
    def __init__(self, model: Source, data: Data, settings: Settings, *, test: bool = True) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.test = settings, test
        self.data = data.arranged(model)
        captured, self.argmax = without_argmax(capture(model, self.data.sample_shape, self.data.inputs))
        self.original = with_byte_units(captured) if self.data.raw \
            else with_input_exponents(captured, self.data.calibration(CALIBRATION))
        outputs = evaluate(self.original, self.data.x_val[:2])
        if not np.isfinite(outputs).all():
            raise InputError("the model's outputs are not finite on the validation samples")
        ports = self.original.meta["ports"].outputs
        (self.data if test else self.data.without_test).check_outputs(outputs.shape[1:], ports)
        if ports:
            given = evaluate(self.original, self.data.calibration(CALIBRATION))
            self.original.meta["heads"] = heads_of(ports, self.data, given)
            if settings.metric is None:
                self.original.meta["notes"] = [*self.original.meta["notes"], JUDGED]
        self.measure = Measure(self.original, self.data, settings.metric, test=test)
        self._known = {0: self.measure.measured("original", self.original)}
        self._networks = {0: self.original}

    @threads()
    def trained(self, epochs: int) -> Measured:
        """The original after so many epochs more, of one cosine schedule. Without labels it has nothing to learn: what
        it gives is the target."""
        if epochs not in self._known:
            graph = self.measure.copy()
            if self.data.y_train is not None or self.settings.loss is not None or self.settings.trainer is not None:
                with torch.random.fork_rng():
                    torch.manual_seed(self.settings.seed)
                    train_by(self.settings, graph, self.data.without_test, epochs, teacher=self.original,
                             what=f"training the original for {epochs} more epochs")
            self._known[epochs] = self.measure.measured(f"original, {epochs} more epochs", graph, epochs)
            self._networks[epochs] = graph
        return self._known[epochs]

    def network(self, epochs: int) -> fx.GraphModule:
        """The float network that `trained` measures."""
        self.trained(epochs)
        return self._networks[epochs]

    @property
    def all(self) -> list[Measured]:
        """The original, and every one that was trained on, the fewest epochs first."""
        return [self._known[epochs] for epochs in sorted(self._known)]


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
