"""From a layer to its folded hardware. A new layer is one function here and one line in the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np

from toolkit.design.layers import (
    AvgPool,
    Concat,
    Conv,
    Dense,
    Layer,
    LayerRange,
    MaxPool,
    Multiply,
    Reorder,
    Upsample,
)
from toolkit.design.tensors import Interval, Tensor
from toolkit.design.transposes import transpose_of
from toolkit.design.windows import Window
from toolkit.hardware.folded.accumulators import Accumulators
from toolkit.hardware.folded.lanes import lanes as weights_of
from toolkit.hardware.folded.line_buffer import LineBuffer, Loop, kernel_loops, merged, whole, windows
from toolkit.hardware.folded.node import Node
from toolkit.hardware.layers import PLANNERS
from toolkit.hardware.layers.conv import of_window
from toolkit.hardware.options import Options
from toolkit.hardware.rows import Rows
from toolkit.hardware.words import Words
from toolkit.hardware.workload import Parallel, work

MAX_BUFFER = 1 << 24
"""Elements of one layer's buffer."""


def unrolled(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, intervals: list[Interval],
             options: Options) -> Node:
    """One layer unrolled between layers that are folded. A dense layer collects a sample, and hands its results on one
    by one; a convolution takes a window a cycle, and gives a pixel."""
    if isinstance(layer, Conv):
        x, channels = inputs[0], inputs[0].shape[-1]
        made = of_window(layer, x, intervals[0], found, options)
        if not made.stages:
            raise layer.fail("its outputs are the same whatever comes in; give it 1 lane or more")
        window = _window(layer, x, found)
        reads = window.gives if window else Words(x.shape, channels)
        return Node(layer, "pixel", (x,), output, found, (reads,), Words(output.shape, output.shape[-1]),
                    datapath=made, before=((window,),) if window else ())
    if not isinstance(layer, Dense):
        raise layer.fail("only dense layers and convolutions can be unrolled in a network of folded ones; give it 1 "
                         "lane or more")
    return Node(layer, "unrolled", tuple(inputs), output, found, _reads(inputs, 1), Words(output.shape),
                datapath=PLANNERS[layer.kind](layer, inputs, intervals, found, options))


def node(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, parallel: Parallel) -> Node:
    """The folded hardware of one layer, so much of it at once."""
    maker = MAKERS.get(layer.kind)
    if maker is None:
        raise layer.fail("it has no folded hardware; give it --arch unrolled")
    made = maker(layer, inputs, output, found, parallel)
    for one in (made, *(n for chain in made.before for n in chain)):
        if one.line_buffer and one.line_buffer.depth * one.reads[0].elements > MAX_BUFFER:
            raise layer.fail(f"its line buffer would hold {one.line_buffer.depth * one.reads[0].elements:,} elements; "
                             f"{MAX_BUFFER:,} is the most supported")
    return made


def joined(made: Node, streams: list[Words]) -> Node:
    """A node whose inputs come in the words of `streams`, with what turns them into the words that it reads."""
    if made.kind == "wires":
        return replace(made, reads=tuple(streams), gives=Words(made.output.shape, streams[0].elements))
    before = []
    for port, words in enumerate(streams):
        chain = made.chain(port)
        wanted = chain[0].reads[0] if chain else made.reads[port]
        before.append((*_conversions(made, port, words, wanted.elements), *chain))
    return replace(made, before=tuple(before) if any(before) else ())


def _conversions(of: Node, port: int, words: Words, elements: int) -> list[Node]:
    """What turns a stream of `words` on its way to an input of a node into words of so many elements."""
    found = []
    x = Tensor(of.inputs[port].name, words.shape, of.inputs[port].format)
    for after in words.conversions(elements):
        narrow = after.elements < words.elements
        parts = words.parts(after) if narrow else after.parts(words)
        found.append(Node(of.layer, "narrow" if narrow else "widen", (x,), x, of.found, (words,), after,
                          sequence=(parts,)))
        words = after
    return found


def _window(layer: Conv, x: Tensor, found: LayerRange, ahead: bool = False) -> Node | None:
    """What makes a word of each window; None where a window is a pixel."""
    if layer.window.same_pixels(x.shape):
        return None
    size = layer.window.positions * x.shape[-1]
    words = Words((*layer.window.output(x.shape), size), size)
    return Node(layer, "window", (x,), Tensor(x.name, words.shape, x.format), found, (Words(x.shape, x.shape[-1]),),
                words, rows=Rows.of(layer.window, x.shape, ahead))


def _reads(inputs: list[Tensor], elements: int) -> tuple[Words, ...]:
    return tuple(Words(x.shape, elements) for x in inputs)


