"""The mutation run on a program of three functions: what is killed, what survives, what hangs, and going on later."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from benchmarks.mutation.changes import Change
from benchmarks.mutation.choose import sample
from benchmarks.mutation.mutants import bodies, mutants
from benchmarks.mutation.results import wilson

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = '''"""Three functions."""


def seen(x):
    return x + 7


def unseen(x):
    return x - 3


def counted(n):
    while n > 0:
        n -= 1
    return n


def never_run(x):
    return not x
'''
TESTS = '''
from toolkit.small import counted, seen, unseen


def test_seen():
    assert seen(1) == 8


def test_unseen():
    unseen(1)


def test_counted():
    assert counted(3) == 0
'''
CHANGES = '''
[[change]]
file = "toolkit/small.py"
why = "seven becomes eight"
old = "x + 7"
new = "x + 8"
tests = ["tests/test_small.py::test_seen"]

[[change]]
file = "toolkit/small.py"
why = "three becomes four"
old = "x - 3"
new = "x - 4"
tests = ["tests/test_small.py::test_unseen"]
'''
DRIVER = '''
import sys
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
sys.path[:] = [p for p in sys.path if p != sys.argv[2]]
sys.path.insert(0, sys.argv[1])
from benchmarks.mutation.rooms import Room
from benchmarks.mutation.run import run
out = Path(sys.argv[2]) / "mutate-out"
out.mkdir(exist_ok=True)
args = Namespace(out=out, only=["small", "changed lines"], file=None, sample=100, all=True, seed=0, jobs=2, budget=5,
                 grace=6, tests=None, old_map=False)
with TemporaryDirectory() as scratch:
    sys.exit(run(args, Path(sys.argv[2]), Path(scratch), [Room("small", ("toolkit/*.py",))], Path(sys.argv[2])))
'''


def ran(project: Path) -> tuple[int, str, dict[tuple[str, str], dict]]:
    """(exit code, what it printed, the latest outcome of every (old, new) line)."""
    done = subprocess.run([sys.executable, "-c", DRIVER, str(ROOT), str(project)], capture_output=True, text=True,
                          timeout=300)
    lines = (project / "mutate-out" / "outcomes.jsonl").read_text().splitlines()
    return done.returncode, done.stdout + done.stderr, {(o["old"], o["new"]): o for o in map(json.loads, lines)}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("mutated")
    for name, text in (("toolkit/__init__.py", ""), ("toolkit/small.py", PROGRAM), ("tests/test_small.py", TESTS),
                       ("changes/list.toml", CHANGES), ("hw_sim/none.py", ""), ("pyproject.toml", "")):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)
    return place


@pytest.fixture(scope="module")
def first(project: Path):
    return ran(project)


@pytest.mark.soak
def test_a_change_that_a_test_sees_is_killed_by_that_test(first):
    found = first[2]["return x + 7", "return x - 7"]
    assert (found["status"], found["by"]) == ("killed", "tests/test_small.py::test_seen")


@pytest.mark.soak
def test_a_change_that_no_test_sees_survives_and_is_told_with_its_line(first):
    assert first[2]["return x - 3", "return x + 3"]["status"] == "survived"
    assert "toolkit/small.py:9" in first[1] and "+ return x + 3" in first[1]


@pytest.mark.soak
def test_a_change_that_never_ends_is_stopped_and_counts_as_noticed(first):
    found = first[2]["n -= 1", "n += 1"]
    assert found["status"] == "timeout" and found["seconds"] < 120


@pytest.mark.soak
def test_a_function_that_no_test_runs_is_told_as_such(first):
    assert first[2]["return not x", "return x"]["status"] == "no test runs it"


@pytest.mark.soak
def test_below_the_goal_the_run_fails_and_prints_the_share_with_its_interval(first):
    code, told, found = first
    tried = [o for o in found.values() if o["room"] == "small"]
    killed = sum(o["status"] in ("killed", "timeout") for o in tried)
    assert code == 1
    line = next(text for text in told.splitlines() if text.startswith("small "))
    assert f"{100 * killed / len(tried):.1f} %" in line and ".." in line and line.endswith("no")


@pytest.mark.soak
def test_of_the_changed_lines_the_one_that_its_test_minds_is_noticed(first):
    assert "changed lines: 1 of 2 noticed" in first[1]
    assert "three becomes four" in first[1] and "seven becomes eight" not in first[1]


@pytest.mark.soak
def test_a_second_run_tries_nothing_again_and_a_new_test_only_what_survived(first, project: Path):
    before = first[2]
    code, told, _ = ran(project)
    assert code == 1 and "0 tried now" in told
    path = project / "tests" / "test_small.py"
    path.write_text(TESTS.replace("    unseen(1)\n", "    assert unseen(1) == -2\n"))
    code, told, after = ran(project)
    again = [key for key, o in after.items() if o != before[key] and o["room"] == "small"]
    assert after["return x - 3", "return x + 3"]["status"] == "killed"
    assert ("return x - 3", "return x + 3") in again
    path.write_text(TESTS)


@pytest.mark.soak
def test_an_excuse_takes_a_mutant_out_and_one_for_a_line_that_is_gone_is_an_error(first, project: Path):
    (project / "equivalent.toml").write_text('[[equivalent]]\nfile = "toolkit/small.py"\nold = "return x - 3"\n'
                                             'new = ["return x + 3"]\nwhy = "for the test"\n')
    code, told, _ = ran(project)
    assert code == 1 and "+ return x + 3" not in told.partition("changed lines")[0]
    (project / "equivalent.toml").write_text('[[equivalent]]\nfile = "toolkit/small.py"\nold = "return x - 5"\n'
                                             'new = ["return x + 3"]\nwhy = "for the test"\n')
    code, told, _ = ran(project)
    assert code == 2 and "none any more" in told
    (project / "equivalent.toml").unlink()


def test_a_changed_line_whose_text_or_test_is_gone_is_told(tmp_path: Path):
    (tmp_path / "a.py").write_text("x = 1\nx = 1\n")
    (tmp_path / "test_a.py").write_text("def test_a():\n    pass\n")

    def change(old: str, test: str) -> str:
        return Change("a.py", "why", old, "x = 2", (test,)).problem(tmp_path)

    assert "stands 2 times" in change("x = 1", "test_a.py::test_a")
    assert "stands 0 times" in change("x = 3", "test_a.py::test_a")
    assert "no test test_a.py::test_b" in change("1\nx", "test_a.py::test_b")
    assert change("1\nx", "test_a.py::test_a[some]") == ""


def test_mutants_change_one_place_and_leave_types_words_and_imports_alone():
    source = ('from os import sep\n\n\n@dec(1)\ndef f(x: "int" = 3) -> "str":\n    """Doc."""\n    if x is None:\n'
              '        raise ValueError("words")\n    return min(x, key="k")\n')
    found = {(m.line, m.new) for m in mutants("f.py", source)}
    assert (5, 'def f(x: "int" = 4) -> "str":') in found and (9, 'return max(x, key="k")') in found
    assert (7, "if False:") in found and (9, 'return min(x, key="XXkXX")') in found
    assert not any("XXwordsXX" in new or line in (1, 4, 6) for line, new in found)
    assert all(m.applied(source) != source for m in mutants("f.py", source))
    assert bodies(source) == {"f": (6, 9)}


def test_a_mutant_keeps_its_key_when_its_function_moves_and_loses_it_when_it_changes():
    before = "def f(x):\n    return x + 1\n"
    keys = {m.key for m in mutants("f.py", before)}
    assert {m.key for m in mutants("f.py", "y = g()\n\n\n" + before) if m.function} == keys
    assert not keys & {m.key for m in mutants("f.py", before.replace("x + 1", "x + 2"))}


def test_a_sample_takes_its_share_of_every_file_and_is_the_same_again():
    many = [m for name, size in (("a.py", 60), ("b.py", 20)) for i in range(size)
            for m in mutants(name, f"def f{i}():\n    return {i + 1}\n")]
    chosen = sample(many, 40, 1)
    assert [sum(m.file == n for m in chosen) for n in ("a.py", "b.py")] == [30, 10]
    assert sample(many, 40, 1) == chosen != sample(many, 40, 2) and sample(many, None, 0) == many


@pytest.mark.parametrize("hits, count", [(0, 5), (5, 5), (90, 100), (1, 2)])
def test_wilsons_interval_ends_where_the_share_found_is_as_unlikely_as_the_level_says(hits, count):
    """Its ends are the shares p with |found - p| = z sqrt(p (1 - p) / n)."""
    found = Fraction(hits, count)
    for end in wilson(hits, count):
        assert (float(found) - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / count, abs=1e-9)
    low, high = wilson(hits, count)
    assert 0 <= low <= found <= high <= 1
