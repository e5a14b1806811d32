"""The generated Verilog: plain, safe, deterministic, and registers that are what the estimate counts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from icarus import circuit, play

from benchmarks.networks import tiny
from benchmarks.networks.strategies import designs
from toolkit.design import Clamp, Design, FixedPoint, Multiply, Requantise, Reshape, Rounding, Tensor
from toolkit.design.layers.multiply import MULTIPLIER
from toolkit.emit.verilog import verilog
from toolkit.hardware import Options, plan
from toolkit.utils.errors import InputError
from toolkit.utils.identifiers import RESERVED, identifiers


def code(text: str) -> str:
    """Verilog without comments, attributes and the condition of always blocks."""
    return re.sub(r"//[^\n]*|/\*.*?\*/|\(\*.*?\*\)", "", text, flags=re.S)


@given(designs(widest=5, deepest=3))
@settings(max_examples=25, deadline=None)
def test_there_is_no_multiplier_no_memory_and_no_initial_block(design: Design):
    assume(not any(isinstance(layer, Multiply) and layer.gate == MULTIPLIER for layer in design.layers))
    if plan(design).latency == 0:
        return
    for text in verilog(plan(design)).files.values():
        assert "*" not in code(text)
        assert not re.search(r"\binitial\b|\[\d+:0\]\s*\w+\s*\[", code(text))
        assert text.count("`default_nettype none") == text.count("`default_nettype wire") == 1


@given(designs(widest=5, deepest=3))
@settings(max_examples=15, deadline=None)
def test_the_same_design_gives_the_same_text(design: Design):
    if plan(design).latency:
        assert verilog(plan(design)).files == verilog(plan(design)).files


@pytest.mark.parametrize("name", ["module", "a/b.c", 'quo"te', "int", "x" * 150, "ümlaut",
                                  "endmodule; initial $finish;", "*/ initial", "aclk", "`define", "../../etc"])
def test_any_name_becomes_a_safe_one(name):
    made = verilog(plan(tiny([[1, -2]], [3], name=name, design=name, source="input " + name)))
    for file, text in made.files.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*\.v", file)
        assert "$finish" not in code(text)
        assert text.isascii()
    names = [made.top, *made.modules.values(), *made.nets.values()]
    assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,110}", n) and n not in RESERVED for n in names)


def test_names_that_would_meet_are_told_apart():
    found = identifiers(["a.b", "a/b", "a b", "A_B"])
    assert len(set(found.values())) == 4


def test_a_network_without_arithmetic_is_refused():
    design = Design("still", Tensor("x", (2, 2), FixedPoint(True, 4, 0)), (Reshape("r", ("x",), (4,)),))
    with pytest.raises(InputError, match="no hardware"):
        verilog(plan(design))


def test_a_sum_that_saturates_below_zero_keeps_its_sign():
    design = tiny([[127, 127]], [0])
    assert design.reference(np.array([[-8, -8], [7, 7]])).tolist() == [[-128], [127]]


@pytest.mark.needs("iverilog")
@pytest.mark.parametrize("arch", ["unrolled", "folded"])
@pytest.mark.parametrize("width, shift", [(1, 1), (3, 2), (3, 3), (4, 4), (3, 5)])
def test_half_of_a_shift_as_wide_as_its_sum_goes_to_even(width: int, shift: int, arch: str, tmp_path: Path):
    clamp = Clamp("even", ("x",), Requantise.to(FixedPoint(True, 3, 0), Rounding.HALF_EVEN))
    design = Design("ties", Tensor("x", (1,), FixedPoint(True, width, shift)), (clamp,))
    made = circuit(design, Options(arch=arch))
    every = np.arange(-1 << width - 1, 1 << width - 1).reshape(-1, 1)
    assert made is not None
    told = play(made, tmp_path, every)
    assert told.startswith("PASS"), told
