"""Random networks of every layer that has folded hardware."""

from __future__ import annotations

import numpy as np

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
    IntegerFormat,
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
    Tensor,
    Upsample,
    Weights,
    Window,
)
from toolkit.hardware import Options
from toolkit.hardware.workload import work


class Maker:
    """Adds layers one after the other; `shape` and `form` are those of the last one."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.layers: list[Layer] = []
        self.input: Tensor | None = None
        self.last = Tensor("x", (1,), FixedPoint(True, 8, 4))

    def start(self, shape: tuple[int, ...]) -> None:
        signed = bool(self.rng.integers(2))
        self.input = self.last = Tensor("x", shape, FixedPoint(signed, int(self.rng.integers(2, 10)), 4))

    def put(self, layer: Layer, *inputs: Tensor) -> Tensor:
        self.layers.append(layer)
        self.last = layer.output(list(inputs or (self.last,)))
        return self.last

    def name(self) -> str:
        return f"l{len(self.layers)}"

    def requantise(self, least: int = 2) -> Requantise:
        r = self.rng
        form = FixedPoint(bool(r.integers(2)), int(r.integers(least, 11)), int(r.integers(1, 6)))
        rounding = (Rounding.HALF_UP, Rounding.HALF_UP, Rounding.FLOOR, Rounding.HALF_EVEN)[r.integers(4)]
        return Requantise.to(form, rounding, Overflow.WRAP if r.random() < 0.15 else Overflow.SATURATE)

    def weights(self, shape: tuple[int, ...]) -> Weights:
        r = self.rng
        if r.random() < 0.2:
            form = IntegerFormat(int(r.integers(2, 7) if r.random() < 0.7 else r.integers(7, 17)))
            codes = form.encode(r.integers(-(1 << form.bits - 1), 1 << form.bits - 1, shape))
        else:
            bits = int(r.integers(2, 6))
            form = Log2Format.of(bits, int(r.integers(1, 1 << bits - 1)))
            codes = form.encode(r.choice([-1, 1], shape), r.integers(0, form.levels + 1, shape))
        return Weights(form, codes, r.integers(-3, 1, shape[0]))

    def bias(self, count: int) -> np.ndarray:
        return self.rng.integers(-300, 300, count)

    def conv(self, source: Tensor | None = None, same: bool = False, channels: int | None = None) -> Tensor:
        r, x = self.rng, source or self.last
        rank = len(x.shape) - 1
        groups = int(r.choice([g for g in range(1, x.shape[-1] + 1) if x.shape[-1] % g == 0]))
        channels = channels or groups * int(r.integers(1, 4))
        groups = groups if channels % groups == 0 else 1
        kernel = tuple(int(2 * r.integers(0, 2) + 1) if same else int(r.integers(1, 4)) for _ in range(rank))
        dilation = tuple(1 if same else int(r.integers(1, 3)) for _ in range(rank))
        padding = tuple((k // 2, k // 2) if same else (int(r.integers(0, k)), int(r.integers(0, k))) for k in kernel)
        stride = (1,) * rank if same else tuple(int(v) for v in r.integers(1, 4, rank))
        window = Window(kernel, stride, padding, dilation)
        if window.problem(x.shape):
            window = Window.of((1,) * rank)
        codes = self.weights((channels, *window.kernel, x.shape[-1] // groups))
        return self.put(Conv(self.name(), (x.name,), codes, self.bias(channels), 7, window, groups,
                             self.requantise()), x)

    def pool(self) -> None:
        r, x = self.rng, self.last
        rank = len(x.shape) - 1
        kernel = tuple(int(v) for v in r.integers(1, 4, rank))
        window = Window.of(kernel, tuple(int(v) for v in r.integers(1, 4, rank)),
                           tuple((int(r.integers(0, k)), int(r.integers(0, k))) for k in kernel))
        if window.problem(x.shape):
            return
        if r.random() < 0.5:
            self.put(MaxPool(self.name(), (x.name,), window))
        else:
            self.put(AvgPool(self.name(), (x.name,), window, *AvgPool.constant(window.positions, 8),
                             self.requantise()))

    def element(self) -> None:
        r, x = self.rng, self.last
        kind = r.integers(3)
        if kind == 0:
            self.put(Clamp(self.name(), (x.name,), self.requantise()))
        elif kind == 1:
            self.put(Leaky(self.name(), (x.name,), int(r.integers(1, 4)), self.requantise()))
        elif x.format.width <= 10:
            self.put(Lookup.of(self.name(), (x.name,), np.tanh, "tanh", x.format, FixedPoint(True, 6, 5)))

    def branch(self) -> None:
        """A residual addition or a concatenation of two ways."""
        r, x = self.rng, self.last
        way = self.conv(x, same=True, channels=x.shape[-1])
        other = self.conv(x, same=True, channels=x.shape[-1]) if r.random() < 0.5 else x
        if r.random() < 0.5:
            self.put(Add(self.name(), (way.name, other.name), self.requantise()), way, other)
        else:
            axis = int(r.integers(len(x.shape)))
            self.put(Concat(self.name(), (other.name, way.name), axis), other, way)

    def upsample(self) -> None:
        x = self.last
        if x.size < 100:
            self.put(Upsample(self.name(), (x.name,), tuple(int(v) for v in self.rng.integers(1, 3, len(x.shape) - 1))))

    def dense(self) -> None:
        x, outputs = self.last, int(self.rng.integers(1, 9))
        self.put(Dense(self.name(), (x.name,), self.weights((outputs, x.size)), self.bias(outputs), 7,
                       self.requantise()))


def network(seed: int) -> tuple[Design, Options]:
    """A random small network and a random way to fold it."""
    m = Maker(seed)
    r = m.rng
    rank = int(r.integers(0, 3))
    if rank == 0:
        m.start((int(r.integers(2, 12)),))
    else:
        m.start((*(int(v) for v in r.integers(3, 8, rank)), int(r.integers(1, 4))))
        for _ in range(int(r.integers(1, 5))):
            (m.conv, m.pool, m.element, m.branch, m.upsample)[r.choice(5, p=[0.35, 0.2, 0.15, 0.2, 0.1])]()
        if r.random() < 0.3:
            kept = int(r.integers(1, m.last.size + 1))
            m.put(Reorder(m.name(), (m.last.name,), r.permutation(m.last.size)[:kept].astype(np.int64), (kept,)))
        else:
            m.put(Reshape(m.name(), (m.last.name,), (m.last.size,)))
    for _ in range(int(r.integers(1, 4))):
        m.dense()
    if r.random() < 0.3 and m.last.size > 1:
        m.put(ArgMax(m.name(), (m.last.name,)))
    assert m.input is not None
    design = Design(f"random_{seed}", m.input, tuple(m.layers))
    most = {layer.name: work(layer, design.inputs_of(layer), design.tensors[layer.name]).most_lanes
            for layer in design.layers}
    lanes = [(layer.name, min(int(r.integers(1, 7)), most[layer.name])) for layer in design.layers
             if isinstance(layer, Dense | Conv)]
    lanes += [(layer.name, 0) for layer in design.layers if isinstance(layer, Dense) and r.random() < 0.3]
    if all(dict(lanes)[name] == 0 for name in dict(lanes)):
        lanes.append((next(layer.name for layer in design.layers if isinstance(layer, Dense)), 1))
    return design, Options(arch="folded", lanes=tuple(lanes))
