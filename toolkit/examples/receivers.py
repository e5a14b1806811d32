"""Neural receivers that the radio demo trains, and the simulated signals that it trains them on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from toolkit.compress.data import Data
from toolkit.examples.models import mlp
from toolkit.radio import links

DEMAPPER_SIZES = (2, 16, 4)
CHANNELS, KERNELS = 16, (5, 5, 5)
REACH = (sum(KERNELS) - len(KERNELS)) // 2
"""Received values on each side of a bit's own that the equaliser decides by."""


@dataclass(frozen=True)
class Training:
    """How a receiver is trained: blocks of training signals, the range of Eb/N0 in dB that each of them is drawn
    from, epochs of the float network, epochs of QAT (the float network that it is held against gets as many more), and
    the learning rates of the two."""

    blocks: int
    ebn0: tuple[float, float]
    epochs: int
    qat_epochs: int
    lr: float
    qat_lr: float


DEMAPPER = Training(30_000, (5.0, 11.0), 12, 16, 4e-3, 1.5e-3)
EQUALISER = Training(12_000, (6.0, 11.0), 16, 28, 4e-3, 3e-3)
HELD_OUT = 4
"""One validation block for so many training blocks, and as many test blocks."""


def demapper(seed: int = 0) -> nn.Sequential:
    """Two numbers of a 16-QAM symbol (n, 2) to four log-likelihood ratios (n, 4): a perceptron with ReLUs."""
    return mlp(DEMAPPER_SIZES, seed, norm=False, dropout=0.0)


def equaliser(seed: int = 0) -> nn.Sequential:
    """Received values (n, 1, FRAME + 2 REACH) to a log-likelihood ratio for each bit of the frame (n, FRAME): 1-D
    convolutions of KERNELS with ReLUs, and one of kernel 1."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, kernel in zip((1, *[CHANNELS] * (len(KERNELS) - 1)), KERNELS, strict=True):
        layers += [nn.Conv1d(inputs, CHANNELS, kernel), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv1d(CHANNELS, 1, 1), nn.Flatten())


def demapper_data(training: Training = DEMAPPER, seed: int = 0) -> Data:
    """Symbols (n, 2) in noise, and their bits (n, 4)."""
    return _data(links.qam16_link, demapper_input, training, seed)


def equaliser_data(training: Training = EQUALISER, seed: int = 0) -> Data:
    """Frames behind the Proakis-B channel (n, 1, FRAME + 2 REACH), and their bits (n, FRAME)."""
    return _data(links.proakis_link, equaliser_input, training, seed)


def demapper_input(received: np.ndarray) -> np.ndarray:
    """What `qam16_link` receives, as the demapper takes it: float32 (n, 2)."""
    return received.astype(np.float32)


def equaliser_input(received: np.ndarray) -> np.ndarray:
    """What `proakis_link` receives, as the equaliser takes it: float32 (n, 1, FRAME + 2 REACH)."""
    return np.ascontiguousarray(links.window(received, REACH)[:, None], np.float32)


def _data(link: links.Link, as_input: Callable[[np.ndarray], np.ndarray], training: Training, seed: int) -> Data:
    """Training, validation and test signals of generators of their own."""
    parts = []
    for number, blocks in enumerate((training.blocks, training.blocks // HELD_OUT, training.blocks // HELD_OUT)):
        rng = np.random.default_rng((seed, number))
        bits, received = link(blocks, rng.uniform(*training.ebn0, blocks), rng)
        parts.append((as_input(received), bits))
    (x_train, y_train), (x_val, y_val), (x_test, y_test) = parts
    return Data.of(x_train, y_train, x_test, y_test, "bits", x_val=x_val, y_val=y_val)
