"""`verify`: a project is made again from its design, every byte compared, and only then is it run."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from small_projects import c_project

from benchmarks.networks import mlp
from toolkit.api import Options, generate, verify
from toolkit.commands.verify import text
from toolkit.design import Design
from toolkit.emit.provenance import Provenance
from toolkit.utils.errors import InputError


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return c_project(tmp_path_factory.mktemp("made") / "project")


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "project"))


def source(project: Path) -> Path:
    return next(p for p in (project / "c").glob("*.c") if "main" not in p.name)


def edit(project: Path, change) -> None:
    path = project / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data, indent=1) + "\n")


CASES = {
    "unrolled": (("verilog",), Options(adders_per_stage=2, sharing_tries=3)),
    "folded": (("verilog",), Options(arch="folded", lanes=(("*", 2),))),
    "folded by initiation interval": (("verilog", "hls"), Options(arch="folded", ii=40, max_lanes=16)),
    "c": (("c",), Options()), "hls": (("hls",), Options()),
    "hls4ml": (("hls4ml",), Options(hls4ml_backend="vivado", hls4ml_io="io_stream")),
    "quartus": (("hls4ml",), Options(hls4ml_backend="quartus")),
    "all": (("hls4ml", "c", "hls", "verilog"), Options()),
}


@pytest.mark.parametrize("case", CASES)
def test_every_target_is_made_again_byte_by_byte(tmp_path: Path, case: str):
    targets, options = CASES[case]
    test = np.random.default_rng(1).integers(-8, 8, (7, 4)) if case != "c" else None
    generate(mlp((4, 6, 3)), tmp_path / "p", targets=targets, options=options, test=test, vectors=60, seed=5)
    found = verify(tmp_path / "p", check=False)
    assert found.ok and found.different == () and found.versions == () and found.simulation is None
    assert found.files == sum(p.is_file() for p in (tmp_path / "p").rglob("*"))
    assert found.bytes == sum(p.stat().st_size for p in (tmp_path / "p").rglob("*") if p.is_file())


def test_a_network_with_every_layer_and_strange_names_is_made_again(tmp_path: Path):
    from dataclasses import replace

    from benchmarks.networks import every_layer

    design = replace(every_layer(), name='na"me \u202e\u00e9\\')
    generate(design, tmp_path / "p", targets=("verilog", "c"), vectors=40)
    assert verify(tmp_path / "p", check=False).different == ()


def test_what_is_equal_is_then_simulated(project: Path):
    found = verify(project, vectors=50)
    assert found.ok and found.simulation is not None and found.simulation.ok
    assert sum(c["samples"] for c in found.simulation.data["checks"]) == pytest.approx(50, abs=2)
    assert not (project / "build").exists()


def test_every_kind_of_difference_is_named_and_nothing_is_run(project: Path, tmp_path: Path):
    def flip(path: Path, at: int) -> None:
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)

    code = source(project)
    ran = tmp_path / "ran"
    code.write_text(code.read_text() + "\n#include <stdlib.h>\n__attribute__((constructor)) static void stranger(void) "
                    f'{{ (void)!system("touch {ran}"); }}\n')
    (project / "sim" / "__pycache__").mkdir()
    (project / "sim" / "__pycache__" / "errors.cpython-311.pyc").write_bytes(b"code")
    (project / "sim" / "benches" / "beats.py").unlink()
    flip(project / "sim" / "run.py", 100)
    flip(project / "Makefile", 7)
    flip(project / "README.md", -1)
    flip(project / "vectors" / "random_out.npy", -3)
    flip(project / "vectors" / "trace_0.npy", 200)
    (project / ".hidden").touch()
    # The manifest's digests are the stranger's to write.
    import hashlib

    edit(project, lambda d: d["files"].update(
        {n: hashlib.sha256((project / n).read_bytes()).hexdigest() for n in d["files"] if (project / n).is_file()}))
    found = verify(project)
    assert not found.ok and found.simulation is None and not ran.exists()
    named = [line.split("'")[1] for line in found.different]
    assert sorted(named) == sorted([
        str(code.relative_to(project)), "sim/__pycache__/errors.cpython-311.pyc", "sim/benches/beats.py", "sim/run.py",
        "Makefile", "README.md", "vectors/random_out.npy", "vectors/trace_0.npy", ".hidden", "manifest.json"])
    assert "'sim/run.py' differs from what is generated, at byte 100" in found.different
    assert "'sim/benches/beats.py' is missing" in found.different and "'.hidden' was never generated" in found.different
    assert "nothing was run" in text(found)[-1]


def test_an_executable_in_build_is_neither_compared_nor_used(project: Path, tmp_path: Path):
    from toolkit.api import simulate

    assert simulate(project).ok
    for path in (project / "build" / "c").iterdir():
        path.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    assert verify(project).ok and not (tmp_path / "ran").exists()


def test_a_marker_that_was_lost_on_the_way_is_no_difference(project: Path):
    (project / ".shiftwright").unlink()
    assert verify(project, check=False).ok
    (project / ".shiftwright").write_text("other\n")
    assert verify(project, check=False).different == (
        "'.shiftwright' differs from what is generated, at byte 0",)


def test_another_version_of_a_tool_is_told_and_is_a_difference_only_where_a_byte_is(project: Path):
    edit(project, lambda d: d["tools"].update(numpy="1.99", verilator=None))
    found = verify(project, check=False)
    assert found.ok and found.versions[0].startswith("numpy 1.99 (here: ") and len(found.versions) == 2
    source(project).write_text("changed")
    found = verify(project, check=False)
    assert len(found.different) == 1 and any("a reason may be that it was made with numpy 1.99" in line
                                             for line in text(found))


def test_another_version_of_shiftwright_is_named_as_the_reason(project: Path):
    edit(project, lambda d: d.update(generator="shiftwright 9.9"))
    found = verify(project, check=False)
    assert not found.ok and found.versions[0].startswith("'shiftwright 9.9' (here: ")


@pytest.mark.parametrize("change", [
    lambda d: d.pop("made_from"), lambda d: d.update(made_from=[]), lambda d: d.update(made_from="x"),
    lambda d: d["made_from"].update(more=1), lambda d: d["made_from"].pop("seed"),
    lambda d: d["made_from"].update(seed=-1), lambda d: d["made_from"].update(seed=True),
    lambda d: d["made_from"].update(seed=1.0), lambda d: d["made_from"].update(vectors=3),
    lambda d: d["made_from"].update(vectors=10**9), lambda d: d["made_from"].update(vectors=5_000_000),
    lambda d: d["made_from"].update(test=1), lambda d: d["made_from"].update(targets=[]),
    lambda d: d["made_from"].update(targets=["vhdl"]), lambda d: d["made_from"].update(targets=["c", "c"]),
    lambda d: d["made_from"].update(targets="c"), lambda d: d["made_from"]["options"].update(arch="x"),
    lambda d: d["made_from"]["options"].update(arch=None), lambda d: d["made_from"]["options"].update(ii=2.5),
    lambda d: d["made_from"]["options"].update(ii=True), lambda d: d["made_from"]["options"].update(more=1),
    lambda d: d["made_from"]["options"].update(lanes=[["a", "b"]]), lambda d: d["made_from"]["options"].pop("lanes"),
    lambda d: d["made_from"]["options"].update(lanes=[["a"]]),
                                    lambda d: d["made_from"]["options"].update(max_lanes=10**9),
    lambda d: d["made_from"]["options"].update(lanes=5), lambda d: d["made_from"]["options"].update(device={}),
    lambda d: d.update(tools=[]), lambda d: d.update(tools={"numpy": "\x1b[31m"}), lambda d: d.update(tools={"a": 5}),
    lambda d: d.update(schema=2), lambda d: d.update(schema=[3])])
def test_a_damaged_manifest_is_refused(project: Path, change):
    edit(project, change)
    with pytest.raises(InputError) as caught:
        verify(project, check=False)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.parametrize("written", ["Infinity", "1e999", "[" * 100_000, "1" * 5000])
def test_a_manifest_that_is_no_json_of_ours_is_refused(project: Path, written: str):
    (project / "manifest.json").write_text(f'{{"schema": {written}}}')
    with pytest.raises(InputError, match="cannot be read"):
        verify(project, check=False)


@pytest.mark.parametrize("codes, kind", [([[1, 2, 3]], "i1"), ([[1, 2, 3, 4]], "i2"), ([[1.0, 2, 3, 4]], "f4"),
                                         (np.zeros((0, 4)), "i1"), ([1, 2, 3, 4], "i1")])
def test_test_vectors_that_are_no_codes_are_refused(project: Path, codes, kind: str):
    np.save(project / "vectors" / "test_in.npy", np.asarray(codes, kind))
    with pytest.raises(InputError, match=r"test_in\.npy"):
        verify(project, check=False)


def test_test_vectors_beyond_the_format_are_refused(tmp_path: Path):
    from benchmarks.networks import tiny
    from toolkit.design import FixedPoint, Tensor

    design = Design("narrow", Tensor("x", (1,), FixedPoint(True, 3, 0)), tiny([[-1], [1]], [0, 0]).layers)
    project = generate(design, tmp_path / "p", targets=("c",), vectors=20, test=np.array([[-4], [3]])).folder
    assert verify(project, check=False).ok
    np.save(project / "vectors" / "test_in.npy", np.array([[-4], [4]], "i1"))
    with pytest.raises(InputError, match=r"codes outside -4\.\.3"):
        verify(project, check=False)


@pytest.mark.parametrize("place", ["build", "c/more.c", "vectors/test_in.npy", "design.swd", "link"])
def test_a_link_is_refused(project: Path, tmp_path: Path, place: str):
    (project / place).unlink(missing_ok=True)
    (project / place).symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="not a plain file"):
        verify(project, check=False)


def test_a_pipe_is_refused_and_nobody_waits(project: Path):
    os.mkfifo(project / "pipe")
    with pytest.raises(InputError, match="not a plain file"):
        verify(project, check=False)


@pytest.mark.parametrize("name", ["design.swd", "manifest.json", "vectors/test_in.npy", "vectors/boundary_in.npy"])
def test_without_what_it_is_made_from_it_is_refused(project: Path, name: str):
    (project / name).unlink()
    with pytest.raises(InputError, match=Path(name).name.replace(".", r"\.")):
        verify(project, check=False)


def test_a_recipe_survives_the_manifest():
    options = Options(2, 3, "folded", 77, 8, (("a*", 3), ("b", 0)), (("a*", 2),), (("b", 4),), "ecp5-25f",
                      "vivado", "io_stream", "exponent")
    one = Provenance(("c", "hls"), options, 123, 2**100, True)
    assert Provenance.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_test_vectors_beyond_the_format_are_refused_when_a_project_is_made(tmp_path: Path):
    for test in (np.full((2, 4), 10_000), np.zeros((2, 3), np.int64), np.zeros((2, 4))):
        with pytest.raises(InputError, match="test vectors"):
            generate(mlp((4, 6, 3)), tmp_path / "p", targets=("c",), vectors=20, test=test)
    with pytest.raises(InputError, match="seed"):
        generate(mlp((4, 6, 3)), tmp_path / "p", targets=("c",), vectors=20, seed=-1)


def test_the_command_verifies_simulates_and_says_what_differs(project: Path, tmp_path: Path):
    done = run("verify", project, "--junit", "junit.xml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "every byte is what shiftwright makes of design.swd" in done.stdout and "PASS" in done.stdout
    assert (tmp_path / "junit.xml").is_file()
    source(project).write_text(source(project).read_text() + " ")
    done = run("verify", project)
    assert done.returncode == 1 and f"DIFFERENT: 'c/{source(project).name}' differs" in done.stdout
    assert "PASS" not in done.stdout
    done = run("verify", project, "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["simulation"] is None
    done = run("verify", tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
