"""Inputs of unlike scale: an exponent for each feature, and what is told of a network that quantisation ruined."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from toolkit.api import Data, Options, Settings, compress, generate, simulate
from toolkit.capture.capture import capture
from toolkit.commands.verify import verify
from toolkit.compress import Compressed
from toolkit.compress.artifact import load, save
from toolkit.compress.data import without_outliers
from toolkit.compress.quantisation.input_exponents import with_input_exponents
from toolkit.compress.quantisation.ptq import Widths
from toolkit.design import Clamp, Design, FixedPoint, Requantise, Tensor
from toolkit.emit.target import Job
from toolkit.emit.targets import TARGETS
from toolkit.utils.errors import InputError

WIDE = Widths(16, 16)


def unlike(features: int = 6, count: int = 400, seed: int = 0) -> np.ndarray:
    """Samples whose features lie on scales over six decades."""
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.permutation(np.linspace(-3, 3, features))
    return (rng.uniform(-1, 1, (count, features)) * scales).astype("f4")


def pictures(count: int = 60) -> np.ndarray:
    scales = np.array([1, 100, 1e4]).reshape(3, 1, 1)
    return (np.random.default_rng(1).random((count, 3, 6, 6)) * scales).astype("f4")


def normed(x: np.ndarray) -> nn.Module:
    """A BatchNorm as training on `x` leaves it."""
    axes = (0,) if x.ndim == 2 else (0, 2, 3)
    made = nn.BatchNorm1d(x.shape[1]) if x.ndim == 2 else nn.BatchNorm2d(x.shape[1])
    made.running_mean, made.running_var = torch.tensor(x.mean(axes)), torch.tensor(x.var(axes))
    return made


def linear(x: np.ndarray, outputs: int) -> nn.Linear:
    """A Linear that has learned from raw features: its columns undo their scales."""
    made = nn.Linear(x.shape[1], outputs)
    with torch.no_grad():
        made.weight /= torch.tensor(x.std(0))
    return made


class Two(nn.Module):
    """A network whose input is read by two layers."""

    def __init__(self, x: np.ndarray) -> None:
        super().__init__()
        self.norm, self.a, self.b = normed(x), linear(x, 5), nn.Linear(x.shape[1], 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x).relu() + self.b(self.norm(x))


class Residual(nn.Module):
    """Reads its input in a sum, too."""

    def __init__(self, x: np.ndarray) -> None:
        super().__init__()
        self.norm, self.a = normed(x), nn.Linear(x.shape[1], x.shape[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.a(self.norm(x)).relu()


def made(network: nn.Module, x: np.ndarray, scheme: str = "int:8", widths: Widths = WIDE, **settings) -> Compressed:
    return compress(network.eval(), Data.of(x, None, x), scheme, Settings(qat_epochs=0, finetune_epochs=0,
                                                                          widths=widths,
                                                                         **settings))


def largest(found: Compressed, network: nn.Module) -> float:
    """The largest error of the design on the original's own inputs, as a share of the span of its outputs."""
    assert found.design is not None
    x = found.data.x_test
    ours = found.design.output.format.value(found.design.reference(found.test_codes)).reshape(len(x), -1)
    due = network(torch.from_numpy(x)).detach().numpy().reshape(len(x), -1)
    return float(np.abs(ours - due).max() / np.ptp(due))


X, IMAGES = unlike(), pictures()
NETWORKS = {
    "BatchNorm first": lambda: (nn.Sequential(normed(X), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), X),
    "Linear first": lambda: (nn.Sequential(linear(X, 8), nn.ReLU(), nn.Linear(8, 3)), X),
    "two layers read it": lambda: (Two(X), X),
    "BatchNorm before a Conv": lambda: (nn.Sequential(
        normed(IMAGES), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)), IMAGES),
    "BatchNorm before a padded Conv": lambda: (nn.Sequential(
        normed(IMAGES), nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(16, 3)),
        IMAGES),
    "a pool before a grouped Conv": lambda: (nn.Sequential(
        nn.MaxPool2d(2), normed(IMAGES), nn.Conv2d(3, 6, 2, groups=3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)),
        IMAGES),
    "images flattened first": lambda: (nn.Sequential(
        nn.Flatten(), normed(IMAGES.reshape(len(IMAGES), -1)), nn.Linear(108, 6), nn.ReLU(), nn.Linear(6, 3)), IMAGES),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_features_of_unlike_scale_get_exponents_and_the_network_stays_what_it_was(name: str):
    torch.manual_seed(0)
    network, x = NETWORKS[name]()
    found = made(network, x)
    assert len(found.design.input.exponents) in (6, 3, 108) and any("differ in scale" in n for n in found.notes)
    assert largest(found, network) < 0.02


