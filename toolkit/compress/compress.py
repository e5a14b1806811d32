"""A whole scheme: prune, train, quantise, train, measure after each step, lower to a design, prove the design."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import fx

from toolkit.capture.capture import Source
from toolkit.compress.baseline import CALIBRATION, Baselines, Settings, train_by
from toolkit.compress.data import Data
from toolkit.compress.lower import lower
from toolkit.compress.matmul import WEIGHTED
from toolkit.compress.measure.measures import Step
from toolkit.compress.pruning.structured import prune
from toolkit.compress.pruning.unstructured import at_random, magnitude, n_of_m
from toolkit.compress.quantisation.fake_quant import DynamicLayer, MinifloatLayer, coded
from toolkit.compress.quantisation.layout import hardware_order, has_images
from toolkit.compress.quantisation.minifloat import Minifloat
from toolkit.compress.quantisation.ptq import quantise
from toolkit.compress.quantisation_warnings import quantisation_warnings
from toolkit.compress.scheme import Scheme
from toolkit.compress.steps import (
    Coded,
    Distill,
    Magnitude,
    Pattern,
    Quantise,
    Random,
    Structured,
)
from toolkit.compress.steps import Step as Scheme_step
from toolkit.compress.training.distillation import distilling, student, train_to_plateau
from toolkit.compress.training.heads import heads
from toolkit.compress.training.loop import Loss, evaluate, gradients, user_loss, validation_loss
from toolkit.design import Design
from toolkit.utils.errors import InputError
from toolkit.utils.threads import threads

PROBE = 64
PROOF = 512


@dataclass(frozen=True, eq=False)
class Compressed:
    """What a scheme made of a network. `design` is None where the scheme does not quantise; `argmax` says that the
    network ends in one. `baseline` is the original, trained for as many epochs as the last of the `steps`.
    `test_codes` are the test samples as input codes."""

    scheme: Scheme
    original: fx.GraphModule
    graph: fx.GraphModule
    design: Design | None
    argmax: bool
    steps: tuple[Step, ...]
    baseline: Step
    notes: tuple[str, ...]
    data: Data

    @property
    def test_codes(self) -> np.ndarray:
        """int64 (n, *shape): the test samples in the design's input format, images channels-last."""
        return self.codes(self.data.x_test)

    def codes(self, samples: np.ndarray) -> np.ndarray:
        """The same of any samples (n, *sample_shape)."""
        if self.design is None:
            raise InputError(f"the scheme '{self.scheme}' quantises nothing, so there are no codes")
        inputs = self.graph.meta["ports"].inputs
        return self.design.input.quantise(hardware_order(samples, inputs, has_images(self.graph)))


@threads()
def compress(model: Source, data: Data, scheme: Scheme | str, settings: Settings | None = None, *,
             name: str = "network", test: bool = True, baselines: Baselines | None = None) -> Compressed:
    """Carry out `scheme` on a trained model. The model itself is left as it is.

    The test samples are read for the figures of the steps and for nothing else; with `test` off, not at all. Several
    schemes of one model, its data and settings of training can share `baselines`.

    Raises InputError for a model or data that cannot be used. The design's reference has been compared with the
    compressed network in float64 on validation, training and test samples; a difference would raise AssertionError.
    """
    scheme = Scheme.parse(scheme) if isinstance(scheme, str) else scheme
    settings = settings or Settings()
    baselines = baselines or Baselines(model, data, settings, test=test)
    if baselines.settings.training != settings.training:
        raise ValueError("the baselines were trained by other settings")
    torch.manual_seed(settings.seed)
    original, data, argmax = baselines.original, baselines.data, baselines.argmax
    settings.overrides.check(original.meta["paths"])
    if scheme.quantise is not None:
        # Whatever no hardware can be made of is refused before hours of training.
        probe = torch.from_numpy(data.calibration(PROBE))
        lower(quantise(original, probe, scheme.quantise, settings.widths, rounding="nearest",
                       overrides=settings.overrides, gate=settings.gate), name)
    chain = _Chain(baselines, settings)
    for step in scheme.steps:
        chain.take(step)
    design = None
    if scheme.quantise is not None:
        design = lower(chain.graph, name, argmax=argmax)
        prove(chain.graph, design, data, argmax, test=baselines.test)
    notes = (*original.meta["notes"], *data.notes, *chain.warnings)
    steps, baseline = chain.judged()
    return Compressed(scheme, original, chain.graph.float(), design, argmax, steps, baseline, notes, data)


