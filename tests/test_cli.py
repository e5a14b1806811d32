"""The command line: what it prints, what it leaves behind, and its exit codes."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_compress import blobs
from test_simulation import path_without
from torch import nn

from toolkit.api import doctor
from toolkit.commands.demo import save_pt2

TRAINING = ["--epochs", "1", "--tuning", "1"]


def run(*args: object, env: dict[str, str] | None = None, cwd: Path | None = None,
        largest_file: int | None = None) -> subprocess.CompletedProcess:
    """The command line in a process of its own; with `largest_file`, no file may grow beyond so many bytes."""
    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.run([sys.executable, "-m", "toolkit.cli", *map(str, args)], capture_output=True, text=True,
                          env={**os.environ, **(env or {})}, cwd=cwd, preexec_fn=limit)


def refused(done: subprocess.CompletedProcess, code: int = 2) -> str:
    """The one sentence on stderr of a command that failed."""
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """model.pt2 (6-10-4), data.npz and x.npz."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    save_pt2(nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 4)), (6,), folder / "model.pt2")
    blobs().save(folder / "data.npz")
    np.savez(folder / "x.npz", x=blobs().x_train)
    return folder


def test_build_goes_from_a_pt2_to_checked_hardware(files: Path, tmp_path: Path):
    done = run("build", files / "model.pt2", "--data", files / "data.npz", "--scheme", "structured:0.3+log2:4,levels=4",
               "-o", tmp_path / "out", "--vectors", 500, *TRAINING)
    assert done.returncode == 0, done.stderr
    assert "hardware BER 0" in done.stdout and "PASS" in done.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["ok"] and report["hardware"][0]["simulation"]["hardware_ber"] == 0
    assert next(s["step"].split(",")[0] for s in report["networks"][0]["steps"]) == "original"
    assert (tmp_path / "out" / "report.svg").read_text().startswith("<svg")
    again = run("simulate", tmp_path / "out" / "hardware", "--bench", "player", "--json")
    assert again.returncode == 0 and json.loads(again.stdout)["build_cached"]


def test_compress_then_generate(files: Path, tmp_path: Path):
    done = run("compress", files / "model.pt2", "--data", files / "x.npz", "--scheme", "log2:4", "--scheme", "int:4",
               "--scheme", "structured:0.5", "-o", tmp_path / "c", "--json", "--no-sweep", "--as-is", *TRAINING)
    assert done.returncode == 0, done.stderr
    assert [row["row"] for row in json.loads(done.stdout)["rows"]] == ["log2:4", "int:4", "structured:0.5"]
    assert sorted(p.name for p in (tmp_path / "c" / "rows").glob("*.swd")) == ["int_4.swd", "log2_4.swd"]
    done = run("generate", tmp_path / "c" / "rows" / "log2_4.swd", "-o", tmp_path / "g", "--vectors", 100)
    assert done.returncode == 0 and (tmp_path / "g" / "manifest.json").is_file()


def test_a_wrong_bit_is_exit_code_1(project: Path):
    path = project / "rtl" / "every_layer_out.v"
    path.write_text(path.read_text().replace(" + ", " - ", 1))
    done = run("simulate", project, "--bench", "player", "--allow-edited")
    assert done.returncode == 1 and "FAIL" in done.stdout and "'out'" in done.stdout


@pytest.mark.parametrize("args, word", [
    (["build", "MODEL", "--data", "none.npz", "-o", "OUT"], "none.npz"),
    (["build", "none.pt2", "--data", "DATA", "-o", "OUT"], "none.pt2"),
    (["build", "nonsense", "--data", "DATA", "-o", "OUT"], "nonsense"),
    (["build", "MODEL", "--data", "DATA", "--scheme", "structured:0.5", "-o", "OUT"], "quantise"),
    (["build", "MODEL", "--data", "DATA", "--scheme", "log2:99", "-o", "OUT"], "2..8"),
    (["build", "MODEL", "--data", "DATA", "--target", "vhdl", "-o", "OUT"], "vhdl"),
    (["build", "MODEL", "--data", "DATA", "--hidden-bits", "99", "-o", "OUT"], "99"),
    (["build", "MODEL", "--data", "DATA", "--adders-per-stage", "0", "-o", "OUT"], "0 adders"),
    (["generate", "none.swd", "-o", "OUT"], "none.swd"),
    (["generate", "DATA", "-o", "OUT"], "design"),
    (["simulate", "none"], "none"),
    (["demo", "poker", "-o", "OUT"], "poker"),
])
def test_bad_input_is_one_sentence_and_leaves_nothing(files: Path, tmp_path: Path, args, word):
    place = {"MODEL": files / "model.pt2", "DATA": files / "data.npz", "OUT": tmp_path / "out"}
    done = run(*(place.get(a, a) for a in args), *(TRAINING if args[0] == "build" else []), cwd=tmp_path)
    assert word in refused(done)
    assert list(tmp_path.iterdir()) == []


