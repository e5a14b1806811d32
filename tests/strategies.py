"""Random designs: any depth, widths, formats, levels, roundings, residuals, dead neurons."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from toolkit.design import (
    Add,
    ArgMax,
    Clamp,
    Concat,
    Dense,
    Design,
    FixedPoint,
    IntegerFormat,
    Layer,
    Log2Format,
    Overflow,
    Requantise,
    Rounding,
    Tensor,
    TwoTermFormat,
    Weights,
)


@st.composite
def formats(draw, most: int = 10) -> FixedPoint:
    return FixedPoint(draw(st.booleans()), draw(st.integers(1, most)), draw(st.integers(-2, 8)))


@st.composite
def requantisations(draw, most: int = 10) -> Requantise:
    """Any rounding; a wrap, or a clamp at any two codes."""
    form = draw(formats(most))
    rounding = draw(st.sampled_from(list(Rounding)))
    if draw(st.integers(0, 5)) == 0:
        return Requantise.to(form, rounding, Overflow.WRAP)
    if draw(st.booleans()):
        return Requantise.to(form, rounding)
    low, high = sorted(draw(st.tuples(*[st.integers(form.min_code, form.max_code)] * 2)))
    return Requantise(form, low, high, rounding)


@st.composite
def weights(draw, outputs: int, inputs: int) -> Weights:
    """log2 of one or two terms with any bits and levels, or integers; a share of the codes zero, as pruning leaves
    them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    keep = rng.random((outputs, inputs)) >= draw(st.sampled_from([0.0, 0.3, 0.8, 1.0]))
    exponents = rng.integers(-5, 2, outputs)
    bits = draw(st.integers(2, 8))
    kind = draw(st.sampled_from(["int", "log2", "log2x2"]))
    if kind == "log2x2":
        bits = max(bits, 3)
        double = TwoTermFormat(bits, draw(st.integers(2, 2 ** (bits - 1) - 1)))
        values = rng.choice(np.concatenate([-double.magnitudes, double.magnitudes]), (outputs, inputs)) * keep
        return Weights(double, double.encode(values), exponents)
    if kind == "int":
        bits = draw(st.integers(2, 8) | st.integers(9, 16))
        integer = IntegerFormat(bits)
        values = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (outputs, inputs)) * keep
        return Weights(integer, integer.encode(values), exponents)
    form = Log2Format(bits, draw(st.integers(1, min(2 ** (bits - 1) - 1, 9))))
    index = rng.integers(0, form.levels + 1, (outputs, inputs)) * keep
    return Weights(form, form.encode(rng.choice([-1, 1], (outputs, inputs)), index), exponents)


@st.composite
def designs(draw, widest: int = 8, deepest: int = 4, name: str = "random") -> Design:
    """A network of Dense layers with additions, concatenations and clamps between them, and perhaps an ArgMax."""
    x = Tensor("x", (draw(st.integers(1, widest)),), draw(formats(8)))
    layers: list[Layer] = []
    sizes, latest = {"x": x.shape[0]}, "x"

    def append(layer: Layer, size: int) -> None:
        nonlocal latest
        layers.append(layer)
        sizes[layer.name], latest = size, layer.name

    for i in range(draw(st.integers(1, deepest))):
        outputs = draw(st.integers(1, widest))
        bias = draw(st.lists(st.integers(-300, 300), min_size=outputs, max_size=outputs))
        append(Dense(f"fc{i}", (latest,), draw(weights(outputs, sizes[latest])), np.array(bias, np.int64),
                     draw(st.integers(0, 9)), draw(requantisations())), outputs)
        same = [n for n in sizes if n != latest and sizes[n] == sizes[latest]]
        kind = draw(st.sampled_from(["nothing", "add", "concat", "clamp"]))
        if kind == "add" and same:
            append(Add(f"add{i}", (latest, draw(st.sampled_from(same))), draw(requantisations())), sizes[latest])
        elif kind == "concat" and len(sizes) > 2:
            other = draw(st.sampled_from([n for n in sizes if n != latest]))
            if sizes[other] + sizes[latest] <= 2 * widest:
                append(Concat(f"cat{i}", (latest, other)), sizes[latest] + sizes[other])
        elif kind == "clamp":
            append(Clamp(f"clamp{i}", (latest,), draw(requantisations())), sizes[latest])
    if draw(st.integers(0, 4)) == 0:
        append(ArgMax("class", (latest,)), 1)
    return Design(name, x, tuple(layers))
