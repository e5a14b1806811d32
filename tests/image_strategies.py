"""Random designs over images: every layer, one or two axes, any window, groups, formats, roundings."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import strategies as st
from strategies import formats, requantisations, weights

from toolkit.design import (
    Add,
    ArgMax,
    AvgPool,
    Clamp,
    Concat,
    Conv,
    Dense,
    Design,
    FixedPoint,
    Layer,
    Leaky,
    Lookup,
    MaxPool,
    Reorder,
    Reshape,
    Tensor,
    Upsample,
    Weights,
)
from toolkit.design.windows import Window

MOST_ELEMENTS = 200
"""Of one tensor."""


@st.composite
def windows(draw, shape: tuple[int, ...], most: int = 3) -> Window:
    """A window that fits an image of `shape`, channels last."""
    axes = []
    for size in shape[:-1]:
        kernel = draw(st.integers(1, min(most, size)))
        dilation = draw(st.integers(1, 2 if 2 * (kernel - 1) + 1 <= size else 1))
        span = (kernel - 1) * dilation + 1
        axes.append((kernel, draw(st.integers(1, 2)), (draw(st.integers(0, span - 1)), draw(st.integers(0, span - 1))),
                     dilation))
    kernel, stride, padding, dilation = (tuple(a) for a in zip(*axes, strict=True))
    return Window(kernel, stride, padding, dilation)


@st.composite
def layers(draw, name: str, source: str, x: Tensor, others: list[Tensor]) -> Layer:
    """One layer over the image `source`, perhaps together with one of `others`."""
    kinds = ["conv", "conv", "maxpool", "avgpool", "clamp", "leaky", "lookup", "reorder", "upsample", "add", "concat"]
    kind = draw(st.sampled_from(kinds))
    channels = x.shape[-1]
    if kind == "conv":
        window = draw(windows(x.shape))
        groups = draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
        outputs = groups * draw(st.integers(1, 3))
        flat = draw(weights(outputs, window.positions * (channels // groups)))
        codes = flat.codes.reshape(outputs, *window.kernel, channels // groups)
        bias = np.array(draw(st.lists(st.integers(-300, 300), min_size=outputs, max_size=outputs)), np.int64)
        return Conv(name, (source,), Weights(flat.format, codes, flat.exponents), bias, draw(st.integers(0, 9)), window,
                    groups, draw(requantisations()))
    if kind == "maxpool":
        return MaxPool(name, (source,), draw(windows(x.shape)))
    if kind == "avgpool":
        window = draw(windows(x.shape))
        return AvgPool(name, (source,), window, *AvgPool.constant(window.positions, 6), draw(requantisations()))
    if kind == "leaky":
        return Leaky(name, (source,), draw(st.integers(0, 5)), draw(requantisations()))
    if kind == "lookup" and x.format.width <= 9:
        form = draw(formats(12))
        return Lookup.of(name, (source,), np.tanh, "tanh", x.format, form)
    if kind == "reorder":
        index = np.random.default_rng(draw(st.integers(0, 99))).integers(0, x.size, x.size)
        return Reorder(name, (source,), index, x.shape)
    if kind == "upsample" and 4 * x.size <= MOST_ELEMENTS:
        return Upsample(name, (source,), tuple(draw(st.integers(1, 2)) for _ in x.shape[:-1]))
    same = [t for t in others if t.shape == x.shape]
    if kind == "add" and same:
        return Add(name, (source, draw(st.sampled_from(same)).name), draw(requantisations()))
    joined = [t for t in others if t.shape[:-1] == x.shape[:-1] and t.size + x.size <= MOST_ELEMENTS
              and max(t.format.width, x.format.width) + abs(t.format.frac - x.format.frac) <= 30]
    if kind == "concat" and joined:
        return Concat(name, (source, draw(st.sampled_from(joined)).name), len(x.shape) - 1)
    return Clamp(name, (source,), draw(requantisations()))


@st.composite
def image_designs(draw, deepest: int = 5, name: str = "random") -> Design:
    """A chain of layers over an image, with skips, and perhaps a Dense layer and an ArgMax behind it."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=2))
    x = Tensor("x", (*sizes, draw(st.integers(1, 4))), draw(formats(8)))
    found: list[Layer] = []
    tensors = {"x": x}
    latest = x
    for i in range(draw(st.integers(1, deepest))):
        others = [t for t in tensors.values() if t is not latest]
        layer = draw(layers(f"l{i}", latest.name, latest, others))
        found.append(layer)
        latest = layer.output([tensors[n] for n in layer.inputs])
        tensors[latest.name] = latest
    if draw(st.booleans()):
        outputs = draw(st.integers(1, 4))
        found.append(Reshape("flat", (latest.name,), (prod(latest.shape),)))
        found.append(Dense("fc", ("flat",), draw(weights(outputs, latest.size)), np.zeros(outputs, np.int64), 0,
                           draw(requantisations(20))))
        if draw(st.booleans()):
            found.append(ArgMax("class", ("fc",)))
    return Design(name, x, tuple(found))


def every_image_layer(form: FixedPoint | None = None) -> Design:
    """Each kind of layer once, in two axes, in a network with a skip and a concatenation."""
    from benchmarks.networks import log2_weights
    from toolkit.design import IntegerFormat, Log2Format, Overflow, Requantise, Rounding

    rng = np.random.default_rng(3)
    x = Tensor("x", (5, 6, 2), form or FixedPoint(True, 6, 4))
    four = Log2Format.of(4)

    def drawn(outputs: int, *rest: int) -> Weights:
        flat = log2_weights(rng.normal(0, 0.5, (outputs, prod(rest))), four)
        return Weights(four, flat.codes.reshape(outputs, *rest), flat.exponents)

    whole = IntegerFormat(6)
    integers = Weights(whole, whole.encode(rng.integers(-32, 32, (4, 1, 2, 2))), np.array([-4, -5, -4, -3]))
    square = Window.of((3, 3), padding=((1, 1), (1, 1)))
    pool = Window.of((2, 2), (1, 2), ((1, 0), (0, 1)))
    mid = FixedPoint(True, 8, 5)
    found: list[Layer] = [
        Conv("conv", ("x",), drawn(4, 3, 3, 2), rng.integers(-50, 50, 4), 8, square, 1, Requantise.to(mid)),
        Leaky("leaky", ("conv",), 3, Requantise.to(mid, Rounding.HALF_EVEN)),
        Conv("grouped", ("leaky",), integers, rng.integers(-50, 50, 4), 7,
             Window.of((1, 2), (1, 1), ((0, 0), (2, 0)), (1, 2)), 2, Requantise.to(mid, Rounding.FLOOR, Overflow.WRAP)),
        Add("skip", ("grouped", "leaky"), Requantise.to(FixedPoint(True, 7, 3))),
        MaxPool("most", ("skip",), pool),
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
