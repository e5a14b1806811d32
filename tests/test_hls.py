"""The target `hls`: C++ that equals the reference in every bit, unrolled and folded, and is refused where it cannot."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hls_program import Program, target_hls

from benchmarks.networks import corners, dense, every_image_layer, every_layer, integers, mlp, network
from benchmarks.networks.strategies import designs, examples, image_designs
from toolkit.api import generate, simulate
from toolkit.design import (
    Add,
    ArgMax,
    Clamp,
    Concat,
    Design,
    FixedPoint,
    Leaky,
    Log2Format,
    Overflow,
    Requantise,
    Reshape,
    Rounding,
    Tensor,
    Weights,
)
from toolkit.emit.hls import emit
from toolkit.emit.hls.rom import code, pack
from toolkit.emit.target import Job
from toolkit.hardware import Options
from toolkit.utils.errors import InputError

NETWORKS = 24
SANITISERS = ("-fsanitize=signed-integer-overflow,bounds,shift-exponent", "-fno-sanitize-recover=all")


def check(folder, networks: list[tuple[Design, Options]]) -> Program:
    """Compile all, run all, compare every word."""
    program = Program(folder, networks, SANITISERS)
    for i, (design, options) in enumerate(networks):
        codes = corners(design, 60)
        assert np.array_equal(program.run(i, codes, design), design.reference(codes)), (design, options)
    assert program.warnings == ""
    return program


@pytest.mark.parametrize("arch", ["unrolled", "folded"])
def test_every_layer_equals_the_reference(tmp_path, arch):
    check(tmp_path, [(every_layer(), Options(arch=arch)), (every_image_layer(), Options(arch=arch))])


def test_random_networks_equal_the_reference(tmp_path):
    vectors = examples(designs(widest=7, deepest=3), NETWORKS, 0)
    images = examples(image_designs(deepest=4), NETWORKS, 0)
    arches = ["unrolled", "folded"] * NETWORKS
    networks = [(dataclasses.replace(d, name=f"n{i}"), Options(arch=arch, max_lanes=1 + i % 5))
                for i, (d, arch) in enumerate(zip([*vectors, *images], arches, strict=True))]
    check(tmp_path, networks)


def test_words_of_62_bits_are_exact(tmp_path):
    form = Log2Format.of(8)
    wide = Weights(form, np.array([[1, 45, 130], [2, 0, 45]], np.uint8), np.array([0, 0]))
    fine, even = (Requantise.to(FixedPoint(True, 62, 44), Rounding.FLOOR),
                  Requantise.to(FixedPoint(True, 40, 3), Rounding.HALF_EVEN))
    sums, halves = (network(FixedPoint(True, 13, 0), 3, dense(wide, requantise=r)) for r in (fine, even))
    x = Tensor("x", (3,), FixedPoint(False, 58, 50))
    moved = Design("d", x, (
        Clamp("small", ("x",), Requantise.to(FixedPoint(True, 12, 4))),
        Leaky("slope", ("small",), 16, Requantise.to(FixedPoint(True, 40, 20))),
        Concat("both", ("slope", "small")),
        Clamp("up", ("both",), Requantise.to(FixedPoint(True, 60, 22), Rounding.HALF_UP, Overflow.WRAP)),
        ArgMax("class", ("up",))))
    both = [dataclasses.replace(d, name=f"{name}{arch[0]}") for arch in ("unrolled", "folded")
            for name, d in (("sums", sums), ("even", halves), ("moved", moved))]
    check(tmp_path, [(d, Options(arch=arch)) for d, arch in zip(both, ["unrolled"] * 3 + ["folded"] * 3, strict=True)])


def test_wires_dead_layers_and_tensors_of_many_readers_are_right(tmp_path):
    x, r = Tensor("x", (2, 3), FixedPoint(True, 5, 2)), Requantise.to(FixedPoint(True, 6, 2))
    wires = Design("wires", x, (Reshape("r", ("x",), (6,)),))
    shared = Design("shared", x, (Clamp("dead", ("x",), r), Add("twice", ("x", "x"), r), Reshape("r", ("twice",), (6,)),
                                  Reshape("s", ("x",), (6,)), Add("all", ("r", "s", "r", "s"), r)))
    both = [(dataclasses.replace(d, name=d.name + arch), Options(arch=arch))
            for d in (wires, shared) for arch in ("unrolled", "folded")]
    mixed = dataclasses.replace(every_image_layer(), name="mixed")
    check(tmp_path, [*both, (mixed, Options(arch="folded", lanes=(("grouped", 0), ("mean", 0), ("out", 2))))])


def test_names_of_keywords_macros_and_headers_compile(tmp_path):
    names = ["class", "Class", "class layer", "linux", "ap_int", "std", "in", "out", "int", "int8_t", "read_sample",
             "split", "层", "x_Data", "fc_Code", "main", "*/ #error", "??/", "top", "hls"]
    r = Requantise.to(FixedPoint(True, 6, 2))
    chain = tuple(Clamp(name, (before,), r) for before, name in zip(["template", *names], names, strict=False))
    design = Design("hls", Tensor("template", (2,), FixedPoint(True, 5, 2)), chain)
    # Every tensor once more, so that a dataflow network splits it.
    last = Add("sum", (names[-1], names[0], "template"), r)
    skips = dataclasses.replace(design, name="top", layers=(*chain, last))
    check(tmp_path, [(design, Options(arch="unrolled")), (skips, Options(arch="folded"))])


def test_an_accumulator_is_as_wide_as_its_range_and_no_wider(tmp_path):
    form = Log2Format.of(4)
    weights = Weights(form, np.array([[1, 1, 2], [9, 3, 0]], np.uint8), np.array([0, 1]))
    design = network(FixedPoint(True, 5, 1), 3, dense(weights, requantise=Requantise.to(FixedPoint(True, 16, 6))))
    text = emit(Job(design, Options())).files["hls/d_layers.h"].decode()
    declared = [int(w) for w in re.findall(r"const ap_int<(\d+)> s\d+ =", text)]
    assert declared == design.ranges["fc"].widths.tolist()
    program = Program(tmp_path, [(design, Options())])
    corner = np.array([[-16, -16, -16], [15, 15, 15], [15, -16, 0], [-16, 15, 0]])
    assert np.array_equal(program.run(0, corner, design), design.reference(corner))
    source = tmp_path / "d" / "d_layers.h"
    for o, width in enumerate(declared):
        source.write_text(text.replace(f"ap_int<{width}> s{o} =", f"ap_int<{width - 1}> s{o} ="))
        program.compile()
        assert not np.array_equal(program.run(0, corner, design), design.reference(corner))


def test_with_the_stream_header_of_vitis_its_own_beats_are_used(tmp_path):
    (tmp_path / "ap_axi_sdata.h").write_text("""
