"""What a simulation tells: the table, the JSON and the JUnit file of made-up outcomes; options, and exit codes."""

from __future__ import annotations

import argparse
import json
import re
import signal
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import output
import processes
import pytest
import run
import targets
from bench_project import described, loaded, write
from errors import BadFolder, NoTool, SimulationError
from processes import Deadline
from results import Check, Diagnosis, Mismatch, Outcome
from workspace import opened

MISMATCH = Mismatch("edges", 1, 2, -3, 5, 4, bytes.fromhex("10000300"), 2)
PLAYER = Check("player", "edges", 2000, 18_000, 0, 1.5, 1234.4, 4, 2.5)
WRONG = Check("player", "random", 3, 1000, 25, 0.25, 10.0, None, None, MISMATCH, ("it hung",))
HOST = Check("host", "edges", 1, 8, 0, 0.125, 99.5)
VERILOG = Outcome("verilog", 3.25, False, (PLAYER, WRONG), Diagnosis("mid", "the layer 'mid'", {"mid": "7"}))
C = Outcome("c", 0.5, True, (HOST,), None, ("it broke",), {"avr": {"flash": 12_345, "ram": 7}})


def result(tmp_path: Path, *outcomes: Outcome, max_ber: float = 0.0, changed: tuple[str, ...] = (),
           allow_edited: bool = False) -> output.Result:
    return output.Result(loaded(tmp_path), outcomes, max_ber, changed, allow_edited)


def test_a_good_run_is_a_table_and_passes(tmp_path: Path):
    good = result(tmp_path, Outcome("verilog", 3.25, False, (PLAYER,)), Outcome("c", None, False, (HOST,)))
    assert output.text(good).splitlines() == [
        "target   bench   vectors  samples  bit errors  BER  latency [cycles]  II [cycles]  rate [1/s]",
        "-" * 93,
        "verilog  player  edges      2,000           0    0                 4          2.5       1,234",
        "c        host    edges          1           0    0                 -            -         100",
        "verilog: built in 3.2 s",
        "hardware BER 0 (0 of 18,008 bits): PASS"]
    assert good.ok and (good.bits, good.bit_errors, good.ber) == (18_008, 0, 0.0)
    assert good.mismatch is None and good.faults == good.integrity == []


def test_the_heads_of_the_table_are_the_keys_of_the_json(tmp_path: Path):
    good = result(tmp_path, VERILOG, C)
    heads = [re.sub(r" \[.*", "", head).lower().replace(" ", "_")
             for head in re.split("  +", output.text(good).splitlines()[0])]
    assert len(heads) == 9 and all(set(heads) <= set(check) for check in output.to_json(good)["checks"])


def test_a_bad_run_says_all_that_is_wrong_and_fails(tmp_path: Path):
    bad = result(tmp_path, VERILOG, C, changed=("rtl/net_mid.v", "vectors/a"))
    told = output.text(bad).splitlines()
    assert told[3] == "verilog  player  random         3          25  0.025                 -            -          10"
    assert told[5:] == [
        "verilog: built in 3.2 s", "c: built before",
        "avr: flash 12,345 B, ram 7 B",
        "INTEGRITY: 'rtl/net_mid.v', layer 'mid', differs from what was generated; --allow-edited allows it",
        "INTEGRITY: 'vectors/a' differs from what was generated; --allow-edited allows it",
        ("FAILED (verilog, player): 2 samples differ; the first is sample 1 of 'edges', element 2: got 1101 (-3), "
         "expected 0101 (5)"),
        "FAILED (verilog, player): it hung", "FAILED: c: it broke", "diagnosis: the layer 'mid'",
        "hardware BER 0.00132 (25 of 19,008 bits): FAIL"]
    assert not bad.ok and bad.mismatch == (VERILOG, MISMATCH)
    edited = result(tmp_path, Outcome("c", None, False, (HOST,)), changed=("a",), allow_edited=True)
    assert edited.ok and edited.integrity == []
    assert not result(tmp_path, Outcome("c", None, False, (HOST,)), changed=("a",)).ok
    assert not result(tmp_path, Outcome("c", None, False, (HOST,), faults=("x",))).ok


