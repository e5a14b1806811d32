"""One forked process that runs tests of a copy of the project: everything of the project is imported anew there, the
slow libraries are there already."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutation.tree import ROOT

HEAVY = ("numpy", "torch", "torch.fx", "torch.export", "torch._dynamo", "torch._functorch.aot_autograd",
         "torch.export._trace", "alkaid", "onnx", "onnxruntime", "optuna", "sqlalchemy",
         "sklearn.datasets", "jinja2", "hypothesis", "hypothesis.extra.numpy", "pytest", "typer", "rich.console",
         "ml_dtypes", "cocotb", "qonnx.core.modelwrapper", "coverage")
OURS = ("toolkit", "hw_sim", "benchmarks", "tests", *(path.stem for path in (ROOT / "tests").glob("*.py")))
"""Packages and modules of the project, by their names in Python; the tests' own modules have no package."""
MEMORY = 4 << 30
"""Bytes that one process of tests may hold; looked at from outside, because a limit of the kernel's would bind the
sanitizers that some tests compile with, which map far more than they use."""


@dataclass(frozen=True)
class Batch:
    """Tests of one file, in the order in which they run."""

    file: str
    tests: tuple[str, ...]


def preload() -> None:
    """Import what every test needs and no mutant touches; forked processes have it for nothing."""
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    import torch
    from hypothesis import HealthCheck, Phase, settings

    torch.set_num_threads(1)
    # No shrinking: that a test fails is enough. The same examples every time, and no file of them.
    settings.register_profile("mutation", phases=(Phase.explicit, Phase.generate), database=None, derandomize=True,
                              deadline=None, suppress_health_check=list(HealthCheck))
    settings.load_profile("mutation")


def forked(work: Callable[[], dict], tree: Path, answer: Path, cpu: float | None) -> int:
    """The id of a new process (its own group) that does `work` in `tree` and leaves what it says as JSON in `answer`.
    `cpu`: seconds of processor time after which the kernel stops it."""
    answer.unlink(missing_ok=True)
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        _settle(tree, answer, cpu)
        answer.write_text(json.dumps(work()))
        status = 0
    except BaseException as error:
        answer.with_suffix(".error").write_text(repr(error))
    finally:
        os._exit(status)


def _settle(tree: Path, answer: Path, cpu: float | None) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if cpu is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (int(cpu) + 1, int(cpu) + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log = os.open(answer.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for name in [n for n in sys.modules if n.partition(".")[0] in OURS]:
        del sys.modules[name]
    os.chdir(tree)
    sys.dont_write_bytecode = True
    os.environ.update(PYTHONPATH=str(tree), PYTHONDONTWRITEBYTECODE="1")
    importlib.invalidate_caches()
    sys.path[:] = [str(tree), *(p for p in sys.path if p and not (Path(p) / "benchmarks" / "mutation").exists())]


def run_batches(batches: Sequence[Batch], temp: Path) -> dict:
    """Run the batches until a test fails: {"killed": bool, "by": its id}."""
    import pytest

    for batch in batches:
        order = _Order(batch.tests)
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=line", f"--basetemp={temp}",
                            batch.file], plugins=[order])
        if code == pytest.ExitCode.NO_TESTS_COLLECTED:
            continue
        if code != pytest.ExitCode.OK:
            return {"killed": True, "by": order.failed or batch.file}
    return {"killed": False, "by": ""}


class _Order:
    """A pytest plugin: only the wanted tests, in the wanted order; remembers the first that fails."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self.rank = {name: i for i, name in enumerate(wanted)}
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list) -> None:
        def place(item) -> int:
            """Where a test stands, -1: nowhere; one that is named without its parameters stands for all of them."""
            return self.rank.get(item.nodeid, self.rank.get(item.nodeid.partition("[")[0], -1))

        items[:] = sorted((i for i in items if place(i) >= 0), key=place)

    def pytest_runtest_logreport(self, report) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


class Slots:
    """Runs jobs in forked processes, as many at a time as there are trees, each within a limit of time."""

    def __init__(self, trees: Sequence[Path]) -> None:
        self.free = list(trees)
        self.running: dict[int, tuple[Path, float, Callable[[int, Path], None]]] = {}

    def start(self, launch: Callable[[Path], int], wall: float, done: Callable[[int, Path], None]) -> None:
        """Wait for a free tree, `launch` a process in it; `done(status, tree)` when it ended. A process that takes
        longer than `wall` seconds is stopped with all its children, its status is then negative."""
        while not self.free:
            self.step()
        tree = self.free.pop()
        self.running[launch(tree)] = tree, time.monotonic() + wall, done

    def finish(self) -> None:
        while self.running:
            self.step()

    def step(self) -> None:
        for pid, (tree, deadline, done) in list(self.running.items()):
            if time.monotonic() > deadline or _resident(pid) > MEMORY:
                _kill(pid)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                _kill(pid)  # what it started and left behind
                del self.running[pid]
                self.free.append(tree)
                done(os.waitstatus_to_exitcode(status), tree)
                return
        time.sleep(0.01)

    def stop(self) -> None:
        for pid in list(self.running):
            _kill(pid)
            os.waitpid(pid, 0)
        self.running.clear()


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    return 0


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
