"""Convolutional networks on MNIST: a LeNet and a small residual network, float against log2 weights of 4 bits.

`python -m benchmarks.cnn --mnist FOLDER -o DIR` also writes each as NAME.swd, with NAME_x.npy: the input codes of 200
test images, int64 (200, height, width, 1).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import nn

from benchmarks.results import Figure
from benchmarks.trained import mnist_data
from toolkit import models
from toolkit.compress import Compressed, Data, Settings, compress
from toolkit.compress.train import train
from toolkit.report.tables import table

SIDE = 28
NETWORKS: dict[str, Callable[[int], nn.Module]] = {"lenet": models.lenet, "resnet": models.resnet}
EPOCHS, RATE = 8, 2e-3
SCHEME = "log2:4"
POINTS = 1.0
"""Points of accuracy that log2 weights may cost."""
SAVED = 200


def images(folder: Path) -> Data:
    """MNIST as (1, 28, 28), the first 8,000 images to train on and the last 2,000 to test on."""
    data = mnist_data(folder)
    return Data.of(data.x_train.reshape(-1, 1, SIDE, SIDE), data.y_train, data.x_test.reshape(-1, 1, SIDE, SIDE),
                   data.y_test)


def compressed(name: str, data: Data, epochs: int = EPOCHS) -> Compressed:
    """A network trained in float, then with log2 weights for half as many epochs."""
    model = NETWORKS[name](SIDE)
    train(model, data, epochs=epochs, rate=RATE, seed=0, what=f"float, {name}")
    return compress(model, data, SCHEME, Settings(epochs=max(epochs // 2, 1), rate=RATE), name=name)


def measure(folder: Path, out: Path, epochs: int = EPOCHS) -> list[Figure]:
    """Accuracy of both networks; their designs are written to `out`."""
    data = images(folder)
    out.mkdir(parents=True, exist_ok=True)
    figures = []
    for name in NETWORKS:
        found = compressed(name, data, epochs)
        assert found.design is not None
        found.design.save(out / f"{name}.swd")
        np.save(out / f"{name}_x.npy", found.test_codes[:SAVED])
        before, plain, after = (100 * (step.accuracy or 0.0) for step in found.steps)
        figures.append(Figure(f"{name} on MNIST, {SCHEME}: accuracy", f"{after:.2f} % (untrained {plain:.2f})",
                              f"{before:.2f} % float", f"at most {POINTS:g} point lost", before - after <= POINTS))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.cnn")
    parser.add_argument("--mnist", type=Path, required=True, help="a folder with MNIST's 10,000 test images")
    parser.add_argument("-o", "--out", type=Path, default=Path("bench-out"))
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of float training; half as many with log2 weights")
    args = parser.parse_args()
    figures = measure(args.mnist, args.out, args.epochs)
    rows = [("figure", "shiftwright", "float", "goal", "reached")]
    print("\n".join(table(rows + [(f.name, f.ours, f.peer, f.goal, f.verdict) for f in figures], 5)))
    return 1 if any(f.reached is False for f in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
