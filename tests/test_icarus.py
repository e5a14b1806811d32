"""The generated Verilog under a second simulator and a second bench: Icarus Verilog starts every register as X, and the
bench drives X on every line that means nothing."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import replace
from pathlib import Path

import icarus
import numpy as np
import pytest
from icarus import circuit, codes_of, play

from benchmarks.networks import (
    WIDE,
    every_folded_layer,
    every_image_layer,
    every_layer,
    random_dense,
    random_elements,
    random_folded,
)
from benchmarks.networks.strategies import designs, examples
from toolkit.design import Add, Design, FixedPoint, Requantise, Tensor
from toolkit.hardware import Options

pytestmark = pytest.mark.needs("iverilog")
FOLDED = Options(arch="folded")
EVERY = {"unrolled": (every_layer(), Options(2), 200), "folded": (every_layer(), FOLDED, 30),
         "images": (every_image_layer(), FOLDED, 4), "branches": (every_folded_layer(), FOLDED, 4)}


@pytest.mark.parametrize("patient_sink", [False, True])
@pytest.mark.parametrize("name", EVERY)
def test_every_kind_of_layer_is_right_in_icarus_too(name: str, patient_sink: bool, tmp_path: Path):
    design, options, count = EVERY[name]
    made = circuit(design, options)
    assert made is not None
    told = play(made, tmp_path, codes_of(design, count, 3), patient_sink=patient_sink)
    assert told.startswith("PASS"), told


@pytest.mark.parametrize("draw, seed", [*((random_folded, seed) for seed in range(4)),
                                        *((random_elements, seed) for seed in range(8))])
def test_random_folded_networks_are_right_in_icarus_too(draw, seed: int, tmp_path: Path):
    design, options = draw(seed)
    made = circuit(design, options)
    assert made is not None
    told = play(made, tmp_path, codes_of(design, 8, seed), seed=seed + 1, pause=(0, 40, 150, 220)[seed % 4])
    assert told.startswith("PASS"), told


def test_random_unrolled_networks_are_right_in_icarus_too(tmp_path: Path):
    found = 0
    for i, design in enumerate(examples(designs(widest=8, deepest=4), 12, 7)):
        made = circuit(design, Options(1 + i % 5, 2))
        if made is not None:
            told = play(made, tmp_path / str(i), codes_of(design, 60, i), seed=i + 1, pause=(0, 40, 150, 220)[i % 4])
            assert told.startswith("PASS"), (i, told)
            found += 1
    assert found >= 6


def small() -> Design:
    """Two dense layers and an addition that waits for the first of them."""
    layers = (random_dense("one", "x", (6, 5)), random_dense("two", "one", (5, 5)),
              Add("sum", ("one", "two"), Requantise.to(WIDE)))
    return Design("small", Tensor("x", (6,), FixedPoint(True, 6, 3)), layers)


VALID, READY = "assign m_axis_tvalid = {valid};", "{ready} && aresetn;"
DIPS = """reg [1:0] t = 0; always @(posedge aclk) t <= t + 2'd1;
assign m_axis_tvalid = {valid} && (t != 0 || m_axis_tready);"""
UNKNOWN_AT_FIRST = """reg was; always @(posedge aclk) if ({valid}) was <= 1'b1;
assign m_axis_tvalid = {valid} || (was === 1'b1 ? 1'b0 : was);"""
FLICKERS = "assign m_axis_tdata = {{OUT_BITS{{!m_axis_tready}}}} ^ "
BROKEN = {
    "tvalid waits for tready": (VALID, "assign m_axis_tvalid = {valid} && m_axis_tready;", True, "nothing moves"),
    "tvalid falls": (VALID, DIPS, False, "tvalid fell before tready"),
    "tdata changes": ("assign m_axis_tdata = ", FLICKERS, False, "tdata"),
    "a bit is wrong": ("assign m_axis_tdata = ", "assign m_axis_tdata = 2 ^ ", False, "tdata is wrong"),
    "tlast is wrong": ("assign m_axis_tlast = ", "assign m_axis_tlast = !", False, "tlast is wrong"),
    "tvalid is X until the first beat": (VALID, UNKNOWN_AT_FIRST, False, "tvalid is not low in reset"),
    "ready in reset": (READY, "{ready};", False, "tready is not low in reset"),
}


@pytest.mark.parametrize("arch", ["unrolled", "folded"])
@pytest.mark.parametrize("what", BROKEN)
def test_the_bench_sees_a_broken_rule(what: str, arch: str, tmp_path: Path):
    design = small()
    made = circuit(design, FOLDED if arch == "folded" else Options(1))
    assert made is not None
    top = made.made.files[f"{made.made.top}.v"]
    valid = next(line for line in top.splitlines() if "assign m_axis_tvalid" in line).split("= ")[1].rstrip(";")
    ready = next(line for line in top.splitlines() if "assign s_axis_tready" in line).split("= ")[1].split(" ")[0]
    before, after, patient_sink, rule = BROKEN[what]
    bits = 8 if arch == "folded" else design.output.bits
    change = tuple(text.format(valid=valid, ready=ready).replace("OUT_BITS", str(bits)) for text in (before, after))
    told = play(made, tmp_path, codes_of(design, 40, 1), patient_sink=patient_sink, change=change)
    assert told.startswith("FAIL") and rule in told, told


def resets(text: str) -> list[tuple[int, int, str]]:
    """Where in a module's text, and to what register, a reset gives its value: (start, end, register)."""
    found = []
    for block in re.finditer(r"if \(!(?:rstn|aresetn)\)(?: begin\n(.*?)\n\s*end\b| ([^\n]*;))", text, re.S):
        group = 1 if block[1] is not None else 2
        for line in re.finditer(r"([\w{}, ]+?) <= [^;\n]*;", block[group]):
            found.append((block.start(group) + line.start(), block.start(group) + line.end(), line[1].strip()))
    return found


