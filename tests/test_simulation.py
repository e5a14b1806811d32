"""The benches on real RTL under Verilator: what is right passes, and whatever is wrong is found and named."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from small_projects import path_without

from benchmarks.networks import random_weights
from benchmarks.networks.strategies import designs
from toolkit.api import Options, generate, simulate
from toolkit.design import (
    Clamp,
    Concat,
    Dense,
    Design,
    FixedPoint,
    Layer,
    Log2Format,
    Overflow,
    Requantise,
    Rounding,
    Tensor,
)
from toolkit.hardware import plan
from toolkit.utils.errors import InputError, ToolMissing
from toolkit.utils.resources import folder as resource


def rtl(project: Path, layer: str) -> Path:
    return next((project / "rtl").glob(f"*_{layer}.v"))


def replaced(path: Path, pattern: str, text: str) -> None:
    changed, count = re.subn(pattern, text, path.read_text(), count=1, flags=re.M)
    assert count == 1, f"'{pattern}' is not in {path.name}"
    path.write_text(changed)


def test_every_bit_is_equal_in_both_benches_and_under_stalls(project: Path):
    found = simulate(project, stalls=True)
    assert found.ok and found.hardware_ber == 0 and found.bit_errors == 0
    assert {c["bench"] for c in found.data["checks"]} == {"player", "player, handshake", "player, stalls",
                                                         "AXI4-Stream"}
    promised = json.loads((project / "manifest.json").read_text())["targets"]["verilog"]
    assert sum(c["samples"] for c in found.data["checks"] if c["bench"] == "player") == 3000
    assert found.latency == promised["latency"] and found.initiation_interval == 1


def test_what_the_rtl_gave_is_kept_when_it_is_asked_for(project: Path):
    simulate(project, bench="player", keep_outputs=True)
    sets = json.loads((project / "manifest.json").read_text())["vectors"]
    for one in sets:
        due = np.load(project / one["expected"])
        assert np.array_equal(np.load(project / "build" / "outputs" / f"{one['name']}.npy"), due.reshape(len(due), -1))


def test_what_is_kept_are_the_outputs_of_the_rtl_and_not_those_that_are_due(project: Path):
    replaced(rtl(project, "out"), r"wire (\[\d+:0\] )y0 = ", r"wire \g<1>y0 = 1'b1 ^ ")
    found = simulate(project, bench="player", keep_outputs=True, allow_edited=True)
    due, got = np.load(project / "vectors" / "random_out.npy"), np.load(project / "build" / "outputs" / "random.npy")
    told = next(c["bit_errors"] for c in found.data["checks"] if c["vectors"] == "random" and c["bench"] == "player")
    assert told == np.bitwise_count(due.reshape(len(due), -1).astype(np.uint64) ^ got.astype(np.uint64)).sum() > 0


def test_a_built_simulation_is_used_again(project: Path):
    assert simulate(project, bench="player").data["build_cached"]


def test_verilators_own_runtime_is_compiled_once_for_all_designs(project: Path, tmp_path: Path):
    def compiled() -> list[str]:
        simulate(project, bench="player", rebuild=True, cache=str(tmp_path))
        log = (project / "build" / "sim" / "build.log").read_text()
        return re.findall(r"-c -o (verilated\w*)\.o", log)

    assert "verilated_vpi" in compiled()
    assert compiled() == []


def test_one_flipped_bit_of_a_constant_is_found_with_its_layer(project: Path):
    def flip(match: re.Match) -> str:
        return f"{match[1]}{int(match[2], 16) ^ 8:x};"

    path = rtl(project, "b")
    text, count = re.subn(r"(wire \[\d+:0\] a2 = .*'h)([0-9a-f]+);", flip, path.read_text(), count=1)
    assert count == 1
    path.write_text(text)
    found = simulate(project)
    assert not found.ok and found.bit_errors > 0
    assert found.data["diagnosis"]["layer"] == "b"
    mismatch = found.data["mismatch"]
    assert re.fullmatch(r"[01]+", mismatch["got_binary"]) and mismatch["got_binary"] != mismatch["expected_binary"]
    assert any("every_layer_b.v" in line and "'b'" in line for line in found.data["integrity"])


def test_a_file_that_was_edited_fails_even_if_it_computes_the_same(project: Path):
    replaced(rtl(project, "b"), "^//", "// an innocent comment\n//")
    found = simulate(project, bench="player")
    assert found.bit_errors == 0 and not found.ok
    assert simulate(project, bench="player", allow_edited=True).ok


def test_a_missing_register_is_found_as_latency(project: Path):
    top = next(p for p in (project / "rtl").glob("*.v") if p.stem == "every_layer")
    n = json.loads((project / "manifest.json").read_text())["targets"]["verilog"]["latency"]
    replaced(top, rf"assign m_axis_tvalid = valid\[{n - 1}\]", f"assign m_axis_tvalid = valid[{n - 2}]")
    found = simulate(project, allow_edited=True, bench="player")
    assert not found.ok and any("latency" in line for line in found.failures)


def test_a_design_that_never_answers_is_a_hang_not_a_wait(project: Path):
    replaced(project / "rtl" / "every_layer.v", r"assign m_axis_tvalid = .*;", "assign m_axis_tvalid = 1'b0;")
    found = simulate(project, allow_edited=True)
    assert not found.ok and any("hung" in line for line in found.failures)


def test_an_output_that_changes_while_it_waits_is_found(project: Path):
    replaced(project / "rtl" / "every_layer.v", r"wire en = .*;", "wire en = 1'b1;")
    found = simulate(project, allow_edited=True)
    assert any("tdata must not change while tvalid waits for tready" in line for line in found.failures)


def test_a_tlast_that_goes_astray_is_found(project: Path):
    replaced(project / "rtl" / "every_layer.v", r"assign m_axis_tlast = .*;", "assign m_axis_tlast = s_axis_tlast;")
    found = simulate(project, allow_edited=True, bench="player")
    assert any("tlast" in line for line in found.failures)


def test_verilog_that_does_not_compile_is_told_in_the_compilers_words(project: Path):
    replaced(rtl(project, "sum"), "^endmodule", "endmodul")
    found = simulate(project, allow_edited=True)
    assert not found.ok and any("could not build" in line and "every_layer_sum.v" in line for line in found.failures)


def test_a_ber_that_is_allowed_passes(project: Path):
    replaced(rtl(project, "out"), r"wire (\[\d+:0\] )y0 = ", r"wire \g<1>y0 = 1'b1 ^ ")
    assert not simulate(project, allow_edited=True, bench="player").ok
    assert simulate(project, allow_edited=True, bench="player", max_ber=1.0).ok


def test_junit_names_each_check_and_each_failure(project: Path, tmp_path: Path):
    simulate(project, bench="player", junit=tmp_path / "good.xml")
    good = ElementTree.parse(tmp_path / "good.xml").getroot()
    names = [c.get("name") for c in good.iter("testcase")]
    assert names == ["verilog, player: boundary", "verilog, player: random", "verilog, player, handshake: all",
                     "files as generated"]
    assert not list(good.iter("failure"))
    replaced(rtl(project, "b"), "^//", "// edited\n//")
    simulate(project, bench="player", junit=tmp_path / "bad.xml")
    assert len(list(ElementTree.parse(tmp_path / "bad.xml").getroot().iter("failure"))) == 1


def test_waves_are_written_on_request(project: Path):
    assert simulate(project, bench="axi", axi_samples=50, waves=True).ok
    assert "$enddefinitions" in (project / "build" / "waves.vcd").read_text()[:2_000_000]


@pytest.mark.parametrize("seed", [0, 2**31 - 1, 2**40])
def test_any_seed_will_do(project: Path, seed):
    assert simulate(project, vectors=50, axi_samples=50, stalls=True, seed=seed).ok


def test_fewer_vectors_are_taken_from_every_set(project: Path):
    found = simulate(project, bench="player", vectors=100)
    assert [c["samples"] for c in found.data["checks"] if c["bench"] == "player"] == [20, 80]


@pytest.mark.parametrize("key, value", [
    ("top", "a; rm -rf"), ("top", "../x"), ("rtl", ["/etc/passwd"]), ("rtl", ["../../x.v"]), ("schema", 7),
    ("rtl", ["a b.v"]), ("latency", -1), ("latency", "x"), ("vectors", []), ("input", {}), ("targets", {}),
    ("targets", {"vhdl": {}}), ("s_axis", {})])
def test_a_manifest_that_is_not_ours_is_refused(project: Path, key, value):
    manifest = json.loads((project / "manifest.json").read_text())
    place = manifest["targets"]["verilog"] if key in manifest["targets"]["verilog"] else manifest
    place[key] = value
    (project / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError):
        simulate(project)


def test_only_the_targets_of_the_folder_can_be_asked_for(project: Path):
    with pytest.raises(InputError, match="holds no target 'vhdl'; it holds verilog"):
        simulate(project, targets=("vhdl",))


def test_vectors_of_the_wrong_length_are_refused(project: Path):
    path = project / "vectors" / "random_in.hex"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"random_in\.hex"):
        simulate(project)


def test_a_folder_without_a_project_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"manifest\.json"):
        simulate(tmp_path)


@pytest.mark.parametrize("program", ["g++", "make", "perl"])
def test_a_missing_tool_is_named_with_what_installs_it(project: Path, tmp_path: Path, monkeypatch, program):
    monkeypatch.setenv("PATH", path_without(tmp_path, program))
    with pytest.raises(ToolMissing, match=rf"(?s){re.escape(program)}.*apt-get install"):
        simulate(project)


def test_the_folder_needs_nothing_of_ours(project: Path):
    """The benches run where neither shiftwright nor torch can be imported."""
    blocker = project.parent / "sitecustomize.py"
    blocker.write_text("import sys\nfor name in ('toolkit', 'torch', 'alkaid', 'jinja2', 'typer', 'rich'):\n"
                       "    sys.modules[name] = None\n")
    env = {**os.environ, "PYTHONPATH": str(project.parent)}
    done = subprocess.run(["make", "sim", f"PYTHON={sys.executable}"], cwd=project, env=env, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS" in done.stdout and (project / "build" / "junit.xml").is_file()


def test_lint_of_the_generated_verilog_is_clean(project: Path):
    done = subprocess.run(["make", "lint", f"PYTHON={sys.executable}"], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0 and "clean" in done.stdout


def test_the_same_design_gives_the_same_folder(tmp_path: Path):
    from benchmarks.networks import mlp

    for name in ("a", "b"):
        generate(mlp((4, 6, 3)), tmp_path / name, vectors=100)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path / "b") for p in (tmp_path / "b").rglob("*") if p.is_file())
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


def test_the_benches_import_nothing_of_the_toolkit():
    for path in resource("hw_sim").glob("*.py"):
        assert not re.search(r"^\s*(from|import) (toolkit|torch|alkaid)", path.read_text(), flags=re.M), path


@given(designs())
@settings(max_examples=5, deadline=None, phases=[Phase.generate], derandomize=True,
          suppress_health_check=[HealthCheck.too_slow])
def test_random_networks_are_bit_exact_under_stalls(tmp_path_factory, design):
    if plan(design).latency == 0:
        return
    folder = tmp_path_factory.mktemp("random") / "p"
    generate(design, folder, vectors=500, options=Options(1 + len(design.layers) % 4))
    found = simulate(folder, stalls=True, axi_samples=300)
    assert found.ok, found.failures


def crowd(seed: int) -> Design:
    """A hundred small layers side by side on one input, each with a requantisation of its own."""
    rng = np.random.default_rng(seed)

    def requantisation() -> Requantise:
        form = FixedPoint(bool(rng.integers(2)), int(rng.integers(1, 11)), int(rng.integers(-4, 9)))
        rounding = list(Rounding)[rng.integers(3)]
        if rng.random() < 0.2:
            return Requantise.to(form, rounding, Overflow.WRAP)
        low, high = sorted(rng.integers(form.min_code, form.max_code, 2, endpoint=True).tolist())
        return Requantise(form, low, high, rounding) if rng.random() < 0.5 else Requantise.to(form, rounding)

    layers: list[Layer] = []
    for i in range(50):
        form = Log2Format.of(int(rng.integers(2, 5)))
        weights = random_weights(form, (3, 5), rng, (-6, 1))
        layers.append(Dense(f"dense{i}", ("x",), weights, rng.integers(-40, 40, 3), int(rng.integers(0, 9)),
                            requantisation()))
        layers.append(Clamp(f"clamp{i}", ("x",), requantisation()))
    layers.append(Concat("all", tuple(layer.name for layer in layers)))
    return Design("crowd", Tensor("x", (5,), FixedPoint(True, 6, 3)), tuple(layers))


@pytest.mark.parametrize("seed", [0, 1])
def test_every_kind_of_requantisation_is_bit_exact(tmp_path: Path, seed):
    generate(crowd(seed), tmp_path / "p", vectors=5000, options=Options(1 + 2 * seed, 1))
    found = simulate(tmp_path / "p", bench="player")
    assert found.ok, found.failures


def test_a_shift_beyond_the_accumulator_leaves_its_sign(tmp_path: Path):
    """Found by the soak: the sign was taken for constant."""
    x = Tensor("x", (2,), FixedPoint(True, 3, 7))
    layer = Clamp("sign", ("x",), Requantise.to(FixedPoint(False, 1, 2), Rounding.FLOOR, Overflow.WRAP))
    generate(Design("signs", x, (layer,)), tmp_path / "p", vectors=50)
    assert simulate(tmp_path / "p", bench="player").ok


def test_a_sum_of_one_bit_is_legal_verilog(tmp_path: Path):
    """Found by the soak: a select of bit 0 of a wire that has no range."""
    from benchmarks.networks import tiny

    layer = tiny([[-1], [1]], [0, 0]).layers[0]
    generate(Design("narrow", Tensor("x", (1,), FixedPoint(False, 1, 0)), (layer,)), tmp_path / "p", vectors=20)
    assert simulate(tmp_path / "p", bench="player").ok