def test_a_shape_that_does_not_fit_the_model_is_named(files: Path, tmp_path: Path):
    np.savez(tmp_path / "wide.npz", x=np.random.default_rng(0).normal(size=(20, 7)))
    assert "(7,)" in refused(run("build", files / "model.pt2", "--data", tmp_path / "wide.npz", "-o", tmp_path / "o"))


def test_a_folder_that_is_not_ours_is_refused_before_any_work(files: Path, tmp_path: Path):
    (tmp_path / "precious").write_text("x")
    assert "not written by shiftwright" in refused(
        run("build", files / "model.pt2", "--data", files / "data.npz", "-o", tmp_path))


def test_a_missing_compiler_is_exit_code_3_before_any_work(files: Path, tmp_path: Path):
    done = run("build", files / "model.pt2", "--data", files / "data.npz", "-o", tmp_path / "o",
               env={"PATH": path_without(tmp_path, "g++")})
    assert "g++" in refused(done, 3) and not (tmp_path / "o").exists()


@pytest.mark.parametrize("command", [["build"], ["compress", "--no-sweep", "--scheme", "minifloat:E4M3"],
                                     ["search", "--trials", "2"]])
def test_a_disk_that_takes_no_more_is_one_sentence_and_leaves_nothing(files: Path, tmp_path: Path, command):
    done = run(command[0], files / "model.pt2", "--data", files / "data.npz", "-o", tmp_path / "o", *command[1:],
               *TRAINING, largest_file=300)
    assert "File too large" in (told := refused(done)) or "disk" in told
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_hostile_go_all_the_way(tmp_path: Path):
    class Hostile(nn.Module):
        names = ("module", "a/b", "it's \"x\" `*/", "n" * 10_000, "int", "\u00fc\nline")

        def __init__(self) -> None:
            super().__init__()
            for name, inputs in zip(self.names, (6, 5, 5, 5, 5, 5), strict=True):
                self.add_module(name, nn.Linear(inputs, 5))

        def forward(self, x):
            for name in self.names:
                x = torch.relu(getattr(self, name)(x))
            return x

    save_pt2(Hostile(), (6,), tmp_path / "m.pt2")
    blobs().save(tmp_path / "d.npz")
    done = run("build", tmp_path / "m.pt2", "--data", tmp_path / "d.npz", "-o", tmp_path / "o", "--vectors", 100,
               "--epochs", "0", "--name", "../../etc/it's \"module\"")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.npz", "m.pt2", "o"]
    names = [p.name for p in (tmp_path / "o" / "hardware" / "rtl").iterdir()]
    assert len(names) == 7 and all(re.fullmatch(r"[a-z]\w{1,60}\.v", name) for name in names)


def test_two_commands_do_not_share_a_folder(files: Path, tmp_path: Path):
    common = (files / "model.pt2", "--data", files / "data.npz", "-o", tmp_path / "o")
    assert run("compress", *common, "--no-sweep", "--scheme", "int:4", *TRAINING).returncode == 0
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    assert "another command" in refused(run("build", *common, *TRAINING))
    assert "no part of a search" in refused(run("search", *common, "--trials", 1, *TRAINING))
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before


def test_debug_shows_the_traceback(tmp_path: Path):
    assert "Traceback" in run("generate", "none.swd", "-o", tmp_path / "o", "--debug").stderr


def test_doctor_lists_every_tool_and_finds_them_all():
    done = run("doctor", "--json")
    tools = {t["name"]: t for t in json.loads(done.stdout)["tools"]}
    assert done.returncode == 0
    assert {"torch", "cocotb", "verilator", "g++", "make", "perl"} <= set(tools)
    assert all(t["serves"] and t["version"] for t in tools.values() if t["needed"])
    assert doctor().ok


def test_doctor_says_what_would_mend_it(tmp_path: Path):
    done = run("doctor", env={"PATH": path_without(tmp_path, "make")})
    assert done.returncode == 3 and "make: apt-get install make" in done.stdout


def test_usage_errors_are_exit_code_2():
    assert run("build").returncode == 2 and run("fly").returncode == 2