@pytest.mark.parametrize("most, told", [(0.025, ["it hung"]), (0.02, [MISMATCH.describe(), "it hung"])])
def test_a_ber_within_what_is_allowed_is_no_failure(tmp_path: Path, most, told):
    assert result(tmp_path, VERILOG, max_ber=most).failed(WRONG) == told


def test_a_ber_without_a_mismatch_is_told_as_a_number(tmp_path: Path):
    found = result(tmp_path, VERILOG)
    assert found.failed(Check("b", "s", 1, 300, 100, 0.0, 0.0)) == ["BER 0.333"]
    assert result(tmp_path).ber == 0.0


def test_the_same_failure_is_told_once_and_no_character_moves_a_cursor(tmp_path: Path):
    found = result(tmp_path, Outcome("verilog", 0.0, False, (
        Check("player", "a\x1b", 1, 1, 0, 0.0, 0.0, faults=("hung\x07",)),
        Check("player", "b", 1, 1, 0, 0.0, 0.0, faults=("hung\x07",)))))
    told = output.text(found)
    assert told.count("FAILED (verilog, player): hung?") == 1 and "a?" in told and "\x1b" not in told


def test_the_json_says_the_same(tmp_path: Path):
    found = output.to_json(result(tmp_path, VERILOG, C, max_ber=0.5, changed=("rtl/net.v",)))
    assert found == json.loads(json.dumps({
        "schema": 4, "ok": False, "name": "net", "hardware_ber": 25 / 19_008, "bit_errors": 25, "bits": 19_008,
        "max_ber": 0.5, "latency": 4, "ii": 2.5, "build_seconds": 3.25, "build_cached": False,
        "integrity": ["'rtl/net.v' differs from what was generated; --allow-edited allows it"],
                                           "faults": ["c: it broke"],
        "targets": {"verilog": {"build_seconds": 3.25, "build_cached": False, "faults": [], "figures": {},
                                "samples": 2003, "bits": 19_000, "bit_errors": 25},
                    "c": {"build_seconds": 0.5, "build_cached": True, "faults": ["it broke"],
                          "figures": {"avr": {"flash": 12_345, "ram": 7}}, "samples": 1, "bits": 8, "bit_errors": 0}},
        "checks": [
            {"target": "verilog", "bench": "player", "vectors": "edges", "samples": 2000, "bits": 18_000,
             "bit_errors": 0, "ber": 0.0, "seconds": 1.5, "rate": 1234.4, "latency": 4, "ii": 2.5,
             "failures": []},
            {"target": "verilog", "bench": "player", "vectors": "random", "samples": 3, "bits": 1000, "bit_errors": 25,
             "ber": 0.025, "seconds": 0.25, "rate": 10.0, "latency": None, "ii": None,
             "failures": ["it hung"]},
            {"target": "c", "bench": "host", "vectors": "edges", "samples": 1, "bits": 8, "bit_errors": 0, "ber": 0.0,
             "seconds": 0.125, "rate": 99.5, "latency": None, "ii": None,
             "failures": []}],
        "mismatch": {"vectors": "edges", "sample": 1, "element": 2, "got": -3, "expected": 5, "width": 4,
                     "input": "00030010", "samples": 2, "target": "verilog", "got_binary": "1101",
                     "expected_binary": "0101"},
        "diagnosis": {"layer": "mid", "note": "the layer 'mid'", "outputs": {"mid": "7"}}}))
    none = output.to_json(result(tmp_path, Outcome("c", None, False, ())))
    assert [none[k] for k in ("mismatch", "diagnosis", "build_seconds", "latency")] == [None] * 4 and none["ok"]


