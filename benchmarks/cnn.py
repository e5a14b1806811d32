"""Convolutional networks on MNIST: a LeNet and a small residual network, float against log2 weights of 4 bits, and
their folded RTL over a thousand test images.

Each is left as NAME.swd and cnn_NAME, the project.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from benchmarks.results import Figure, counted
from benchmarks.trained import mnist_data
from toolkit.commands.generate import generate
from toolkit.commands.simulate import simulate
from toolkit.compress import Compressed, Data, Settings, compress
from toolkit.compress.training.loop import train
from toolkit.design import Design
from toolkit.examples import models
from toolkit.hardware import Options
from toolkit.report.differences import dropped, quality

SIDE = 28
NETWORKS: dict[str, Callable[[int], nn.Module]] = {"lenet": models.lenet, "resnet": models.resnet}
EPOCHS, RATE = 8, 2e-3
SCHEME = "log2:4"
POINTS = 1.0
"""Points of accuracy that log2 weights may cost."""
IMAGES = 1000
"""Test images that the RTL is simulated over."""
SECONDS = 120
SLACK = 1.05
"""Of the initiation interval, over the cycles of the busiest layer."""


def images(folder: Path) -> Data:
    """MNIST as (1, 28, 28), split as `mnist_data` does."""
    data = mnist_data(folder)
    shaped = {key: getattr(data, key).reshape(-1, 1, SIDE, SIDE) for key in ("x_train", "x_val", "x_test")}
    return replace(data, **shaped)


def compressed(name: str, data: Data, epochs: int = EPOCHS) -> Compressed:
    """A network trained in float, then with log2 weights for half as many epochs."""
    model = NETWORKS[name](SIDE)
    train(model, data, epochs=epochs, lr=RATE, seed=0, what=f"float, {name}")
    return compress(model, data, SCHEME, Settings(qat_epochs=max(epochs // 2, 1), lr=RATE), name=name)


def measure(folder: Path, out: Path, epochs: int = EPOCHS) -> list[Figure]:
    """Accuracy of both networks; their designs are written to `out`."""
    data = images(folder)
    out.mkdir(parents=True, exist_ok=True)
    figures = []
    for name in NETWORKS:
        found = compressed(name, data, epochs)
        assert found.design is not None
        found.design.save(out / f"{name}.swd")
        _, plain, after = found.steps
        assert after.drop is not None and after.drop.test is not None
        figures.append(Figure(f"{name} on MNIST, {SCHEME}: accuracy drop", dropped(after.drop),
                              f"{quality(after, test=True)} (PTQ {quality(plain, test=True)}), float "
                              f"{quality(found.baseline, test=True)}, {counted(after.epochs)} more on both sides",
                              f"at most {POINTS:g}", after.drop.test <= POINTS))
        figures += simulated(name, found.design, found.test_codes[:IMAGES], out / f"cnn_{name}")
    return figures


def simulated(name: str, design: Design, codes: np.ndarray, folder: Path) -> list[Figure]:
    """The folded RTL over input codes int64 (images, height, width, 1): every bit, the seconds, and the initiation
    interval beside the cycles of its busiest layer."""
    shutil.rmtree(folder, ignore_errors=True)
    entry = generate(design, folder, options=Options(arch="folded"), vectors=50, test=codes).entries["verilog"]
    start = time.perf_counter()
    found = simulate(folder, bench="player", rebuild=True)
    seconds = time.perf_counter() - start
    bound = max(layer["cycles"] for layer in entry["memory"]["layers"])
    assert found.initiation_interval is not None
    return [
        Figure(f"{name}, RTL over {len(codes):,} test images and 50 others", f"{found.bit_errors} of {found.bits:,} "
               f"bits wrong, {seconds:.0f} s with the build", "", f"0, at most {SECONDS} s",
               found.ok and seconds <= SECONDS),
        Figure(f"{name}, initiation interval as simulated", f"{found.initiation_interval:,.0f} cycles",
               f"busiest layer {bound:,}", f"at most {SLACK:g} times it", found.initiation_interval <= SLACK * bound),
    ]
