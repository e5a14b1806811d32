"""Channels-last: PyTorch keeps an image as (channels, [height,] width), hardware as ([height,] width, channels)."""

from __future__ import annotations

from math import prod

import numpy as np
from torch import fx, nn

from toolkit.compress.quantisation.insert_quantisers import MEANS, POOLS
from toolkit.compress.quantisation.layers import Mean, Quantised

IMAGES = (nn.Conv1d, nn.Conv2d, *POOLS, *MEANS, Mean, nn.Upsample, nn.ZeroPad1d, nn.ZeroPad2d)


def has_images(graph: fx.GraphModule) -> bool:
    """Whether any layer works on images: then all tensors of more than one axis are channels-last."""
    return any(isinstance(m, IMAGES) or (isinstance(m, Quantised) and m.product.rank > 0) for m in graph.modules())


def channels_last(samples: np.ndarray) -> np.ndarray:
    """Samples (n, channels, *spatial) as (n, *spatial, channels); vectors as they are."""
    return np.ascontiguousarray(np.moveaxis(samples, 1, -1))


def turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(channels, *spatial) as (*spatial, channels)."""
    return (*shape[1:], shape[0])


def positions(shape: tuple[int, ...]) -> np.ndarray:
    """int64: where PyTorch's flatten of an image (channels, *spatial) has each element of the channels-last one."""
    return np.moveaxis(np.arange(prod(shape)).reshape(shape), 0, -1).reshape(-1)