SEEN_BY_NONE = {"pick", "bubble"}
"""Registers that are set before they are read, or that right themselves in the first clock."""


@pytest.mark.parametrize("arch, count, unseen", [
    ("unrolled", 1, set()), ("folded", 1, SEEN_BY_NONE | {"full", "{tap1, tap2, tap3, last1, last2, last3}"}),
    pytest.param("folded", 50, SEEN_BY_NONE, marks=pytest.mark.soak)])
def test_the_bench_sees_each_register_that_is_not_reset(arch: str, count: int, unseen: set[str], tmp_path: Path):
    made = circuit(small(), Options(1) if arch == "unrolled" else FOLDED)
    assert made is not None
    tried, missed = 0, set()
    for name, text in made.made.files.items():
        for start, end, register in resets(text):
            files = {**made.made.files, name: f"{text[:start]}{register} <= {register};{text[end:]}"}
            broken = replace(made, made=replace(made.made, files=files))
            told = play(broken, tmp_path / str(tried), codes_of(small(), 20 + count, 1), resets=count)
            tried += 1
            if not told.startswith("FAIL"):
                missed.add(register)
    assert tried >= (1 if arch == "unrolled" else 20)
    assert missed <= unseen


def test_the_bench_shares_no_code_with_hw_sim():
    names = {p.stem for p in (Path(__file__).parent.parent / "hw_sim").glob("*.py")}
    tree = ast.parse(Path(icarus.__file__).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & names and not any("packing" in name or "hw_sim" in name for name in imported)
    assert all(name.startswith("toolkit.") or name in sys.stdlib_module_names or name in ("numpy", "__future__")
               for name in imported)


def test_beats_are_packed_with_the_first_element_lowest():
    form = FixedPoint(True, 5, 0)
    assert icarus.beats(np.array([[1, -1, 2]]), Tensor("t", (3,), form), 3) == [f"{1 | 31 << 5 | 2 << 10:x}"]
