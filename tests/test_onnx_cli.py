"""`.onnx` files on the command line: with and without data, and what it says of those that it cannot take."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from command_line import refused, run
from onnx_files import floats, model, node, saved
from torch import nn

HERE = Path(__file__).parent


def linear() -> nn.Module:
    return nn.Linear(4, 2)


def network(folder: Path) -> Path:
    nodes = [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Flatten", "t", "f"), node("Gemm", "f w b", "h"),
             node("Relu", "h", "r"), node("MatMul", "r v", "m"), node("Softmax", "m", "y")]
    constants = {"w": floats(32, 6), "b": floats(6), "v": floats(6, 3)}
    return saved(model(nodes, (1, 4, 4, 2), constants), folder)


def test_build_without_data_draws_inputs_and_says_so(tmp_path: Path):
    done = run("build", network(tmp_path), "-o", tmp_path / "out", "--no-simulate", "--qat-epochs", 0, "--vectors", 50,
               "--input-range=0,4")
    assert done.returncode == 0, done.stderr
    assert "uniform over 0..4" in done.stdout and "the final softmax is left out" in done.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert all(step["accuracy"] is None for step in report["networks"][0]["steps"])
    assert report["networks"][0]["layers"][-1][0] == "MatMul_m"


def test_data_come_in_the_shape_of_the_file(tmp_path: Path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x_train=rng.random((60, 4, 4, 2)), y_train=rng.integers(0, 3, 60))
    done = run("compress", network(tmp_path), "--data", tmp_path / "d.npz", "-o", tmp_path / "out", "--no-sweep",
               "--no-train", "--scheme", "log2:4", "--json")
    assert done.returncode == 0, done.stderr
    np.savez(tmp_path / "d.npz", x_train=rng.random((60, 32)))
    told = refused(run("compress", network(tmp_path), "--data", tmp_path / "d.npz", "-o", tmp_path / "out"))
    assert "(32,)" in told and "(4, 4, 2)" in told


def test_files_that_cannot_be_taken_are_one_sentence_and_code_2(tmp_path: Path):
    path = saved(model([node("Einsum", "x x", "y")], ("N", 4)), tmp_path)
    assert "'Einsum_y' (Einsum)" in refused(run("build", path, "-o", tmp_path / "out"))
    path.write_bytes(path.read_bytes()[:40])
    assert "model.onnx" in refused(run("build", path, "-o", tmp_path / "out"))
    assert "data are needed" in refused(run("build", "test_onnx_cli:linear", "-o", tmp_path / "out", cwd=HERE))
    assert "LOW,HIGH" in refused(run("build", network(tmp_path), "-o", tmp_path / "out", "--input-range=wide"))
    assert not (tmp_path / "out").exists()
