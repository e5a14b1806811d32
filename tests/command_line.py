"""The command line in a process of its own, and what it says where it refuses."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from small_models import blobs
from torch import nn

from toolkit.commands.demo import save_pt2

TRAINING = ["--qat-epochs", "1", "--finetune-epochs", "1"]
PROGRESS = re.compile(r".+, \d+:\d\d")
"""A line of progress, as a pipe gets it now and then."""


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
    told = [line for line in done.stderr.splitlines(keepends=True) if not PROGRESS.fullmatch(line.rstrip())]
    assert len(told) == 1 and told[0].startswith("error: "), done.stderr
    return told[0]


def model_and_data(folder: Path) -> Path:
    """Write model.pt2 (6-10-4), data.npz and x.npz into a folder."""
    torch.manual_seed(0)
    save_pt2(nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 4)), (6,), folder / "model.pt2")
    blobs().save(folder / "data.npz")
    np.savez(folder / "x.npz", x=blobs().x_train)
    return folder
