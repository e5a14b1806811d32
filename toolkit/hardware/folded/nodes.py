"""From a layer to its folded hardware. A new layer is one function here and one line in the table."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from toolkit.design.layers import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Dense,
    Extremum,
    Layer,
    LayerRange,
    MaxPool,
    Multiply,
    Reorder,
    Upsample,
)
from toolkit.design.tensors import Interval, Tensor
from toolkit.design.transposes import transpose_of
from toolkit.hardware.folded.accumulators import Accumulators
from toolkit.hardware.folded.lanes import lanes as weights_of
from toolkit.hardware.folded.line_buffer import LineBuffer, Loop, kernel_loops, merged, whole, windows
from toolkit.hardware.folded.node import Node
from toolkit.hardware.layers import PLANNERS
from toolkit.hardware.options import Options

MAX_BUFFER = 1 << 24
"""Elements of one layer's buffer."""


def unrolled(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, intervals: list[Interval],
         options: Options) -> Node:
    """One layer unrolled between layers that are folded: it collects a sample, and hands its results on one by one."""
    if not isinstance(layer, Dense):
        raise layer.fail("only dense layers can be unrolled in a network of folded ones; give it 1 lane or more")
    return Node(layer, "unrolled", tuple(inputs), output, found,
                datapath=PLANNERS[layer.kind](layer, inputs, intervals, found, options))


def node(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, lanes: int) -> Node:
    """The folded hardware of one layer on `lanes` lanes."""
    maker = MAKERS.get(layer.kind)
    if maker is None:
        raise layer.fail("it has no folded hardware; give it --arch unrolled")
    made = maker(layer, inputs, output, found, lanes)
    for one in (made, *filter(None, made.repeats)):
        if one.line_buffer and one.line_buffer.depth > MAX_BUFFER:
            raise layer.fail(f"its line buffer would hold {one.line_buffer.depth:,} elements; {MAX_BUFFER:,} is the "
                             "most supported")
    return made


def _mac(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, lanes: int) -> Node:
    assert isinstance(layer, Dense | Conv)
    x = inputs[0]
    made = weights_of(layer, x, found, output, lanes)
    folds = Loop("fold", made.folds, 0)
    if isinstance(layer, Conv):
        own = x.shape[-1] // layer.groups
        inner = [Loop("group", layer.groups, own), folds, *kernel_loops(layer.window, x), Loop("tap", own, 1)]
        line_buffer: LineBuffer = windows(layer.window, x, inner)
        outputs, groups, places = len(layer.weights.codes) // layer.groups, layer.groups, layer.window.positions
        once = layer.window.stride == (1,) * layer.window.rank and places == 1 and line_buffer.height is None
    else:
        line_buffer = whole(x.size, [folds, Loop("tap", x.size, 1)])
        outputs, groups, once = len(layer.weights.codes), 1, True
    counts = np.full(made.folds, made.count)
    counts[-1] = outputs - (made.folds - 1) * made.count
    rounds = output.size // (outputs * groups)
    # Where every element is read just once and in its order, nothing has to be kept.
    direct = once and made.folds == 1 and groups == 1
    return Node(layer, "mac", (x,), output, found, None if direct else line_buffer, made,
                sequence=(np.tile(counts, groups * rounds),))


def _pool(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, lanes: int) -> Node:
    assert isinstance(layer, MaxPool | AvgPool)
    x = inputs[0]
    accumulators = Accumulators.of(layer, x)
    if accumulators:
        return Node(layer, "accumulate", (x,), output, found, accumulators=accumulators)
    inner = [Loop("channel", x.shape[-1], 1), *kernel_loops(layer.window, x)]
    return Node(layer, "pool", (x,), output, found, windows(layer.window, x, inner))


