"""The window of a Conv or a pool, as ONNX describes it: kernel, strides, pads, dilations, auto_pad."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from toolkit.capture.onnx.file import Node
from toolkit.utils.limits import MAX_VALUE

MOST = 1 << 20


@dataclass(frozen=True)
class Found:
    """`padding` is (before, after) on each spatial axis, `outputs` the windows along it."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    outputs: tuple[int, ...]


def window(node: Node, shape: tuple[int, ...], kernel: tuple[int, ...],
           more: tuple[tuple[int, int], ...] | None = None) -> Found:
    """The window of `kernel` over a sample of `shape`; `more` is padding from a Pad before it."""
    a = node.attributes
    rank = len(shape) - 1
    declared = tuple(a.get("kernel_shape", kernel))
    stride, dilation = (tuple(a.get(key) or (1,) * rank) for key in ("strides", "dilations"))
    pads = tuple(a.get("pads") or (0,) * 2 * rank)
    numbers = (*declared, *stride, *dilation, *pads)
    if declared != tuple(kernel) or not rank == len(kernel) == len(stride) == len(dilation) == len(pads) // 2 \
            or min((*declared, *stride, *dilation)) < 1 or min(pads) < 0 or max(numbers) > MOST:
        raise node.fail(f"kernel {declared}, strides {stride}, dilations {dilation} and pads {pads} do not fit a "
                        f"sample of shape {shape}")
    padding = tuple(zip(pads[:rank], pads[rank:], strict=True))
    auto = a.get("auto_pad", "NOTSET")
    sizes = tuple(n + sum(p) for n, p in zip(shape[1:], more or ((0, 0),) * rank, strict=True))
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        totals = [max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
                  for n, k, s, d in zip(sizes, kernel, stride, dilation, strict=True)]
        halves = [(total // 2, total - total // 2) for total in totals]
        padding = tuple(h if auto == "SAME_UPPER" else h[::-1] for h in halves)
    elif auto not in ("NOTSET", "VALID", ""):
        raise node.fail(f"auto_pad '{auto[:40]}' is not known")
    elif auto == "VALID":
        padding = ((0, 0),) * rank
    if more is not None:
        padding = tuple((p[0] + m[0], p[1] + m[1]) for p, m in zip(padding, more, strict=True))
    outputs = tuple((n + sum(p) - (k - 1) * d - 1) // s + 1
                    for n, p, k, s, d in zip(shape[1:], padding, kernel, stride, dilation, strict=True))
    if shape[0] * prod(n + sum(p) for n, p in zip(shape[1:], padding, strict=True)) > 4 * MAX_VALUE:
        raise node.fail(f"pads a sample of shape {shape} by {padding}, which is larger than what is supported")
    if min(outputs) < 1:
        raise node.fail(f"a window of {kernel} does not fit a sample of shape {shape}")
    return Found(tuple(kernel), stride, padding, dilation, outputs)
