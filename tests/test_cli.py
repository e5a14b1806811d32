"""The command line: what it prints, what it leaves behind, and its exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import TRAINING, model_and_data, refused, run
from hypothesis import given
from hypothesis import strategies as st
from small_models import blobs
from small_projects import path_without
from torch import nn

from benchmarks.networks import every_layer
from toolkit import __version__
from toolkit.api import Scheme, doctor
from toolkit.commands.exported import save_pt2
from toolkit.utils import config
from toolkit.utils.errors import InputError
from toolkit.utils.old_options import RENAMED, renamed
from toolkit.utils.output_folder import project_folder


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """model.pt2 (6-10-4), data.npz and x.npz."""
    return model_and_data(tmp_path_factory.mktemp("files"))


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
               "--scheme", "structured:0.5", "-o", tmp_path / "c", "--json", "--no-sweep", "--no-train", *TRAINING)
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
               "--qat-epochs", "0", "--name", "../../etc/it's \"module\"")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.npz", "m.pt2", "o"]
    names = [p.name for p in (tmp_path / "o" / "hardware" / "rtl").iterdir()]
    assert len(names) == 7 and all(re.fullmatch(r"[a-z]\w{1,60}\.v", name) for name in names)


def test_two_commands_do_not_share_a_folder(files: Path, tmp_path: Path):
    common = (files / "model.pt2", "--data", files / "data.npz", "-o", tmp_path / "o")
    assert run("compress", *common, "--no-sweep", "--scheme", "int:4", *TRAINING).returncode == 0
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    assert "another command" in refused(run("build", *common, *TRAINING))
    assert "not part of a search" in refused(run("search", *common, "--trials", 1, *TRAINING))
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


# -- help --------------------------------------------------------------------------------------------------------------

COMMANDS = ("doctor", "demo", "check", "compress", "build", "search", "generate", "simulate", "verify", "estimate")


def helped(*args: str) -> str:
    """What an invocation shows, wide enough that no option is broken."""
    done = run(*args, env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def options(shown: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z0-9-]*", shown))


def test_version_names_the_program_and_its_version():
    assert helped("--version") == f"shiftwright {__version__}\n"


def test_h_is_help():
    assert helped("build", "-h") == helped("build", "--help")


def test_completion_can_be_installed():
    assert "--install-completion" in helped("--help")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_all_shows_at_least_what_help_shows_and_help_says_so(command):
    usual = helped(command, "--help")
    assert "--help-all shows every option" in usual.splitlines()[-3]
    assert options(usual) <= options(helped(command, "--help-all"))


@pytest.mark.parametrize("command, advanced", [("build", "--table-bits"), ("compress", "--rounding"),
                                               ("search", "--storage"), ("generate", "--lanes"),
                                               ("simulate", "--timeout"), ("verify", "--max-ber")])
def test_an_advanced_option_is_shown_by_help_all_alone(command, advanced):
    assert advanced not in options(helped(command, "--help"))
    assert advanced in options(helped(command, "--help-all"))


def test_the_options_of_build_are_grouped():
    shown = helped("build", "--help")
    panels = ["Model and data", "Compression", "Hardware", "Checks", "Output"]
    places = [shown.index(f"─ {panel} ─") for panel in panels]
    assert places == sorted(places)
    assert places[1] < shown.index("--qat-epochs") < places[2] < shown.index("--ii") < places[3]


# -- old names ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("old, new, note", [
    (["--tuning", "3"], ["--finetune-epochs", "3"], "note: --tuning is now --finetune-epochs"),
    (["--epochs=3"], ["--qat-epochs=3"], "note: --epochs is now --qat-epochs"),
    (["--rate", "1"], ["--lr", "1"], "note: --rate is now --lr"),
    (["--plain"], ["--rounding", "nearest"], "note: --plain is now --rounding nearest"),
    (["--widest", "3"], ["--max-lanes", "3"], "note: --widest is now --max-lanes"),
    (["--edited"], ["--allow-edited"], "note: --edited is now --allow-edited"),
    (["--layer=a=keep"], ["--layer-config=a=keep"], "note: --layer is now --layer-config"),
    (["--interval", "3"], ["--ii", "3"], "note: --interval is now --ii"),
    (["--trained"], ["--train"], "note: --trained is now --train"),
    (["--as-is"], ["--no-train"], "note: --as-is is now --no-train")])
def test_an_old_name_becomes_the_new_one_with_a_note(old, new, note):
    assert renamed(old) == (new, [note])


def test_a_new_name_and_a_word_that_is_no_option_stay():
    words = ["build", "plain", "--layer-config", "a=keep", "--lr=1", "--plain=1", "--", "--plain"]
    assert renamed(words) == (words, [])


def test_the_note_of_an_old_name_comes_once_and_the_command_runs(tmp_path: Path):
    done = run("generate", "none.swd", "-o", tmp_path / "o", "--interval", "9", "--interval=8")
    assert done.stderr.splitlines()[0] == "note: --interval is now --ii"
    assert done.stderr.count("note: ") == 1 and "none.swd" in done.stderr.splitlines()[1]


def test_no_help_shows_an_old_name():
    for command in COMMANDS:
        assert not options(helped(command, "--help-all")) & set(RENAMED)


def test_the_benches_take_edited_by_its_old_name(capsys):
    import run as benches

    assert benches.arguments(["--edited"]).allow_edited
    assert capsys.readouterr().err == "note: --edited is now --allow-edited\n"


# -- configuration files -----------------------------------------------------------------------------------------------

OPTIONS = {"model": ("model", str), "out": ("out", Path), "trials": ("trials", int), "lr": ("lr", float),
           "finetune-epochs": ("finetune_epochs", int), "json": ("as_json", bool), "vectors": ("vectors", int | None),
           "layer-config": ("layer_config", list[str] | None)}
TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
KEPT = st.fixed_dictionaries({}, optional={
    "model": TEXTS, "trials": st.integers(-2**140, 2**140), "lr": st.floats(allow_nan=False), "json": st.booleans(),
    "layer-config": st.lists(TEXTS)})


@given(KEPT)
def test_what_is_written_is_read_back(kept):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_bytes(config.text("build", kept).encode())
        assert config.values(path, OPTIONS) == {OPTIONS[key][0]: value for key, value in kept.items()}


@pytest.mark.parametrize("text, words", [
    ('modle = "x"', ("'modle'", "'model'")), ("finetune_epoch = 1", ("'finetune_epoch'", "'finetune-epochs'")),
    ("tuning = 1", ("'tuning'", "'finetune-epochs'")), ("trials = 1.5", ("'trials'", "a whole number")),
    ("trials = true", ("'trials'", "a whole number")), ('lr = "1"', ("'lr'", "a number")),
    ("model = 1", ("'model'", "a text")), ("json = 1", ("'json'", "true or false")),
    ('layer-config = "a=keep"', ("'layer-config'", "a list of texts")),
    ("layer-config = [1]", ("'layer-config'", "a list of texts")), ("[build]\nlr = 1", ("'build'",)),
    ("finetune-epochs = 1\nfinetune_epochs = 2", ("twice",)), ("out = 'a\nb'", ("no TOML",)),
    ('model = "a\\u0000b"', ("'model'",)), ("vectors = []", ("'vectors'", "a whole number"))])
def test_a_wrong_file_is_refused_by_its_key(tmp_path: Path, text, words):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        config.values(path, OPTIONS)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_file_that_is_missing_is_one_sentence(tmp_path: Path):
    assert "none.toml" in refused(run("build", "--config", "none.toml", cwd=tmp_path))


def test_a_path_that_is_no_text_is_left_out():
    text = config.text("build", {"model": "a\udc80", "lr": 1.0})
    assert tomllib.loads(text) == {"lr": 1.0} and "# model: " in text


def test_a_build_can_be_repeated_from_its_config_and_the_command_line_wins(files: Path, tmp_path: Path):
    first = run("build", files / "model.pt2", "--data", files / "data.npz", "--layer-config", "0=int:5", "-o", "one",
                "--no-simulate", "--vectors", 50, "--lr", "0.003", *TRAINING, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    again = run("build", "--config", "one/config.toml", "-o", "two", "--vectors", 60, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    one, two = (tomllib.loads((tmp_path / name / "config.toml").read_text()) for name in ("one", "two"))
    assert one["model"] == str(files / "model.pt2") and one["layer-config"] == ["0=int:5"] and not one["simulate"]
    assert two == {**one, "out": "two", "vectors": 60}
    designs = [(tmp_path / name / "hardware" / "design.swd").read_bytes() for name in ("one", "two")]
    assert designs[0] == designs[1]
    assert not (tmp_path / "one" / "hardware" / "config.toml").exists()


def test_the_results_of_compress_and_search_have_a_config_and_can_be_written_again(files: Path, tmp_path: Path):
    for command in (["compress", "--no-sweep", "--no-train", "--scheme", "int:4"],
                    ["search", "--trials", "1", "--finalists", "1"]):
        out = tmp_path / command[0]
        done = run(command[0], files / "model.pt2", "--data", files / "data.npz", "-o", out, *command[1:], *TRAINING)
        assert done.returncode == 0, done.stderr
        again = run(command[0], "--config", out / "config.toml")
        assert again.returncode == 0, again.stderr
        assert tomllib.loads((out / "config.toml").read_text())["qat-epochs"] == 1


def test_a_search_does_not_take_a_folder_with_a_config_of_somebody_else(files: Path, tmp_path: Path):
    (tmp_path / "config.toml").write_text("mine")
    told = refused(run("search", files / "model.pt2", "--data", files / "data.npz", "-o", tmp_path, "--trials", 1))
    assert "not part of a search" in told and (tmp_path / "config.toml").read_text() == "mine"


def test_generate_takes_a_config_and_writes_none_into_the_project(tmp_path: Path):
    every_layer().save(tmp_path / "net.swd")
    (tmp_path / "c.toml").write_text('design = "net.swd"\nout = "o"\nvectors = 20\nmax_lanes = 32\n')
    done = run("generate", "--config", "c.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = json.loads((tmp_path / "o" / "manifest.json").read_text())["made_from"]
    assert made["vectors"] == 20 and made["options"]["max_lanes"] == 32
    assert not (tmp_path / "o" / "config.toml").exists()


# -- the folder of a build in the place of its project -----------------------------------------------------------------

def test_the_project_in_hardware_is_found(project: Path, tmp_path: Path):
    project.rename(tmp_path / "hardware")
    assert project_folder(tmp_path) == tmp_path / "hardware"
    for command in (["simulate", "--bench", "player"], ["estimate"], ["verify", "--no-simulate"]):
        done = run(command[0], tmp_path, *command[1:])
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_folder_with_a_manifest_is_the_project_itself(tmp_path: Path):
    (tmp_path / "hardware").mkdir()
    (tmp_path / "hardware" / "manifest.json").write_text("{}")
    (tmp_path / "manifest.json").symlink_to("nowhere")
    assert project_folder(tmp_path) == tmp_path


@pytest.mark.parametrize("linked", ["hardware", "manifest.json"])
def test_a_link_is_not_followed_into_hardware(project: Path, tmp_path: Path, linked):
    if linked == "hardware":
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "hardware").symlink_to(project)
    else:
        (tmp_path / "out" / "hardware").mkdir(parents=True)
        (tmp_path / "out" / "hardware" / "manifest.json").symlink_to(project / "manifest.json")
    assert project_folder(tmp_path / "out") == tmp_path / "out"
    for command in ("simulate", "estimate", "verify"):
        found = refused(run(command, tmp_path / "out"))
        assert ("holds no links" if (linked, command) == ("hardware", "verify") else "manifest.json") in found


# -- progress on a pipe ------------------------------------------------------------------------------------------------

PROGRESS_SCRIPT = """
import os, sys, threading, time
from toolkit.utils import progress
progress.INTERVAL = {interval}
with progress.bar("outer", 3) as advance:
    with progress.bar("inner") as step:
        step(2, note="a note")
        {inside}
    advance()
{after}
"""


def lines(inside: str, after: str = "", interval: float = 0.2) -> list[str]:
    """What a piece of work, and what comes after it, prints on a stderr that is a pipe."""
    done = subprocess.run([sys.executable, "-c", PROGRESS_SCRIPT.format(inside=inside, after=after, interval=interval)],
                          capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_work_that_is_shorter_than_the_interval_prints_no_progress():
    assert lines("time.sleep(0.5)", interval=10) == []


def test_one_long_step_prints_lines_at_the_interval():
    told = lines("time.sleep(1.1)")
    assert len(told) >= 2
    assert all(re.fullmatch(r"outer: 0/3; inner: 2 a note, 0:\d\d", line) for line in told), told


def test_progress_ends_with_its_block():
    told = lines("time.sleep(0.5)", "print('end', file=sys.stderr); time.sleep(0.7)\n"
                 "assert threading.active_count() == 1")
    assert len(told) >= 2 and told[-1] == "end"


def test_many_short_pieces_of_work_print_progress_too():
    told = lines("pass", "for i in range(12):\n    with progress.bar('piece'):\n        time.sleep(0.1)")
    assert told and all(re.fullmatch(r"piece: 0, 0:\d\d", line) for line in told), told


def test_a_forked_process_prints_no_progress_of_its_own():
    told = lines("child = os.fork()\n        if not child:\n            advance(2); time.sleep(1); os._exit(0)\n"
                 "        os.waitpid(child, 0)")
    assert told and all(line.startswith("outer: 0/3") for line in told), told


def test_a_stderr_that_is_closed_does_no_harm():
    assert lines("sys.stderr.close(); time.sleep(0.5)") == []


# -- schemes -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("scheme, words", [
    ("structured:0.5+log3:4", ("'log3:4' at character 16", "did you mean log2?")),
    ("log2:4,depth=3", ("'log2:4,depth=3' at character 1", "no option 'depth'")),
    ("structured:2 + log2:4", ("'structured:2' at character 1", "between 0 and 1")),
    ("log2:4+", ("'' at character 8",)), ("int", ("'int' lacks its value, as in int:8",))])
def test_a_wrong_scheme_shows_the_wrong_part_and_two_examples(scheme, words):
    with pytest.raises(InputError) as caught:
        Scheme.parse(scheme)
    told = str(caught.value)
    assert all(word in told for word in words), told
    assert told.endswith("write log2:4 or structured:0.5+log2:4,levels=4, for example")
