"""Channels-last: PyTorch keeps an image as (channels, [height,] width), hardware as ([height,] width, channels)."""

from __future__ import annotations

from math import prod

import numpy as np
from torch import fx, nn

from toolkit.capture.slopes import Slopes
from toolkit.compress.matmul import CONVOLUTIONS
from toolkit.compress.quantisation.insert_quantisers import MEANS, POOLS
from toolkit.compress.quantisation.layers import Mean, Quantised, QuantisedSlopes
from toolkit.design.ports import Port, Ports, consecutive

IMAGES = (*CONVOLUTIONS, *POOLS, *MEANS, Mean, nn.Upsample, nn.ZeroPad1d, nn.ZeroPad2d)


def has_images(graph: fx.GraphModule) -> bool:
    """Whether any layer works on channels: then all tensors of more than one axis are channels-last."""
    return any(isinstance(m, IMAGES) or (isinstance(m, Quantised) and m.product.rank > 0)
               or (isinstance(m, Slopes | QuantisedSlopes) and m.channels > 1) for m in graph.modules())


def channels_last(samples: np.ndarray) -> np.ndarray:
    """Samples (n, channels, *spatial) as (n, *spatial, channels); vectors as they are."""
    return np.ascontiguousarray(np.moveaxis(samples, 1, -1))


def turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(channels, *spatial) as (*spatial, channels)."""
    return (*shape[1:], shape[0])


def positions(shape: tuple[int, ...]) -> np.ndarray:
    """int64: where PyTorch's flatten of an image (channels, *spatial) has each element of the channels-last one."""
    return np.moveaxis(np.arange(prod(shape)).reshape(shape), 0, -1).reshape(-1)


def standing(ports: tuple[Port, ...], last: bool) -> np.ndarray:
    """int64: of each element of several inputs or outputs in a row, its place among those in PyTorch's order; with
    `last`, images among them are channels-last in the row."""
    return np.concatenate([port.start + (positions(port.shape) if last and len(port.shape) > 1
                                         else np.arange(port.size)) for port in ports])


def hardware_ports(ports: Ports, last: bool) -> Ports:
    """The ports of a captured graph as its design has them: with `last`, images channels-last."""
    return Ports(*(consecutive((p.name, turned(p.shape) if last and len(p.shape) > 1 else p.shape) for p in side)
                   for side in (ports.inputs, ports.outputs)))


def pytorch_ports(ports: Ports, last: bool) -> Ports:
    """The inverse of `hardware_ports`."""
    return Ports(*(consecutive((p.name, (p.shape[-1], *p.shape[:-1]) if last and len(p.shape) > 1 else p.shape)
                               for p in side) for side in (ports.inputs, ports.outputs)))


def hardware_order(values: np.ndarray, ports: tuple[Port, ...], last: bool) -> np.ndarray:
    """Samples of a graph's input or output (n, *shape), which has such `ports`, as its design takes or gives them."""
    if ports:
        return np.ascontiguousarray(values[:, standing(ports, last)])
    return channels_last(values) if last and values.ndim > 2 else values
