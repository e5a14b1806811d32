"""Layers from numbers that a test writes down, or from a format and a size alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolkit.design import (
    Conv,
    Dense,
    Design,
    FixedPoint,
    IntegerFormat,
    Layer,
    Log2Format,
    Requantise,
    Tensor,
    TwoTermFormat,
    Weights,
    Window,
)

BYTE = FixedPoint(True, 8, 0)
WIDE = FixedPoint(True, 8, 4)
Rows = Sequence[Sequence] | np.ndarray


def integers(rows: Rows, bits: int = 8, exponents: Sequence[int] | None = None) -> Weights:
    """Whole numbers, the first axis the outputs; each times 2**0 where no exponents are given."""
    form = IntegerFormat(bits)
    return Weights(form, form.encode(np.array(rows)), np.array(exponents or [0] * len(rows)))


def dense(weights: Weights | Rows, bias: Sequence[int] | np.ndarray | None = None, requantise: Requantise | None = None,
          *, name: str = "fc", source: str = "x", bias_frac: int = 0) -> Dense:
    """A Dense layer. Rows of numbers are integers of 8 bits; without more, its biases are 0 and its outputs whole
    numbers of 8 bits, saturating."""
    made = weights if isinstance(weights, Weights) else integers(weights)
    added = np.zeros(len(made.codes), np.int64) if bias is None else np.array(bias, np.int64)
    return Dense(name, (source,), made, added, bias_frac, requantise or Requantise.to(BYTE))


def network(form: FixedPoint, shape: int | tuple[int, ...], *layers: Layer, name: str = "d",
            source: str = "x") -> Design:
    """These layers behind an input of a format and a shape, or of so many elements."""
    return Design(name, Tensor(source, (shape,) if isinstance(shape, int) else shape, form), layers)


def tiny(matrix: list[list[int]], bias: list[int], name: str = "fc", design: str = "net", source: str = "x") -> Design:
    """One Dense layer of small integers, its inputs whole numbers of 4 bits."""
    return network(FixedPoint(True, 4, 0), len(matrix[0]), dense(matrix, bias, name=name, source=source), name=design,
                   source=source)


def random_codes(form: IntegerFormat | Log2Format | TwoTermFormat, shape: tuple[int, ...],
                 rng: np.random.Generator) -> np.ndarray:
    """Codes of a weight format: each value, or each sign and each magnitude, with the same chance."""
    if isinstance(form, IntegerFormat):
        return form.encode(rng.integers(-(1 << form.bits - 1), 1 << form.bits - 1, shape))
    if isinstance(form, TwoTermFormat):
        return form.encode(rng.choice(form.magnitudes, shape) * rng.choice([-1, 1], shape))
    return form.encode(rng.choice([-1, 1], shape), rng.integers(0, form.levels + 1, shape))


def random_weights(form: IntegerFormat | Log2Format | TwoTermFormat, shape: tuple[int, ...], rng: np.random.Generator,
                   exponents: tuple[int, int] = (-3, -1)) -> Weights:
    """Weights of any code, with an exponent between these two for each output."""
    codes = random_codes(form, shape, rng)
    return Weights(form, codes, rng.integers(*exponents, shape[0], endpoint=True))


def random_conv(name: str, source: str, channels: tuple[int, int], window: Window, *, groups: int = 1,
                form: FixedPoint = WIDE, whole: bool = False) -> Conv:
    """A convolution of so many channels in and out, its numbers drawn by its name and size alone; `whole`: of
    integers."""
    rng = np.random.default_rng(len(name) + channels[1])
    weights = random_weights(IntegerFormat(5) if whole else Log2Format.of(4),
                             (channels[1], *window.kernel, channels[0] // groups), rng)
    return Conv(name, (source,), weights, rng.integers(-400, 400, channels[1]), 9, window, groups, Requantise.to(form))


def random_dense(name: str, source: str, size: tuple[int, int]) -> Dense:
    """A Dense layer of so many inputs and outputs, its numbers drawn by its size alone."""
    rng = np.random.default_rng(size[1])
    weights = random_weights(Log2Format.of(4), size[::-1], rng)
    return dense(weights, rng.integers(-99, 99, size[1]), Requantise.to(FixedPoint(True, 12, 5)), name=name,
                 source=source, bias_frac=9)
