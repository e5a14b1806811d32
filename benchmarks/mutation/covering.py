"""Which tests run which functions, and what each test costs: the whole fast suite once, under coverage.py."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmarks.mutation import child, tree
from benchmarks.mutation.mutants import bodies

SOURCES = ("toolkit", "hw_sim")
TOO_LONG = 240
"""Seconds of processor time that a test file may take; a longer one is no file to run for a mutant."""


@dataclass
class Covering:
    """`tests`: every test that passed, by id: (seconds, functions as `file::name`). `problems`: what could not be
    used, and why."""

    tests: dict[str, tuple[float, frozenset[str]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def of(self, function: str) -> list[str]:
        """Tests that run `file::name`."""
        return [test for test, (_, functions) in self.tests.items() if function in functions]

    def of_file(self, file: str) -> list[str]:
        """Tests that run any function of a file."""
        return [test for test, (_, functions) in self.tests.items()
                if any(f.startswith(f"{file}::") for f in functions)]


def collect(root: Path, slots: child.Slots, store: Path, files: Iterable[str], scratch: Path, old: bool,
            say: Callable[[str], None]) -> Covering:
    """The covering of the test `files`. What `store` (JSON) holds of an unchanged file is taken from there; with `old`
    also where only the program changed, not the test."""
    known: dict[str, Any] = json.loads(store.read_text()) if store.exists() else {}
    helpers = [p.relative_to(root).as_posix() for p in (root / "tests").glob("*.py") if not p.name.startswith("test_")]
    program = tree.digest(root, (p.relative_to(root).as_posix() for top in (*SOURCES, "templates", "benchmarks")
                                 for p in (root / top).rglob("*") if p.is_file() and "__pycache__" not in p.parts
                                 and "mutation" not in p.parts))
    found: dict[str, Any] = {}
    for file in files:
        mark = tree.digest(root, [file, *helpers])
        entry = known.get(file)
        if entry and entry["tests"] and entry["test"] == mark and (old or entry["program"] == program):
            found[file] = entry
            continue
        answer = scratch / f"map-{Path(file).stem}.json"

        def done(status: int, place: Path, file: str = file, answer: Path = answer, mark: str = mark) -> None:
            made: dict[str, Any] = {"tests": {}, "failed": [f"{file} (stopped)"]}
            if status == 0:
                made = json.loads(answer.read_text())
            found[file] = {"test": mark, "program": program, **made}
            store.write_text(json.dumps({**known, **found}))
            say(f"map: {file}: {len(made['tests'])} tests, {sum(t[0] for t in made['tests'].values()):.0f} s")

        slots.start(lambda place, file=file, answer=answer: child.forked(  # type: ignore[misc]
            lambda: _mapped(place, file, answer.with_suffix("")), place, answer, TOO_LONG), 3 * TOO_LONG, done)
    slots.finish()
    covering = Covering()
    for file in sorted(found):
        covering.problems += found[file]["failed"]
        covering.tests.update({test: (cost, frozenset(names)) for test, (cost, names) in found[file]["tests"].items()})
    return covering


def _mapped(place: Path, file: str, temp: Path) -> dict:
    """In a forked process: run a test file, keep for each passed test its seconds and the functions that it ran."""
    import coverage

    cover = coverage.Coverage(data_file=None, include=[f"{place}/{top}/*" for top in SOURCES], messages=False)
    cover.set_option("run:core", "ctrace")
    watch = _Watch(cover)
    cover.start()
    pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no", "-m", "not soak", f"--basetemp={temp}",
                 file], plugins=[watch])
    cover.stop()
    data = cover.get_data()
    ran: dict[str, set[str]] = {}
    for path in data.measured_files():
        name = Path(path).relative_to(place).as_posix()
        inside = [(f, *span) for f, span in bodies((place / name).read_text()).items()]
        for line, contexts in data.contexts_by_lineno(path).items():
            # A line in no function is of the module: in a table of lambdas it runs when a test calls one of them.
            for function in [f for f, first, last in inside if first <= line <= last] or [""]:
                for context in contexts:
                    ran.setdefault(context, set()).add(f"{name}::{function}")
    tests = {}
    for test, fixtures in watch.fixtures.items():
        own = ran.get(test, set()).union(*(ran.get(f"fixture {f}", set()) for f in fixtures))
        cost = watch.seconds.get(test, 0.0) + sum(watch.seconds.get(f"fixture {f}", 0.0) for f in fixtures)
        if test in watch.passed:
            tests[test] = (round(cost, 3), sorted(own))
    failed = sorted(set(watch.fixtures) - set(tests)) if watch.fixtures else [f"{file} (none of its tests could begin)"]
    return {"tests": tests, "failed": failed}


class _Watch:
    """A pytest plugin: tells coverage whose lines run, and takes the time. What a shared fixture does counts for every
    test that uses it."""

    def __init__(self, cover) -> None:
        self.cover = cover
        self.passed: set[str] = set()
        self.fixtures: dict[str, list[str]] = {}
        self.seconds: dict[str, float] = {}
        self.context, self.since = "", _spent()

    def _switch(self, context: str) -> str:
        now, before = _spent(), self.context
        self.seconds[before] = self.seconds.get(before, 0.0) + now - self.since
        self.context, self.since = context, now
        self.cover.switch_context(context)
        return before

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._switch(nodeid)

    def pytest_runtest_logfinish(self) -> None:
        self._switch("")

    def pytest_runtest_setup(self, item) -> None:
        self.fixtures[item.nodeid] = list(item.fixturenames)

    def pytest_runtest_logreport(self, report) -> None:
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        shared = fixturedef.scope != "function"
        before = self._switch(f"fixture {fixturedef.argname}") if shared else ""
        try:
            return (yield)
        finally:
            if shared:
                self._switch(before)


def _spent() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
