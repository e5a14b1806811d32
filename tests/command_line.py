"""The command line in a process of its own, and what it says where it refuses."""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import os
import re
import resource
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import blobs
from torch import nn

from toolkit.commands.exported import save_pt2

TRAINING = ["--qat-epochs", "1", "--finetune-epochs", "1"]
PROGRESS = re.compile(r".+, \d+:\d\d")
"""A line of progress, as a pipe gets it now and then."""


SERVED = "PYTEST_XDIST_WORKER" in os.environ
"""Whether commands are forked from a process that has loaded PyTorch already: it saves a second and more for each, and
costs some to begin with, which a single test would not earn back."""


def run(*args: object, env: dict[str, str] | None = None, cwd: Path | None = None,
        largest_file: int | None = None) -> subprocess.CompletedProcess:
    """The command line in a process of its own; with `largest_file`, no file may grow beyond so many bytes."""
    words = [*map(str, args)]
    if SERVED and env is None and largest_file is None:
        return _forked(words, cwd or Path.cwd())

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.run([sys.executable, "-m", "toolkit.cli", *words], capture_output=True, text=True,
                          env={**os.environ, **(env or {})}, cwd=cwd, preexec_fn=limit)


@cache
def _server() -> multiprocessing.context.ForkServerContext:
    """What commands are forked from: it has loaded what they need, and computed nothing."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["command_line", "toolkit.cli", "toolkit.api", "toolkit.report.sweep"])
    return server


def _forked(words: list[str], cwd: Path) -> subprocess.CompletedProcess:
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        out, err = Path(place) / "out", Path(place) / "err"
        child = _server().Process(target=_command, args=(words, str(cwd), dict(os.environ), str(out), str(err)))
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # for what the server loads, when it begins
        child.start()
        child.join()
        return subprocess.CompletedProcess(words, child.exitcode or 0, out.read_text(), err.read_text())


def _command(words: list[str], cwd: str, env: dict[str, str], out: str, err: str) -> None:
    """In the forked process: what `python -m toolkit.cli` does."""
    from toolkit.cli import main

    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path.insert(0, cwd)
    sys.argv = ["shiftwright", *words]
    main()


def refused(done: subprocess.CompletedProcess, code: int = 2) -> str:
    """The one sentence on stderr of a command that failed."""
    assert done.returncode == code, done.stdout + done.stderr
    told = [line for line in done.stderr.splitlines(keepends=True)
            if not PROGRESS.fullmatch(line.rstrip()) and not line.startswith("data: ")]
    assert len(told) == 1 and told[0].startswith("error: "), done.stderr
    return told[0]


def model_and_data(folder: Path) -> Path:
    """Write model.pt2 (6-10-4), data.npz and x.npz into a folder."""
    torch.manual_seed(0)
    save_pt2(nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 4)), (6,), folder / "model.pt2")
    blobs().save(folder / "data.npz")
    np.savez(folder / "x.npz", x=blobs().x_train)
    return folder
