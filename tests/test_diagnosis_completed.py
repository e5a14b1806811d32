"""Where a project's own traces do not show the layer at fault, the design finishes the diagnosis."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from benchmarks.networks.by_hand import dense, network
from toolkit.commands.simulate import _complete
from toolkit.design import FixedPoint

DESIGN = network(FixedPoint(True, 8, 0), 2, dense([[1, 1], [1, -1]], name="first"),
                 dense([[1, 0], [2, 1]], name="last", source="first"))
INPUT = b"\x05\x03"  # x = 5, 3: the first layer gives 8, 2 and the last 8, 18
RIGHT = {"first": "0208", "last": "1208"}


def told(folder: Path, outputs: dict[str, str], **changed: Any) -> dict[str, Any]:
    """A simulation whose traces showed nothing, after the design has looked at it."""
    DESIGN.save(folder / "design.swd")
    data = {"diagnosis": {"layer": None, "note": "none shows it", "outputs": copy.copy(outputs)},
            "mismatch": {"target": "verilog", "input": INPUT[::-1].hex(), "vectors": "random", "element": 1,
                         "got": 17, "expected": 18, **changed}}
    _complete(folder, data)
    return data["diagnosis"]


@pytest.mark.parametrize("outputs, layer", [
    ({"first": "0308", "last": "1308"}, "first"), ({**RIGHT, "last": "1108"}, "last"), ({"first": "0208"}, "last")])
def test_the_first_layer_that_differs_from_the_design_is_named(tmp_path: Path, outputs, layer):
    found = told(tmp_path, outputs)
    assert (found["layer"], found["note"]) == (layer, f"the first layer whose output differs is '{layer}'")


def test_vectors_that_disagree_with_the_design_are_at_fault_themselves(tmp_path: Path):
    found = told(tmp_path, RIGHT, expected=19)
    assert found["layer"] is None
    assert found["note"].endswith("the expected outputs of 'random' disagree with the design")


def test_where_every_layer_is_right_the_registers_and_the_handshake_are_left(tmp_path: Path):
    found = told(tmp_path, RIGHT)
    assert found["layer"] is None and found["note"].startswith("with this input held still every layer's output is")


def test_a_mismatch_of_another_target_says_nothing_of_the_layers(tmp_path: Path):
    assert told(tmp_path, {"first": "0"}, target="c")["note"] == "none shows it"
