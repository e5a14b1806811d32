"""Whether a run is whole: tests whose programs are missing are left out and named at the end; CI refuses that.

`@pytest.mark.needs("avr-gcc", "simavr")` names programs of scripts/debian.txt, which `make test` installs where it can.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from benchmarks.tools import known, missing

LEFT_OUT = pytest.StashKey[dict[str, list[str]]]()
"""The missing programs of each test that was left out."""


def in_ci() -> bool:
    return os.environ.get("CI", "") not in ("", "0", "false")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of what -k and -m chose, leave out what lacks a program."""
    left: dict[str, list[str]] = {}
    for item in items:
        needed = [name for mark in item.iter_markers("needs") for name in mark.args]
        if unknown := sorted(set(needed) - known()):
            raise pytest.UsageError(f"{item.nodeid} needs '{unknown[0]}', which is not in scripts/debian.txt")
        if lacking := [name for name in needed if name in missing()]:
            left[item.nodeid] = lacking
    config.stash[LEFT_OUT] = left
    if left:
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left])
        items[:] = [item for item in items if item.nodeid not in left]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node) -> None:
    """Under pytest-xdist only the workers collect: each tells the controller what it left out."""
    found = getattr(node, "workeroutput", {}).get("left_out", {})
    node.config.stash.setdefault(LEFT_OUT, {}).update(found)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run that is not whole fails in CI."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = session.config.stash.get(LEFT_OUT, {})
    elif in_ci() and (session.config.stash.get(LEFT_OUT, {}) or _skipped(session.config)):
        session.exitstatus = max(int(session.exitstatus), int(pytest.ExitCode.TESTS_FAILED))


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """Name what was left out, and what brings it."""
    left = config.stash.get(LEFT_OUT, {})
    skipped = _skipped(config)
    if not left and not (in_ci() and skipped):
        return
    terminalreporter.section("this run is not whole")
    for line in [*told(left), *(f"skipped: {name}" for name in skipped if in_ci())]:
        terminalreporter.line(line)
    if in_ci():
        terminalreporter.line("CI takes no run that is not whole: failed")


def told(left: dict[str, list[str]]) -> Iterable[str]:
    """Sentences about the tests that were left out."""
    if not left:
        return
    programs = sorted({name for names in left.values() for name in names})
    packages = " ".join(missing()[name].removeprefix("apt-get install ") for name in programs)
    yield f"left out: {len(left)} test{'s' * (len(left) > 1)}; missing: {', '.join(programs)}"
    yield from (f"  {name} ({', '.join(names)})" for name, names in sorted(left.items()))
    yield f"what brings it: apt-get install {packages}"


def _skipped(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.getplugin("terminalreporter")
    return [] if reporter is None else [r.nodeid for r in reporter.stats.get("skipped", [])]
