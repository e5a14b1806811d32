"""Random designs of hypothesis: any depth, widths, formats, levels, roundings, windows, residuals, dead neurons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.networks import layers
from benchmarks.networks.by_hand import random_codes
from benchmarks.networks.layers import Draws, Limits, Network
from toolkit.design import (
    Design,
    FixedPoint,
    IntegerFormat,
    Layer,
    Log2Format,
    Lookup,
    Overflow,
    Reorder,
    Requantise,
    Rounding,
    Tensor,
    TwoTermFormat,
    Weights,
    Window,
)

MOST = 300
"""Elements of a tensor of a network over images."""
IMAGE_LAYERS = ("conv", "conv", "pool", "pool", "upsample", "leaky", "slopes", "lookup", "clamp", "reorder", "reshape",
                "concat", "add", "extremum", "multiply")


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
def weight_formats(draw) -> IntegerFormat | Log2Format | TwoTermFormat:
    """log2 of one or two terms with any bits and levels, or integers."""
    kind, bits = draw(st.sampled_from(["int", "log2", "log2x2"])), draw(st.integers(2, 8))
    if kind == "log2x2":
        bits = max(bits, 3)
        return TwoTermFormat(bits, draw(st.integers(2, 2 ** (bits - 1) - 1)))
    if kind == "int":
        return IntegerFormat(draw(st.integers(2, 8) | st.integers(9, 16)))
    return Log2Format(bits, draw(st.integers(1, min(2 ** (bits - 1) - 1, 9))))


@st.composite
def weights(draw, *shape: int) -> Weights:
    """Weights of any format, outputs first; a share of the codes zero, as pruning leaves them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    keep = rng.random(shape) >= draw(st.sampled_from([0.0, 0.3, 0.8, 1.0]))
    exponents = rng.integers(-5, 2, shape[0])
    form = draw(weight_formats())
    return Weights(form, random_codes(form, shape, rng) * keep, exponents)


class ByHypothesis(Draws):
    """Numbers by hypothesis: whatever a layer may hold."""

    def __init__(self, draw, limits: Limits | None = None) -> None:
        self.draw, self.limits = draw, limits or Limits()

    def integer(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def chance(self, share: float) -> bool:
        return self.integer(1, 100) > 100 - 100 * share

    def bias(self, count: int) -> np.ndarray:
        return np.array(self.draw(st.lists(st.integers(-300, 300), min_size=count, max_size=count)), np.int64)

    def requantise(self) -> Requantise:
        return self.draw(requantisations())

    def weights(self, *shape: int) -> Weights:
        return self.draw(weights(*shape))

    def lookup(self, name: str, x: Tensor) -> Lookup:
        """A table of any codes."""
        form, rng = self.draw(formats()), np.random.default_rng(self.integer(0, 99))
        codes = rng.integers(form.min_code, form.max_code, 1 << x.format.width, endpoint=True)
        return Lookup(name, (x.name,), codes, form)

    def reorder(self, name: str, x: Tensor) -> Reorder:
        """As many elements, some of them more than once."""
        rng = np.random.default_rng(self.integer(0, 99))
        return Reorder(name, (x.name,), rng.integers(0, x.size, x.size), x.shape)

    def most_padding(self, kernel: int) -> int:
        return 2

    def pool_window(self, x: Tensor) -> Window:
        return self.window(x)


@st.composite
def windows(draw, shape: tuple[int, ...]) -> Window | None:
    """A window over an image of `shape` with any stride, dilation and padding; None where what was drawn does not
    fit."""
    window = ByHypothesis(draw).window(Tensor("x", shape, FixedPoint(True, 1, 0)))
    return None if window.problem(shape) else window


@st.composite
def designs(draw, widest: int = 8, deepest: int = 4, name: str = "random") -> Design:
    """A network of Dense layers with additions, products, concatenations, clamps and functions of elements between
    them, and perhaps an ArgMax."""
    draws = ByHypothesis(draw, Limits(outputs=(1, widest)))
    net = Network(Tensor("x", (draws.integer(1, widest),), draw(formats(8))))
    for i in range(draws.integer(1, deepest)):
        net.put(layers.dense(draws, f"fc{i}", net.last))
        x, others = net.last, net.others
        same = [t for t in others if t.shape == x.shape]
        kind = draw(st.sampled_from(["nothing", "add", "multiply", "concat", "clamp", "extremum", "leaky",
                                     "slopes", "lookup"]))
        if kind == "add" and same:
            net.put(layers.add(draws, f"add{i}", x, draw(st.sampled_from(same))))
        elif kind == "multiply":
            gate = draw(st.sampled_from([t for t in (*others, x) if layers.fits(x, t)]))
            net.put(layers.multiply(draws, f"mul{i}", *((x, gate) if draw(st.booleans()) else (gate, x))))
        elif kind == "concat" and len(others) > 1:
            net.put(layers.concat(draws, f"cat{i}", x, draw(st.sampled_from(others))), most=2 * widest)
        elif kind == "extremum" and same:
            net.put(layers.extremum(draws, f"extremum{i}", x, draw(st.sampled_from(same))))
        elif kind in ("clamp", "leaky", "slopes", "lookup"):
            net.put(getattr(layers, kind)(draws, f"{kind}{i}", x))
    if draws.integer(0, 4) == 0:
        net.put(layers.argmax("class", net.last))
    return net.design(name)


@st.composite
def image_designs(draw, name: str = "image", deepest: int = 5) -> Design:
    """One to `deepest` layers over a small image of one or two dimensions, then perhaps a Dense and an ArgMax."""
    draws = ByHypothesis(draw, Limits(outputs=(1, 4)))
    shape = (*draws.each(draws.integer(1, 2), 1, 6), draws.integer(1, 4))
    net = Network(Tensor("x", shape, draw(formats(8))))
    for _ in range(draws.integer(1, deepest)):
        net.put(_image_layer(draws, net, draw(st.sampled_from(IMAGE_LAYERS))), MOST)
    if not net.layers or draw(st.booleans()):
        net.put(layers.flat("flat", net.last))
        net.put(layers.dense(draws, "fc", net.last))
        if draw(st.booleans()):
            net.put(layers.argmax("class", net.last))
    return net.design(name)


def _image_layer(draws: ByHypothesis, net: Network, kind: str) -> Layer | None:
    """A layer of one of `IMAGE_LAYERS`; None where it cannot stand here."""
    same = [t for t in net.others if t.shape == net.last.shape]
    if kind == "add":
        return layers.add(draws, net.name, net.last, *same[:2]) if same else None
    if kind == "extremum":
        return layers.extremum(draws, net.name, net.last, *same[:2]) if same else None
    if kind == "concat":
        return layers.concat(draws, net.name, same[-1], net.last) if same else None
    if kind == "multiply":
        gate = draws.draw(st.sampled_from([t for t in (*net.others, net.last) if layers.fits(net.last, t)]))
        return layers.multiply(draws, net.name, net.last, gate)
    return getattr(layers, kind)(draws, net.name, net.last)


def examples(strategy: st.SearchStrategy[Design], count: int, part: int) -> list[Design]:
    """`count` random designs of different names, the same for the same `part`."""
    found: list[Design] = []

    @seed(part)
    @given(strategy)
    @settings(max_examples=count, deadline=None, phases=[Phase.generate], database=None,
              suppress_health_check=list(HealthCheck))
    def collect(design: Design) -> None:
        found.append(replace(design, name=f"net{len(found)}"))

    collect()
    return found