def test_junit_has_a_case_for_each_check_and_one_for_the_files(tmp_path: Path):
    suites = ElementTree.fromstring(output.junit(result(tmp_path, VERILOG, C, changed=("rtl/net.v",))))
    suite, = suites
    assert suites.tag == "testsuites" and suite.tag == "testsuite"
    assert suite.attrib == {"name": "net", "tests": "5", "failures": "3", "time": "1.875"}
    assert [(c.get("classname"), c.get("name"), c.get("time"), len(c)) for c in suite] == [
        ("net", "verilog, player: edges", "1.500", 0), ("net", "verilog, player: random", "0.250", 1),
        ("net", "c, host: edges", "0.125", 0), ("net", "files as generated", "0.000", 1),
        ("net", "simulation", "0.000", 1)]
    failure = suite[1][0]
    assert failure.tag == "failure" and failure.get("message") == MISMATCH.describe()
    assert failure.text == f"{MISMATCH.describe()}\nit hung\nthe layer 'mid'"
    good = ElementTree.fromstring(output.junit(result(tmp_path, Outcome("c", 0.0, False, (HOST,)))))
    assert good[0].attrib == {"name": "net", "tests": "2", "failures": "0", "time": "0.125"}
    assert output.junit(result(tmp_path)).startswith(b"<?xml")


# The runner.

@pytest.fixture
def signals():
    """The handlers and the timer of this process are its own again afterwards."""
    before = {number: signal.getsignal(number) for number in (*processes.STOPPING, signal.SIGALRM)}
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_options_are_what_the_help_says_they_are():
    args = run.arguments(["P"])
    assert (args.folder, args.target, args.vectors, args.board, args.bench) == (Path("P"), None, None, None, "both")
    assert (args.axi_samples, args.max_ber, args.junit, args.seed, args.timeout) == (2000, 0.0, None, 1, 1200)
    assert not any((args.stalls, args.waves, args.json, args.rebuild, args.allow_edited, args.require, args.clean,
                    args.lint))
    assert 1 <= args.processes <= 8 and run.arguments([]).folder == Path()
    args = run.arguments(["--target", "c", "--target", "hls", "--vectors", "7", "--board", "avr", "--bench", "axi",
                          "--axi-samples", "9", "--stalls", "--waves", "--max-ber", "0.5", "--junit", "j.xml", "--json",
                          "--seed", "-3", "--timeout", "60", "--processes", "3", "--rebuild", "--allow-edited",
                          "--require",
                          "--clean", "--lint"])
    assert (args.target, args.vectors, args.board, args.bench, args.axi_samples) == (["c", "hls"], 7, ["avr"], "axi", 9)
    assert (args.max_ber, args.junit, args.seed, args.timeout, args.processes) == (0.5, Path("j.xml"), -3, 60, 3)
    assert all((args.stalls, args.waves, args.json, args.rebuild, args.allow_edited, args.require, args.clean,
                args.lint))
    assert [run.arguments(["--bench", b]).bench for b in ("both", "player")] == ["both", "player"]


@pytest.mark.parametrize("wrong", [["--vectors", "0"], ["--vectors", "x"], ["--axi-samples", "-1"],
                                   ["--max-ber", "1.1"], ["--max-ber", "nan"], ["--max-ber", "-0.1"],
                                   ["--bench", "none"], ["--seed", "x"], ["--timeout", "0"], ["--processes", "0"],
                                   ["a", "b"]])
def test_options_that_make_no_sense_are_refused(wrong, capsys):
    with pytest.raises(SystemExit) as caught:
        run.arguments(wrong)
    assert caught.value.code == 2 and wrong[0].lstrip("-")[:4] in capsys.readouterr().err + "b"