#include "ap_int.h"
namespace hls {
template <typename T, std::size_t U, std::size_t I, std::size_t D> struct axis {
    T data;
    ap_uint<(T::width + 7) / 8> keep, strb;
    ap_uint<1> last;
};
}
template <std::size_t W, std::size_t U, std::size_t I, std::size_t D> using ap_axiu = hls::axis<ap_uint<W>, U, I, D>;
""")
    design = every_layer()
    program = Program(tmp_path, [(design, Options())], ("-I", str(tmp_path)))
    codes = corners(design, 60)
    assert np.array_equal(program.run(0, codes, design), design.reference(codes))


@pytest.mark.parametrize("arch", ["unrolled", "folded"])
def test_no_weight_is_multiplied(arch):
    for design in (every_layer(), every_image_layer()):
        made = emit(Job(design, Options(arch=arch)))
        for line in made.files[f"hls/{made.entry['top']}_layers.h"].decode().splitlines():
            place = re.match(r"\s*(const int (r|c|o|at|tap|code|end|group) = |for \()", line)
            rest = re.sub(r"\[[^][]*\]", "", line.split("//")[0])
            if not place and "*" in rest:
                assert re.search(r"WIDTH|bits", rest), line


def test_the_rom_holds_the_bits_that_the_codes_need():
    design = mlp((64, 32, 8))
    made = emit(Job(design, Options(arch="folded", lanes=(("fc1", 16), ("fc2", 3)))))
    fc1, fc2 = made.entry["layers"]
    assert fc1["rom_bits"] == 64 * 32 * 4
    assert fc2["rom_bits"] == 32 * 3 * 16  # three folds of three codes, in words of 16 bits


def test_terms_that_do_not_fit_a_word_are_refused_by_name_before_any_file(tmp_path):
    weights = integers([[100, 3], [1, 0]], exponents=[0, 34])
    design = network(FixedPoint(True, 24, 0), 2, dense(weights, name="odd one"))
    with pytest.raises(InputError, match=r"'odd one'.*unroll it"):
        generate(design, tmp_path / "p", targets=("hls",), options=Options(arch="folded"), vectors=20)
    assert not (tmp_path / "p").exists()
    assert emit(Job(design, Options(arch="unrolled"))).files


def test_too_large_a_wiring_is_refused_by_name():
    weights = np.full((512, 512), 85)
    design = network(FixedPoint(True, 4, 0), 512, dense(weights, name="huge"))
    with pytest.raises(InputError, match=r"'huge'.*fold it"):
        emit(Job(design, Options(arch="unrolled")))


def test_codes_too_wide_for_a_lane_are_refused_by_name():
    layer = every_layer().layers[1]
    with pytest.raises(InputError, match=r"'a'.*codes of 40 bits"):
        pack(code(np.array([[(1 << 39) - 171]])), 1, 1, layer)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hls") / "project"
    generate(every_image_layer(), folder, targets=("hls",), options=Options(arch="folded", max_lanes=3), vectors=400)
    return folder


def test_a_project_is_simulated_and_equal(project):
    found = simulate(project, targets=("hls",))
    assert found.ok and found.bit_errors == 0 and found.samples == 400, found.failures
    assert simulate(project).data["build_cached"]


def test_the_folder_works_alone_and_its_testbench_sees_a_wrong_word(project, tmp_path):
    program = project / "build" / "hls" / "csim"
    if not program.is_file():
        simulate(project)
    alone = Path(shutil.copytree(project / "hls", tmp_path / "alone"))
    right = subprocess.run([program], cwd=alone, capture_output=True, text=True)
    assert (right.returncode, right.stdout) == (0, "64 samples, 0 differ\n")
    samples = alone / "samples.txt"
    lines = samples.read_text().splitlines()
    samples.write_text("\n".join([lines[0][:-1] + str((int(lines[0][-1]) + 1) % 5), *lines[1:]]) + "\n")
    wrong = subprocess.run([program], cwd=alone, capture_output=True, text=True)
    assert wrong.returncode == 1 and "1 differ" in wrong.stdout


def test_a_damaged_weight_is_found(project, tmp_path):
    damaged = Path(shutil.copytree(project, tmp_path / "damaged"))
    header = next((damaged / "hls").glob("*_weights.h"))
    text, count = re.subn(r"(conv_Bias\[\d+\]\[\d+\] = \{\s*\{)(-?\d+)", r"\g<1>9999", header.read_text())
    assert count == 1
    header.write_text(text)
    found = simulate(damaged, allow_edited=True)
    assert not found.ok and found.bit_errors > 0


def test_without_the_headers_the_tool_is_missing_and_named(monkeypatch):
    for name in ("HLS_INCLUDE", "XILINX_HLS", "XILINX_VITIS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(target_hls.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(target_hls.NoTool, match="pip install hls4ml"):
        target_hls.headers()
    monkeypatch.setenv("HLS_INCLUDE", "/nowhere")
    with pytest.raises(target_hls.NoTool, match="/nowhere"):
        target_hls.headers()


@pytest.mark.parametrize(("key", "value"), [("sources", ["../elsewhere.cpp"]), ("testbench", None), ("layers", [{}])])
def test_a_damaged_entry_of_the_manifest_is_bad_input(project, tmp_path, key, value):
    damaged = Path(shutil.copytree(project, tmp_path / "damaged"))
    path = damaged / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["targets"]["hls"][key] = value
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="manifest"):
        simulate(damaged)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(4))
def test_a_hundred_random_networks_have_no_wrong_bit(tmp_path, part):
    count = 25
    networks = [(dataclasses.replace(d, name=f"n{i}"), Options(arch=("unrolled", "folded")[i % 2], max_lanes=1 + i % 7))
                for i, d in enumerate(examples(image_designs(deepest=6) if part % 2 else designs(14, 5), count, part))]
    program = Program(tmp_path, networks, SANITISERS)
    bits = 0
    for i, (design, options) in enumerate(networks):
        codes = corners(design, 2000)
        assert np.array_equal(program.run(i, codes, design), design.reference(codes)), (design, options)
        bits += len(codes) * design.output.bits
    print(f"\nhls soak part {part + 1} of 4: {count} random networks, {bits:,} bits: 0 wrong")