def _mac(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, parallel: Parallel) -> Node:
    assert isinstance(layer, Dense | Conv)
    x = inputs[0]
    made = weights_of(layer, x, found, output, parallel)
    words = Words(x.shape, made.across or parallel.simd)
    gives = Words(output.shape, parallel.elements)
    channels = len(layer.weights.codes)
    before: tuple[Node, ...] = ()
    if isinstance(layer, Conv) and work(layer, inputs, output).windowed(parallel.simd):
        window = _window(layer, x, found, ahead=True)
        assert window is not None  # of a single pixel no more taps can be taken than it has channels
        conversions = _conversions(window, 0, window.gives, parallel.simd)
        before, words = (window, *conversions), window.gives.to(parallel.simd)
        groups, once = 1, True
        line_buffer = windows(Window.of((1,) * layer.window.rank), words.as_shape,
                              [Loop("fold", made.folds, 0), Loop("tap", words.row, 1)])
    elif isinstance(layer, Conv):
        groups = 1 if made.across else layer.groups
        if made.across:
            inner = [Loop("fold", made.folds, 1), *kernel_loops(layer.window, words.as_shape)]
        else:
            own = words.row // groups
            inner = [Loop("group", groups, own), Loop("fold", made.folds, 0),
                     *kernel_loops(layer.window, words.as_shape), Loop("tap", own, 1)]
        line_buffer = windows(layer.window, words.as_shape, inner)
        once = layer.window.same_pixels(x.shape)
    else:
        groups, once = 1, True
        line_buffer = whole(words.count, [Loop("fold", made.folds, 0), Loop("tap", words.count, 1)])
    outputs = channels // groups
    counts = np.full(made.folds, made.count)
    counts[-1] = outputs - (made.folds - 1) * made.count
    # Where every word is read just once and in its order, nothing has to be kept.
    direct = once and groups == 1 and (made.folds == 1 or made.across > 0)
    return Node(layer, "mac", (x,), output, found, (words,), gives, None if direct else line_buffer, made,
                sequence=(np.tile(-(-counts // parallel.elements), groups * (output.size // channels)),),
                before=(before,) if before else ())


def _pool(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, parallel: Parallel) -> Node:
    assert isinstance(layer, MaxPool | AvgPool)
    x, words, gives = inputs[0], Words(inputs[0].shape, parallel.elements), Words(output.shape, parallel.elements)
    accumulators = Accumulators.of(layer, x, words)
    if accumulators:
        return Node(layer, "accumulate", (x,), output, found, (words,), gives, accumulators=accumulators)
    inner = [Loop("channel", words.row, 1), *kernel_loops(layer.window, words.as_shape)]
    return Node(layer, "pool", (x,), output, found, (words,), gives, windows(layer.window, words.as_shape, inner))


def _upsample(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, parallel: Parallel) -> Node:
    assert isinstance(layer, Upsample)
    x, words = inputs[0], Words(inputs[0].shape, parallel.elements)
    channels = words.row
    height, width = (*x.shape[:-1], 1)[:2]
    down, right = (*layer.scale, 1)[:2]
    row = width * channels
    loops = [Loop("oy", height, row, keep=row), Loop("again", down, 0), Loop("ox", width, channels),
             Loop("repeat", right, 0), Loop("channel", channels, 1)]
    return Node(layer, "gather", (x,), output, found, (words,), Words(output.shape, parallel.elements),
                LineBuffer(merged(loops), words.count, min(2, 2 * height) * row))


def _each(kind: str) -> Maker:
    """A layer that takes its inputs element by element."""
    def make(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, parallel: Parallel) -> Node:
        return Node(layer, kind, tuple(inputs), output, found, _reads(inputs, parallel.elements),
                    Words(output.shape, parallel.elements))
    return make


def _multiply(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, parallel: Parallel) -> Node:
    assert isinstance(layer, Multiply)
    reads, gives = _reads(inputs, parallel.elements), Words(output.shape, parallel.elements)
    repeats = tuple(() if t.shape == output.shape else (Node(
        layer, "gather", (t,), Tensor(t.name, output.shape, t.format), found, (words,), gives,
        _repeated(words.as_shape, gives.as_shape)),) for t, words in zip(inputs, reads, strict=True))
    return Node(layer, "multiply", tuple(inputs), output, found, tuple(gives if r else w for r, w in
                                                                       zip(repeats, reads, strict=True)),
                gives, before=repeats if any(repeats) else ())


def _repeated(shape: tuple[int, ...], output: tuple[int, ...]) -> LineBuffer:
    """A walk over a tensor of `shape` that repeats it along the axes that are longer in `output`. What lies outside the
    first of those is kept for as long as it is repeated."""
    strides = np.cumprod([1, *shape[:0:-1]])[::-1].tolist()
    first = next(i for i, (n, m) in enumerate(zip(shape, output, strict=True)) if n != m)
    block = int(np.prod(shape[first:]))
    loops = [Loop(f"axis{i}", m, stride if n == m else 0, keep=stride if i < first else 0)
             for i, (n, m, stride) in enumerate(zip(shape, output, strides, strict=True))]
    return LineBuffer(merged(loops), int(np.prod(shape)), 2 * block)


def _concat(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, parallel: Parallel) -> Node:
    assert isinstance(layer, Concat)
    reads, gives = _reads(inputs, parallel.elements), Words(output.shape, parallel.elements)
    blocks = [prod(words.as_shape[layer.axis:]) for words in reads]
    order = np.tile(np.repeat(np.arange(len(inputs)), blocks), gives.count // sum(blocks))
    return Node(layer, "concat", tuple(inputs), output, found, reads, gives, sequence=(order,))


def _reorder(layer: Layer, inputs: list[Tensor], output: Tensor, found: LayerRange, parallel: Parallel) -> Node:
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
    return Node(layer, "gather", tuple(inputs), output, found, _reads(inputs, 1), Words(output.shape), line_buffer)


Maker = Callable[[Layer, list[Tensor], Tensor, LayerRange, Parallel], Node]
MAKERS: dict[str, Maker] = {
    "dense": _mac, "conv": _mac, "maxpool": _pool, "avgpool": _pool, "upsample": _upsample, "clamp": _each("map"),
    "leaky": _each("map"), "slopes": _each("map"), "extremum": _each("add"), "lookup": _each("map"),
    "argmax": _each("argmax"), "reshape": _each("wires"), "add": _each("add"), "multiply": _multiply,
    "concat": _concat, "reorder": _reorder,
}
