"""Operations over images (batch, channels, [height,] width): convolutions, pools, resizing."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import fx, nn

from toolkit.capture.affine import affine
from toolkit.capture.builder import Builder, Handler, argument, module_of
from toolkit.capture.faults import Fault, Refused
from toolkit.capture.means import AvgPool1d
from toolkit.capture.transposed import ConvTranspose, turned
from toolkit.utils.limits import MAX_VALUE

CONVS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d}
MAX_POOLS: dict[int, Any] = {1: nn.MaxPool1d, 2: nn.MaxPool2d}
AVG_POOLS: dict[int, Any] = {1: AvgPool1d, 2: nn.AvgPool2d}
PADS: dict[int, Any] = {1: nn.ZeroPad1d, 2: nn.ZeroPad2d}


def _axes(b: Builder, node: fx.Node, rank: int) -> tuple[int, ...]:
    """The spatial sizes of what `node` reads."""
    shape = b.shape(node.args[0])
    if rank not in (1, 2) or len(shape) != rank + 1 or not all(isinstance(n, int) for n in shape):
        raise b.refuse(node, f"it takes (batch, channels, length) or (batch, channels, height, width), not a sample of "
                             f"shape {shape}; reshape what it reads")
    return shape[1:]


def _each(value: Any, rank: int) -> tuple[int, ...]:
    """An option as one number an axis."""
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return numbers * rank if len(numbers) == 1 else numbers


def _conv(b: Builder, node: fx.Node, name: str) -> None:
    weight = b.parameter(node.args[1], node)
    assert weight is not None
    rank = weight.ndim - 2
    _axes(b, node, rank)
    options: Any = node.args[3:9]
    if name == "convolution":
        stride, padding, dilation, transposed, _, groups = options
        if transposed:
            _transpose(b, node, weight, stride, padding, options[4], groups, dilation)
            return
    else:
        stride, padding, dilation, groups = (argument(node, i, key, default) for i, key, default in (
            (3, "stride", 1), (4, "padding", 0), (5, "dilation", 1), (6, "groups", 1)))
    dilation = _each(dilation, rank)
    source = b.value(node.args[0], node)
    if isinstance(padding, str):
        totals = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if any(t % 2 for t in totals):
            b.module(node, PADS[rank]([n for t in reversed(totals) for n in (t // 2, t - t // 2)]), source)
            source, totals = b.env[node], [0] * rank
        padding = [t // 2 for t in totals]
    layer: Any = CONVS[rank](weight.shape[1] * groups, weight.shape[0], tuple(weight.shape[2:]), _each(stride, rank),
                             _each(padding, rank), dilation, groups)
    offset = b.parameter(argument(node, 2, "bias"), node)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(torch.zeros(()) if offset is None else offset)
    b.module(node, layer, source)


def _conv_transpose(b: Builder, node: fx.Node, name: str) -> None:
    weight = b.parameter(node.args[1], node)
    assert weight is not None
    _transpose(b, node, weight, *(argument(node, i, key, default) for i, key, default in (
        (3, "stride", 1), (4, "padding", 0), (5, "output_padding", 0), (6, "groups", 1), (7, "dilation", 1))))


def _transpose(b: Builder, node: fx.Node, weight: torch.Tensor, stride: Any, padding: Any, extra: Any, groups: int,
               dilation: Any) -> None:
    """A transposed convolution; `weight` is (in, out / groups, *kernel), `extra` the output_padding."""
    rank = weight.ndim - 2
    sizes = _axes(b, node, rank)
    stride, padding, extra, dilation = (_each(option, rank) for option in (stride, padding, extra, dilation))
    rows = turned(weight, groups)
    full = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(sizes, stride, dilation, rows.shape[2:], strict=True)]
    # As a convolution it has the kernels of s phases an axis, each as long as the taps lie apart.
    longest = [s + d * (k - 1) for s, d, k in zip(stride, dilation, rows.shape[2:], strict=True)]
    if max(len(rows) * prod(full), rows.shape[0] * rows.shape[1] * prod(longest)) > 4 * MAX_VALUE:
        raise b.refuse(node, f"its full output of {tuple(full)} pixels, or its kernel, is larger than what is "
                             f"supported ({4 * MAX_VALUE:,} elements); use a smaller stride, dilation or padding")
    crop = tuple((p, p - e) for p, e in zip(padding, extra, strict=True))
    layer = ConvTranspose(weight.shape[0], len(rows), tuple(rows.shape[2:]), stride, crop, dilation, groups)
    offset = b.parameter(argument(node, 2, "bias"), node)
    with torch.no_grad():
        layer.weight.copy_(rows)
        layer.bias.copy_(torch.zeros(()) if offset is None else offset)
    b.module(node, layer, b.value(node.args[0], node))


def _pad(b: Builder, node: fx.Node, name: str) -> None:
    """Zeros around an image, which the convolution or pool that follows takes as its own padding."""
    pads = list(node.args[1])  # type: ignore[arg-type]
    mode, value = ("constant", argument(node, 2, "value", 0)) if name == "constant_pad_nd" else \
        (argument(node, 2, "mode", "constant"), argument(node, 3, "value", 0))
    if mode != "constant" or (value or 0) != 0:
        what = f"padding_mode '{mode}'" if mode != "constant" else f"padding with {value:g}"
        raise b.refuse(node, f"{what}; only zeros are supported")
    rank = len(b.shape(node.args[0])) - 1
    _axes(b, node, rank)
    if any(pads[2 * rank:]) or min(pads) < 0:
        raise b.refuse(node, "only spatial axes can be padded, and by 0 or more")
    pads = (pads + [0] * 2 * rank)[:2 * rank]
    source = b.value(node.args[0], node)
    if any(pads):
        b.module(node, PADS[rank](pads), source)
    else:
        b.same(node, source)


def check_padding(graph: fx.GraphModule) -> None:
    """Refuse zeros around an image that no convolution or pool takes as its own padding."""
    faults = []
    for node in graph.graph.nodes:
        pad = module_of(graph, node)
        if not isinstance(pad, nn.ZeroPad1d | nn.ZeroPad2d):
            continue
        takers: tuple[type, ...] = (nn.Conv1d, nn.Conv2d, nn.AvgPool1d, nn.AvgPool2d)
        if isinstance(module_of(graph, node.args[0]), nn.ReLU | nn.ReLU6):
            takers += nn.MaxPool1d, nn.MaxPool2d  # nothing is less than the zeros
        if not all(isinstance(module_of(graph, user), takers) for user in node.users):
            faults.append(Fault(type(pad).__name__, graph.meta["paths"][str(node.target)],
                                "the padding is supported right before a Conv or an AvgPool, and before a MaxPool "
                                "where it follows a ReLU", "move it there"))
    if faults:
        raise Refused(faults, graph.meta["layers"])


def _max_pool(b: Builder, node: fx.Node, name: str) -> None:
    rank = 1 if "1d" in name else 2
    _axes(b, node, rank)
    kernel, stride, padding, dilation, ceil = (argument(node, i, key, default) for i, key, default in (
        (1, "kernel_size", None), (2, "stride", None), (3, "padding", 0), (4, "dilation", 1), (5, "ceil_mode", False)))
    kernel = _each(kernel, rank)
    layer = MAX_POOLS[rank](kernel, _each(stride or kernel, rank), _each(padding, rank), _each(dilation, rank),
                            ceil_mode=bool(ceil))
    b.module(node, layer, b.value(node.args[0], node))


def _avg_pool(b: Builder, node: fx.Node, name: str) -> None:
    """A mean; where windows at the edge divide by another number than others, their sums, each over its own."""
    rank = 1 if "1d" in name else 2
    sizes = _axes(b, node, rank)
    kernel, stride, padding, counted, divisor = (argument(node, i, key, default) for i, key, default in (
        (1, "kernel_size", None), (2, "stride", None), (3, "padding", 0),
        (5, "count_include_pad", True), (6, "divisor_override", None)))
    kernel = _each(kernel, rank)
    stride, padding = _each(stride or kernel, rank), _each(padding, rank)
    source, made = b.value(node.args[0], node), b.shape(node)
    # In ceil_mode a last window may reach beyond the padding; what lies there is never counted.
    beyond = [max((o - 1) * s + k - n - 2 * p, 0) for o, s, k, n, p in zip(made[1:], stride, kernel, sizes, padding,
                                                                            strict=True)]
    counts = torch.ones(())
    for n, o, s, k, p in zip(sizes, made[1:], stride, kernel, padding, strict=True):
        places = (torch.arange(o) * s - p)[:, None] + torch.arange(k)
        inside = (places >= 0) & (places < n) if not counted else places < n + p
        counts = counts[..., None] * inside.sum(1)
    if any(beyond):
        b.module(node, PADS[rank]([v for p, more in zip(reversed(padding), reversed(beyond), strict=True)
                                   for v in (p, p + more)]), source)
        source, padding = b.env[node], (0,) * rank
    same = divisor is not None or bool((counts == prod(kernel)).all())
    divisor = divisor if same else 1
    b.module(node, AVG_POOLS[rank](kernel, stride, padding, **({"divisor_override": divisor} if divisor else {})),
             source)
    if not same:
        scale = (1 / counts.double()).expand(made)
        affine(b, node, b.env[node], made, scale, torch.zeros_like(scale), fine=True)


def _adaptive(b: Builder, node: fx.Node, name: str) -> None:
    """Windows of one size side by side; where they overlap or differ, of the elements that each of them sees."""
    rank = 1 if "1d" in name else 2
    sizes = _axes(b, node, rank)
    wanted = tuple(w if w is not None else n for w, n in zip(_each(argument(node, 1, "output_size"), rank), sizes,
                                                             strict=True))
    kinds = MAX_POOLS if "max" in name else AVG_POOLS
    source, shape = b.value(node.args[0], node), b.shape(node.args[0])
    if not any(n % w for n, w in zip(sizes, wanted, strict=True)):
        b.module(node, kinds[rank](tuple(n // w for n, w in zip(sizes, wanted, strict=True))), source)
        return
    seen = [[torch.arange(i * n // w, -(-(i + 1) * n // w)) for i in range(w)]
            for n, w in zip(sizes, wanted, strict=True)]
    kernel = tuple(max(map(len, axis)) for axis in seen)
    if "avg" in name and any(len(window) != k for axis, k in zip(seen, kernel, strict=True) for window in axis):
        raise b.refuse(node, f"an image of {sizes} falls into {wanted} windows of different sizes; use an output size "
                             "that divides it")
    places = torch.arange(prod(shape)).reshape(shape)
    for number, (axis, k) in enumerate(zip(seen, kernel, strict=True), 1):  # seen twice, the largest is the largest
        places = places.index_select(number, torch.cat([w[torch.arange(k).clamp(max=len(w) - 1)] for w in axis]))
    b.pick(node, source, shape, places.reshape(-1), tuple(places.shape))
    b.module(node, kinds[rank](kernel), b.env[node])


def _upsample(b: Builder, node: fx.Node, name: str) -> None:
    rank = 1 if "1d" in name else 2
    sizes, wanted = _axes(b, node, rank), b.shape(node)[1:]
    if any(w % n for n, w in zip(sizes, wanted, strict=True)):
        raise b.refuse(node, f"an image of {sizes} does not become {wanted} by whole factors; use a whole "
                             "scale_factor")
    scale = tuple(w // n for n, w in zip(sizes, wanted, strict=True))
    b.module(node, nn.Upsample(scale_factor=tuple(float(s) for s in scale)), b.value(node.args[0], node))


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("conv1d", "conv2d", "convolution"), _conv),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), _conv_transpose),
    **dict.fromkeys(("pad", "constant_pad_nd"), _pad),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool2d_with_indices"), _max_pool),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), _avg_pool),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool1d",
                     "adaptive_max_pool2d"), _adaptive),
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d"), _upsample),
}