class _Chain:
    """The network as it goes through a scheme, measured after every step."""

    def __init__(self, baselines: Baselines, settings: Settings) -> None:
        self.baselines, self.settings = baselines, settings
        self.original, self.data = baselines.original, baselines.data.without_test
        self.graph, self.epochs = copy.deepcopy(self.original), 0
        self.loss = user_loss(settings.loss, self.original)
        self.measured = [baselines.trained(0)]
        self.warnings: tuple[str, ...] = ()
        """What is odd about the quantised network, as sentences."""
        self.keep = settings.overrides.kept(self.original.meta["paths"])
        self.ratios = settings.overrides.ratios(self.original.meta["paths"])

    def take(self, step: Scheme_step) -> None:
        """One step: quantised (PTQ), then trained (QAT); or pruned, then fine-tuned."""
        settings = self.settings
        if isinstance(step, Distill):
            self._taught(step)
            self._note(str(step))
        elif isinstance(step, Quantise | Coded):
            real = self.graph
            self.graph = self._quantised(step)
            self._note(f"{step}, PTQ")
            if settings.qat_epochs:
                self._train(step, settings.qat_epochs)
                self._note(f"{step}, QAT")
            if isinstance(step, Quantise):
                # What training by labels makes of a network need not be near what it was.
                free = bool(settings.qat_epochs) and (self.data.y_train is not None or settings.loss is not None
                                                  or settings.trainer is not None)
                self.warnings = quantisation_warnings(real, self.graph, self.data, step, settings, free=free)
        else:
            cuts = getattr(step, "steps", 1)
            if cuts == 1 or not settings.finetune_epochs:
                self.graph = self._pruned(step, step_ratio(step, 1.0))
                self._note(f"{step}, pruned")
                if settings.finetune_epochs:
                    self._train(step, settings.finetune_epochs)
            else:
                self._gradually(step, cuts)
            if settings.finetune_epochs:
                self._note(f"{step}, fine-tuned")

    def _taught(self, step: Distill) -> None:
        """A student, trained until validation samples show no gain; with a mix of 0 by the labels alone."""
        if not step.mix and self.data.y_train is None:
            raise InputError(f"'{step}' trains without a teacher and needs labels (y_train); with a mix above 0 it "
                             "needs none")
        self.graph = student(self.graph, step.share, self.settings.seed)
        loss = distilling(step.temperature, step.mix, self.loss, heads(self.original))
        if self.settings.finetune_epochs:
            train_to_plateau(self.graph, lambda number: self._train(step, self.settings.finetune_epochs, loss, number),
                   lambda: validation_loss(self.graph, self.data, self.original, loss))

    def _gradually(self, step: Scheme_step, cuts: int) -> None:
        """The cubic schedule of Zhu & Gupta, "To prune, or not to prune", 2017, training between the cuts."""
        widths = {name: len(m.weight) for name, m in self.graph.named_modules() if isinstance(m, WEIGHTED)}
        for cut in range(1, cuts + 1):
            self.graph = self._pruned(step, step_ratio(step, 1 - (1 - cut / cuts) ** 3), widths)
            self._train(step, max(self.settings.finetune_epochs // cuts, 1))

    def _pruned(self, step: Scheme_step, ratio: float, widths: dict[str, int] | None = None) -> fx.GraphModule:
        """A network cut down to `ratio`, of what it is or of the `widths` that it had."""
        if isinstance(step, Structured):
            if step.importance == "taylor" and self.data.y_train is None:
                raise InputError("importance=taylor judges neurons by a loss and needs labels (y_train); without them "
                                 "choose l1, l2 or lamp")
            return prune(self.graph, ratio, step.importance,
                         lambda g: gradients(g, self.data, self.original, self.loss), self.keep, widths, self.ratios)
        if isinstance(step, Magnitude):
            return magnitude(self.graph, ratio, step.scope, self.keep)
        if isinstance(step, Random):
            return at_random(self.graph, step.ratio, self.settings.seed, self.keep)
        assert isinstance(step, Pattern)
        return n_of_m(self.graph, step.n, step.m, self.keep)

    def _quantised(self, step: Quantise | Coded) -> fx.GraphModule:
        if isinstance(step, Quantise):
            samples = torch.from_numpy(self.data.calibration(_enough(self.graph, self.data.x_train)))
            return quantise(self.graph, samples, step, self.settings.widths, rounding=self.settings.rounding,
                            overrides=self.settings.overrides, gate=self.settings.gate)
        if step.kind.startswith("minifloat:"):
            form = Minifloat(step.kind.removeprefix("minifloat:"))
            return coded(self.graph, lambda product, weight, bias: MinifloatLayer(product, weight, bias, form))
        return coded(self.graph, DynamicLayer)

    def _train(self, step: Scheme_step, epochs: int, loss: Loss | None = None, number: int = 0) -> None:
        settings = replace(self.settings, seed=self.settings.seed + number)
        train_by(settings, self.graph, self.data, epochs, teacher=self.original, what=f"training {step}", loss=loss)
        self.epochs += epochs

    def _note(self, name: str) -> None:
        self.measured.append(self.baselines.measure.measured(name, self.graph, self.epochs))

    def judged(self) -> tuple[tuple[Step, ...], Step]:
        """All steps, the last one beside the original trained for as many epochs; and that one."""
        last, measure = self.measured[-1], self.baselines.measure
        fair = self.baselines.trained(last.step.epochs)
        if len(self.measured) == 1:
            return (last.step,), fair.step
        step = replace(last.step, drop=measure.drop(last, fair), drop_as_given=measure.drop(last, self.measured[0]))
        return (*(m.step for m in self.measured[:-1]), step), fair.step


def step_ratio(step: Scheme_step, share: float) -> float:
    """The ratio of a pruning step when `share` of its way is gone."""
    return getattr(step, "ratio", 0.0) * share


def _enough(graph: fx.GraphModule, samples: np.ndarray) -> int:
    """Calibration samples: fewer where a tensor of the network is large, so that one fits into 128 MiB as float64."""
    sizes = [samples[0].size]
    hooks = [m.register_forward_hook(lambda module, inputs, output: sizes.append(output[0].numel()))
             for m in graph.modules() if m is not graph]
    evaluate(graph, samples[:1])
    for hook in hooks:
        hook.remove()
    return min(CALIBRATION, max((1 << 24) // max(sizes), 16))


def prove(graph: fx.GraphModule, design: Design, data: Data, argmax: bool, *, test: bool = True) -> None:
    """Compare the design's reference with the quantised graph in float64, code by code: on all validation samples, on
    PROOF training samples, and (unless `test` is off) on all test samples."""
    network = copy.deepcopy(graph).double()
    ports, last = graph.meta["ports"], has_images(graph)
    for samples in (data.x_val, data.calibration(PROOF), *((data.x_test,) if test else ())):
        samples = samples[np.isfinite(samples).reshape(len(samples), -1).all(axis=1)]
        if not len(samples):
            continue
        codes = design.input.quantise(hardware_order(samples, ports.inputs, last))
        ours = design.reference(codes).reshape(len(samples), -1)
        given = evaluate(network, samples, torch.float64)
        theirs = hardware_order(given, ports.outputs, last).reshape(len(samples), -1)
        expected = theirs.argmax(axis=1)[:, None] if argmax else np.ldexp(theirs, design.output.format.frac)
        if not np.array_equal(ours, expected):
            wrong = int((ours != expected).any(axis=1).sum())
            raise AssertionError(f"the design's reference differs from the network in {wrong} of {len(ours)} samples")
