"""Random networks of every layer that has folded hardware; the same network for the same seed, for ever."""

from __future__ import annotations

import numpy as np

from benchmarks.networks import layers
from benchmarks.networks.by_hand import random_weights
from benchmarks.networks.layers import Draws, Limits, Network
from toolkit.design import (
    Conv,
    Dense,
    Design,
    FixedPoint,
    IntegerFormat,
    Log2Format,
    Lookup,
    Overflow,
    Reorder,
    Requantise,
    Rounding,
    Tensor,
    Weights,
    Window,
)
from toolkit.hardware import Options
from toolkit.hardware.widths import Widths
from toolkit.hardware.workload import Parallel, work

LARGEST_UPSAMPLED = 100
"""Fewer elements has a tensor that is upsampled."""


class BySeed(Draws):
    """Numbers by a seed: formats, windows and tables that folded hardware takes."""

    limits = Limits(bias_frac=(7, 7), slope=(1, 3), scale=(1, 2), mean_bits=(8, 8))

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high, endpoint=True))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def requantise(self) -> Requantise:
        form = FixedPoint(bool(self.integer(0, 1)), self.integer(2, 10), self.integer(1, 5))
        rounding = (Rounding.HALF_UP, Rounding.HALF_UP, Rounding.FLOOR, Rounding.HALF_EVEN)[self.integer(0, 3)]
        return Requantise.to(form, rounding, Overflow.WRAP if self.chance(0.15) else Overflow.SATURATE)

    def weight_format(self) -> IntegerFormat | Log2Format:
        if self.chance(0.2):
            return IntegerFormat(self.integer(2, 6) if self.chance(0.7) else self.integer(7, 16))
        bits = self.integer(2, 5)
        return Log2Format.of(bits, self.integer(1, (1 << bits - 1) - 1))

    def weights(self, *shape: int) -> Weights:
        return random_weights(self.weight_format(), shape, self.rng, (-3, 0))

    def lookup(self, name: str, x: Tensor) -> Lookup:
        return Lookup.of(name, (x.name,), np.tanh, "tanh", x.format, FixedPoint(True, 6, 5))

    def reorder(self, name: str, x: Tensor) -> Reorder:
        """Some of the elements in any order."""
        kept = self.integer(1, x.size)
        return Reorder(name, (x.name,), self.rng.permutation(x.size)[:kept].astype(np.int64), (kept,))

    def most_padding(self, kernel: int) -> int:
        return kernel - 1

    def pool_window(self, x: Tensor) -> Window:
        rank = len(x.shape) - 1
        kernel, stride = self.each(rank, 1, 3), self.each(rank, 1, 3)
        return Window.of(kernel, stride, self.padding(kernel))


def _branch(draws: BySeed, net: Network) -> None:
    """A residual addition or a concatenation of two ways."""
    x = net.last
    way = net.put(layers.conv(draws, net.name, x, same=True))
    other = net.put(layers.conv(draws, net.name, x, same=True)) if draws.chance(0.5) else x
    if draws.chance(0.5):
        net.put(layers.add(draws, net.name, way, other))
    else:
        net.put(layers.concat(draws, net.name, other, way))


def _image_layer(draws: BySeed, net: Network) -> None:
    kind = draws.rng.choice(["conv", "pool", "element", "branch", "upsample"], p=[0.35, 0.2, 0.15, 0.2, 0.1])
    if kind == "branch":
        _branch(draws, net)
    elif kind != "upsample" or net.last.size < LARGEST_UPSAMPLED:
        name = ("clamp", "leaky", "lookup")[draws.integer(0, 2)] if kind == "element" else kind
        net.put(getattr(layers, name)(draws, net.name, net.last))


def _drawn(draws: BySeed, name: str) -> Design:
    rank = draws.integer(0, 2)
    shape = (*draws.each(rank, 3, 7), draws.integer(1, 3)) if rank else (draws.integer(2, 11),)
    net = Network(Tensor("x", shape, FixedPoint(bool(draws.integer(0, 1)), draws.integer(2, 9), 4)))
    if rank:
        for _ in range(draws.integer(1, 4)):
            _image_layer(draws, net)
        net.put(layers.reorder(draws, net.name, net.last) if draws.chance(0.3) else layers.flat(net.name, net.last))
    for _ in range(draws.integer(1, 3)):
        net.put(layers.dense(draws, net.name, net.last))
    if draws.chance(0.3) and net.last.size > 1:
        net.put(layers.argmax(net.name, net.last))
    return net.design(name)


