"""Sums, means and extremes along axes of a sample: pools as long as the axes are."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import fx

from toolkit.capture.affine import negated
from toolkit.capture.builder import Builder, Handler, argument
from toolkit.capture.images import AVG_POOLS, MAX_POOLS
from toolkit.capture.pairs import extreme

LEAST = ("amin", "min")
MOST = ("amax", "max")


def _reduced(b: Builder, node: fx.Node, name: str) -> None:
    if name in ("max", "min") and len(node.args) > 1 and isinstance(node.args[1], fx.Node):
        extreme(b, node, name)
        return
    x: Any = node.args[0]
    source, shape = b.value(x, node), b.shape(x)
    dims = argument(node, 1, "dim")
    if dims is None or (isinstance(dims, list | tuple) and not dims):
        raise b.refuse(node, "it reduces the batch too; name the axes behind it, as x.mean((1, 2))")
    axes = sorted({int(d) % (len(shape) + 1) - 1 for d in ([dims] if isinstance(dims, int) else dims)})
    if axes[0] < 0:
        raise b.refuse(node, "it reduces the batch; reduce axes behind it")
    if argument(node, 3, "dtype") is not None and name in ("sum", "mean"):
        raise b.refuse(node, "it computes in another type; leave dtype out")
    if name in LEAST:
        source = negated(b, node, source, shape)
    # Channels among them become the length of a signal, of which what stays are the channels.
    if axes[0] > 0 and len(shape) in (2, 3):
        before, kernel = shape, tuple(n if i in axes else 1 for i, n in enumerate(shape) if i)
    else:
        kept = [i for i in range(len(shape)) if i not in axes]
        before = prod(shape[i] for i in kept), prod(shape[i] for i in axes)
        kernel = before[1:]
        b.pick(node, source, shape, torch.arange(prod(shape)).reshape(shape).permute(*kept, *axes).reshape(-1), before)
        source = b.env[node]
    rank = len(kernel)
    if name in ("sum", "mean"):
        layer = AVG_POOLS[rank](kernel, divisor_override=1 if name == "sum" else None)
    else:
        layer = MAX_POOLS[rank](kernel)
    b.module(node, layer, source)
    after = (before[0], *(n // k for n, k in zip(before[1:], kernel, strict=True)))
    if name in LEAST:
        b.env[node] = negated(b, node, b.env[node], after)
    made: Any = node.meta["val"]
    b.reshape(node, b.env[node], after,
              tuple((made[0] if isinstance(made, list | tuple) else made).shape[1:]) or (1,))


HANDLERS: dict[str, Handler] = dict.fromkeys(("mean", "sum", *LEAST, *MOST), _reduced)
