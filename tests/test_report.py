"""The reports' tables: their width, their columns in text, JSON and CSV, and the commands that they print."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import TRAINING, model_and_data, run
from hypothesis import given
from hypothesis import strategies as st
from sweep_rows import row, swept

from toolkit.compress.measure.measures import Drop
from toolkit.report import Network, Report, columns, pointers, sweep, tables, targets, text
from toolkit.report.simulation import SimulationResult
from toolkit.report.text import simulation_text
from toolkit.search.run import SearchResult, search_text
from toolkit.search.search import Found, Limits
from toolkit.search.space import Choice

spec = importlib.util.spec_from_file_location("hw_sim_tables", Path(__file__).parent.parent / "hw_sim" / "tables.py")
simulations = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
spec.loader.exec_module(simulations)  # type: ignore[union-attr]

CELLS = st.lists(st.lists(st.text("ab ", max_size=90), min_size=5, max_size=5), min_size=2, max_size=4)


def heads(lines: list[str]) -> list[list[str]]:
    """The heads of the tables among some lines."""
    return [re.split(r"  +", lines[i - 1]) for i, line in enumerate(lines) if i and re.fullmatch("-+", line)
            and "  " in lines[i - 1]]


def keys(lines: list[str]) -> list[str]:
    """The columns of the first table's parts as keys: without units, in lower case, "_" for blanks."""
    found: list[str] = []
    for head in heads(lines):
        if head[0] in found and head[1].split(" [")[0].lower().replace(" ", "_") in found:
            break
        found += [key for title in head if (key := title.split(" [")[0].lower().replace(" ", "_")) not in found]
    return found


# --- tables ----------------------------------------------------------------------------------------------------------

def test_a_table_that_fits_is_one_table():
    rows = [("row", "size [B]"), ("a", "1"), ("bb", "1,000")]
    assert tables.fitted(rows) == tables.table(rows) == ["row  size [B]", "-" * 13, "a           1", "bb      1,000"]


def test_a_table_that_does_not_fit_is_several_that_repeat_the_first_column():
    rows = [("row", "accuracy", "size", "ratio"), ("first", "1", "2", "3")]
    assert tables.fitted(rows, width=20) == [
        "row    accuracy", "-" * 15, "first         1", "", "row    size  ratio", "-" * 18, "first     2      3"]


def test_a_row_whose_name_leaves_no_room_is_shortened_in_its_middle():
    name = "structured:0.5+finetuned+log2:4+qat"
    fit, cut = (tables.fitted([("row", "drop [pp]"), (name, "+1.00")], width=width) for width in (46, 45))
    assert fit[2].split()[0] == name
    assert cut[2].split() == ["structured:0.5+f...uned+log2:4+qat", "+1.00"] and len(cut[1]) == 45


@given(CELLS, st.integers(1, 3), st.integers(46, 100))
def test_no_line_is_wider_than_the_width_and_no_column_is_lost(rows, repeated, width):
    rows = [[cell[:8] if 0 < i < repeated else cell for i, cell in enumerate(one)] for one in rows]
    lines = tables.fitted(rows, 2, width, repeated)
    assert max(map(len, lines)) <= width
    assert lines == simulations.fitted(rows, 2, width, repeated), "hw_sim lays out its tables in the same way"