def _folded(draws: BySeed, design: Design) -> Options:
    """A random way to fold a design: lanes of each layer that multiplies, and the taps that each takes in a cycle, some
    layers left unrolled, one at least not; the elements a cycle of some streams, else as many as keep up."""
    works = {layer.name: work(layer, design.inputs_of(layer), design.tensors[layer.name]) for layer in design.layers}
    weighted = [layer for layer in design.layers if isinstance(layer, Dense | Conv)]
    lanes = {layer.name: works[layer.name].whole(min(draws.integer(1, 6), works[layer.name].most_lanes))
             for layer in weighted}
    lanes |= {layer.name: 0 for layer in weighted if draws.chance(0.3 if isinstance(layer, Dense) else 0.2)
              and (isinstance(layer, Dense) or Widths(design, works).allowed(
                  layer, Parallel(0, 1, len(layer.weights.codes))))}
    if weighted and not any(lanes.values()):
        lanes[next((layer for layer in weighted if isinstance(layer, Dense)), weighted[0]).name] = 1
    simd = {layer.name: draws.integer(1, min(works[layer.name].most_simd, draws.integer(4, 30))) for layer in weighted
            if draws.chance(0.5)}
    widths, stream = Widths(design, works), {}
    for layer in design.layers:
        pe = lanes.get(layer.name, 1)
        able = [n for n in range(1, design.tensors[layer.name].shape[-1] + 1)
                if widths.allowed(layer, Parallel(pe, simd.get(layer.name, 1), n))]
        if pe and draws.chance(0.6):
            stream[layer.name] = able[draws.integer(0, len(able) - 1)]
    return Options(arch="folded", lanes=tuple(lanes.items()), simd=tuple(simd.items()), stream=tuple(stream.items()))


def random_gated(seed: int) -> tuple[Design, Options]:
    """A random small network in which a layer is multiplied by a gate: of the layer itself, of its mean as in a
    squeeze-and-excite block, of one channel, of one row or column; and a random way to fold it."""
    draws = BySeed(seed)
    rank = draws.integer(1, 2)
    shape = (*draws.each(rank, 2, 5), draws.integer(1, 4))
    net = Network(Tensor("x", shape, FixedPoint(bool(draws.integer(0, 1)), draws.integer(2, 9), 4)))
    value = net.put(layers.conv(draws, net.name, net.last, same=True)) if draws.chance(0.5) else net.last
    kept = tuple(n if draws.chance(0.4) else 1 for n in value.shape[:-1]) if draws.chance(0.7) else value.shape[:-1]
    window = Window.of(tuple(n // m for n, m in zip(value.shape[:-1], kept, strict=True)))
    net.put(layers.avg_pool(draws, net.name, value, Window.of(window.kernel, window.kernel)))
    deep = net.last.shape[-1] if draws.chance(0.6) else 1
    weights = draws.weights(deep, *(1,) * rank, net.last.shape[-1])
    net.put(Conv(net.name, (net.last.name,), weights, draws.bias(deep), 7, Window.of((1,) * rank), 1,
                 draws.requantise()))
    if draws.chance(0.4):
        net.put(layers.lookup(draws, net.name, net.last))
    product = net.put(layers.multiply(draws, net.name, value, net.last))
    if draws.chance(0.3):
        net.put(layers.multiply(draws, net.name, product, product))
    if draws.chance(0.6):
        net.put(layers.conv(draws, net.name, net.last))
    design = net.design(f"gated_{seed}")
    return design, _folded(draws, design)


def random_elements(seed: int) -> tuple[Design, Options]:
    """A random small network of functions of elements: slopes, tables and clamps of a layer, the larger or the smaller
    of two of them; and a random way to fold it."""
    draws = BySeed(seed)
    rank = draws.integer(0, 2)
    shape = (*draws.each(rank, 1, 5), draws.integer(1, 5))
    net = Network(Tensor("x", shape, FixedPoint(bool(draws.integer(0, 1)), draws.integer(2, 9), draws.integer(0, 6))))
    for _ in range(draws.integer(1, 2)):
        before = net.last
        ways = [net.put(getattr(layers, ("slopes", "slopes", "leaky", "clamp", "lookup")[draws.integer(0, 4)])(
            draws, net.name, before)) for _ in range(draws.integer(1, 3))]
        if len(ways) > 1:
            net.put(layers.extremum(draws, net.name, *ways))
    if rank:
        net.put(layers.flat(net.name, net.last))
    net.put(layers.dense(draws, net.name, net.last))
    if draws.chance(0.5):
        net.put(layers.slopes(draws, net.name, net.last))
    design = net.design(f"elements_{seed}")
    return design, _folded(draws, design)


def random_folded(seed: int) -> tuple[Design, Options]:
    """A random small network and a random way to fold it."""
    draws = BySeed(seed)
    design = _drawn(draws, f"random_{seed}")
    return design, _folded(draws, design)
