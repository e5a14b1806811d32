"""The same seed gives the same bytes, whatever the number of threads: each run a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from toolkit.utils.threads import threads

ROOT = Path(__file__).parent.parent
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
         Settings(qat_epochs=1, finetune_epochs=1)),
        ("large", (1000, 1000), ["log2:4"], Settings(qat_epochs=1, rounding="nearest"))):
    torch.manual_seed(0)
    sizes = (64, *hidden, 10)
    layers = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), nn.ReLU())]
    model = nn.Sequential(*layers[:-1])
    assert (sum(p.numel() for p in model.parameters()) > 1_000_000) == (name == "large")
    compress_all(model, data, Path(sys.argv[1]) / name, schemes=schemes, reference=False, settings=settings)
assert torch.get_num_threads() == (count or int(__import__("os").environ["OMP_NUM_THREADS"]))
"""


GENERATE = """
import sys
from pathlib import Path
from benchmarks.networks import every_image_layer, every_layer, mlp
from toolkit.api import Options, generate

out = Path(sys.argv[1])
generate(every_layer(), out / "unrolled", targets=("verilog", "hls", "c"), vectors=40, seed=3)
generate(every_image_layer(), out / "folded", targets=("verilog", "hls", "c"), options=Options(arch="folded"),
         vectors=20, seed=3)
generate(mlp((6, 5, 3)), out / "hls4ml", targets=("hls4ml",), vectors=20)
"""


def ran(program: str, out: Path, count: int, *rest: str) -> dict[Path, bytes]:
    """What a program writes into `out`, in a process with so many threads and a hash seed of its own."""
    number = {name: str(count) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                                            "PYTHONHASHSEED")}
    done = subprocess.run([sys.executable, "-c", program, str(out), *rest], capture_output=True, text=True, timeout=600,
                          env={**os.environ, **number}, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def differing(one: dict[Path, bytes], two: dict[Path, bytes]) -> list[Path]:
    assert one.keys() == two.keys()
    return [path for path in one if one[path] != two[path]]


def test_the_same_design_gives_the_same_bytes_in_every_process(tmp_path: Path):
    """Sharing, plans, vectors and all that is written, under two orders of Python's sets."""
    one, two = (ran(GENERATE, tmp_path / str(count), count) for count in (1, 2))
    assert {path.parts[0] for path in one} == {"unrolled", "folded", "hls4ml"} and len(one) > 60
    assert differing(one, two) == []


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_threads(tmp_path: Path):
    """OMP_NUM_THREADS of 1, and of 2 with torch told so too; below a million parameters and above."""
    one, two = (ran(RUN, tmp_path / str(count), count, str(told)) for count, told in ((1, 0), (2, 2)))
    kinds = [path.suffix for path in one]
    assert kinds.count(".swd") == 4 and kinds.count(".npz") == 2
    assert differing(one, two) == []


def test_the_outer_number_of_threads_holds_and_the_callers_comes_back():
    before = torch.get_num_threads()
    with threads(2):
        with threads():
            assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), threads():
            raise KeyError
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before
