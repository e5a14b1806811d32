"""Networks in which every layer stands: unrolled, over images, and folded; the same on every machine."""

from __future__ import annotations

from math import prod

import numpy as np

from benchmarks.networks.by_hand import WIDE, integers, random_conv, random_dense
from benchmarks.networks.measured import INPUT, log2_weights
from toolkit.design import (
    Add,
    ArgMax,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Dense,
    Design,
    Extremum,
    FixedPoint,
    Layer,
    Leaky,
    Log2Format,
    Lookup,
    MaxPool,
    Overflow,
    Reorder,
    Requantise,
    Reshape,
    Rounding,
    Slopes,
    Tensor,
    TwoTermFormat,
    Upsample,
    Weights,
    Window,
)

SMALL = FixedPoint(False, 7, 4)


def every_layer() -> Design:
    """Every layer, rounding and overflow; a saturating sum of different formats; a dead input and a dead neuron."""
    rng = np.random.default_rng(0)
    form = Log2Format.of(4)
    drawn = log2_weights(rng.normal(0, 0.5, (8, 12)), form)
    codes = drawn.codes.copy()
    codes[3], codes[:, 5] = 0, 0
    sparse = Weights(form, codes, drawn.exponents)
    whole = integers(rng.integers(-16, 16, (8, 8)), 5, [-4] * 8)
    double = TwoTermFormat.of(5)
    sums = rng.choice(np.concatenate([-double.magnitudes, double.magnitudes]), (5, 16))
    wide = FixedPoint(True, 9, 5)
    layers: tuple[Layer, ...] = (
        Reshape("flat", ("x",), (12,)),
        Dense("a", ("flat",), sparse, rng.integers(-99, 99, 8), 10,
              Requantise.to(FixedPoint(False, 6, 4))),
        Dense("b", ("a",), whole, rng.integers(-99, 99, 8), 6,
              Requantise.to(wide, Rounding.HALF_EVEN, Overflow.WRAP)),
        Add("sum", ("a", "b"), Requantise(FixedPoint(True, 7, 4), -40, 50)),
        Clamp("clip", ("sum",), Requantise(FixedPoint(False, 5, 3), 0, 20, Rounding.FLOOR)),
        Concat("both", ("clip", "b")),
        Dense("out", ("both",), Weights(double, double.encode(sums), np.full(5, -5)), rng.integers(-99, 99, 5), 8,
              Requantise.to(FixedPoint(True, 12, 6))),
        ArgMax("class", ("out",)),
    )
    return Design("every layer", Tensor("x", (3, 4), INPUT), layers)


def every_image_layer(form: FixedPoint | None = None) -> Design:
    """Each kind of layer once, in two axes, in a network with a skip and a concatenation."""
    rng = np.random.default_rng(3)
    x = Tensor("x", (5, 6, 2), form or FixedPoint(True, 6, 4))
    four = Log2Format.of(4)

    def drawn(outputs: int, *rest: int) -> Weights:
        flat = log2_weights(rng.normal(0, 0.5, (outputs, prod(rest))), four)
        return Weights(four, flat.codes.reshape(outputs, *rest), flat.exponents)

    whole = integers(rng.integers(-32, 32, (4, 1, 2, 2)), 6, [-4, -5, -4, -3])
    square = Window.of((3, 3), padding=((1, 1), (1, 1)))
    pool = Window.of((2, 2), (1, 2), ((1, 0), (0, 1)))
    mid = FixedPoint(True, 8, 5)
    found: list[Layer] = [
        Conv("conv", ("x",), drawn(4, 3, 3, 2), rng.integers(-50, 50, 4), 8, square, 1, Requantise.to(mid)),
        Leaky("leaky", ("conv",), 3, Requantise.to(mid, Rounding.HALF_EVEN)),
        Conv("grouped", ("leaky",), whole, rng.integers(-50, 50, 4), 7,
             Window.of((1, 2), (1, 1), ((0, 0), (2, 0)), (1, 2)), 2, Requantise.to(mid, Rounding.FLOOR, Overflow.WRAP)),
        Add("skip", ("grouped", "leaky"), Requantise.to(FixedPoint(True, 7, 3))),
        Extremum("larger", ("skip", "grouped"), True),
        Slopes("bent_twice", ("larger",), np.array([-5, 0, 11, 3]), np.array([8, 8, -1, 7]), 3,
               Requantise.to(FixedPoint(True, 7, 3))),
        MaxPool("most", ("bent_twice",), pool),
        AvgPool("mean", ("skip",), Window.of((3, 2), (1, 2), ((1, 1), (0, 1))), *AvgPool.constant(6),
                Requantise.to(FixedPoint(True, 9, 5))),
        Upsample("wide", ("mean",), (2, 1)),
        Clamp("narrow", ("most",), Requantise(FixedPoint(True, 5, 2), -9, 11)),
        Upsample("tall", ("narrow",), (2, 1)),
        Reorder("cut", ("tall",), np.arange(120)[::-1].copy(), (10, 3, 4)),
        Concat("both", ("wide", "cut"), 2),
        Lookup.of("bent", ("both",), np.tanh, "tanh", FixedPoint(True, 9, 5), FixedPoint(True, 8, 7)),
        Reshape("flat", ("bent",), (240,)),
        Dense("out", ("flat",), drawn(5, 240), rng.integers(-99, 99, 5), 9, Requantise.to(FixedPoint(True, 12, 8))),
        ArgMax("class", ("out",)),
    ]
    return Design("every image layer", x, tuple(found))


def every_folded_layer() -> Design:
    """A network in which every kind of folded layer stands, with branches, padding, strides and groups."""
    third, half = Window.of((3, 3), padding=((1, 1), (1, 1))), Window.of((2, 2), (2, 2), ((0, 1), (0, 0)))
    layers: list[Layer] = [
        random_conv("first", "x", (3, 5), third, form=SMALL), MaxPool("max", ("first",), half),
        random_conv("depthwise", "max", (5, 5), third, groups=5),
        Add("sum", ("max", "depthwise"), Requantise.to(WIDE)), Leaky("leaky", ("sum",), 2, Requantise.to(WIDE)),
        Slopes("slopes", ("leaky",), np.array([3, -6, 0, 40, 1]), np.full(5, 16), 4, Requantise.to(WIDE)),
        Extremum("larger", ("slopes", "max")),
        random_conv("point", "larger", (5, 3), Window.of((1, 1)), whole=True),
        random_conv("odd", "leaky", (5, 4), Window.of((3, 2), padding=((1, 1), (0, 1))), form=SMALL),
        Concat("join", ("point", "odd"), 2), Upsample("up", ("join",), (2, 2)),
        AvgPool("mean", ("up",), Window.of((3, 3), (2, 2), ((1, 1), (1, 1))), *AvgPool.constant(9),
                Requantise.to(FixedPoint(True, 9, 5))),
        Lookup.of("curve", ("mean",), np.tanh, "tanh", FixedPoint(True, 9, 5), FixedPoint(True, 8, 7)),
        Reshape("flat", ("curve",), (84,)),
        random_dense("hidden", "flat", (84, 9)), random_dense("last", "hidden", (9, 6)),
    ]
    return Design("every_folded_layer", Tensor("x", (7, 6, 3), WIDE), tuple(layers))
