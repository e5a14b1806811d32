"""The larger and the smaller of two: of two tensors, or of a tensor and a constant."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from toolkit.capture import curves
from toolkit.capture.affine import affine, aligned, constant
from toolkit.capture.builder import Builder, Handler, argument
from toolkit.capture.pointwise import clamp

LARGER = ("maximum", "fmax", "max", "clamp_min")


def extreme(b: Builder, node: fx.Node, name: str) -> None:
    """`maximum(x, y)` or `minimum(x, y)`."""
    first, second = node.args[:2]
    larger = name in LARGER
    found = [constant(b, v, node) for v in (first, second)]
    if found[0] is None and found[1] is None:
        if curves.bent(b, first, second) and curves.fused(b, node, "maximum" if larger else "minimum", first, second):
            return
        parts = [aligned(b, node, v) for v in (first, second)]
        b.env[node] = b.graph.call_function(torch.maximum if larger else torch.minimum, tuple(parts))
        return
    x, limit = (first, found[1]) if found[0] is None else (second, found[0])
    bounded(b, node, x, limit, larger)


def bounded(b: Builder, node: fx.Node, x: Any, limit: float | torch.Tensor | None, larger: bool) -> None:
    """Let `node` be the larger, or the smaller, of x and a constant, which may differ from element to element."""
    wanted = b.shape(node) or (1,)
    values = torch.as_tensor(limit, dtype=torch.float64)
    source = aligned(b, node, x)
    if values.numel() == 1:
        low, high = (float(values), float("inf")) if larger else (float("-inf"), float(values))
        b.module(node, nn.ReLU() if low == 0 else nn.Hardtanh(low, high), source)
        return
    if values.ndim > len(wanted):
        if values.ndim != len(wanted) + 1 or len(values) != 1:
            raise b.refuse(node, f"a bound of shape {tuple(values.shape)} differs from sample to sample; use one for "
                                 "all samples")
        values = values[0]
    values = values.expand(wanted)
    if not bool(torch.isfinite(values).all()):
        raise b.refuse(node, "some of its bounds are infinite; use finite ones")
    # max(x, c) = relu(x - c) + c, and min(x, c) = c - relu(c - x).
    sign = torch.full(wanted, 1.0 if larger else -1.0, dtype=torch.float64)
    affine(b, node, source, wanted, sign, -values * sign)
    b.module(node, nn.ReLU(), b.env[node])
    affine(b, node, b.env[node], wanted, sign, values)


def _clamp(b: Builder, node: fx.Node, name: str) -> None:
    """A clip whose bounds may be constant tensors."""
    low = None if name == "clamp_max" else argument(node, 1, "min")
    high = None if name == "clamp_min" else argument(node, 1 if name == "clamp_max" else 2, "max")
    if not any(isinstance(v, fx.Node) for v in (low, high)):
        clamp(b, node, name)
        return
    x: Any = node.args[0]
    for bound, larger in ((low, True), (high, False)):
        if bound is not None:
            limit = constant(b, bound, node)
            if limit is None:
                raise b.refuse(node, "a clip with bounds that are computed of the input; use torch.maximum and minimum")
            bounded(b, node, x, limit, larger)
            x = node


HANDLERS: dict[str, Handler] = {**dict.fromkeys(("maximum", "minimum", "fmax", "fmin"), extreme),
                                **dict.fromkeys(("clamp", "clip", "clamp_min", "clamp_max"), _clamp)}
