"""slang, which holds Verilog to the letter of IEEE 1364-2005, finds nothing in what is generated."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from ecp5 import cell_models
from icarus import circuit
from slang_check import said

from benchmarks.networks import (
    every_folded_layer,
    every_image_layer,
    every_layer,
    random_elements,
    random_folded,
    random_gated,
)
from benchmarks.networks.strategies import designs, examples
from benchmarks.slang import told
from toolkit.design import Design
from toolkit.hardware import Options

FOLDED = Options(arch="folded")
NETWORKS = 50


@pytest.mark.parametrize("design, options", [
    (every_layer(), Options(2)), (every_layer(), FOLDED), (every_image_layer(), FOLDED),
    (every_folded_layer(), FOLDED), (every_folded_layer(), Options(arch="folded", max_lanes=20, lanes=(("last", 0),))),
], ids=["unrolled", "folded", "images", "branches", "lanes"])
def test_slang_finds_nothing_in_every_kind_of_layer(design, options, tmp_path: Path):
    made = circuit(design, options)
    assert made is not None
    assert said(made, tmp_path) == ""
    cells = tmp_path / "cells.v"
    cells.write_text(cell_models())
    assert said(made, tmp_path / "ecp5", "-DECP5", str(cells), "--suppress-warnings", str(cells)) == ""


def test_slang_finds_nothing_in_random_unrolled_networks(tmp_path: Path):
    checked = 0
    for i, design in enumerate(examples(designs(widest=14, deepest=5), 2 * NETWORKS, 11)):
        made = circuit(design, Options(1 + i % 5, 2)) if checked < NETWORKS else None
        if made is not None:
            assert said(made, tmp_path / str(i)) == "", i
            checked += 1
    assert checked == NETWORKS


def test_slang_finds_nothing_in_random_folded_networks(tmp_path: Path):
    kinds: set[str] = set()
    # Of small networks: their schedules are short.
    small = (made for seed in itertools.count(20_000) if tensors(made := random_folded(seed)) <= 50)
    gated = (made for seed in itertools.count() if tensors(made := random_gated(seed)) <= 50)
    drawn = (*itertools.islice(small, NETWORKS), *itertools.islice(gated, 10), *map(random_elements, range(20)))
    for i, (design, options) in enumerate(drawn):
        made = circuit(design, options)
        assert made is not None
        assert said(made, tmp_path / str(i)) == "", design.name
        kinds |= {layer.kind for layer in design.layers}
    assert kinds >= {"dense", "conv", "maxpool", "avgpool", "upsample", "add", "concat", "reorder", "clamp", "leaky",
                     "lookup", "multiply", "argmax", "slopes", "extremum"}


def test_slang_finds_nothing_where_a_layer_makes_a_constant_of_what_it_reads(tmp_path: Path):
    design, options = random_folded(9026)  # its leaky layer shifts every bit of its input away
    made = circuit(design, options)
    assert made is not None and said(made, tmp_path) == ""


def tensors(made: tuple[Design, Options]) -> int:
    """Elements of all tensors of a network."""
    return sum(tensor.size for tensor in made[0].tensors.values())


FAULTS = {
    "used before its declaration": "wire a = b; wire b = x[0]; assign y = a;",
    "shift count": "assign y = |(x >> 4);",
    "cannot refer to element 4": "assign y = x[4];",
    "never driven": "wire a; assign y = a;",
    "implicit conversion truncates": "wire [2:0] a = x; assign y = ^a;",
    "undeclared identifier": "logic a; assign y = x[0];",
    "expected": "assign y = x[0]",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_slang_is_strict(fault: str, tmp_path: Path):
    (tmp_path / "top.v").write_text(f"module top (input wire [3:0] x, output wire y);\n{FAULTS[fault]}\nendmodule\n")
    assert fault in told([tmp_path / "top.v"], "top")


def test_slang_says_nothing_of_a_clean_module(tmp_path: Path):
    (tmp_path / "top.v").write_text("module top (input wire x, output wire y);\nassign y = ~x;\nendmodule\n")
    assert told([tmp_path / "top.v"], "top") == ""


def test_an_option_that_slang_does_not_know_is_an_error(tmp_path: Path):
    with pytest.raises(ValueError, match="unknown"):
        told([tmp_path / "top.v"], "top", "--unknown")
