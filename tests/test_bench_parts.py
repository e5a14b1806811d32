"""`make bench`: a part that lacks something or breaks says so, and the others are run."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import __main__ as bench
from benchmarks import tools
from benchmarks.results import Figure
from toolkit.utils.errors import InputError, ToolMissing

GOOD = Figure("speed", "3", "", "at least 2", True)
MISSED = Figure("speed", "1", "", "at least 2", False)


def raising(error: Exception):
    def measure(_):
        raise error
    return measure


def ran(monkeypatch, tmp_path, capsys, *options: str, **parts: bench.Part) -> tuple[int, str]:
    """Exit code and output of the benchmarks with these parts, behind and before one that is well."""
    well = bench.Part(lambda _: [GOOD])
    monkeypatch.setattr(bench, "PARTS", {"before": well, **parts, "behind": well})
    monkeypatch.setattr(sys, "argv", ["benchmarks", "-o", str(tmp_path), *options])
    code = bench.main()
    return code, capsys.readouterr().out


@pytest.mark.parametrize(("part", "why", "code"), [
    (bench.Part(lambda _: [MISSED]), None, 1),
    (bench.Part(raising(ToolMissing("g++ is not installed"))), "g++ is not installed", 3),
    (bench.Part(raising(ModuleNotFoundError("x", name="emlearn"))), "the Python package emlearn is not installed", 3),
    (bench.Part(raising(InputError("no such images"))), "no such images", 1),
    (bench.Part(raising(KeyError("peer"))), "it broke: KeyError: 'peer'", 1),
    (bench.Part(raising(AssertionError())), "it broke: AssertionError: ", 1),
    (bench.Part(lambda _: [MISSED], on_mnist=True), "no images: --mnist FOLDER", 0),
    (bench.Part(lambda _: [MISSED], ("simavr",)), "missing: simavr; what brings it: apt-get install simavr", 3),
    (bench.Part(lambda _: [MISSED], (), ("nosuchpeer",)), "missing: nosuchpeer; what brings it: pip install", 3),
])
def test_a_part_that_is_not_run_is_named_with_the_reason_and_the_others_run(monkeypatch, tmp_path, capsys, part, why,
                                                                            code):
    monkeypatch.setattr(bench, "missing", lambda: {"simavr": "apt-get install simavr"})
    got, said = ran(monkeypatch, tmp_path, capsys, odd=part)
    assert got == code and "\nbefore\n" in said and "\nbehind\n" in said
    every = (tmp_path / "bench.txt").read_text()
    if why:
        assert f"odd\nnot run: {why}" in said and f"not run: odd: {why}" in every
    assert ("not run" in every) == bool(why)
    assert len(json.loads((tmp_path / "bench.json").read_text())) == (2 if why else 3)


def test_a_goal_that_is_missed_counts_more_than_a_part_that_is_missing(monkeypatch, tmp_path, capsys):
    lacks = bench.Part(raising(ToolMissing("no tool")))
    assert ran(monkeypatch, tmp_path, capsys, lacks=lacks, slow=bench.Part(lambda _: [MISSED]))[0] == 1
    assert ran(monkeypatch, tmp_path, capsys, lacks=lacks)[0] == 3
    assert ran(monkeypatch, tmp_path, capsys)[0] == 0


def test_one_part_alone(monkeypatch, tmp_path, capsys):
    code, said = ran(monkeypatch, tmp_path, capsys, "--only", "odd", odd=bench.Part(lambda _: [MISSED]))
    assert code == 1 and "before" not in said


def test_parts_need_only_what_set_up_brings():
    for part in bench.PARTS.values():
        assert set(part.programs) <= tools.known()
