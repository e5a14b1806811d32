"""The target c in its project: compared on the host and on emulated microcontrollers, bits and bytes."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from small_projects import path_without

from benchmarks.networks import every_layer, mlp
from toolkit.api import generate, simulate
from toolkit.design import (
    AvgPool,
    Conv,
    Dense,
    Design,
    FixedPoint,
    IntegerFormat,
    Leaky,
    Log2Format,
    Lookup,
    MaxPool,
    Reorder,
    Requantise,
    Reshape,
    Tensor,
    Upsample,
    Weights,
    Window,
)
from toolkit.utils.errors import InputError, ToolMissing
from toolkit.utils.resources import folder as resource

sys.path.insert(0, str(resource("hw_sim")))

from boards import emulated
from errors import SimulationError

ON = {name: pytest.mark.needs(*board.packages) for name, board in emulated.BOARDS.items()}


def image_network() -> Design:
    """Every layer that moves a window or a pixel; integer weights, and a sum that needs 64 bits."""
    rng = np.random.default_rng(3)
    byte, form, whole = FixedPoint(True, 8, 4), Log2Format.of(4), IntegerFormat(8)
    kernel = Weights(form, form.encode(rng.choice([-1, 1], (4, 3, 3, 2)), rng.integers(0, 8, (4, 3, 3, 2))),
                     np.array([0, -1, 1, 0]))
    last = Weights(whole, rng.integers(0, 256, (3, 64), dtype=np.uint8), np.array([0, 10, 20]))
    return Design("image", Tensor("x", (6, 6, 2), byte), (
        Conv("conv", ("x",), kernel, np.array([1, -2, 30, 4]), 6, Window.of((3, 3), (1, 1), ((1, 1), (1, 1))), 1,
             Requantise.to(FixedPoint(True, 8, 3))),
        MaxPool("max", ("conv",), Window.of((2, 2), (2, 2))),
        Lookup.of("tanh", ("max",), np.tanh, "tanh", FixedPoint(True, 8, 3), byte),
        Upsample("up", ("tanh",), (2, 2)),
        AvgPool("mean", ("up",), Window.of((3, 3), (1, 1)), *AvgPool.constant(9), Requantise.to(byte)),
        Leaky("leaky", ("mean",), 3, Requantise.to(FixedPoint(True, 9, 5))),
        Reorder.transposed("turned", "leaky", (4, 4, 4), (2, 0, 1), (4, 4, 4)),
        Reshape("flat", ("turned",), (64,)),
        Dense("out", ("flat",), last, np.array([5, 6, 1 << 33]), 7, Requantise.to(FixedPoint(True, 40, 3))),
    ))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Path]:
    """Two projects of the target c, built for the host."""
    found = {}
    for name, design in (("every", every_layer()), ("image", image_network())):
        found[name] = tmp_path_factory.mktemp("c") / name
        generate(design, found[name], targets=("c",), vectors=500)
        assert simulate(found[name], vectors=10).ok
    return found


@pytest.fixture
def project(made: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made["every"], tmp_path / "every"))


def changed_manifest(project: Path, **values: object) -> None:
    path = project / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["targets"]["c"].update(values)
    path.write_text(json.dumps(manifest))


@ON["cortex-m0"]
@ON["rv32i"]
@ON["avr"]
@pytest.mark.parametrize("name", ["every", "image"])
def test_every_bit_and_byte_is_as_promised_on_the_host_and_on_every_board(made: dict[str, Path], name):
    found = simulate(made[name], boards=("all",), vectors=60)
    assert found.ok, found.failures
    entry = json.loads((made[name] / "manifest.json").read_text())["targets"]["c"]
    assert {c["bench"] for c in found.data["checks"]} == {"host (gcc)", "cortex-m0 (QEMU)", "rv32i (QEMU)",
                                                           "avr (simavr)"}
    figures = found.data["targets"]["c"]["figures"]
    for board in ("cortex-m0", "rv32i", "avr"):
        assert figures[board]["tables"] == entry["flash_bytes"]
        assert entry["ram_bytes"] <= figures[board]["network_ram"] < entry["ram_bytes"] + 8
        assert figures[board]["flash"] > figures[board]["network_flash"] > entry["flash_bytes"]


def test_changed_weights_are_found_as_bit_errors(project: Path):
    path = project / "c" / "every_layer.c"
    before, after = path.read_text().split("out_codes[", 1)
    path.write_text(f"{before}out_codes[" + re.sub("0x([0-9a-f]{2})", lambda m: f"0x{int(m[1], 16) ^ 16:02x}", after))
    found = simulate(project)
    assert found.bit_errors > 0 and not found.ok and "c/every_layer.c" in found.data["integrity"][0]


def test_c_that_does_not_compile_is_told_in_the_compilers_words(project: Path):
    path = project / "c" / "every_layer.c"
    path.write_text(path.read_text().replace("best = 0;", "best = nothing;"))
    found = simulate(project, allow_edited=True)
    assert not found.ok and any("nothing" in line and "every_layer.c" in line for line in found.failures)


def test_a_program_that_ends_early_is_a_fault(project: Path):
    path = project / "c" / "every_layer_main.c"
    path.write_text(path.read_text().replace("while (net_get(input, sizeof input)) {",
                                             "while (net_get(input, sizeof input)) {\n        if (input[0] > 9) {\n"
                                             "            return 7;\n        }"))
    found = simulate(project, allow_edited=True)
    assert any("code 7" in line for line in found.failures) and any("bytes came" in line for line in found.failures)


@ON["cortex-m0"]
def test_a_program_that_is_wrong_on_a_board_alone_is_found_there(project: Path):
    path = project / "c" / "every_layer.c"
    best = "    y[0] = (uint8_t)best;"
    assert path.read_text().count(best) == 1
    path.write_text(path.read_text().replace(best, f"{best}\n#ifdef __arm__\n    y[0] ^= 1u;\n#endif"))
    found = simulate(project, boards=("cortex-m0",), vectors=10, allow_edited=True)
    wrong = {check["bench"]: check["bit_errors"] for check in found.data["checks"] if check["samples"]}
    taken = sum(check["samples"] for check in found.data["checks"]) // 2
    assert not found.ok and wrong["host (gcc)"] == 0 and found.bit_errors == taken > 0
    assert found.data["mismatch"]["target"] == "c" and not found.data["faults"]


@ON["cortex-m0"]
def test_more_ram_than_promised_fails_the_boards_check(project: Path):
    memory = json.loads((project / "manifest.json").read_text())["targets"]["c"]["memory"]
    changed_manifest(project, memory={**memory, "16": memory["16"] + 2})
    found = simulate(project, boards=("cortex-m0",), vectors=10)
    assert any("bytes of RAM, promised" in line for line in found.failures)


@ON["rv32i"]
def test_a_table_of_another_size_than_promised_fails_the_boards_check(project: Path):
    tables = json.loads((project / "manifest.json").read_text())["targets"]["c"]["tables"]
    changed_manifest(project, tables=[{**tables[0], "bytes": tables[0]["bytes"] + 1}, *tables[1:]])
    found = simulate(project, boards=("rv32i",), vectors=10)
    assert any(f"the table {tables[0]['name']} takes" in line for line in found.failures)


@ON["cortex-m0"]
@ON["rv32i"]
def test_a_multiplication_on_a_board_without_a_multiplier_fails_its_check(project: Path):
    path = project / "c" / "every_layer.c"
    path.write_text(path.read_text().replace("    y[0] = (uint8_t)best;",
                                             "    y[0] = (uint8_t)(best + 0u * (unsigned)x0[0] * (unsigned)y[0]);")
                    .replace("0u *", "(unsigned)(x0[1] >= 9999) *"))
    assert any("__mulsi3" in line for line in simulate(project, allow_edited=True, boards=("rv32i",),
                                                       vectors=10).failures)
    assert simulate(project, allow_edited=True, boards=("cortex-m0",), vectors=10).ok


@ON["cortex-m0"]
def test_a_network_that_does_not_fit_a_board_is_told_so(tmp_path: Path):
    x = Tensor("x", (1, 1), FixedPoint(True, 40, 0))
    design = Design("large", x, (Upsample("up", ("x",), (2000,)), Reorder("one", ("up",), np.array([7]), (1,))))
    generate(design, tmp_path / "p", targets=("c",), vectors=10)
    found = simulate(tmp_path / "p", boards=("cortex-m0",))
    assert any("do not fit the board's memory" in line for line in found.failures)


@ON["avr"]
def test_an_avr_gets_more_samples_than_its_flash_holds(tmp_path: Path):
    generate(mlp((1000, 3)), tmp_path / "p", targets=("c",), vectors=200)
    found = simulate(tmp_path / "p", boards=("avr",), vectors=150)
    assert found.ok, found.failures
    assert sum(c["samples"] for c in found.data["checks"] if c["bench"] == "avr (simavr)") == 150 > 60_000 / 1000


@ON["avr"]
def test_constants_beyond_what_an_avr_reads_are_refused_by_its_compiler(tmp_path: Path):
    generate(mlp((256, 200, 256, 200)), tmp_path / "p", targets=("c",), vectors=10)
    found = simulate(tmp_path / "p", boards=("avr",))
    assert any("reaches the first 64 KiB of flash" in line for line in found.failures)


def test_an_unknown_board_is_refused(project: Path):
    with pytest.raises(InputError, match="unknown board 'z80'; known are cortex-m0, rv32i, avr and all"):
        simulate(project, boards=("z80",))


def test_a_board_without_the_target_c_is_refused(tmp_path: Path):
    generate(every_layer(), tmp_path / "p", targets=("verilog",), vectors=10)
    with pytest.raises(InputError, match="--board runs the target c"):
        simulate(tmp_path / "p", boards=("rv32i",))


@pytest.mark.parametrize("program", ["gcc", "arm-none-eabi-gcc", "qemu-system-riscv32", "simavr"])
def test_a_missing_compiler_or_emulator_is_named_with_what_installs_it(project: Path, tmp_path: Path, monkeypatch,
                                                                       program):
    monkeypatch.setenv("PATH", path_without(tmp_path, program))
    for other in {name for board in emulated.BOARDS.values() for name in board.packages} - {program}:
        if not (tmp_path / "bin" / other).exists():  # of the others it only matters that they are there
            (tmp_path / "bin" / other).symlink_to("/bin/false")
    with pytest.raises(ToolMissing, match=rf"{program} is not installed.*apt-get install"):
        simulate(project, boards=("all",))


@pytest.mark.parametrize("values", [{"base": "a; rm -rf"}, {"source": "../x.c"}, {"memory": {"7": 1}}, {"tables": [{}]},
                                    {"memory": {"8": -1}}, {"main": None}])
def test_an_entry_that_is_not_ours_is_refused(project: Path, values):
    changed_manifest(project, **values)
    with pytest.raises(InputError):
        simulate(project)


def test_vectors_of_another_type_are_refused(project: Path):
    path = next((project / "vectors").glob("random_in.npy"))
    np.save(path, np.load(path).astype(np.int32))
    with pytest.raises(InputError, match=r"random_in\.npy"):
        simulate(project)


def test_the_table_of_size_is_read():
    text = "   text\t   data\t    bss\t    dec\t    hex\tfilename\n  52014\t      8\t   1344\t  53366\t   d076\tx.o\n"
    assert emulated.size(text) == emulated.Size(52014, 8, 1344)
    assert emulated.size(text).flash == 52022 and emulated.size(text).ram == 1352
    with pytest.raises(SimulationError, match="not a table"):
        emulated.size("size: x.o: no such file")


def test_the_symbols_of_nm_are_read():
    text = "00000140 00000200 r fc1_start\n00000000 00000540 b memory\n         U memset\n000001ac T run\n"
    assert emulated.symbols(text) == {"fc1_start": 512, "memory": 1344}


def test_multiplications_are_found_in_a_disassembly():
    clean = ("80000010:\t00f70733          \tadd\ta4,a4,a5\n80000014:\t0102d2b7 \tlui\tt0,0x102d\n"
             "80000018 <multiplex_layer>:\n8000001c:\t4187d793  \tsra\ta5,a5,0x18\n")
    assert emulated.multiplications(clean) == []
    found = emulated.multiplications(clean + "80000020:\t02f707b3          \tmul\ta5,a4,a5\n"
                                   "80000024:\t0a0000ef \tjal\tra,800000c4 <__mulsi3>\n"
                                   "80000028:\t02f757b3          \tdivu\ta5,a4,a5\n")
    assert len(found) == 3 and found[0].endswith("mul a5,a4,a5")
