"""Networks that the hardware benchmarks measure: random log2 weights, lively activations, the same on every machine."""

from __future__ import annotations

import itertools

import numpy as np

from toolkit.design import Dense, Design, FixedPoint, Layer, Log2Format, Requantise, Tensor, Weights

SIZES = (16, 64, 32, 32, 5)
INPUT = FixedPoint(True, 8, 6)
HIDDEN_WIDTH = 8
OUTPUT_WIDTH = 16
CALIBRATION = 4096
"""Random inputs by which the activation formats are chosen."""


def samples(design: Design, count: int, seed: int = 1) -> np.ndarray:
    """int64 (count, *input.shape): input codes with a normal distribution over the whole format, clipped."""
    form = design.input.format
    values = np.random.default_rng(seed).normal(0.0, form.max_code / 2.5, (count, *design.input.shape))
    return np.clip(np.rint(values), form.min_code, form.max_code).astype(np.int64)


def mlp(sizes: tuple[int, ...] = SIZES, bits: int = 4, levels: int = 4, seed: int = 0) -> Design:
    """A fully connected network of Gaussian weights rounded to `levels` powers of two per output channel.

    Hidden layers: ReLU to ufixed of 8 bits, half up, saturating; the last one: fixed of 16 bits. Each format is the
    finest in which at most 1 in 1,000 calibration outputs saturates.
    """
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    name = "x"
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        weights = log2_weights(rng.normal(0.0, inputs**-0.5, (outputs, inputs)), Log2Format.of(bits, levels))
        source = layers[-1].requantise.format if layers else INPUT  # type: ignore[attr-defined]
        bias_frac = source.frac + weights.integers()[1]
        bias = np.rint(rng.normal(0.0, 0.1, outputs) * 2.0**bias_frac).astype(np.int64)
        hidden = i < len(sizes) - 2
        layers.append(_calibrated(sizes[0], layers, Dense(f"fc{i + 1}", (name,), weights, bias, bias_frac,
                                                          Requantise.to(FixedPoint(True, 40, bias_frac))), hidden))
        name = layers[-1].name
    return Design("mlp_" + "_".join(map(str, sizes)), Tensor("x", (sizes[0],), INPUT), tuple(layers))


def log2_weights(values: np.ndarray, form: Log2Format) -> Weights:
    """Real weights (out, in) to log2 codes: nearest level in the linear domain, exponents by squared error."""
    top = np.floor(np.log2(np.abs(values).max(axis=1))).astype(np.int64)
    choices = [(exponents, *_nearest(values, exponents, form.levels)) for exponents in (top + 1, top, top - 1)]
    best = np.argmin([error for _, _, error in choices], axis=0)
    exponents = np.stack([e for e, _, _ in choices])[best, np.arange(len(values))]
    return Weights(form, form.encode(np.sign(values), _nearest(values, exponents, form.levels)[0]), exponents)


def _nearest(values: np.ndarray, exponents: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """(index of the nearest level (out, in), squared error (out,)); index 0 is zero."""
    grid = np.concatenate([np.zeros((len(values), 1)), 2.0 ** (exponents[:, None] - np.arange(levels))], axis=1)
    distance = np.abs(np.abs(values)[:, :, None] - grid[:, None, :])
    return distance.argmin(axis=2), (distance.min(axis=2) ** 2).sum(axis=1)


def _calibrated(size: int, before: list[Layer], layer: Dense, hidden: bool) -> Dense:
    """`layer`, requantised to the finest format in which hardly an output of the calibration inputs saturates."""
    exact = Design("calibration", Tensor("x", (size,), INPUT), (*before, layer))
    codes = exact.reference(samples(exact, CALIBRATION))
    if hidden:
        codes = np.maximum(codes, 0)
    peak = float(np.quantile(np.abs(codes), 0.999)) * 2.0**-layer.bias_frac
    width = HIDDEN_WIDTH if hidden else OUTPUT_WIDTH - 1
    form = FixedPoint(not hidden, width + (not hidden), width - int(np.ceil(np.log2(peak))))
    return Dense(layer.name, layer.inputs, layer.weights, layer.bias, layer.bias_frac, Requantise.to(form))