@pytest.mark.parametrize("terminal, columns_there, width", [(False, 60, 100), (True, 60, 60), (True, 200, 100)])
@pytest.mark.parametrize("module", [tables, simulations])
def test_a_table_is_as_wide_as_a_narrow_terminal_and_100_columns_elsewhere(monkeypatch, module, terminal,
                                                                            columns_there, width):
    monkeypatch.setattr(module, "sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: terminal)))
    monkeypatch.setattr(module.shutil, "get_terminal_size", lambda: SimpleNamespace(columns=columns_there))
    assert module.terminal_width() == width


# --- columns ---------------------------------------------------------------------------------------------------------

def reported(**figures):
    """A sweep of two rows, with these figures of their steps, and of one that failed."""
    drop = Drop(0, 1.0, 1.5, -0.5, 3.5)
    rows = (row("structured_0.8_steps+minifloat_E4M3", 10_000, 1.0, kind="combination"),
            row("log2_4bit+qat", 10_000, 1.0))
    figures = {"interval": (0.88, 0.93), "drop": drop, "drop_as_given": drop, **figures}
    return swept(*(replace(one, step=replace(one.step, **figures)) for one in rows))


@pytest.mark.parametrize("figures, first", [
    ({}, "accuracy"), ({"metric": 7.5}, "metric"), ({"accuracy": None, "error": 0.5, "interval": None}, "rms_error"),
    ({"accuracy": None, "interval": None}, "agreement"), ({"task_ber": 0.1}, "accuracy")])
def test_text_json_and_csv_have_the_same_columns(figures, first):
    found = reported(**figures)
    told = keys(sweep.text(found).splitlines())
    header = next(csv.reader(io.StringIO(sweep.to_csv(found))))
    made = sweep.to_json(found)
    assert all(list(one) == header for one in made["rows"]) and made["schema"] == 2
    assert told[:2] == ["row", first] and set(told) <= set(header)
    assert told == [key for key in header if key in told], "in the same order"
    assert {key for key in header if key not in told and not key.endswith(("_low", "_high"))} <= {
        "category", "scheme", "artifact", "hardware", "possible", "error", "parameters", "output_format",
        "validation_drop_as_given", *(c.key for c in columns.COLUMNS if c.value(found.good[0].step) is None)}


def test_the_first_columns_say_what_a_row_is_worth_and_what_it_takes():
    told = keys(sweep.text(reported()).splitlines())
    assert told == ["row", "accuracy", "drop", "size", "ratio", "epochs", "validation_accuracy", "validation_drop",
                    "compressed_size", "drop_as_given", "weight_ber", "output_ber", "sparsity", "non_zeros",
                    "disagreement", "weights", "non_zero_weights", "storage"]


def test_units_are_in_the_head_and_not_in_the_cells():
    step = reported().good[0].step
    assert {c.head: c.cell(step) for c in columns.COLUMNS if c.key in ("accuracy", "drop", "size", "weight_ber")} == {
        "accuracy [%]": "90.00 (88.0 .. 93.0)", "drop [pp]": "+1.50 (-0.5 .. +3.5)", "size [B]": "10,000",
        "weight BER [%]": "10.00"}


def test_intervals_are_columns_of_their_own_in_json_and_csv():
    one = sweep.to_json(reported())["rows"][0]
    assert [one[key] for key in ("accuracy", "accuracy_low", "accuracy_high")] == [0.9, 0.88, 0.93]
    assert [one[key] for key in ("drop", "drop_low", "drop_high", "validation_drop")] == [1.5, -0.5, 3.5, 1.0]


def test_the_task_ber_has_the_interval_of_the_bits_decided_wrong():
    step = reported(task_ber=0.0012345, accuracy=0.9987655, interval=(0.9985, 0.9990)).good[0].step
    column = next(c for c in columns.COLUMNS if c.key == "task_ber")
    assert column.cell(step) == "0.123 (0.1 .. 0.15)"
    assert column.flat(step) == pytest.approx({"task_ber": 0.0012345, "task_ber_low": 0.0010, "task_ber_high": 0.0015})


def test_a_network_whose_outputs_are_no_bits_has_no_task_ber():
    step = reported().good[0].step
    column = next(c for c in columns.COLUMNS if c.key == "task_ber")
    assert column.cell(step) == "n/a" and set(column.flat(step).values()) == {None}


def test_a_row_that_failed_has_every_column_and_its_error():
    last = sweep.to_json(reported())["rows"][-1]
    assert last["row"] == "broken" and last["error"] == "no" and last["accuracy"] is last["size"] is None
    assert list(csv.DictReader(io.StringIO(sweep.to_csv(reported()))))[-1]["drop"] == ""


def test_every_line_of_a_table_fits():
    found = reported()
    for width in (60, 100):
        lines = sweep.text(found, width=width).splitlines()
        rules = [len(line) for line in lines if re.fullmatch("-+", line)]
        assert max(rules) <= width and len(rules) > 9


def test_the_steps_of_a_build_have_the_same_columns_in_text_and_json():
    steps = tuple(replace(one.step, name=f"step {i}") for i, one in enumerate(reported().good))
    report = Report("t", (Network("n", "s", steps, (), (), steps[0]),), (), 0.0)
    told = keys(text(report).splitlines())
    made = report.to_json()["networks"][0]
    assert told[:5] == ["step", "accuracy", "drop", "size", "ratio"] and set(told) <= set(made["steps"][0])
    assert list(made["baseline"]) == list(made["steps"][0]) == ["step", *columns.KEYS]


def searched() -> SearchResult:
    step = replace(reported().good[0].step, epochs=4)
    found = [Found(n, Choice("log2:4", ("0=keep",), 8), 0.8 + n / 100, 1000 + n, 50, True, True, 1.0, 4,
                   replace(step, size=1000 + n)) for n in (3, 5)]
    from toolkit.compress import Settings

    return SearchResult(tuple(found), tuple(found), ("accuracy", "bytes"), step, (), Limits(), Settings())


def test_the_finalists_of_a_search_have_the_same_columns_in_text_and_json():
    result = searched()
    told = keys(search_text(result).splitlines())
    made = json.loads(json.dumps(result.to_json()))
    assert told == ["trial", "accuracy", "drop", "size", "ratio", "epochs", "validation_accuracy", "validation_drop",
                    "adder_bits", "fits", "front"]
    assert all(set(told) <= set(one) for one in made["finalists"]) and made["schema"] == 3
    assert {"trial", "validation", "validation_drop", "size", "adder_bits"} <= set(made["trials"][0])


def test_what_a_trial_chose_is_a_line_below_the_table():
    assert "trial 3: log2:4; 0=keep; 8-bit sums" in search_text(searched()).splitlines()


def test_a_simulations_units_are_in_its_head():
    check = {"target": "verilog", "bench": "player", "vectors": "random", "samples": 2000, "bits": 18_000,
             "bit_errors": 0, "ber": 0.0, "latency": 1234, "ii": 1.0, "rate": 99.6, "failures": []}
    data = {"ok": True, "hardware_ber": 0.0, "bit_errors": 0, "bits": 18_000, "checks": [check], "max_ber": 0.0,
            "integrity": [], "faults": [], "diagnosis": None,
            "targets": {"verilog": {"build_seconds": 3.21, "build_cached": False, "figures": {}}}}
    found = SimulationResult(True, 0.0, 0, 18_000, 1234, 1.0, 3.21, data)
    head, _, cells, _, built, verdict = simulation_text(found)
    assert head == "target   bench   vectors  samples  bit errors  BER  latency [cycles]  II [cycles]  rate [1/s]"
    assert cells.split() == ["verilog", "player", "random", "2,000", "0", "0", "1,234", "1", "100"]
    assert built == "verilog: built in 3.2 s" and verdict.endswith("PASS: every bit is equal")


def test_a_targets_table_has_its_units_in_the_head():
    entry = {"base": "net", "tables": [{"name": "w" * 60, "bytes": 1234}], "flash_bytes": 1234, "ram_bytes": 7,
             "memory": {}}
    head, _, one, every = targets.TABLES["c"]("n", entry, 100)[2:6]
    assert head.split("  ")[0] == "constants" and head.endswith("flash [B]")
    assert one.endswith("  1,234") and "..." in one and every.endswith("  1,234")


# --- commands --------------------------------------------------------------------------------------------------------

def test_a_printed_command_is_one_that_a_shell_takes_apart_again():
    assert shlex.split(pointers.generate("my out/rows/a b.swd", "hardware")) == [
        "shiftwright", "generate", "my out/rows/a b.swd", "-o", "hardware"]
    assert pointers.simulate(Path("-odd")) == "shiftwright simulate ./-odd"
    assert pointers.build_trial("found", 12) == \
        "shiftwright build MODEL --data DATA --search found --trial 12 -o trial_12"
    assert pointers.build_trial("s", 1, "a:b", "d d.npz", {"--task": None, "--metric": "m:f"}, "new") == \
        "shiftwright build a:b --data 'd d.npz' --search s --trial 1 --metric m:f -o new"


def test_a_reports_file_names_no_folder_but_its_own():
    found = swept(row("a", 100, 1.0, hardware=True))
    assert "shiftwright generate rows/a.swd -o ../hardware" in sweep.text(found)
    assert "shiftwright generate 'my out/rows/a.swd' -o hardware" in sweep.text(found, folder="my out")
    assert search_text(searched()).splitlines()[-1].endswith(
        "shiftwright build MODEL --data DATA --search . --trial 5 -o ../trial_5")
    assert search_text(searched(), "s", "m.pt2", "d.npz").splitlines()[-1] == \
        "build one with: shiftwright build m.pt2 --data d.npz --search s --trial 5 -o trial_5"


def test_the_commands_that_are_printed_work_from_the_current_directory(tmp_path: Path):
    files = model_and_data(tmp_path)

    def printed(done, which: str) -> list[str]:
        assert done.returncode == 0, done.stderr
        line, = re.findall(rf"shiftwright {which} .*", done.stdout)
        return shlex.split(line)[1:]

    done = run("compress", files / "model.pt2", "--data", files / "data.npz", "--no-sweep", "--scheme", "log2:4",
               "-o", "my tries", *TRAINING, cwd=tmp_path)
    done = run(*printed(done, "generate"), "--vectors", 50, cwd=tmp_path)
    assert (tmp_path / "hardware" / "manifest.json").is_file()
    assert printed(done, "simulate") == ["simulate", "hardware"]
    done = run(*printed(done, "simulate"), "--bench", "player", cwd=tmp_path)
    assert done.returncode == 0 and "PASS" in done.stdout
    done = run("search", files / "model.pt2", "--data", files / "data.npz", "--trials", 2, "--finalists", 1, "-o", "s",
               *TRAINING, cwd=tmp_path)
    done = run(*printed(done, "build"), "--vectors", 50, "--no-simulate", cwd=tmp_path)
    assert printed(done, "simulate")[1].startswith("trial_") and (tmp_path / printed(done, "simulate")[1]).is_dir()
