"""Scales and offsets that the layers behind them take up exactly: no layer of their own is left of `2 * x - 1`."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from toolkit.capture.onnx.steps import Affine, Convolve, Linear, Network, Step
from toolkit.importing.weights import NOTHING, lowest

EXACT = 2.0**52


def folded(network: Network) -> Network:
    """`network` without each Affine whose readers all take it into their weights and biases, number for number."""
    steps = {step.output: step for step in network.steps}
    for step in network.steps:
        readers = [steps[s.output] for s in network.users(step.output)]
        if not isinstance(step, Affine) or step.output == network.output:
            continue
        taken = [_taken(reader, step) for reader in readers]
        if all(taken):
            steps |= {t.output: t for t in taken if t is not None}
            del steps[step.output]
    return replace(network, steps=tuple(steps.values()))


def _taken(reader: Step, affine: Affine) -> Step | None:
    """A layer that reads what an Affine reads; None where its numbers would not be exactly those of both. A power of
    two leaves the weights as they are coded."""
    factor = float(affine.scale.flat[0])
    if not isinstance(reader, Linear | Convolve) or math.frexp(abs(factor))[0] != 0.5 or affine.scale.ndim > 1 \
            or (affine.scale != factor).any():
        return None
    if isinstance(reader, Convolve):
        if (affine.offset != affine.offset[0]).any() or (affine.offset.any() and any(map(any, reader.padding))):
            return None
        offset = np.full(reader.weight[0].size, affine.offset[0])
    else:
        offset = affine.offset
    bias = _sum(reader.weight.reshape(len(reader.weight), -1), offset, reader.bias)
    if bias is None:
        return None
    return replace(reader, inputs=affine.inputs, weight=reader.weight * factor, bias=bias)


def _sum(weight: np.ndarray, offset: np.ndarray, bias: np.ndarray) -> np.ndarray | None:
    """`weight @ offset + bias` where float64 holds every part of it exactly."""
    if not offset.any():
        return bias
    low = int(lowest(weight).min() + lowest(offset).min()), int(lowest(bias).min())
    finest = min(n for n in low if n < NOTHING) if min(low) < NOTHING else 0
    most = float((np.abs(weight) @ np.abs(offset) + np.abs(bias)).max())
    return weight @ offset + bias if abs(finest) < 500 and most < math.ldexp(EXACT, finest) else None