def test_a_sum_that_reads_the_input_keeps_one_exponent_and_a_note_says_so():
    torch.manual_seed(0)
    network = Residual(X)
    found = made(network, X)
    assert found.design.input.exponents == () and largest(found, network) < 0.02
    assert any("'add' reads them in one unit" in n for n in found.notes)


def test_features_of_like_scale_keep_one_exponent():
    x = np.random.default_rng(0).normal(size=(300, 6)).astype("f4") * np.array([1, 1.5, 2, 3, 1, 0], "f4")
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    graph = capture(network, (6,))
    assert with_input_exponents(graph, x) is graph and graph.meta["notes"] == []


def test_a_scaled_graph_computes_what_the_graph_computed_and_is_scaled_once():
    network, x = NETWORKS["a pool before a grouped Conv"]()
    graph = capture(network.eval(), x.shape[1:])
    scaled = with_input_exponents(graph, x)
    assert scaled is not graph and with_input_exponents(scaled, x) is scaled
    assert torch.equal(scaled(torch.from_numpy(x)), graph(torch.from_numpy(x))), "powers of two round nothing"


def test_one_outlier_sets_no_range():
    x = np.random.default_rng(0).uniform(-1, 1, (1000, 8)).astype("f4")
    x[5, 0] = 1e4
    assert len(without_outliers(x)) == 999
    network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    found = compress(network, Data.of(x, None, x[100:], x_val=x[100:200]), "int:8", Settings(qat_epochs=0))
    assert found.design.input.format.frac >= 7 and largest(found, network) < 0.02
    tail = np.random.default_rng(0).standard_t(3, (1000, 8))
    assert len(without_outliers(tail)) == 1000, "a heavy tail is no outlier"


def test_exponents_are_in_the_file_the_project_and_the_artifact(tmp_path: Path):
    torch.manual_seed(0)
    network, x = NETWORKS["BatchNorm first"]()
    found = made(network, x)
    exponents = found.design.input.exponents
    found.design.save(tmp_path / "d.swd")
    again = Design.load(tmp_path / "d.swd")
    assert again.input == found.design.input
    assert np.array_equal(again.input.quantise(x), found.test_codes)
    frac = found.design.input.format.frac
    assert np.array_equal(found.test_codes, np.floor(np.ldexp(x.astype(float), frac - np.array(exponents)) + 0.5))

    artifact = load(save(tmp_path, "a", "int:8", found.steps[-1], found.graph, found.design))
    due = network(torch.from_numpy(x)).detach().numpy()
    assert np.abs(artifact.outputs(x) - due).max() < 0.02 * np.ptp(due)
    pruned = compress(network, found.data, "magnitude:0.01", Settings(qat_epochs=0, finetune_epochs=0))
    path = save(tmp_path, "b", "magnitude:0.01", pruned.steps[-1], pruned.graph, None)
    assert np.allclose(load(path).outputs(x), pruned.graph(torch.from_numpy(x)).detach().numpy(), atol=1e-6)

    generate(found.design, tmp_path / "p", targets=("verilog", "c"), test=found.test_codes[:20], vectors=20)
    manifest = json.loads((tmp_path / "p" / "manifest.json").read_text())
    assert manifest["input"]["exponents"] == list(exponents)
    assert ", ".join(map(str, exponents)) in (tmp_path / "p" / "README.md").read_text()
    header = (tmp_path / "p" / manifest["targets"]["c"]["header"]).read_text()
    assert "_quantise_at(uint32_t index" in header and ", ".join(map(str, exponents)) in header
    assert verify(tmp_path / "p", check=False).ok


