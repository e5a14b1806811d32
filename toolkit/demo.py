"""The demo: two networks on real digits, trained, pruned, quantised; the small one becomes hardware and is checked."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from toolkit import datasets, models
from toolkit.build import hardware, write_report
from toolkit.compress import Settings, compress
from toolkit.compress.train import train
from toolkit.errors import InputError
from toolkit.folder import check_ours, output_folder
from toolkit.generate import DEFAULT_TARGETS
from toolkit.report import Hardware, Network, Report
from toolkit.simulation import require

NAMES = ("digits",)
EPOCHS, RATE = 60, 3e-3
SETTINGS = Settings(epochs=60, tuning=150, rate=4e-3)
SCHEMES = {"large": ("log2:4", "structured:0.5+log2:4"), "small": ("log2:4", "structured:0.5+log2:4,levels=4")}
"""The last scheme of the small network is the one that becomes hardware."""


def demo(name: str = "digits", out: Path | str = "demo-out", *, vectors: int = 100_000, check: bool = True,
         seed: int = 0) -> Report:
    """Train, compress, generate, simulate, report. Writes the folder `out`: hardware/ is the small network's project;
    small.pt2, large.pt2 and digits.npz are what `shiftwright build` would take."""
    if name not in NAMES:
        raise InputError(f"there is no demo '{name}'; known are {', '.join(NAMES)}")
    start = time.perf_counter()
    check_ours(out)
    if check:
        require(DEFAULT_TARGETS)
    data = datasets.digits(seed)
    networks, made = [], {}
    with output_folder(out) as fresh:
        data.save(fresh / "digits.npz")
        for size, schemes in SCHEMES.items():
            model = models.mlp(models.SIZES[size], seed, dropout=0.0)
            train(model, data, epochs=EPOCHS, rate=RATE, seed=seed, what=f"training the {size} network")
            save_pt2(model, data.sample_shape, fresh / f"{size}.pt2")
            for scheme in schemes:
                made[size] = compress(model, data, scheme, SETTINGS, name=f"digits_{size}")
                networks.append(Network.of(f"digits, {size} ({'-'.join(map(str, models.SIZES[size]))})", made[size]))
        small = made["small"]
        assert small.design is not None
        generated, simulation = hardware(small, fresh / "hardware", vectors=vectors, check=check, seed=seed)
        report = Report("shiftwright demo: digits", tuple(networks),
                        (Hardware.of("digits, small", generated, simulation),),
                        time.perf_counter() - start)
        write_report(fresh, report)
    return report


def save_pt2(model: torch.nn.Module, sample_shape: tuple[int, ...], path: Path) -> None:
    """Save a model as `torch.export` does, with a dynamic batch."""
    program = torch.export.export(model.eval(), (torch.zeros(2, *sample_shape),),
                                  dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, path)
