"""Small networks of many kinds, channels pruned, int8 weights and activations of 16 bits: how far a design's outputs
are from the pruned float network's, and whether Verilog and C compute every bit of them."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.networks.torch_networks import NETWORKS, made
from benchmarks.results import Figure
from toolkit.api import generate, simulate
from toolkit.capture import capture
from toolkit.compress.lower import lower
from toolkit.compress.pruning.structured import prune
from toolkit.compress.quantisation.layout import hardware_order, has_images
from toolkit.compress.quantisation.ptq import Widths, quantise
from toolkit.compress.scheme import Quantise, parse_step
from toolkit.design import Design
from toolkit.hardware import Options
from toolkit.utils.errors import InputError
from toolkit.utils.progress import bar

RATIO = 0.3
WIDTHS = Widths(16, 16, 16, 12)
SAMPLES = 200
VECTORS = 50
GOAL = 0.01
"""Of the pruned float network's span."""


def compared(name: str) -> tuple[Design, float]:
    """A network's design, and the largest error of its outputs as a share of the span of the pruned float network's."""
    net = made(name)
    graph = capture(net, net.shape)  # type: ignore[arg-type]
    x = np.random.default_rng(0).uniform(-1, 1, (SAMPLES, *graph.meta["input_shape"])).astype(np.float32)
    if any(isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d) for m in graph.modules()):
        graph = prune(graph, RATIO, "l1")
    with torch.no_grad():
        due = hardware_order(graph(torch.from_numpy(x)).numpy(), (), has_images(graph))
    step = parse_step("int:8")
    assert isinstance(step, Quantise)
    design = lower(quantise(graph, torch.from_numpy(x), step, WIDTHS).double(), "network")
    codes = design.input.quantise(hardware_order(x, (), has_images(graph)))
    found = design.output.format.value(design.reference(codes))
    apart = np.abs(found.reshape(len(x), -1) - due.reshape(len(x), -1)).max()
    return design, float(apart / np.ptp(due))


def bit_exact(design: Design) -> str:
    """Empty where Verilog and C compute every bit, else what does not."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            generate(design, Path(folder) / "p", targets=("verilog", "c"), options=Options(arch="folded"),
                     vectors=VECTORS)
            found = simulate(Path(folder) / "p", bench="player")
        except InputError as error:
            return str(error)
    return "" if found.ok and found.bit_errors == 0 else "; ".join(map(str, found.failures)) or "bits differ"


def measure() -> list[Figure]:
    errors: dict[str, float] = {}
    failed: dict[str, str] = {}
    differing: dict[str, str] = {}
    with bar("small networks", len(NETWORKS)) as advance, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in NETWORKS:
            advance(note=name)
            try:
                design, errors[name] = compared(name)
            except (InputError, RuntimeError, AssertionError) as error:
                failed[name] = str(error).splitlines()[0][:100]
                continue
            if why := bit_exact(design):
                differing[name] = why[:100]
    far = {name: f"{100 * e:.2g} %" for name, e in errors.items() if e > GOAL}
    worst = max(errors, key=lambda name: errors[name])
    count = len(NETWORKS)
    return [
        Figure("small networks: captured, pruned, quantised", f"{len(errors)} of {count}{_named(failed)}", "",
               "all, 60 or more", not failed and count >= 60),
        Figure("largest error, of the float network's span", f"{100 * errors[worst]:.2g} % ({worst}){_named(far)}",
               "pruned float", "at most 1 %", not far),
        Figure("Verilog (folded) and C with every bit", f"{len(errors) - len(differing)} of {count}{_named(differing)}",
               "reference", "all", not differing and not failed),
    ]


def _named(found: dict[str, str]) -> str:
    return "".join(f"; {name}: {why}" for name, why in found.items())
