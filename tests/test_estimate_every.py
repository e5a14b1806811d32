"""A project against every device, and what `build` and `estimate` say of whether it fits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_estimate_counts import MEMORY, manifest
from typer.testing import CliRunner

from toolkit.cli import app
from toolkit.emit.verilog.emit import check_memory
from toolkit.estimate import every as room
from toolkit.estimate.estimate import estimate, uses_of
from toolkit.estimate.project import load
from toolkit.hardware.blocks import FAMILIES, needed, use
from toolkit.hardware.boards import BOARDS, device
from toolkit.hardware.devices import DEVICES
from toolkit.hardware.storage import Declared, Storage
from toolkit.utils.errors import InputError


def storage(words: int, width: int, style: str = "block", written: bool = False) -> Storage:
    return Storage("m", "rom", "weights", words, width, style, written, "fc")


def test_bits_that_are_fewer_than_a_devices_can_take_more_blocks_than_it_has():
    # 33 memories of 341 bits take a block each: 11,253 of 589,824 bits, and 33 of 32 blocks.
    small = (storage(31, 11),) * 33
    chip = device("ecp5-12f")
    assert sum(one.bits for one in small) == 11_253 < chip.ram_bits
    with pytest.raises(InputError, match=r"take 33 EBR of 18 Kbit, and ecp5-12f has 32; .* weights of 'fc'"):
        check_memory(Declared(small), chip)
    check_memory(Declared(small[1:]), chip)


def test_more_bits_than_a_device_has_are_refused():
    with pytest.raises(InputError, match="take 34 EBR"):
        check_memory(Declared((storage(32 * 1024 + 1, 18),)), device("ecp5-12f"))


def test_what_becomes_logic_or_distributed_memory_takes_no_block_but_where_a_family_has_none():
    logic, spread = storage(16, 8, "logic"), storage(16, 8, "distributed", True)
    assert [use(one, FAMILIES["ecp5"]).blocks for one in (logic, spread)] == [0, 0]
    assert [use(one, FAMILIES["ice40"]).blocks for one in (logic, spread)] == [0, 1]
    assert use(spread, FAMILIES["ecp5"]).luts == 2 * 4


def test_a_block_is_used_in_one_of_its_shapes_and_the_rest_is_wasted():
    made = use(storage(512, 36), FAMILIES["ecp5"])
    assert (made.taken.cells, made.taken.words, made.taken.width, made.wasted) == (1, 512, 36, 0)
    made = use(storage(513, 36), FAMILIES["ecp5"])
    assert (made.taken.cells, made.taken.words, made.taken.width) == (2, 1024, 18)
    assert made.wasted == 2 * 18 * 1024 - 513 * 36
    assert needed((storage(512, 36), storage(513, 36)), FAMILIES["ecp5"]).blocks == 3


@pytest.mark.parametrize("family, words, width, blocks", [
    ("m9k", 8192, 1, 1), ("m9k", 256, 36, 1), ("m9k", 257, 36, 2), ("m10k", 256, 40, 1), ("m10k", 8193, 1, 2),
    ("m20k", 512, 40, 1), ("m20k", 16384, 1, 1), ("xc7", 512, 72, 2), ("xcup", 1024, 18, 1), ("gowin", 1024, 18, 1)])
def test_the_blocks_of_each_family_have_the_shapes_of_its_data_sheet(family, words, width, blocks):
    assert use(storage(words, width), FAMILIES[family]).blocks == blocks


def test_memories_that_take_too_many_blocks_do_not_fit_though_their_bits_would(tmp_path: Path):
    many = {"memories": [MEMORY] * 57, "register_bits": 0}
    found = estimate(manifest(tmp_path, memory=many), device="ecp5-25f")
    assert found.fits is False
    assert {u.name: (u.used, u.available) for u in found.uses}["memory blocks (EBR of 18 Kbit)"] == (57, 56)


def test_the_blocks_of_an_unrolled_networks_tables_are_not_known_before_synthesis(tmp_path: Path):
    table = {"memories": [], "register_bits": 1, "layers": [{"kind": "lookup"}]}
    found = estimate(manifest(tmp_path, memory=table), device="ecp5-25f")
    assert {u.name: u.used for u in found.uses}["memory blocks (EBR of 18 Kbit)"] is None
    assert room.rows(room.every(tmp_path))[1][3] == "not known of 16 EBR of 4 Kbit"
    folded = estimate(manifest(tmp_path, memory=table, architecture="folded"), device="ecp5-25f")
    assert {u.name: u.used for u in folded.uses}["memory blocks (EBR of 18 Kbit)"] == 0


def test_a_memory_of_no_known_style_is_of_an_older_version(tmp_path: Path):
    with pytest.raises(InputError, match="generate it again"):
        load(manifest(tmp_path, memory={"memories": [MEMORY | {"style": ""}], "register_bits": 0}))


def test_cells_that_no_tool_here_counts_are_refused_before_any_work(tmp_path: Path):
    with pytest.raises(InputError, match="5cseba6 cannot be counted here: only those of xc7, ecp5, ice40"):
        estimate(tmp_path / "none", device="de10-nano", synth=True)


def test_every_device_is_told_the_smallest_first_and_what_is_not_known_is_said_so(tmp_path: Path):
    found = room.every(manifest(tmp_path, initiation_interval=12))
    assert len(found.found) == len(DEVICES)
    sizes = [room.size(one.device) for one in found.found if one.device]
    assert sizes == sorted(sizes)
    head, first, *_ = room.rows(found)
    assert dict(zip(head, first, strict=True)) == {
        "part": "ice40-lp1k", "fits": "not known", "LUTs": "not known of 1,280", "blocks": "1 of 16 EBR of 4 Kbit",
        "registers": "34 of 1,280", "MHz": "not known", "samples/s": "not known",
        "takes most of": "memory blocks (EBR of 4 Kbit): 6.2 %"}
    assert "cycles between two samples: 12;" in room.text(found)[0]
    assert found.to_json()["cycles_a_sample"] == 12 and len(found.to_json()["devices"]) == len(DEVICES)


def test_a_device_that_is_too_small_is_told_with_what_it_lacks(tmp_path: Path):
    found = room.every(manifest(tmp_path, memory={"memories": [MEMORY] * 17, "register_bits": 1}))
    row = next(row for row in room.rows(found) if row[0] == "ice40-hx1k")
    assert (row[1], row[-1]) == ("NO", "memory blocks (EBR of 4 Kbit): 106.2 %")


def test_all_goes_with_no_device_and_with_json(tmp_path: Path):
    project = str(manifest(tmp_path))
    done = CliRunner().invoke(app, ["estimate", project, "--all", "--board", "icebreaker"])
    assert isinstance(done.exception, InputError)
    done = CliRunner().invoke(app, ["estimate", project, "--all", "--json"])
    assert done.exit_code == 0 and len(json.loads(done.output)["devices"]) == len(DEVICES)
    done = CliRunner().invoke(app, ["estimate", project, "--board", "icebreaker"])
    assert done.exit_code == 0 and "on ice40-up5k" in done.output


def test_registers_of_a_netlist_and_not_those_declared_are_judged_where_they_are_counted(tmp_path: Path):
    from toolkit.estimate.synthesis import Cells

    project = load(manifest(tmp_path, memory={"memories": [], "register_bits": 99_999}))
    uses = uses_of(project, device("ecp5-25f"), Cells("ecp5", {"LUT4": 3, "TRELLIS_FF": 4, "DP16KD": 1}))
    assert {use.fits for use in uses if use.available is not None} == {True}


def test_luts_in_shift_registers_and_distributed_memories_are_luts():
    from toolkit.estimate.synthesis import Cells

    assert Cells("xc7", {"LUT6": 5, "SRL16E": 2, "SRLC32E": 1, "RAM32M": 3, "RAM64M": 1}).luts == 5 + 3 + 16


def test_build_tells_whether_the_hardware_fits_its_device_with_the_share_of_each_resource(tmp_path: Path, monkeypatch):
    (tmp_path / "model.py").write_text(
        "import torch\ndef make():\n    torch.manual_seed(0)\n    return torch.nn.Sequential(torch.nn.Linear(4, 3))\n")
    monkeypatch.syspath_prepend(tmp_path)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (40, 4)).astype(np.float32), rng.integers(0, 3, 40)
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    done = CliRunner().invoke(app, [
        "build", "model:make", "--data", str(tmp_path / "d.npz"), "--device", "icebreaker", "--qat-epochs", "1",
        "--vectors", "10", "--no-simulate", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "network on ice40-up5k" in done.output and "LUTs: not counted (--synth does) of 5,280" in done.output
    assert "register bits declared: " in done.output and " of 5,280 (" in done.output


def test_the_documentation_lists_every_device_and_board():
    text = (Path(__file__).parent.parent / "docs" / "estimate.md").read_text()
    assert [name for name in (*DEVICES, *BOARDS) if f"`{name}`" not in text] == []
