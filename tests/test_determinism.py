"""The same seed gives the same bytes, whatever the number of threads: each run a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from toolkit.threads import threads

RUN = """
import sys
from pathlib import Path
import numpy as np
import torch
from torch import nn
from toolkit.api import Data, Settings, compress_all

count = int(sys.argv[2])
if count:
    torch.set_num_threads(count)
rng = np.random.default_rng(0)
x = rng.normal(0, 1, (900, 64)).astype(np.float32)
y = (x @ rng.normal(0, 1, (64, 10))).argmax(axis=1)
data = Data.of(x[:600], y[:600], x[600:], y[600:])
for name, hidden, schemes, settings in (
        ("small", (200, 60), ["random:0.5+log2:4", "distill:0.2", "structured:0.3,importance=taylor+int:6"],
         Settings(epochs=1, tuning=1)),
        ("large", (1000, 1000), ["log2:4"], Settings(epochs=1, compensate=False))):
    torch.manual_seed(0)
    sizes = (64, *hidden, 10)
    layers = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), nn.ReLU())]
    model = nn.Sequential(*layers[:-1])
    assert (sum(p.numel() for p in model.parameters()) > 1_000_000) == (name == "large")
    compress_all(model, data, Path(sys.argv[1]) / name, schemes=schemes, reference=False, settings=settings)
assert torch.get_num_threads() == (count or int(__import__("os").environ["OMP_NUM_THREADS"]))
"""


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_threads(tmp_path: Path):
    """OMP_NUM_THREADS of 1, and of 2 with torch told so too; below a million parameters and above."""
    for name, environment, count in (("one", "1", "0"), ("two", "2", "2")):
        done = subprocess.run([sys.executable, "-c", RUN, str(tmp_path / name), count], capture_output=True, text=True,
                              env={**os.environ, "OMP_NUM_THREADS": environment, "MKL_NUM_THREADS": environment},
                              timeout=600, check=False)
        assert done.returncode == 0, done.stderr
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert sum(file.suffix == ".swd" for file in files) == 4 and sum(file.suffix == ".npz" for file in files) == 2
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_the_outer_number_of_threads_holds_and_the_callers_comes_back():
    before = torch.get_num_threads()
    with threads(2):
        with threads():
            assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), threads():
            raise KeyError
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before
