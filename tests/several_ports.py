"""Networks of several inputs and several outputs, and data for them."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from toolkit.api import Data

COUNTS = {"train": 120, "val": 30, "test": 40}


class Vectors(nn.Module):
    """Two vectors, read once alone and once together; a class, an angle a thousand times as large, an inner tensor, an
    input passed through, and an output given twice."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.scores, self.turn, self.own = (nn.Linear(5, 6), nn.Linear(6, 3), nn.Linear(6, 1),
                                                         nn.Linear(2, 6))

    def forward(self, speed: torch.Tensor, place: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = torch.relu(self.hidden(torch.cat([speed, place], 1)) + self.own(speed))
        scores = self.scores(hidden)
        return {"class": scores.softmax(1), "angle": 1000 * self.turn(hidden), "inner": hidden, "place": place,
                "again": scores}


class Ranks(nn.Module):
    """An image, a signal and a vector; an image, a signal and classes."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.signal = nn.Conv2d(2, 3, 2), nn.Conv1d(2, 2, 3)
        self.scores = nn.Linear(27 + 6 + 2, 3)

    def forward(self, picture: torch.Tensor, wave: torch.Tensor, extra: torch.Tensor) -> tuple[torch.Tensor, ...]:
        image, signal = self.image(picture).relu(), self.signal(wave)
        return image, signal, self.scores(torch.cat([image.flatten(1), signal.flatten(1), extra], 1))


SHAPES = {Vectors: {"speed": (2,), "place": (3,)}, Ranks: {"picture": (2, 4, 4), "wave": (2, 5), "extra": (2,)}}


def samples(shapes: dict[str, tuple[int, ...]], count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random samples of each input."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(count, *shape)).astype(np.float32) for name, shape in shapes.items()}


def arrays(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Arrays NAME_train, ... as an .npz file holds them, without labels."""
    return {f"{name}_{part}": array for seed, (part, count) in enumerate(COUNTS.items())
            for name, array in samples(shapes, count, seed).items()}


def data(shapes: dict[str, tuple[int, ...]]) -> Data:
    """The same, checked."""
    parts = {part: samples(shapes, count, seed) for seed, (part, count) in enumerate(COUNTS.items())}
    return Data.of(parts["train"], x_val=parts["val"], x_test=parts["test"])


def model(kind: type[nn.Module]) -> nn.Module:
    """One of the networks, always of the same weights."""
    torch.manual_seed(1)
    return kind().eval()
