"""The trained networks that compression is measured on: the digits of scikit-learn, and MNIST from a folder."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import numpy as np
from torch import nn

from toolkit.commands.demo import EPOCHS, RATE
from toolkit.compress import Data
from toolkit.compress.training.loop import train
from toolkit.examples import datasets, models
from toolkit.utils.errors import InputError

SEEDS = 5
MNIST_SIZES = (784, 128, 64, 10)
MNIST_EPOCHS, MNIST_RATE = 20, 1e-3
MNIST_TRAIN = 8000
IMAGES, LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


@cache
def digits(size: str, seed: int) -> tuple[nn.Module, Data]:
    """A float network on the digits, as the demo trains it; split, first weights and training by `seed`."""
    data = datasets.digits(seed)
    model = models.mlp(models.SIZES[size], seed, dropout=0.0)
    train(model, data, epochs=EPOCHS, lr=RATE, seed=seed, what=f"float, {size}, seed {seed}")
    return model, data


@cache
def mnist_data(folder: Path) -> Data:
    """The 10,000 MNIST test images in `folder`: the first 8,000 to train on, of which a fifth validates, the last 2,000
    to test on."""
    images = _idx(folder / IMAGES, 16).reshape(-1, MNIST_SIZES[0]).astype(np.float32) / 255
    labels = _idx(folder / LABELS, 8).astype(np.int64)
    return Data.of(images[:MNIST_TRAIN], labels[:MNIST_TRAIN], images[MNIST_TRAIN:], labels[MNIST_TRAIN:])


@cache
def mnist(folder: Path, seed: int) -> tuple[nn.Module, Data]:
    """A float 784-128-64-10 network on MNIST, plain Linears and ReLUs."""
    data = mnist_data(folder)
    model = models.mlp(MNIST_SIZES, seed, norm=False, dropout=0.0)
    train(model, data, epochs=MNIST_EPOCHS, lr=MNIST_RATE, seed=seed, what=f"float, MNIST, seed {seed}")
    return model, data


def _idx(path: Path, head: int) -> np.ndarray:
    """The bytes of an IDX file after its head."""
    try:
        return np.frombuffer(gzip.decompress(path.read_bytes())[head:], np.uint8)
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error}") from error
