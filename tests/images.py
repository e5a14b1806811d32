"""Random designs over images: every layer that reads a window or moves pixels, and every one beside them."""

from __future__ import annotations

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
    Window,
)

MOST = 200
"""Elements of a tensor."""


@st.composite
def windows(draw, shape: tuple[int, ...]) -> Window | None:
    """A window over an image of `shape` with any stride, dilation and padding; None where what was drawn does not
    fit."""
    rank = len(shape) - 1

    def each(least: int, most: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(least, most)) for _ in range(rank))

    pads = tuple(zip(each(0, 2), each(0, 2), strict=True))
    window = Window(each(1, 3), each(1, 3), pads, each(1, 2))
    return None if window.problem(shape) else window


@st.composite
def image_designs(draw, name: str = "image", deepest: int = 5) -> Design:
    """One to `deepest` layers over a small image of one or two dimensions, then perhaps a Dense and an ArgMax."""
    rank = draw(st.integers(1, 2))
    shape = (*(draw(st.integers(1, 6)) for _ in range(rank)), draw(st.integers(1, 4)))
    source = Tensor("x", shape, draw(formats(8)))
    layers: list[Layer] = []

    def tensors() -> dict[str, Tensor]:
        return Design(name, source, tuple(layers)).tensors if layers else {"x": source}

    for i in range(draw(st.integers(1, deepest))):
        known = tensors()
        latest = list(known)[-1]
        made = draw(_layer(f"l{i}", known[latest], [t for t in known.values() if t.name != latest]))
        if made is not None:
            layers.append(made)
    x = list(tensors().values())[-1]
    if not layers or draw(st.booleans()):
        layers.append(Reshape("flat", (x.name,), (x.size,)))
        layers.append(Dense("fc", ("flat",), draw(weights(3, x.size)), np.array([5, -70, 300]), 4,
                            draw(requantisations())))
        if draw(st.booleans()):
            layers.append(ArgMax("class", ("fc",)))
    return Design(name, source, tuple(layers))


@st.composite
def _layer(draw, name: str, x: Tensor, others: list[Tensor]) -> Layer | None:
    kind = draw(st.sampled_from(["conv", "conv", "max", "avg", "up", "leaky", "lookup", "clamp", "reorder", "reshape",
                                 "concat", "add"]))
    spatial, deep = x.shape[:-1], x.shape[-1]
    image = len(x.shape) in (2, 3)
    window = draw(windows(x.shape)) if image else None
    if kind == "conv" and window is not None:
        groups = draw(st.sampled_from([g for g in range(1, deep + 1) if deep % g == 0]))
        out = groups * draw(st.integers(1, 3))
        flat = draw(weights(out, window.positions * deep // groups))
        shaped = Weights(flat.format, flat.codes.reshape(out, *window.kernel, deep // groups), flat.exponents)
        bias = np.array(draw(st.lists(st.integers(-300, 300), min_size=out, max_size=out)), np.int64)
        return Conv(name, (x.name,), shaped, bias, draw(st.integers(0, 9)), window, groups, draw(requantisations()))
    if kind == "max" and window is not None:
        return MaxPool(name, (x.name,), window)
    if kind == "avg" and window is not None:
        return AvgPool(name, (x.name,), window, *AvgPool.constant(window.positions, draw(st.integers(3, 16))),
                       draw(requantisations()))
    if kind == "up" and image:
        scale = tuple(draw(st.integers(1, 3)) for _ in spatial)
        return Upsample(name, (x.name,), scale) if x.size * int(np.prod(scale)) <= MOST else None
    if kind == "leaky":
        return Leaky(name, (x.name,), draw(st.integers(0, 5)), draw(requantisations()))
    if kind == "lookup" and x.format.width <= 10:
        form = draw(formats())
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        return Lookup(name, (x.name,), rng.integers(form.min_code, form.max_code, 1 << x.format.width, endpoint=True),
                      form)
    if kind == "clamp":
        return Clamp(name, (x.name,), draw(requantisations()))
    if kind == "reorder":
        rng = np.random.default_rng(draw(st.integers(0, 99)))
        return Reorder(name, (x.name,), rng.integers(0, x.size, x.size), x.shape)
    if kind == "reshape":
        return Reshape(name, (x.name,), (x.size // deep, deep))
    same = [t for t in others if t.shape == x.shape]
    if kind == "add" and same:
        return Add(name, (x.name, *(t.name for t in same[:2])), draw(requantisations()))
    joinable = [t for t in others if t.shape == x.shape and t.size <= MOST // 2]
    if kind == "concat" and joinable:
        return Concat(name, (joinable[-1].name, x.name), draw(st.integers(0, len(x.shape) - 1)))
    return None


def corners(design: Design, count: int, seed: int = 0) -> np.ndarray:
    """int64 (count, *shape): random codes, and from the fourth part on mostly the two ends of the format."""
    rng = np.random.default_rng(seed)
    form: FixedPoint = design.input.format
    drawn = rng.integers(form.min_code, form.max_code, (count, *design.input.shape), endpoint=True)
    ends = rng.choice([form.min_code, form.max_code], drawn.shape)
    drawn[count // 4:] = np.where(rng.random(drawn.shape) < 0.8, ends, drawn)[count // 4:]
    return drawn