def test_the_bounds_of_options_belong_to_them():
    assert run._positive("1") == 1 and run._share("0") == 0.0 and run._share("1") == 1.0
    for text in ("0", "-1"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not positive"):
            run._positive(text)
    with pytest.raises(argparse.ArgumentTypeError, match="is not between 0 and 1"):
        run._share("inf")


@pytest.mark.parametrize("error, code, told", [
    (SimulationError("it hung"), 1, "error: it hung\n"), (BadFolder("no folder"), 2, "error: no folder\n"),
    (NoTool("no gcc"), 3, "error: no gcc\n"), (OSError(28, "No space", "/f"), 2, "error: /f: No space\n"),
    (OSError(28, "No space"), 2, "error: the disk: No space\n"),
    (MemoryError(), 2, "error: there is not enough memory for this project\n"),
    (processes.Interrupted(143), 143,
     "interrupted: there is no result; what was built stays in 'P/build' for the next run\n")])
def test_a_run_that_ends_otherwise_has_its_exit_code(monkeypatch, capsys, signals, error, code, told):
    ended: list[int] = []

    def fail(args):
        raise error

    monkeypatch.setattr(run, "run", fail)
    monkeypatch.setattr(processes, "end_all", lambda: ended.append(1))
    assert run.main(["P"]) == code and ended == [1]
    assert capsys.readouterr().err == told


def test_a_run_listens_and_has_a_time(monkeypatch, signals):
    monkeypatch.setattr(run, "run", lambda args: 10 * (args.deadline.seconds == 50) + 1)
    assert run.main(["P", "--timeout", "50"]) == 11
    assert 5 < signal.getitimer(signal.ITIMER_REAL)[0] <= 52
    assert signal.getsignal(signal.SIGTERM) is processes._interrupt
    with pytest.raises(SimulationError, match="the run did not end within the 50 s"):
        signal.getsignal(signal.SIGALRM)(signal.SIGALRM, None)


class Bench:
    """Stands for the bench of each target."""

    def __init__(self) -> None:
        self.asked: list = []
        self.checks: tuple[Check, ...] = (HOST,)

    def require(self, args) -> None:
        self.asked.append("require")

    def run(self, manifest, args, say) -> Outcome:
        self.asked.append("run")
        say("working")
        assert args.work.folder.name == "build"
        return Outcome("c", 0.0, True, self.checks)


@pytest.fixture
def bench(monkeypatch, signals) -> Bench:
    found = Bench()
    monkeypatch.setattr(run.importlib, "import_module", lambda name: found)
    return found


def test_a_run_asks_its_benches_and_tells_what_they_found(tmp_path: Path, bench, capsys):
    write(tmp_path)
    assert run.main([str(tmp_path)]) == 0 and bench.asked == ["require", "run"]
    assert capsys.readouterr().out.endswith("hardware BER 0 (0 of 8 bits): PASS\n")
    assert run.main([str(tmp_path), "--json", "--junit", str(tmp_path / "build" / "j.xml")]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    assert (tmp_path / "build" / "j.xml").read_bytes().startswith(b"<?xml")
    (tmp_path / "rtl" / "net.v").write_text("changed")
    assert run.main([str(tmp_path)]) == 1 and "INTEGRITY" in capsys.readouterr().out
    assert run.main([str(tmp_path), "--allow-edited"]) == 0
    bench.checks = (Check("b", "s", 1, 8, 1, 0.0, 0.0),)
    assert run.main([str(tmp_path), "--allow-edited"]) == 1
    assert run.main([str(tmp_path), "--allow-edited", "--max-ber", "0.125"]) == 0


def test_progress_is_for_people(tmp_path: Path, bench, capsys, monkeypatch):
    write(tmp_path)
    run.main([str(tmp_path)])
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("SHIFTWRIGHT_PROGRESS", "1")
    run.main([str(tmp_path), "--vectors", "6"])
    assert capsys.readouterr().err == ("the folder holds 5 vectors; generate it with more for more ...\nworking ...\n")
    run.main([str(tmp_path), "--vectors", "5"])
    assert capsys.readouterr().err == "working ...\n"


def test_what_is_not_in_the_folder_is_refused(tmp_path: Path, bench, capsys):
    write(tmp_path)
    assert run.main([str(tmp_path), "--target", "vhdl"]) == 2
    assert capsys.readouterr().err == "error: the folder holds no target 'vhdl'; it holds verilog\n"
    assert run.main([str(tmp_path), "--board", "avr"]) == 2
    assert "--board runs the target c" in capsys.readouterr().err
    write(tmp_path, targets={**described()["targets"], "vhdl": {}})
    assert run.main([str(tmp_path)]) == 2
    assert "the manifest names the target 'vhdl', which these benches do not know" in capsys.readouterr().err
    write(tmp_path, targets={"c": {}})
    assert run.main([str(tmp_path), "--lint"]) == 2
    assert "there is no RTL to lint in the folder" in capsys.readouterr().err
    assert bench.asked == []
    assert run.main([str(tmp_path), "--board", "avr"]) == 0


def test_only_the_targets_that_were_asked_for_are_run(tmp_path: Path, monkeypatch, signals, capsys):
    asked: list[str] = []

    def module(name: str) -> SimpleNamespace:
        return SimpleNamespace(require=lambda args: asked.append(f"require {name}"),
                               run=lambda manifest, args, say: asked.append(name) or Outcome(name, 0.0, True, ()))

    monkeypatch.setattr(run.importlib, "import_module", module)
    write(tmp_path, targets={**described()["targets"], "c": {}, "hls": {}})
    assert run.main([str(tmp_path), "--target", "c", "--target", "hls"]) == 0
    assert asked == ["require targets.c", "require targets.hls", "targets.c", "targets.hls"]
    asked.clear()
    assert run.main([str(tmp_path), "--require"]) == 0
    assert asked == [f"require targets.{name}" for name in ("verilog", "hls", "c", "hls4ml")]
    asked.clear()
    assert run.main([str(tmp_path / "none"), "--require", "--target", "hls"]) == 0 and asked == ["require targets.hls"]
    assert {n: f"targets.{n}" for n in ("verilog", "hls", "c", "hls4ml")} == targets.TARGETS


def test_clean_removes_what_runs_made_and_names_the_rest(tmp_path: Path, bench, capsys):
    write(tmp_path)
    with opened(tmp_path.resolve(), Deadline(36_000), print) as work:
        work.file(tmp_path.resolve() / "build" / "junit.xml").write_text("x")
    (tmp_path / "build" / "mine.txt").write_text("mine")
    assert run.main([str(tmp_path), "--clean"]) == 0
    assert capsys.readouterr().out == "build/mine.txt stays: no simulation made it\n"
    assert not (tmp_path / "build" / "junit.xml").exists() and (tmp_path / "build" / "mine.txt").exists()


def test_lint_prints_what_is_said_or_that_it_is_clean(tmp_path: Path, monkeypatch, signals, capsys):
    from targets import verilog as target_verilog

    write(tmp_path)
    for said, code, told in (("%Warning", 1, "%Warning\n"), ("", 0, "net: verilator --lint-only -Wall is clean\n")):
        monkeypatch.setattr(target_verilog, "lint", lambda manifest, deadline, said=said: said)
        assert run.main([str(tmp_path), "--lint"]) == code and capsys.readouterr().out == told


def test_a_junit_file_goes_anywhere_but_over_a_file_of_the_project(tmp_path: Path):
    project = tmp_path / "project"
    found = loaded(project)
    with opened(project, Deadline(36_000), print) as work:
        assert run._claimed(tmp_path / "new" / "j.xml", found, work) == tmp_path / "new" / "j.xml"
        assert (tmp_path / "new").is_dir()
        assert run._claimed(project / "j.xml", found, work) == project / "j.xml"
        assert run._claimed(project / "build" / "j.xml", found, work) == project / "build" / "j.xml"
        for name in ("manifest.json", "rtl/net.v", "x/../rtl/net.v"):
            with pytest.raises(BadFolder, match="is a file of the project; name another with --junit"):
                run._claimed(project / name, found, work)
        (project / "link").symlink_to(tmp_path)
        with pytest.raises(BadFolder, match="is a link"):
            run._claimed(project / "link" / "j.xml", found, work)
        (tmp_path / "file").write_text("")
        with pytest.raises(BadFolder, match=r"cannot be written: Not a directory|cannot be written: File exists"):
            run._claimed(tmp_path / "file" / "j.xml", found, work)
