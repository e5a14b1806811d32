"""What the lanes name for ECP5 (carry cells that hold the last stage of a shift, a slice's multiplexers) is what they
describe for everybody else: simulated with yosys's models of the cells, on the same vectors."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ecp5 import CELLS, cell_models
from icarus import Circuit, circuit, codes_of, play

from benchmarks.networks import SMALL, WIDE, dense, every_folded_layer, integers, random_conv, random_weights
from toolkit.design import Design, FixedPoint, Log2Format, Requantise, Tensor, Window
from toolkit.hardware import Options

pytestmark = pytest.mark.needs("iverilog")


def lanes(outputs: int, levels: int, width: int = 7, signed: bool = True) -> tuple[Design, Options]:
    """One dense layer of five inputs with a lane for each output, its weights log2 with so many levels."""
    rng = np.random.default_rng(outputs * 100 + levels)
    form = Log2Format.of(5, levels)
    layer = dense(random_weights(form, (outputs, 5), rng, (-3, 0)), rng.integers(-99, 99, outputs),
                  Requantise.to(FixedPoint(True, 12, 4)), bias_frac=6)
    design = Design("lanes", Tensor("x", (5,), FixedPoint(signed, width, 3)), (layer,))
    return design, Options(arch="folded", lanes=(("fc", outputs),))


def whole() -> tuple[Design, Options]:
    """Nine lanes of integers: multiplexers of cells, sums of plain adders."""
    rng = np.random.default_rng(5)
    layer = dense(integers(rng.integers(-8, 8, (9, 5)), 4), rng.integers(-99, 99, 9), Requantise.to(WIDE), bias_frac=3)
    return Design("whole", Tensor("x", (5,), SMALL), (layer,)), Options(arch="folded", lanes=(("fc", 9),))


def grouped() -> tuple[Design, Options]:
    """A convolution of two groups, eight lanes, that takes its outputs in two folds of which the last is not full."""
    layer = random_conv("c", "x", (4, 22), Window.of((3,), (1,), ((1, 1),)), groups=2)
    return Design("grouped", Tensor("x", (5, 4), WIDE), (layer,)), Options(arch="folded", lanes=(("c", 8),))


NETWORKS = {"carry": lanes(3, 4), "narrow": lanes(2, 2, 1, False), "one level": lanes(9, 1), "long shifts": lanes(8, 9),
            "sixteen": lanes(16, 4), "seventeen": lanes(17, 7), "forty": lanes(40, 3), "integers": whole(),
            "groups": grouped(), "odd sum": lanes(4, 5), "even sum": lanes(4, 5, 8)}


def made_of(name: str) -> Circuit:
    design, options = NETWORKS[name]
    made = circuit(design, options)
    assert made is not None
    return made


def instances(made: Circuit) -> set[str]:
    """The cells that a network's text names."""
    text = "".join(made.made.files.values())
    return {cell for cell in CELLS if re.search(rf"^\s*{cell} ", text, re.M)}


@pytest.mark.parametrize("name", NETWORKS)
def test_lanes_of_ecp5_cells_give_the_same_bits(name: str, tmp_path: Path):
    made = made_of(name)
    told = play(made, tmp_path, codes_of(made.design, 15, 4), defines=("ECP5",), more=cell_models())
    assert told.startswith("PASS"), told


def test_every_kind_of_folded_layer_is_right_on_ecp5_cells(tmp_path: Path):
    made = circuit(every_folded_layer(), Options(arch="folded", lanes=(("hidden", 9),)))
    assert made is not None
    assert instances(made) == {"CCU2C", "LUT4", "PFUMX", "L6MUX21"}
    told = play(made, tmp_path, codes_of(made.design, 3, 4), defines=("ECP5",), more=cell_models())
    assert told.startswith("PASS"), told


def test_these_networks_hold_every_cell_in_every_place():
    every = {name: instances(made_of(name)) for name in NETWORKS}
    assert every["carry"] == {"CCU2C"} and every["integers"] == {"LUT4", "PFUMX", "L6MUX21"}
    assert every["seventeen"] == every["long shifts"] == {"CCU2C", "LUT4", "PFUMX", "L6MUX21"}
    text = {name: "".join(made_of(name).made.files.values()) for name in NETWORKS}
    assert "GROUPS = 1;" in text["sixteen"] and "GROUPS = 2;" in text["seventeen"] and "GROUPS = 3;" in text["forty"]
    padded = {name for name in NETWORKS if "= {1'b0, sum};" in text[name]}
    assert padded and padded != {name for name in NETWORKS if "CCU2C" in every[name]}


CHANGES = [("seventeen", "INIT0(16'h596A)", "INIT0(16'h5A6A)"), ("seventeen", "INIT1(16'h596A)", "INIT1(16'h59AA)"),
           ("seventeen", "assign carry[0] = 1'b0", "assign carry[0] = 1'b1"), ("seventeen", "16'hCACA", "16'hACAC"),
           ("seventeen", ".ALUT(twos[2*lane+1]), .BLUT(twos[2*lane])", ".ALUT(twos[2*lane]), .BLUT(twos[2*lane+1])"),
           ("seventeen", ".SD(pick_padded[2])", ".SD(pick_padded[3])"),
           ("seventeen", ".D0(eights[2*lane])", ".D0(eights[2*lane+1])"),
           ("seventeen", "sixteens[pick[4:4]]", "sixteens[0]"), ("carry", ".CIN(carry[place])", ".CIN(carry[0])"),
           ("odd sum", ".B1(far3)", ".B1(1'b0)"), ("even sum", ".B0(far3)", ".B0(1'b1)")]


@pytest.mark.parametrize("name, before, after", CHANGES)
def test_a_cell_that_is_wired_wrongly_gives_bit_errors(name: str, before: str, after: str, tmp_path: Path):
    made = made_of(name)
    told = play(made, tmp_path, codes_of(made.design, 40, 4), defines=("ECP5",), more=cell_models(),
                change=(before, after))
    assert told.startswith("FAIL: tdata"), told
    plain = play(made, tmp_path / "plain", codes_of(made.design, 40, 4), change=(before, after))
    assert plain.startswith("PASS"), plain


def test_a_missing_cell_model_would_be_noticed(tmp_path: Path):
    made = made_of("carry")
    with pytest.raises(AssertionError, match="CCU2C"):
        play(made, tmp_path, codes_of(made.design, 4, 4), defines=("ECP5",))