def test_every_bit_of_the_hardware_of_a_network_with_exponents_is_right(tmp_path: Path):
    x = unlike()
    found = compress(nn.Sequential(linear(x, 4), nn.ReLU(), nn.Linear(4, 3)).eval(), Data.of(x), "log2:4",
                     Settings(qat_epochs=0))
    assert found.design is not None and any(found.design.input.exponents)
    generate(found.design, tmp_path / "p", targets=("verilog", "c"), test=found.test_codes[:50], vectors=200)
    assert simulate(tmp_path / "p").ok


@pytest.mark.parametrize("shape", [(3,), (2, 3)], ids=["features", "channels"])
def test_the_c_header_gives_the_codes_that_the_design_gives(shape: tuple[int, ...], tmp_path: Path):
    source = Tensor("x", shape, FixedPoint(True, 8, 3), (0, -7, 12))
    design = Design("scaled", source, (Clamp("c", ("x",), Requantise.to(FixedPoint(True, 8, 0))),))
    for name, data in TARGETS["c"](Job(design, Options())).files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    values = np.random.default_rng(0).normal(size=(50, *shape)).astype("f4") * np.ldexp(9, np.array([0, -7, 12]))
    numbers = ", ".join(f"{np.float32(v)!s}f" for v in values.ravel())
    (tmp_path / "c" / "use.c").write_text(f"""#define SCALED_WITH_FLOAT
        #include "scaled.h"
        #include <stdio.h>
        static const float values[] = {{ {numbers} }};
        int main(void)
        {{
            for (uint32_t i = 0; i < {values.size}; i++)
                printf("%d ", scaled_quantise_at(i % SCALED_INPUTS, values[i]));
            return 0;
        }}""")
    subprocess.run(["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", tmp_path / "c" / "use.c", "-o", tmp_path / "use"],
                   check=True)
    told = subprocess.run([tmp_path / "use"], capture_output=True, text=True, check=True).stdout.split()
    assert list(map(int, told)) == source.quantise(values).ravel().tolist()


def test_a_file_with_exponents_that_do_not_fit_is_refused(tmp_path: Path):
    torch.manual_seed(0)
    found = made(*NETWORKS["BatchNorm first"]())
    found.design.save(tmp_path / "d.swd")
    with zipfile.ZipFile(tmp_path / "d.swd") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    document = json.loads(members["design.json"])
    assert document["schema"] == 2, "a version that knows of no exponents must not read it"
    for bad in ([1, 2], [0.5] * 6, [1000] * 6, "111111", [], [True] * 6):
        document["input"]["exponents"] = bad
        with zipfile.ZipFile(tmp_path / "bad.swd", "w") as archive:
            for name, data in members.items():
                archive.writestr(name, json.dumps(document) if name == "design.json" else data)
        with pytest.raises(InputError, match="exponent"):
            Design.load(tmp_path / "bad.swd")


def test_a_network_that_quantisation_ruins_is_told_with_the_option_that_mends_it():
    x = 10 + np.random.default_rng(0).random((200, 2)).astype("f4")
    network = nn.Linear(2, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0, -1.0]]))
    told = [n for n in made(network, x, widths=Widths(3, 16)).notes if "not the one that was given" in n]
    assert len(told) == 1 and "--input-bits 16 mends it" in told[0]
    assert not any("not the one" in n for n in made(network, x).notes)


def test_outputs_that_collapse_are_told():
    """Features that a sum reads too must share one exponent: in 8 bits the small ones are gone."""
    class Lost(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2, 2, bias=False)
            with torch.no_grad():
                self.a.weight.copy_(torch.tensor([[-1.0, 1e3], [-1.0, 2e3]]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x) + x

    rng = np.random.default_rng(0)
    x = np.stack([1000 + 0 * rng.random(200), rng.uniform(0, 1, 200)], axis=1).astype("f4")
    told = [n for n in made(Lost(), x, widths=Widths()).notes if "collapsed" in n]
    assert len(told) == 1 and "distinct of" in told[0] and "--input-bits 16" in told[0]
