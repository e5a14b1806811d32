"""A quantised network that is no longer the one that was given: said, with the option that mends it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import fx

from toolkit.capture.product import Product
from toolkit.compress.baseline import Settings
from toolkit.compress.data import Data, without_outliers
from toolkit.compress.measure.measures import output_format
from toolkit.compress.quantisation.ptq import quantise
from toolkit.compress.steps import Gate, Quantise
from toolkit.compress.training.loop import evaluate
from toolkit.design.layers.multiply import MULTIPLIER, POWER
from toolkit.design.weights import IntegerFormat

BOUND = 0.1
"""RMS error, as a share of the float network's span of outputs, above which a network is doubted."""
SAMPLES, TRIED = 512, 128
"""Validation samples that it is judged by, and training samples that the mending options are tried on."""
FEWER, FEWER_TRAINED, ENOUGH = 10, 50, 8
"""Outputs have collapsed where the float network has this many times as many distinct ones (and ENOUGH): as it was
quantised, and after training that is free to leave the float network."""


def quantisation_warnings(real: fx.GraphModule, quantised: fx.GraphModule, data: Data, step: Quantise,
                          settings: Settings, *, free: bool = False) -> tuple[str, ...]:
    """What is wrong with a quantised network on validation samples, as sentences; none where nothing is.

    `real` is the float network that it was made of. With `free`, training has moved it away from that: then only
    outputs that have collapsed are told.
    """
    samples = without_outliers(data.x_val[:SAMPLES])
    due, found = (evaluate(graph, samples).reshape(len(samples), -1) for graph in (real, quantised))
    error = _error(found, due)
    many, few = len(np.unique(due, axis=0)), len(np.unique(found, axis=0))
    form = output_format(quantised)
    room = form is None or form.width * due.shape[1] >= np.log2(many)
    collapsed = room and many >= ENOUGH and (few == 1 or many >= (FEWER_TRAINED if free else FEWER) * few) \
        and (free or error > BOUND / 2)
    told = []
    if collapsed:
        told.append(f"the outputs have collapsed: {few:,} distinct of {len(samples):,} validation samples, the float "
                    f"network has {many:,}")
    if not free and error > BOUND:
        told.append(f"its outputs are off by {100 * error:.0f} % of the float network's span (RMS)")
    if not told:
        return ()
    wrong = " and ".join(told)
    return (f"the quantised network is not the one that was given: {wrong}; {_mended(real, data, step, settings)}",)


def _error(found: np.ndarray, due: np.ndarray) -> float:
    """RMS of the difference over the span of what is due; 0 where it has none."""
    span = float(np.ptp(due))
    return float(np.sqrt(np.mean((found.astype(np.float64) - due) ** 2))) / span if span else 0.0


def _mended(real: fx.GraphModule, data: Data, step: Quantise, settings: Settings) -> str:
    """The option that mends it, as tried with rounding to nearest: the one with the least error, or all together."""
    samples = torch.from_numpy(data.calibration(TRIED))
    due = evaluate(real, samples.numpy()).reshape(len(samples), -1)

    def tried(one: Quantise, changed: Settings) -> float:
        graph = quantise(real, samples, one, changed.widths, rounding="nearest", overrides=changed.overrides,
                         gate=changed.gate)
        return _error(evaluate(graph, samples.numpy()).reshape(len(samples), -1), due)

    options = list(_options(step, settings, finer=not data.raw))
    if settings.gate.kind == POWER and any(isinstance(m, Product) for m in real.modules()):
        options.append(("--gate multiplier", step, replace(settings, gate=Gate(MULTIPLIER))))
    if not options:
        return "its formats are as wide as they get: scale the data alike, or remove what is extreme in them"
    errors = [tried(one, changed) for _, one, changed in options]
    best = int(np.argmin(errors))
    if errors[best] <= BOUND:
        return f"{options[best][0]} mends it: {100 * errors[best]:.2g} % where it was tried"
    whole, everything = step, settings
    for _, one, changed in options:
        whole = one if one != step else whole
        widths = {key: max(value, getattr(changed.widths, key)) for key, value in vars(everything.widths).items()}
        gate = everything.gate if changed.gate == settings.gate else changed.gate
        everything = replace(everything, widths=replace(everything.widths, **widths), gate=gate)
    error = tried(whole, everything)
    names = " and ".join(name for name, *_ in options)
    if error <= BOUND:
        return f"{names} together mend it: {100 * error:.2g} % where they were tried"
    return (f"{names} together leave {100 * error:.0f} % where they were tried: train it (--qat-epochs), scale the "
            "data or prune less")


def _options(step: Quantise, settings: Settings, *, finer: bool) -> Iterator[tuple[str, Quantise, Settings]]:
    """(how it is asked for, the step, the settings): wider inputs (if `finer` ones are possible), wider hidden
    activations, finer weights."""
    widths = settings.widths
    if widths.input < 16 and finer:
        yield "--input-bits 16", step, replace(settings, widths=replace(widths, input=16))
    if widths.hidden < 16 or widths.table < 12:
        wide = replace(widths, hidden=max(widths.hidden, 16), table=12)
        yield "--hidden-bits 16 --table-bits 12", step, replace(settings, widths=wide)
    if widths.output < 16:
        yield "--output-bits 16", step, replace(settings, widths=replace(widths, output=16))
    if not (isinstance(step.format, IntegerFormat) and step.format.bits == 8 and step.scale == "channel"):
        yield "a scheme that ends in int:8", Quantise(IntegerFormat(8)), settings
