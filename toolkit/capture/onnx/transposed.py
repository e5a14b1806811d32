"""ConvTranspose, as ONNX describes it: pads, output_padding, output_shape, auto_pad."""

from __future__ import annotations

from math import prod

import numpy as np

from toolkit.capture.onnx.file import Node
from toolkit.capture.onnx.steps import ConvolveTransposed
from toolkit.capture.onnx.translator import Handler, Translator
from toolkit.capture.onnx.window import MOST
from toolkit.utils.limits import MAX_VALUE

Crop = tuple[tuple[int, int], ...]


def conv_transpose(t: Translator, node: Node) -> None:
    """A transposed convolution over one or two spatial axes."""
    weight = t.constant(node, 1, "weight").astype(np.float64)
    bias = t.optional(node, 2, "bias")
    x = t.plain(node, t.value(node, 0))
    groups = node.attributes.get("group", 1)
    if len(x.shape) not in (2, 3) or weight.ndim != len(x.shape) + 1 or not weight.size:
        raise node.fail(f"a weight of shape {weight.shape} does not fit a sample of shape {x.shape}; 1-D and 2-D "
                        "transposed convolutions are supported")
    if groups < 1 or len(weight) != x.shape[0] or len(weight) % groups:
        raise node.fail(f"a weight of shape {weight.shape} in {groups} groups does not fit {x.shape[0]} channels")
    channels = weight.shape[1] * groups
    if bias is not None and bias.shape != (channels,):
        raise node.fail(f"a bias of shape {bias.shape} does not fit {channels} channels")
    stride, dilation, full, crop = _ends(node, x.shape, weight.shape[2:], channels)
    parts = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    outputs = tuple(n - sum(ends) for n, ends in zip(full, crop, strict=True))
    t.set(node, t.step(node, ConvolveTransposed, (x,), (channels, *outputs),
                       weight=parts.reshape(-1, *parts.shape[2:]), bias=np.zeros(channels) if bias is None else
                       bias.astype(np.float64), stride=stride, crop=crop, dilation=dilation, groups=groups))


def _ends(node: Node, shape: tuple[int, ...], kernel: tuple[int, ...], channels: int) -> tuple[
        tuple[int, ...], tuple[int, ...], tuple[int, ...], Crop]:
    """(stride, dilation, full output, crop)."""
    a = node.attributes
    rank = len(shape) - 1
    declared = tuple(a.get("kernel_shape", kernel))
    stride, dilation = (tuple(a.get(key) or (1,) * rank) for key in ("strides", "dilations"))
    extra, pads = tuple(a.get("output_padding") or (0,) * rank), tuple(a.get("pads") or (0,) * 2 * rank)
    numbers = (*declared, *stride, *dilation, *extra, *pads)
    if declared != tuple(kernel) or not rank == len(stride) == len(dilation) == len(extra) == len(pads) // 2 \
            or min((*declared, *stride, *dilation)) < 1 or min((*extra, *pads)) < 0 or max(numbers) > MOST:
        raise node.fail(f"kernel {declared}, strides {stride}, dilations {dilation}, pads {pads} and output_padding "
                        f"{extra} do not fit a sample of shape {shape}")
    full = tuple((n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(shape[1:], stride, dilation, kernel, strict=True))
    if channels * prod(full) > 4 * MAX_VALUE:
        raise node.fail(f"its full output of {full} pixels is larger than what is supported")
    crop = tuple((before, after - more) for before, after, more in zip(pads[:rank], pads[rank:], extra, strict=True))
    auto = a.get("auto_pad", "NOTSET")
    wanted = tuple(a.get("output_shape") or ())[-rank:]
    if auto not in ("SAME_UPPER", "SAME_LOWER", "NOTSET", "VALID", ""):
        raise node.fail(f"auto_pad '{auto[:40]}' is not known")
    if auto.startswith("SAME") or wanted:
        wanted = wanted or tuple(n * s for n, s in zip(shape[1:], stride, strict=True))
        totals = [n + more - w for n, more, w in zip(full, extra, wanted, strict=False)]
        if len(wanted) != rank or min(totals) < 0 or min(wanted) < 1:
            raise node.fail(f"its output_shape {wanted} does not fit a full output of {full} pixels")
        less = [total // 2 if auto == "SAME_UPPER" else total - total // 2 for total in totals]
        crop = tuple((before, total - before - more) for total, before, more in zip(totals, less, extra, strict=True))
    elif auto == "VALID":
        crop = tuple((0, -more) for more in extra)
    if any(before - after >= max(s, d) for (before, after), s, d in zip(crop, stride, dilation, strict=True)):
        raise node.fail("its output goes further beyond its end than PyTorch's output_padding may; use equal pads")
    if min(n - sum(ends) for n, ends in zip(full, crop, strict=True)) < 1:
        raise node.fail(f"its pads leave nothing of a full output of {full} pixels")
    return stride, dilation, full, crop


HANDLERS: dict[str, Handler] = {"ConvTranspose": conv_transpose}
