"""A network and data of one's own, for the tutorial: which of five gestures did an accelerometer see?

    python examples/gestures.py            trains the network and writes gestures.pt2 and gestures.npz
    examples.gestures:network              is how the command line names the network without a file (untrained)

The data are synthetic: 16 samples of one axis, a different waveform for each gesture, with noise and a random phase.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

SHAPE = (16,)


class Gestures(nn.Module):
    """16-64-32-32-5 with BatchNorm, a clip, Dropout and a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.1))
        self.body = nn.Sequential(nn.Linear(64, 32), nn.ReLU6())
        self.residual = nn.Linear(32, 32)
        self.head = nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(self.stem(x))
        x = torch.relu(self.residual(x) + x)
        return self.head(x)


def network() -> nn.Module:
    torch.manual_seed(0)
    return Gestures()


def data(count: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Samples float32 (count, 16) and their gesture, 0..4."""
    rng = np.random.default_rng(seed)
    t = np.arange(16) / 16 + rng.uniform(0, 1, (count, 1))
    waves = np.stack([np.sin(2 * np.pi * t), np.sin(4 * np.pi * t), np.sign(np.sin(2 * np.pi * t)),
                      2 * np.abs(2 * (t % 1) - 1) - 1, np.sin(2 * np.pi * t) * np.sin(6 * np.pi * t)])
    labels = rng.integers(0, 5, count)
    samples = waves[labels, np.arange(count)] + rng.normal(0, 0.25, (count, 16))
    return samples.astype(np.float32), labels


def main() -> None:
    from toolkit.commands.demo import save_pt2
    from toolkit.compress import Data
    from toolkit.compress.training.loop import train

    x, y = data()
    split = Data.of(x[:3000], y[:3000], x[3000:], y[3000:])
    model = network()
    train(model, split, epochs=40, lr=2e-3, seed=0, what="training")
    save_pt2(model, SHAPE, Path("gestures.pt2"))
    split.save(Path("gestures.npz"))
    print("wrote gestures.pt2 and gestures.npz")


if __name__ == "__main__":
    main()