def _upsample(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, lanes: int) -> Node:
    assert isinstance(layer, Upsample)
    x = inputs[0]
    channels = x.shape[-1]
    height, width = (*x.shape[:-1], 1)[:2]
    down, right = (*layer.scale, 1)[:2]
    row = width * channels
    loops = [Loop("oy", height, row, keep=row), Loop("again", down, 0), Loop("ox", width, channels),
             Loop("repeat", right, 0), Loop("channel", channels, 1)]
    return Node(layer, "gather", (x,), output, found, LineBuffer(merged(loops), x.size, min(2, 2 * height) * row))


def _map(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, lanes: int) -> Node:
    return Node(layer, "map", tuple(inputs), output, found)


def _argmax(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, lanes: int) -> Node:
    return Node(layer, "argmax", tuple(inputs), output, found)


def _wires(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, lanes: int) -> Node:
    return Node(layer, "wires", tuple(inputs), output, found)


def _add(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, lanes: int) -> Node:
    assert isinstance(layer, Add | Extremum)
    return Node(layer, "add", tuple(inputs), output, found)


def _multiply(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, lanes: int) -> Node:
    assert isinstance(layer, Multiply)
    repeats = [None if t.shape == output.shape else Node(layer, "gather", (t,), Tensor(t.name, output.shape, t.format),
                                                         found, _repeated(t.shape, output.shape)) for t in inputs]
    return Node(layer, "multiply", tuple(inputs), output, found, repeats=tuple(repeats) if any(repeats) else ())


def _repeated(shape: tuple[int, ...], output: tuple[int, ...]) -> LineBuffer:
    """A walk over a tensor of `shape` that repeats it along the axes that are longer in `output`. What lies outside the
    first of those is kept for as long as it is repeated."""
    strides = np.cumprod([1, *shape[:0:-1]])[::-1].tolist()
    first = next(i for i, (n, m) in enumerate(zip(shape, output, strict=True)) if n != m)
    block = int(np.prod(shape[first:]))
    loops = [Loop(f"axis{i}", m, stride if n == m else 0, keep=stride if i < first else 0)
             for i, (n, m, stride) in enumerate(zip(shape, output, strides, strict=True))]
    return LineBuffer(merged(loops), int(np.prod(shape)), 2 * block)


def _concat(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, lanes: int) -> Node:
    assert isinstance(layer, Concat)
    blocks = [int(np.prod(t.shape[layer.axis:])) for t in inputs]
    order = np.tile(np.repeat(np.arange(len(inputs)), blocks), output.size // sum(blocks))
    return Node(layer, "concat", tuple(inputs), output, found, sequence=(order,))


def _reorder(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, lanes: int) -> Node:
    assert isinstance(layer, Reorder)
    size = inputs[0].size
    turn = transpose_of(layer.index) if len(layer.index) == size > 1 else None
    if turn is None:
        line_buffer = LineBuffer((Loop("element", output.size, 0),), size, 2 * size, table=layer.index)
    else:
        shape, axes = turn
        steps = [prod(shape[a + 1:]) for a in axes]
        # Where the slowest axis stays the slowest, what was read of it once is not read again.
        stays = axes[0] == 0
        loops = [Loop(f"axis{i}", shape[a], step, keep=step if stays and not i else 0)
                 for i, (a, step) in enumerate(zip(axes, steps, strict=True))]
        line_buffer = LineBuffer(merged(loops), size, 2 * (steps[0] if stays else size))
    return Node(layer, "gather", tuple(inputs), output, found, line_buffer)


MAKERS: dict[str, Callable[[Layer, list[Tensor], Tensor, LayerRange, int], Node]] = {
    "dense": _mac, "conv": _mac, "maxpool": _pool, "avgpool": _pool, "upsample": _upsample, "clamp": _map,
    "leaky": _map, "slopes": _map, "extremum": _add, "lookup": _map, "argmax": _argmax,
    "reshape": _wires, "add": _add, "multiply": _multiply,
    "concat": _concat, "reorder": _reorder,
}
